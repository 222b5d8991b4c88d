import { setTimeout } from "node:timers/promises";
import { Cron } from "croner";
import type { Sql } from "postgres";
import { percentile } from "../bench/statistics.ts";
import { table, wholeNumber } from "../bench/table.ts";
import { connect } from "../stack/postgres-server.ts";
import type { Stack } from "../stack/stack.ts";
import { StackError } from "../stack/stack-error.ts";
import { runProgram } from "./peers/run-program.ts";

/** What everything scheduled may cost, as a share of pgbench's throughput in percent. */
export const costGoalPercent = 1;

/** What the schedule costs. */
export interface CostResult {
  /** Transactions a second without anything scheduled, a round each. */
  without: number[];
  /** The same rounds' neighbours, with the schedule sped up. */
  sped: number[];
  /** Each job: its name, its period and how long one run took under load; seconds and ms. */
  jobs: { name: string; periodS: number; runsMs: number[] }[];
}

/** How much faster than the clock the schedule is run, so that its cost stands out from the noise. */
const speed = 40;

const roundS = 15;
/** Rounds of each kind; together they are an hour of the schedule, so hourly jobs run once. */
const rounds = 3600 / speed / roundS;
const clients = 20;
const scale = 10;

/**
 * Runs pgbench in turns without the schedule and with the schedule run forty times as often as it is.
 * @returns null when pgbench is not installed.
 */
export async function measureCostOfSchedule(
  { stack, path }: { stack: Stack; path: string },
  progress: (line: string) => void,
): Promise<CostResult | null> {
  const { socket } = stack;
  if (socket === null)
    throw new StackError("This is measured on a database of its own, never on a given one.");
  const server = { socketDirectory: socket.directory, port: socket.port };
  const sql = connect(server, { user: "postgres", applicationName: "cost of the schedule" });
  try {
    const jobs = await takeOverSchedule(sql);
    const pgbench = async (args: string[]): Promise<string> => {
      const { output, exitCode } = await runProgram("pgbench", [...args, stack.databaseUrl], {
        limitMs: 300_000,
        env: { PATH: path },
      });
      if (exitCode !== 0) throw new Error(`pgbench failed: ${output}`);
      return output;
    };
    const installed = await pgbench(["-i", "-q", "-s", String(scale)]).then(
      () => true,
      (error: unknown) => {
        if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
        throw error;
      },
    );
    if (!installed) return null;
    const result: CostResult = {
      without: [],
      sped: [],
      jobs: jobs.map(({ name, periodS }) => ({ name, periodS, runsMs: [] })),
    };
    const load = async (): Promise<number> =>
      throughput(await pgbench(["-n", "-c", String(clients), "-j", "2", "-T", String(roundS)]));
    await load(); // warms up
    for (let round = 0; round < rounds; round += 1) {
      progress(`round ${round + 1} of ${rounds}, without`);
      result.without.push(await load());
      progress(`round ${round + 1} of ${rounds}, with the schedule ${speed} times as fast`);
      const stop = new AbortController();
      const running = Promise.all(
        jobs.map((job, index) => runSped(server, job, round, result.jobs[index]?.runsMs ?? [], stop.signal)),
      );
      result.sped.push(await load());
      stop.abort();
      await running;
    }
    return result;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** The figures as Markdown. */
export function costChapter(result: CostResult): string {
  const without = percentile(result.without, 50);
  const sped = percentile(result.sped, 50);
  const lossPercent = (100 * (1 - sped / without)) / speed;
  const busy = result.jobs.reduce(
    (sum, { periodS, runsMs }) => sum + (runsMs.length === 0 ? 0 : percentile(runsMs, 50) / 1000 / periodS),
    0,
  );
  return [
    `pgbench with ${clients} clients (scale ${scale}), ${result.without.length} rounds of ${roundS} s each way, in turns. So that the cost stands out from the noise, the jobs of the schedule run ${speed} times as often as they do, each in a session of its own, and the loss is divided by ${speed}. The goal is a loss below ${costGoalPercent} %.`,
    table(
      ["throughput, transactions a second", "median", "min", "max"],
      [
        [
          "nothing scheduled",
          wholeNumber(without),
          wholeNumber(Math.min(...result.without)),
          wholeNumber(Math.max(...result.without)),
        ],
        [
          `schedule ${speed} times as fast`,
          wholeNumber(sped),
          wholeNumber(Math.min(...result.sped)),
          wholeNumber(Math.max(...result.sped)),
        ],
      ],
    ),
    `Loss at the schedule's own speed: ${lossPercent.toFixed(2)} % (goal ${lossPercent < costGoalPercent ? "met" : "missed"}). By the clock the jobs run for ${(100 * busy).toFixed(2)} % of the time of one session, under this load. Before each run that becomes due which would be due a period later. What the schedule costs by the runbook's own count is told by the check \`own_cost\`.`,
    table(
      ["job", "every, s", "runs", "median under load, ms", "max, ms"],
      result.jobs.map(({ name, periodS, runsMs }) => [
        name,
        wholeNumber(periodS),
        String(runsMs.length),
        runsMs.length === 0 ? "" : wholeNumber(percentile(runsMs, 50)),
        runsMs.length === 0 ? "" : wholeNumber(Math.max(...runsMs)),
      ]),
    ),
  ].join("\n\n");
}

interface Job {
  name: string;
  command: string;
  periodS: number;
}

/** Switches the runbook's jobs off, and says what they are. */
async function takeOverSchedule(sql: Sql): Promise<Job[]> {
  const jobs = await sql<{ jobid: number; jobname: string; schedule: string; command: string }[]>`
    select job.jobid, job.jobname, job.schedule, job.command
    from cron.job as job
    where job.jobname like 'runbook%'
    order by job.jobname`;
  for (const { jobid } of jobs) await sql`select cron.alter_job(${jobid}, active => false)`;
  return jobs.map(({ jobname, schedule, command }) => {
    const [first, second] = new Cron(schedule).nextRuns(2);
    if (first === undefined || second === undefined) throw new Error(`The job ${jobname} never runs.`);
    return { name: jobname, command, periodS: (second.getTime() - first.getTime()) / 1000 };
  });
}

/** Runs a job as often as its share of a sped-up round asks for. */
async function runSped(
  server: Parameters<typeof connect>[0],
  { name, command, periodS }: Job,
  round: number,
  runsMs: number[],
  signal: AbortSignal,
): Promise<void> {
  const everyMs = (periodS / speed) * 1000;
  const begin = round * roundS * 1000;
  const roundBegan = performance.now();
  const session = connect(server, { user: "postgres", applicationName: "pg_cron" });
  try {
    for (let due = Math.ceil(begin / everyMs) * everyMs; due < begin + roundS * 1000; due += everyMs) {
      await pause(due - begin - (performance.now() - roundBegan), signal);
      if (signal.aborted) return;
      await passTime(session, name, periodS);
      const begun = performance.now();
      await session.unsafe(command);
      runsMs.push(performance.now() - begun);
    }
  } finally {
    await session.end({ timeout: 5 });
  }
}

/** Checks and collectors go by the clock: makes due what would be due after one more period of their job. */
async function passTime(session: Sql, job: string, seconds: number): Promise<void> {
  if (job === "runbook-checks")
    await session`
      update runbook.check_state
      set due_at = due_at - make_interval(secs => ${seconds})
      where true`;
  if (job === "runbook-collect")
    await session`
      update runbook.collector_state
      set
        tried_at = tried_at - make_interval(secs => ${seconds}),
        succeeded_at = succeeded_at - make_interval(secs => ${seconds})
      where true`;
}

/** Waits so long, or until the signal comes. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return;
  await setTimeout(ms, undefined, { signal }).catch(() => {});
}

/** What pgbench says at its end. @throws Error when it does not say it. */
function throughput(output: string): number {
  const tps = Number(/tps = ([\d.]+)/.exec(output)?.[1]);
  if (!(tps > 0)) throw new Error(`pgbench did not tell its throughput: ${output}`);
  return tps;
}
