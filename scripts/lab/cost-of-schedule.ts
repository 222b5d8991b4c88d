import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
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

/** A run of a job under load, in a session of its own as pg_cron makes one. */
export interface JobRun {
  /** By the clock, from the connection to the end; ms. */
  tookMs: number;
  /** Processor time of the session's process, its start included; ms. Null where the system does not tell. */
  cpuMs: number | null;
}

/** What the schedule costs. */
export interface CostResult {
  /** Each round's transactions a second, without anything scheduled and with the schedule sped up. */
  rounds: { without: number; sped: number }[];
  /** Each job: its name, its period in seconds and its runs. */
  jobs: { name: string; periodS: number; runs: JobRun[] }[];
  /** Processors that pgbench, the server and this program share. */
  cores: number;
}

/** How much faster than the clock the schedule is run, so that its cost stands out from the noise. */
export const speed = 40;

/** How long one round of either kind lasts, in seconds. */
export const roundS = 15;
/** Rounds of each kind; together they are an hour of the schedule, so what is due hourly is done once. */
const rounds = 3600 / speed / roundS;
const clients = 20;
const scale = 10;

/**
 * Runs pgbench in turns without the schedule and with the schedule run forty times as often as it is. Every other round
 * begins with the schedule, so that what grows from round to round meets both alike.
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
      rounds: [],
      jobs: jobs.map(({ name, periodS }) => ({ name, periodS, runs: [] })),
      cores: availableParallelism(),
    };
    const load = async (): Promise<number> =>
      throughput(await pgbench(["-n", "-c", String(clients), "-j", "2", "-T", String(roundS)]));
    const loadWithSchedule = async (round: number): Promise<number> => {
      const stop = new AbortController();
      const running = Promise.all(
        jobs.map((job, index) =>
          runSped({ server, clock: sql }, job, round, result.jobs[index]?.runs ?? [], stop.signal),
        ),
      );
      const sped = await load();
      stop.abort();
      await running;
      return sped;
    };
    await load(); // warms up
    for (let round = 0; round < rounds; round += 1) {
      progress(`round ${round + 1} of ${rounds}`);
      const spedFirst = round % 2 === 1 ? await loadWithSchedule(round) : undefined;
      const without = await load();
      result.rounds.push({ without, sped: spedFirst ?? (await loadWithSchedule(round)) });
    }
    return result;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** The figures as Markdown. */
export function costChapter(result: CostResult): string {
  const reached = reachedSpeed(result);
  const losses = result.rounds.map(({ without, sped }) => (100 * (1 - sped / without)) / reached);
  const loss = percentile(losses, 50);
  const cpu = cpuMsPerMinute(result);
  const cpuShare = cpu === null ? null : (100 * cpu) / (60_000 * result.cores);
  return [
    `pgbench with ${clients} clients (scale ${scale}), ${result.rounds.length} rounds of ${roundS} s each way, in turns. So that the cost stands out from the noise, the jobs of the schedule run ${speed} times as often as they do, each run in a new session as pg_cron makes one, and the loss is divided by ${speed}. Before each run the clock of the checks and collectors is put forward by the period of their job, so that each does as often as it would what is due in an hour. The goal is a loss below ${costGoalPercent} %.`,
    table(
      ["throughput, transactions a second", "median", "min", "max"],
      [
        throughputRow(
          "nothing scheduled",
          result.rounds.map(({ without }) => without),
        ),
        throughputRow(
          `schedule ${speed} times as fast`,
          result.rounds.map(({ sped }) => sped),
        ),
      ],
    ),
    [
      `Loss at the schedule's own speed: ${loss.toFixed(2)} % in the median round (${Math.min(...losses).toFixed(2)} to ${Math.max(...losses).toFixed(2)} %; goal ${loss < costGoalPercent ? "met" : "missed"}).`,
      ...(reached < speed
        ? [`The jobs could not keep up: it is divided by ${reached.toFixed(1)}, the speed that was reached.`]
        : []),
      cpuShare === null || cpu === null
        ? "The processor time of the jobs' sessions is not told by this system."
        : `Measured apart from that, the jobs' sessions used ${wholeNumber(cpu)} ms of processor time for each minute of the schedule, under this load: ${cpuShare.toFixed(2)} % of ${result.cores} processors.`,
      "Not in it: what the edge functions do, tables and statements in larger numbers than pgbench has, and snapshots of the days before.",
    ].join(" "),
    table(
      ["job", "every, s", "runs", "mean under load, ms", "max, ms", "processor time, mean, ms"],
      result.jobs.map(({ name, periodS, runs }) => {
        const took = runs.map(({ tookMs }) => tookMs);
        const used = runs.flatMap(({ cpuMs }) => cpuMs ?? []);
        return [
          name,
          wholeNumber(periodS),
          String(runs.length),
          took.length === 0 ? "" : wholeNumber(mean(took)),
          took.length === 0 ? "" : wholeNumber(Math.max(...took)),
          used.length === 0 ? "" : mean(used).toFixed(1),
        ];
      }),
    ),
  ].join("\n\n");
}

/** How many times as fast as the clock the schedule was really run: what the job with the most runs left out came to. */
export function reachedSpeed({ jobs, rounds: done }: CostResult): number {
  const seconds = done.length * roundS;
  return Math.min(speed, ...jobs.map(({ periodS, runs }) => (runs.length * periodS) / seconds));
}

/** Processor time of all jobs for a minute of the schedule, in ms; null where a run did not tell its own. */
export function cpuMsPerMinute({ jobs }: CostResult): number | null {
  let sum = 0;
  for (const { periodS, runs } of jobs) {
    const used = runs.flatMap(({ cpuMs }) => cpuMs ?? []);
    if (used.length < runs.length || used.length === 0) return null;
    sum += (mean(used) * 60) / periodS;
  }
  return sum;
}

function throughputRow(title: string, values: readonly number[]): string[] {
  return [
    title,
    wholeNumber(percentile(values, 50)),
    wholeNumber(Math.min(...values)),
    wholeNumber(Math.max(...values)),
  ];
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
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

/** Runs a job as often as its share of a sped-up round asks for, in a new session each time, as pg_cron does. */
async function runSped(
  { server, clock }: { server: Parameters<typeof connect>[0]; clock: Sql },
  { name, command, periodS }: Job,
  round: number,
  runs: JobRun[],
  signal: AbortSignal,
): Promise<void> {
  const everyMs = (periodS / speed) * 1000;
  const begin = round * roundS * 1000;
  const roundBegan = performance.now();
  for (let due = Math.ceil(begin / everyMs) * everyMs; due < begin + roundS * 1000; due += everyMs) {
    await pause(due - begin - (performance.now() - roundBegan), signal);
    if (signal.aborted) return;
    await passTime(clock, name, periodS);
    const begun = performance.now();
    const session = connect(server, { user: "postgres", applicationName: "pg_cron" });
    try {
      // Connects; fetches what tells the process apart.
      const [row] = await session.unsafe("select pg_backend_pid() as pid").simple();
      await session.unsafe(command).simple();
      runs.push({ tookMs: performance.now() - begun, cpuMs: cpuMsOf(Number(row?.["pid"])) });
    } finally {
      await session.end({ timeout: 5 });
    }
  }
}

/** Processor time that a process has used since it began, in ms; null where the system does not tell. */
function cpuMsOf(pid: number): number | null {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1_000_000;
  } catch {
    return null;
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
