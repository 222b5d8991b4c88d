import type { AccessCases } from "./access-cases.ts";
import type { StartTimes } from "./bench-stack.ts";
import { engineSteps } from "./engine-calls.ts";
import type { Machine } from "./machine.ts";
import type { Crowd } from "./million-users.ts";
import type { SchoolCrowd } from "./school-crowd.ts";
import type { Summary } from "./statistics.ts";

/** The goals of the project, in ms. */
export const goals = {
  /** An endpoint's median over HTTP may exceed the SQL and the empty function together by this much. */
  overhead: 2,
  /** An endpoint's cold start may take this much longer than the empty function's. */
  coldStart: 250,
  /** From installed packages to the printed report. */
  start: 15_000,
  /** A diagnosis in SQL, in a project of a million users. */
  diagnosisAmongMany: 10,
  /** A diagnosis of the school in SQL, with a hundred thousand enrolments and a million posts. */
  diagnosisInBigSchool: 100,
  /** The verdict over a hundred rows under five policies in SQL. */
  accessRows: 50,
  /** Applying a change of one row in SQL. */
  apply: 6,
  /** How many times as long as the function written by hand applying may take. */
  timesByHand: 3,
} as const;

/** One call of an endpoint, over HTTP and as SQL alone; ms. */
export interface EndpointResult {
  name: string;
  http: Summary;
  sql: Summary;
}

/** First requests after the worker was ended; ms. */
export interface ColdStartResult {
  name: string;
  times: Summary;
}

/** Diagnoses in a project with many users; ms. */
export interface CrowdResult {
  crowd: Crowd;
  fillMs: number;
  diagnoses: EndpointResult[];
}

/** Diagnoses of a big school, as SQL; ms. */
export interface SchoolResult {
  crowd: SchoolCrowd;
  fillMs: number;
  diagnoses: StepResult[];
}

/** One statement of the engine, or of what stands in its place; ms. */
export interface StepResult {
  name: string;
  times: Summary;
}

/** Everything that one run measured; ms. */
export interface BenchmarkResult {
  machine: Machine;
  empty: Summary;
  endpoints: EndpointResult[];
  engine: StepResult[];
  accessCases: AccessCases;
  accessRows: StepResult[];
  /** Null when it was left out. */
  many: CrowdResult | null;
  /** Null when it was left out. */
  school: SchoolResult | null;
  emptyColdStart: Summary;
  coldStarts: ColdStartResult[];
  starts: StartTimes;
}

/** How a median compares with what it may be. */
export interface Comparison {
  limit: number;
  met: boolean;
}

/** The endpoint's median against the SQL's, the empty function's and the allowed overhead together. */
export function compareEndpoint(endpoint: EndpointResult, empty: Summary): Comparison {
  const limit = endpoint.sql.p50 + empty.p50 + goals.overhead;
  return { limit, met: endpoint.http.p50 <= limit };
}

/** How much longer the median cold start takes than the empty function's, against the goal. */
export function compareColdStart(coldStart: ColdStartResult, empty: Summary): Comparison & { more: number } {
  const more = coldStart.times.p50 - empty.p50;
  return { more, limit: goals.coldStart, met: more <= goals.coldStart };
}

/** The limit of a step's median, where there is one, and whether it is met. */
export function compareStep(step: StepResult, steps: readonly StepResult[]): Comparison | undefined {
  const byHand = steps.find(({ name }) => name === engineSteps.byHand);
  if (step.name !== engineSteps.apply || byHand === undefined) return undefined;
  const limit = Math.min(goals.apply, goals.timesByHand * byHand.times.p50);
  return { limit, met: step.times.p50 <= limit };
}
