import { decodeJwt } from "jose";
import type { Stack } from "../stack/stack.ts";
import { measureAccessCases } from "./access-cases.ts";
import { measureAccessRows } from "./access-rows.ts";
import { emptyFunction, type StartTimes } from "./bench-stack.ts";
import { coldStart } from "./cold-starts.ts";
import { openEngineCalls } from "./engine-calls.ts";
import { createHttpCalls, type HttpCalls } from "./http-calls.ts";
import { createHttpClient } from "./http-client.ts";
import { readMachine } from "./machine.ts";
import { type MeasureOptions, measure, type Subject } from "./measure.ts";
import { crowd, fillAuth } from "./million-users.ts";
import type { BenchmarkResult, CrowdResult, EndpointResult, SchoolResult, StepResult } from "./result.ts";
import { fillSchool, schoolCrowd, schoolSubjects } from "./school-crowd.ts";
import { openBlocks, openSqlCalls, type SqlCalls } from "./sql-calls.ts";
import { type Summary, summarize } from "./statistics.ts";
import { crowdWorkloads, subjectOf, type Workload, workloads } from "./workloads.ts";

/** What a run measures on. */
export interface BenchmarkOptions {
  stack: Stack;
  operatorToken: string;
  starts: StartTimes;
  /** Leaves out what is measured among many users, whose making takes a minute or two. */
  quick: boolean;
  /** Told about every half a second how far the run is. */
  progress(line: string): void;
}

const warm = { warmUp: 30, rounds: 300 };
const cold = { warmUp: 2, rounds: 15 };

/** Measures everything on a running stack, in about three minutes. Throws when a request fails. */
export async function runBenchmark(options: BenchmarkOptions): Promise<BenchmarkResult> {
  const { stack, operatorToken, starts, progress } = options;
  const client = createHttpClient(stack.url);
  const http = createHttpCalls(client, operatorToken);
  const claims = { ...decodeJwt(operatorToken) };
  const sql = openSqlCalls(stack.databaseUrl, claims);
  const blocks = openBlocks(stack.databaseUrl);
  const empty: Subject = { name: "empty", call: async () => void (await http.empty()) };
  try {
    const calls = workloads(blocks);
    const warmTimes = await measure(
      [empty, ...calls.flatMap((workload) => bothWays(workload, http, sql))],
      withProgress(warm, "warm calls", progress),
    );
    const engine = await openEngineCalls(stack.databaseUrl, claims, blocks);
    const engineTimes = await measure(
      engine.subjects,
      withProgress(warm, "a change of one row", progress),
    ).finally(() => engine.close());
    const accessCases = await measureAccessCases(stack.databaseUrl, progress);
    const accessRows = await measureAccessRows(stack.databaseUrl);
    const coldTimes = await measure(coldSubjects(stack, http), withProgress(cold, "cold starts", progress));
    return {
      machine: await readMachine(blocks.sql),
      empty: summaryOf(warmTimes, empty.name),
      endpoints: calls.map((workload) => resultOf(warmTimes, workload)),
      engine: engine.subjects.map(({ name }): StepResult => ({ name, times: summaryOf(engineTimes, name) })),
      accessCases,
      accessRows,
      many: options.quick ? null : await measureAmongMany(options, http, sql),
      school: options.quick ? null : await measureInBigSchool(options, claims),
      emptyColdStart: summaryOf(coldTimes, emptyFunction),
      coldStarts: [...coldTimes.keys()]
        .filter((name) => name !== emptyFunction)
        .map((name) => ({ name, times: summaryOf(coldTimes, name) })),
      starts,
    };
  } finally {
    client.close();
    await Promise.all([sql.close(), blocks.close()]);
  }
}

/** Last, since the stack is another one afterwards. */
async function measureAmongMany(
  { stack, progress }: BenchmarkOptions,
  http: HttpCalls,
  sql: SqlCalls,
): Promise<CrowdResult> {
  const fillMs = await fillAuth(stack, crowd, progress);
  const calls = crowdWorkloads();
  const times = await measure(
    calls.flatMap((workload) => bothWays(workload, http, sql)),
    withProgress(warm, "among many users", progress),
  );
  return { crowd, fillMs, diagnoses: calls.map((workload) => resultOf(times, workload)) };
}

/** After the many users, in the same stack. */
async function measureInBigSchool(
  { stack, progress }: BenchmarkOptions,
  claims: Record<string, unknown>,
): Promise<SchoolResult> {
  const fillMs = await fillSchool(stack.socket, schoolCrowd, progress);
  const { subjects, close } = schoolSubjects(stack.databaseUrl, claims);
  try {
    const times = await measure(
      subjects,
      withProgress({ warmUp: 10, rounds: 100 }, "in a big school", progress),
    );
    return {
      crowd: schoolCrowd,
      fillMs,
      diagnoses: subjects.map(({ name }) => ({ name, times: summaryOf(times, name) })),
    };
  } finally {
    await close();
  }
}

function resultOf(times: Map<string, number[]>, { name }: Workload): EndpointResult {
  return { name, http: summaryOf(times, httpName(name)), sql: summaryOf(times, sqlName(name)) };
}

function bothWays(workload: Workload, http: HttpCalls, sql: SqlCalls): Subject[] {
  return [
    subjectOf(workload, httpName(workload.name), http),
    subjectOf(workload, sqlName(workload.name), sql),
  ];
}

function coldSubjects({ functions }: Stack, http: HttpCalls): Subject[] {
  const email = "ok@demo.example";
  return [
    coldStart(functions, emptyFunction, async () => void (await http.empty())),
    coldStart(functions, "diagnose-login", async () => void (await http.diagnoseLogin(email))),
    coldStart(functions, "unblock-login", async () => void (await http.unblockLogin(email, null))),
    coldStart(functions, "health-check", async () => void (await http.healthCheck())),
  ];
}

function httpName(workload: string): string {
  return `${workload} over HTTP`;
}

function sqlName(workload: string): string {
  return `${workload} as SQL`;
}

function summaryOf(times: Map<string, number[]>, name: string): Summary {
  return summarize(times.get(name) ?? []);
}

function withProgress(
  options: Omit<MeasureOptions, "onRound">,
  what: string,
  progress: (line: string) => void,
): MeasureOptions {
  let told = 0;
  return {
    ...options,
    onRound: (done, total) => {
      if (done < total && performance.now() - told < 500) return;
      told = performance.now();
      progress(`${what}: round ${done} of ${total}`);
    },
  };
}
