import { accessCasesChapter, accessCasesTable } from "./access-cases.ts";
import { accessRowsChapter, accessRowsTable } from "./access-rows.ts";
import type { Machine } from "./machine.ts";
import {
  type BenchmarkResult,
  type CrowdResult,
  compareColdStart,
  compareEndpoint,
  compareStep,
  goals,
  type SchoolResult,
} from "./result.ts";
import { table } from "./table.ts";

/** The figures as tables, for a terminal. */
export function resultTables(result: BenchmarkResult): string {
  return [
    "Warm calls, ms",
    warmTable(result),
    `Goal: HTTP p50 at most SQL p50 + empty function p50 + ${goals.overhead} ms`,
    goalTable(result),
    ...(result.many === null
      ? []
      : [`diagnose-login among ${count(result.many.crowd.users)} users, ms`, manyTable(result.many)]),
    ...(result.school === null
      ? []
      : [`The school with ${count(result.school.crowd.posts)} posts, SQL, ms`, schoolTable(result.school)]),
    "A change of one row in SQL, ms",
    engineTable(result),
    "Random questions of access, and ms a call",
    accessCasesTable(result.accessCases),
    "A hundred rows under five policies, ms",
    accessRowsTable(result.accessRows),
    `Cold start, ms. Goal: median at most ${goals.coldStart} ms above the empty function's`,
    coldTable(result),
    "Start of the stack",
    startTable(result),
    ...(isBusy(result.machine) ? [busyWarning(result.machine)] : []),
  ].join("\n\n");
}

/** The page `docs/benchmarks.md`. */
export function benchmarkPage(result: BenchmarkResult): string {
  const [anyEndpoint] = result.endpoints;
  return `${[
    "# Benchmarks",
    "Made by `npm run bench -- --write`, which starts a stack of its own and measures in one run whatever below names no other command. Another machine gives other figures: compare them within a run, not between machines.",
    machineList(result.machine),
    "## Warm calls",
    `Each subject ${anyEndpoint?.http.count ?? 0} times after a warm-up, in turns, in ms. HTTP is one kept-alive connection through the stack's gateway to the edge function in Deno, with the token of an operator. SQL is the statements that the function sends, in the same transaction, over one connection of postgres.js from Node. The empty function answers \`{}\` over the same gateway. Before each \`applied\` a fresh block is inserted, outside of the measured time.`,
    warmTable(result),
    `The goal for an endpoint is a median over HTTP of at most the SQL's and the empty function's together plus ${goals.overhead} ms. It says what verifying the caller, validating the body and building the answer may cost.`,
    goalTable(result),
    ...(result.many === null ? [] : manyChapter(result.many)),
    ...(result.school === null ? [] : schoolChapter(result.school)),
    "## A change of one row",
    `Each statement ${result.engine[0]?.times.count ?? 0} times, in turns, in ms, in a transaction that has passed the door: \`runbook.remediate('unblock-login', …)\` as a dry run and applied, the undo of such a run where this version has one, and beside them a function as a team would write it without the runbook, which checks the role, deletes the row and asks the diagnosis whether the trouble is gone, without plan, images and record. The goal for applying is a median of at most ${goals.apply} ms and at most ${goals.timesByHand} times that of the function written by hand.`,
    engineTable(result),
    ...accessCasesChapter(result.accessCases),
    ...accessRowsChapter(result.accessRows),
    "## Cold start",
    `The first request after the function's worker was ended, ${result.emptyColdStart.count} times each, in turns, in ms: a new isolate, its modules, a new database login. Deno itself stays up, as the platform's runtime does. The goal is a median of at most ${goals.coldStart} ms above the empty function's.`,
    coldTable(result),
    "## Start of the stack",
    `From the launch of the program, with the packages installed, to the health report that \`npm start\` prints. The goal is ${goals.start / 1000} s.`,
    startTable(result),
    "## How far to trust the figures",
    noise(result.machine),
  ].join("\n\n")}\n`;
}

function warmTable({ endpoints, empty }: BenchmarkResult): string {
  return table(
    ["call", "HTTP p50", "HTTP p99", "SQL p50", "SQL p99"],
    [
      ...endpoints.map(({ name, http, sql }) => [name, ms(http.p50), ms(http.p99), ms(sql.p50), ms(sql.p99)]),
      ["empty function", ms(empty.p50), ms(empty.p99), "", ""],
    ],
  );
}

function goalTable({ endpoints, empty }: BenchmarkResult): string {
  return table(
    ["call", "HTTP p50", "at most", "goal"],
    endpoints.map((endpoint) => {
      const { limit, met } = compareEndpoint(endpoint, empty);
      return [endpoint.name, ms(endpoint.http.p50), ms(limit), verdict(met)];
    }),
  );
}

function manyChapter(many: CrowdResult): string[] {
  return [
    `## Among ${count(many.crowd.users)} users`,
    `The same stack after ${count(many.crowd.users)} users with their identities, ${count(many.crowd.users / 5)} sessions and ${count(many.crowd.auditLogEntries)} entries of the audit log were added (in ${seconds(many.fillMs)} s), ${many.diagnoses[0]?.sql.count ?? 0} times each, another person each time, in ms. A mistyped address has no account, so similar ones are looked for and one is found. The goal is a median of at most ${goals.diagnosisAmongMany} ms in SQL.`,
    manyTable(many),
  ];
}

function manyTable({ diagnoses }: CrowdResult): string {
  return table(
    ["call", "HTTP p50", "HTTP p99", "SQL p50", "SQL p99", "at most", "goal"],
    diagnoses.map(({ name, http, sql }) => [
      name,
      ms(http.p50),
      ms(http.p99),
      ms(sql.p50),
      ms(sql.p99),
      ms(goals.diagnosisAmongMany),
      verdict(sql.p50 <= goals.diagnosisAmongMany),
    ]),
  );
}

function schoolChapter(school: SchoolResult): string[] {
  const { students, classes, enrollments, posts } = school.crowd;
  return [
    "## In a big school",
    `The diagnoses of the school's pack in SQL, after ${count(students)} students, ${count(enrollments)} enrolments in ${count(classes)} classes and ${count(posts)} posts were added (in ${seconds(school.fillMs)} s), ${school.diagnoses[0]?.times.count ?? 0} times each, another student each time, in ms. The school's own policies are part of it: they are evaluated as the student. The goal is a median of at most ${goals.diagnosisInBigSchool} ms.`,
    schoolTable(school),
  ];
}

function schoolTable({ diagnoses }: SchoolResult): string {
  return table(
    ["diagnosis", "p50", "p99", "at most", "goal"],
    diagnoses.map(({ name, times }) => [
      name,
      ms(times.p50),
      ms(times.p99),
      ms(goals.diagnosisInBigSchool),
      verdict(times.p50 <= goals.diagnosisInBigSchool),
    ]),
  );
}

function engineTable({ engine }: BenchmarkResult): string {
  return table(
    ["statement", "p50", "p99", "at most", "goal"],
    engine.map((step) => {
      const comparison = compareStep(step, engine);
      const goal = comparison === undefined ? ["", ""] : [ms(comparison.limit), verdict(comparison.met)];
      return [step.name, ms(step.times.p50), ms(step.times.p99), ...goal];
    }),
  );
}

function coldTable({ coldStarts, emptyColdStart }: BenchmarkResult): string {
  return table(
    ["function", "median", "max", "more than empty", "goal"],
    [
      ...coldStarts.map((coldStart) => {
        const { more, met } = compareColdStart(coldStart, emptyColdStart);
        return [coldStart.name, ms(coldStart.times.p50), ms(coldStart.times.max), ms(more), verdict(met)];
      }),
      ["empty function", ms(emptyColdStart.p50), ms(emptyColdStart.max), "", ""],
    ],
  );
}

function startTable({ starts }: BenchmarkResult): string {
  return table(
    ["start", "seconds", "goal"],
    [
      ["first, with no database yet", seconds(starts.first), verdict(starts.first <= goals.start)],
      ["again, on the same database", seconds(starts.again), verdict(starts.again <= goals.start)],
    ],
  );
}

function machineList(machine: Machine): string {
  return [
    `- ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGib} GiB of memory, ${machine.system}`,
    `- Node ${machine.node}, Deno ${machine.deno}, Postgres ${machine.postgres}`,
    `- Load average ${machine.load.toFixed(1)} at the end of the run, the benchmark included`,
  ].join("\n");
}

function noise(machine: Machine): string {
  return [
    `The caller, the gateway, Auth, Deno and Postgres share ${machine.cores} cores, which other programs may use too; a call over HTTP passes through this program (caller and gateway), Deno and Postgres, and waits for a core at each step.`,
    "So a busy machine lengthens HTTP more than SQL, and p99 tells more of the machine than of the code.",
    "Every ten seconds one call of `diagnose-login` and `health-check` also looks at Auth, and once a minute the scheduled health check runs: p99 may show it, the median does not.",
    "The stack's Postgres runs without fsync: on a real disk a call that writes also waits for its commit, in HTTP and SQL alike.",
    "On the hosted platform the network between function and database comes on top, once for each statement.",
    ...(isBusy(machine) ? [busyWarning(machine)] : []),
  ].join(" ");
}

/** One request at a time keeps about one core busy: a longer queue is somebody else's. */
function isBusy({ load, cores }: Machine): boolean {
  return load > cores;
}

function busyWarning({ load, cores }: Machine): string {
  return `Other programs were busy during this run (load average ${load.toFixed(1)} on ${cores} cores): the figures are higher than the code deserves.`;
}

function verdict(met: boolean): string {
  return met ? "met" : "missed";
}

/** A large number as people read it. */
function count(value: number): string {
  return value.toLocaleString("en-US");
}

function ms(value: number): string {
  return value.toFixed(1);
}

function seconds(value: number): string {
  return (value / 1000).toFixed(1);
}
