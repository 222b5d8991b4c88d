import { setTimeout as sleep } from "node:timers/promises";
import { type Connect, closeClient, openClient } from "./connect.ts";
import { type CronRun, startRun } from "./cron-run.ts";
import { nextDue, type ScheduleDescription } from "./cron-schedule.ts";
import { type CronJob, failInterruptedRuns, readJobs, terminateBackends } from "./cron-store.ts";
import { createWaker } from "./waker.ts";
import { keepWorking, type WorkerSession } from "./worker-session.ts";

/** Options of {@link startCronScheduler}. */
export interface CronSchedulerOptions {
  connect: Connect;
  report: (line: string) => void;
  /** The database that holds schema cron; `postgres` when absent. */
  database?: string;
  now?: () => Date;
}

/** A job that may run, and what is under way for it. */
interface Task {
  job: CronJob;
  /** Text of the schedule that `due` was computed from. */
  scheduleText: string;
  /** When a schedule by the minute is due next. */
  due: Date | null;
  /** When the job was learnt of or last started; schedules in seconds count from here. */
  lastStart: Date;
  /** Runs that are due and have not started. */
  pending: number;
  run: CronRun | null;
}

/** The owner of cron's tables: row level security hides other roles' jobs from everyone else. */
const schedulerUser = "supabase_admin";
const maxRunning = 32;
/** Changes are announced; this catches those that were made with triggers disabled. */
const rereadMilliseconds = 2000;
/** A jump of the clock (a laptop that slept) by more than this starts nothing for the minutes in between. */
const longestCatchUp = 5 * 60_000;

/**
 * Runs the jobs of the stand-in of pg_cron: due times in GMT, one run of a job at a time, at most 32 runs at once. A run
 * that is due while its job is busy is queued, any number of them for schedules by the minute, one for schedules in
 * seconds. What was due while no scheduler ran is not made up for.
 *
 * @returns When the first session has read the jobs or has failed; `stop` ends the runs that are still busy, and the next
 *   start marks them as failed.
 */
export async function startCronScheduler(options: CronSchedulerOptions): Promise<{ stop(): Promise<void> }> {
  const { connect, report, database = "postgres", now = () => new Date() } = options;
  const waker = createWaker();
  let jobsChanged = false;
  /** Runs of the present session. */
  let runs = new Set<CronRun>();
  /** Why a run could not be recorded; the session is of no use then. */
  let broken: unknown = null;

  const work = async (outer: WorkerSession, ready: () => void): Promise<void> => {
    const ended = new AbortController();
    const session = { ...outer, over: AbortSignal.any([outer.over, ended.signal]) };
    runs = new Set();
    broken = null;
    try {
      await failInterruptedRuns(session.sql);
      await schedule(session, ready);
    } finally {
      ended.abort();
      await Promise.allSettled([...runs].map((run) => run.ended));
    }
  };

  const schedule = async (session: WorkerSession, ready: () => void): Promise<void> => {
    const tasks = new Map<string, Task>();
    let lastRead: number | null = null;
    let lastTick = now();
    while (!session.over.aborted) {
      if (lastRead === null || jobsChanged || Date.now() - lastRead > rereadMilliseconds) {
        jobsChanged = false;
        learn(tasks, await readJobs(session.sql), now(), lastRead === null, report);
        lastRead = Date.now();
        ready();
      }
      const time = now();
      markDue(tasks, lastTick, time);
      lastTick = time;
      for (const task of tasks.values()) {
        if (task.pending === 0 || task.run !== null || runs.size >= maxRunning) continue;
        launch(task, time, session);
      }
      await waker.wait(Math.min(1000, untilDue(tasks, now())), session.over);
      if (broken !== null) throw broken;
    }
  };

  const launch = (task: Task, time: Date, session: WorkerSession): void => {
    const run = startRun(session, connect, task.job);
    const sessionRuns = runs;
    task.pending -= 1;
    task.lastStart = time;
    task.run = run;
    sessionRuns.add(run);
    run.ended
      .catch((cause: unknown) => {
        broken = cause;
      })
      .finally(() => {
        task.run = null;
        if (!session.over.aborted) sessionRuns.delete(run);
        waker.wake();
      });
  };

  const worker = await keepWorking({
    connect,
    report,
    user: schedulerUser,
    database,
    applicationName: "pg_cron scheduler",
    lock: [0x63726f6e, 1],
    channels: {
      pg_cron_jobs: () => {
        jobsChanged = true;
        waker.wake();
      },
    },
    work,
  });
  return {
    stop: async () => {
      await worker.stop();
      const busy = [...runs].flatMap((run) => run.pid() ?? []);
      if (busy.length > 0) await endBackends(connect, database, busy);
    },
  };
}

/** Ends the backends of runs whose connection was closed: a backend notices that only when its command has ended. */
async function endBackends(connect: Connect, database: string, pids: readonly number[]): Promise<void> {
  const sql = openClient(connect, { user: schedulerUser, database, applicationName: "pg_cron scheduler" });
  const ended = terminateBackends(sql, pids).catch(() => {}); // a server that is gone has none
  await Promise.race([ended, sleep(500)]);
  await closeClient(sql);
}

/** Takes over what cron.job says now. Jobs that are gone or inactive lose their pending runs, and a busy one is given up. */
function learn(
  tasks: Map<string, Task>,
  jobs: readonly CronJob[],
  time: Date,
  firstTime: boolean,
  report: (line: string) => void,
): void {
  const active = new Map(jobs.filter((job) => job.active).map((job) => [job.id, job]));
  for (const [id, task] of tasks) {
    if (active.has(id)) continue;
    task.run?.cancel();
    tasks.delete(id);
  }
  for (const job of active.values()) {
    const known = tasks.get(job.id);
    if (known?.scheduleText === job.scheduleText) {
      known.job = job;
      continue;
    }
    if (job.schedule === null) report(`invalid pg_cron schedule for job ${job.id}: ${job.scheduleText}`);
    const schedule: ScheduleDescription = job.schedule ?? { kind: "never" };
    const due = nextDue(schedule, time);
    if (known !== undefined) {
      Object.assign(known, { job, scheduleText: job.scheduleText, due });
      continue;
    }
    const pending = firstTime && schedule.kind === "reboot" ? 1 : 0;
    tasks.set(job.id, { job, scheduleText: job.scheduleText, due, lastStart: time, pending, run: null });
  }
}

/** Counts the runs that became due since the last look. */
function markDue(tasks: ReadonlyMap<string, Task>, lastTick: Date, time: Date): void {
  const passed = time.getTime() - lastTick.getTime();
  const jumped = passed > longestCatchUp || passed < -60_000;
  for (const task of tasks.values()) {
    const { schedule } = task.job;
    if (schedule?.kind === "seconds") {
      const since = time.getTime() - task.lastStart.getTime();
      if (since >= schedule.seconds * 1000 || since < 0) task.pending ||= 1;
    } else if (schedule?.kind === "minutes") {
      // After a jump only the present minute counts.
      if (jumped) task.due = nextDue(schedule, new Date(Math.floor(time.getTime() / 60_000) * 60_000 - 1));
      while (task.due !== null && task.due <= time) {
        task.pending += 1;
        task.due = nextDue(schedule, task.due);
      }
    }
  }
}

/** Milliseconds until the next task is due. */
function untilDue(tasks: ReadonlyMap<string, Task>, time: Date): number {
  const instants = [...tasks.values()].flatMap((task) => {
    const { schedule } = task.job;
    // What is queued waits for the end of a run, which wakes the loop.
    if (task.pending > 0) return [];
    if (schedule?.kind === "seconds") return task.lastStart.getTime() + schedule.seconds * 1000;
    return task.due?.getTime() ?? [];
  });
  return Math.max(0, Math.min(...instants, Number.MAX_SAFE_INTEGER) - time.getTime());
}
