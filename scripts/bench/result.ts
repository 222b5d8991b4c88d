import type { StartTimes } from "./bench-stack.ts";
import type { Machine } from "./machine.ts";
import type { Summary } from "./statistics.ts";

/** The goals of the project, in ms. */
export const goals = {
  /** An endpoint's median over HTTP may exceed the SQL and the empty function together by this much. */
  overhead: 2,
  /** An endpoint's cold start may take this much longer than the empty function's. */
  coldStart: 250,
  /** From installed packages to the printed report. */
  start: 15_000,
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

/** Everything that one run measured; ms. */
export interface BenchmarkResult {
  machine: Machine;
  empty: Summary;
  endpoints: EndpointResult[];
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
