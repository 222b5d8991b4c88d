import type postgres from "postgres";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startCronScheduler } from "./cron-scheduler.ts";
import { createScratchDatabase, type ScratchDatabase } from "./testing/scratch-database.ts";
import { waitUntil } from "./testing/wait-until.ts";

// The scheduler on a database of its own, so that the stack's jobs and the server's pg_cron have no part in it.

interface Run {
  id: string;
  pid: number | null;
  database: string;
  username: string;
  command: string;
  status: string;
  message: string | null;
  started: Date | null;
  ended: Date | null;
}

let database: ScratchDatabase;
let admin: postgres.Sql;
let sql: postgres.Sql;
let reports: string[] = [];
/** What the scheduler takes for the time. It stands still unless a test moves it, so that no minute ends by chance. */
let clock = 0;
const stops: (() => Promise<void>)[] = [];

beforeAll(async () => {
  database = await createScratchDatabase();
  admin = database.logIn("supabase_admin");
  sql = database.logIn("postgres");
  await admin`create table public.mark (name text)`;
  await admin`grant all on public.mark to public`;
});

beforeEach(() => {
  clock = Date.UTC(2026, 10, 23, 12, 0, 0);
});

afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
  await backendsAreGone();
  await admin`truncate cron.job, cron.job_run_details, public.mark`;
  reports = [];
});

afterAll(() => database.drop());

/** The server needs a moment to end a backend whose client has left. */
function backendsAreGone(): Promise<true> {
  return waitUntil("the backends are gone", async () => {
    const rows = await admin`
      select from pg_catalog.pg_stat_activity as act
      where act.datname = current_database() and act.application_name like '%pg_cron%'
    `;
    return rows.length === 0 ? true : undefined;
  });
}

async function start(
  report: (line: string) => void = (line) => reports.push(line),
): Promise<() => Promise<void>> {
  const scheduler = await startCronScheduler({
    connect: database.connect,
    report,
    database: database.name,
    now: () => new Date(clock),
  });
  stops.push(scheduler.stop);
  return scheduler.stop;
}

/** Makes a job of `postgres` in the scratch database. */
async function schedule(name: string, when: string, command: string): Promise<void> {
  await sql`select cron.schedule(${name}, ${when}, ${command})`;
}

function runsOf(name: string): Promise<Run[]> {
  return admin<Run[]>`
    select
      det.runid::text as id,
      det.job_pid as pid,
      det.database,
      det.username,
      det.command,
      det.status,
      det.return_message as message,
      det.start_time as started,
      det.end_time as ended
    from cron.job_run_details as det
    join cron.job as job on job.jobid = det.jobid
    where job.jobname = ${name}
    order by det.runid
  `;
}

/** Lets seconds pass until the job has a run that fits. */
function waitForRun(name: string, what: string, fits: (run: Run) => boolean): Promise<Run> {
  return waitUntil(`a run of ${name} ${what}`, async () => {
    const found = (await runsOf(name)).find(fits);
    if (found === undefined) await passTime(1000);
    return found;
  });
}

/** Lets seconds pass until a run of the job has ended. */
function endedRun(name: string): Promise<Run> {
  return waitForRun(name, "has ended", (run) => run.status === "succeeded" || run.status === "failed");
}

/** Lets seconds pass until a run of the job is busy. */
function busyRun(name: string): Promise<Run> {
  return waitForRun(name, "is busy", (run) => run.status === "running");
}

async function passTime(milliseconds: number): Promise<void> {
  clock += milliseconds;
  await admin.notify("pg_cron_jobs", "");
}

/** Moves the clock to the next full minute, or further. */
async function passMinutes(minutes: number): Promise<void> {
  await passTime((Math.floor(clock / 60_000) + minutes) * 60_000 - clock);
}

async function countMarks(name: string): Promise<number> {
  const rows = await admin`select from public.mark where name = ${name}`;
  return rows.length;
}

/** Returns when the scheduler knows everything that was scheduled before, and has started all that was due. */
async function schedulerHasLooked(): Promise<void> {
  await schedule("probe", "1 second", "select 1");
  await endedRun("probe");
  await sql`select cron.unschedule('probe')`;
}

/** A command that waits while the test holds the lock `key`. */
function whileLocked(key: number, command: string): string {
  return `select pg_catalog.pg_advisory_lock_shared(${key}); ${command}`;
}

/** Holds the lock `key`; the returned function lets go of it. */
async function hold(key: number): Promise<() => Promise<void>> {
  const session = await admin.reserve();
  await session`select pg_catalog.pg_advisory_lock(${key})`;
  return async () => {
    await session`select pg_catalog.pg_advisory_unlock(${key})`;
    session.release();
  };
}

describe("a run", () => {
  it("is a session of the job's user, and its details are kept", async () => {
    await start();
    await schedule(
      "who",
      "1 second",
      `insert into public.mark
       select current_user || ' ' || current_database() || ' ' || current_setting('application_name')`,
    );
    const run = await endedRun("who");
    expect(run).toMatchObject({
      database: database.name,
      username: "postgres",
      status: "succeeded",
      message: "INSERT 0 1",
    });
    expect(run.pid).toBeGreaterThan(0);
    expect(run.ended?.getTime()).toBeGreaterThanOrEqual(run.started?.getTime() ?? Number.NaN);
    expect(await countMarks(`postgres ${database.name} pg_cron`)).toBeGreaterThan(0);
  });

  it("records rows, tags and errors as pg_cron does", async () => {
    await start();
    const commands: Record<string, string> = {
      "select 1 as a union all select 2": "2 rows",
      "select 1 as a": "1 row",
      "create temporary table t (a integer)": "CREATE TABLE",
      "insert into public.mark values ('tag') returning name": "1 row",
      "delete from public.mark where false": "DELETE 0",
      "vacuum public.mark": "VACUUM",
      "select 1 as a; vacuum public.mark": "ERROR:  VACUUM cannot run inside a transaction block\n",
      "select 1 / 0": "ERROR:  division by zero\n",
      "do $$ begin raise exception 'no' using detail = 'why', hint = 'how'; end $$":
        "ERROR:  no\nDETAIL:  why\nHINT:  how\nCONTEXT:  PL/pgSQL function inline_code_block line 1 at RAISE\n",
      "copy public.mark from stdin": "COPY not supported",
      "": "0 rows",
    };
    for (const command of Object.keys(commands)) await schedule(command || "empty", "1 second", command);
    for (const [command, message] of Object.entries(commands)) {
      const run = await endedRun(command || "empty");
      const failed = message.startsWith("ERROR") || message.startsWith("COPY");
      expect({ command, status: run.status, message: run.message }).toEqual({
        command,
        status: failed ? "failed" : "succeeded",
        message,
      });
    }
  });

  it("undoes all statements of a command when one fails, and the job goes on", async () => {
    await start();
    await schedule("half", "1 second", "insert into public.mark values ('half'); select 1 / 0");
    const first = await endedRun("half");
    const second = await waitForRun(
      "half",
      "has failed, too",
      ({ id, status }) => id !== first.id && status === "failed",
    );
    expect(second.message).toBe("ERROR:  division by zero\n");
    expect(await countMarks("half")).toBe(0);
  });

  it("fails when its user cannot log in or is gone", async () => {
    await admin`create role scratch_gone login`;
    await admin`grant usage on schema cron to scratch_gone`;
    await admin`
      insert into cron.job (jobname, schedule, command, nodeport, username)
      values
        ('nologin', '1 second', 'select 1', 1, 'authenticated'),
        ('gone', '1 second', 'select 1', 1, 'scratch_gone')
    `;
    await admin`revoke usage on schema cron from scratch_gone`;
    await admin`drop role scratch_gone`;
    await start();
    for (const name of ["nologin", "gone"]) {
      expect(await endedRun(name)).toMatchObject({
        status: "failed",
        message: "connection failed",
        started: null,
        ended: null,
      });
    }
  });

  it("fails when its backend is terminated", async () => {
    await start();
    const release = await hold(101);
    await schedule("killed", "1 second", whileLocked(101, ""));
    const { pid } = await busyRun("killed");
    await admin`select pg_catalog.pg_terminate_backend(${pid})`;
    expect(await endedRun("killed")).toMatchObject({ pid, status: "failed" });
    await release();
  });

  it("is given up when its job is unscheduled or made inactive", async () => {
    await start();
    const release = await hold(102);
    await schedule("unscheduled", "1 second", whileLocked(102, ""));
    await schedule("inactive", "1 second", whileLocked(102, ""));
    const unscheduled = await busyRun("unscheduled");
    await busyRun("inactive");
    await sql`select cron.unschedule('unscheduled')`;
    await sql`select cron.alter_job(jobid, active := false) from cron.job where jobname = 'inactive'`;
    const run = await waitUntil("the run is given up", async () => {
      const [row] = await admin<{ status: string; return_message: string }[]>`
        select status, return_message from cron.job_run_details where runid = ${unscheduled.id}::bigint
      `;
      return row?.status === "running" ? undefined : row;
    });
    expect(run).toEqual({ status: "failed", return_message: "job canceled" });
    expect(await endedRun("inactive")).toMatchObject({
      status: "failed",
      message: "job canceled",
      ended: null,
    });
    await release();
    expect(await runsOf("inactive")).toHaveLength(1);
  });
});

describe("a schedule", () => {
  it("by the minute is due at full minutes only, and queues what comes due while its job is busy", async () => {
    await start();
    await schedule("minutely", "* * * * *", whileLocked(201, "insert into public.mark values ('minutely')"));
    await schedule("hourly", "0 * * * *", "insert into public.mark values ('hourly')");
    const release = await hold(201);
    await schedulerHasLooked();
    await passMinutes(1);
    await busyRun("minutely");
    await passMinutes(1);
    await passMinutes(1);
    await schedulerHasLooked();
    expect(await runsOf("minutely")).toHaveLength(1);
    await release();
    const runs = await waitUntil("all three have run", async () => {
      const ended = (await runsOf("minutely")).filter((run) => run.status === "succeeded");
      return ended.length >= 3 ? ended : undefined;
    });
    for (const [index, run] of runs.entries()) {
      const before = runs[index - 1]?.ended?.getTime() ?? 0;
      expect(run.started?.getTime()).toBeGreaterThanOrEqual(before);
    }
    expect(await countMarks("hourly")).toBeLessThanOrEqual(1);
  });

  it("in seconds queues one run at most", async () => {
    await start();
    await schedule("busy", "1 second", whileLocked(202, "insert into public.mark values ('busy')"));
    const release = await hold(202);
    const first = await busyRun("busy");
    await passTime(10_000);
    await passTime(10_000);
    await schedulerHasLooked();
    await sql`select cron.schedule('busy', '59 seconds', command) from cron.job where jobname = 'busy'`;
    await release();
    await waitUntil("the queued run has ended", async () =>
      (await runsOf("busy")).find((run) => run.id !== first.id && run.status === "succeeded"),
    );
    await schedulerHasLooked();
    expect(await runsOf("busy")).toHaveLength(2);
  });

  it("is not made up for after a jump of the clock", async () => {
    await start();
    await schedule("minutely", "* * * * *", "insert into public.mark values ('minutely')");
    await schedulerHasLooked();
    await passMinutes(60);
    await endedRun("minutely");
    await schedulerHasLooked();
    expect(await runsOf("minutely")).toHaveLength(1);
  });

  it("is not made up for after a time without a scheduler", async () => {
    const stop = await start();
    await schedule("minutely", "* * * * *", "select 1");
    await stop();
    await passMinutes(3);
    await start();
    await schedulerHasLooked();
    expect(await runsOf("minutely")).toHaveLength(0);
  });

  it("@reboot is due once, when the scheduler starts", async () => {
    await schedule("reboot", "@reboot", "select 1");
    await start();
    await endedRun("reboot");
    await schedule("too late", "@reboot", "select 1");
    await schedulerHasLooked();
    expect([await runsOf("reboot"), await runsOf("too late")].map((runs) => runs.length)).toEqual([1, 0]);
  });

  it("that got into the table although it is invalid is reported and harms no other", async () => {
    await admin`
      insert into cron.job (jobname, schedule, command, nodeport)
      values ('invalid', 'every minute', 'select 1', 1)
    `;
    await start();
    await schedule("valid", "1 second", "select 1");
    await endedRun("valid");
    expect(await runsOf("invalid")).toHaveLength(0);
    expect(reports).toHaveLength(1);
    expect(reports[0]).toContain("every minute");
  });

  it("that changes is followed at once, and an inactive job is left alone", async () => {
    await start();
    await schedule("changing", "0 0 1 1 *", "select 1");
    await sql`select cron.schedule_in_database('asleep', '1 second', 'select 1', ${database.name}, active := false)`;
    await schedule("changing", "1 second", "select 2");
    expect(await endedRun("changing")).toMatchObject({ command: "select 2" });
    expect(await runsOf("asleep")).toHaveLength(0);
  });
});

describe("the scheduler", () => {
  it("runs 32 jobs at a time", async () => {
    const release = await hold(301);
    for (let index = 0; index < 34; index += 1) {
      await schedule(
        `job ${index}`,
        "59 seconds",
        whileLocked(301, "insert into public.mark values ('many')"),
      );
    }
    await start();
    await passTime(59_000);
    const countRunning = async (): Promise<number> => {
      const rows = await admin`select from cron.job_run_details where status = 'running'`;
      return rows.length;
    };
    await waitUntil("32 are running", async () => ((await countRunning()) >= 32 ? true : undefined));
    const [started] = await admin<{ count: number }[]>`
      select count(*)::integer as count from cron.job_run_details
    `;
    expect(started?.count).toBe(32);
    await release();
    await waitUntil("all have run", async () => ((await countMarks("many")) >= 34 ? true : undefined));
  });

  it("marks what another one left behind", async () => {
    await admin`
      insert into cron.job_run_details (runid, status)
      values (-1, 'starting'), (-2, 'running'), (-3, 'succeeded')
    `;
    await start();
    const rows = await admin<{ id: string; status: string; message: string | null }[]>`
      select runid::text as id, status, return_message as message
      from cron.job_run_details
      where runid < 0
      order by runid
    `;
    expect([...rows]).toEqual([
      { id: "-3", status: "succeeded", message: null },
      { id: "-2", status: "failed", message: "server restarted" },
      { id: "-1", status: "failed", message: "server restarted" },
    ]);
  });

  it("starts anew when its backend is terminated, and says so", async () => {
    await start();
    const victims = await admin<{ pid: number }[]>`
      select act.pid, pg_catalog.pg_terminate_backend(act.pid)
      from pg_catalog.pg_stat_activity as act
      where act.datname = current_database() and act.application_name = 'pg_cron scheduler'
    `;
    expect(victims).toHaveLength(1);
    const pid = victims[0]?.pid ?? 0;
    await waitUntil("there is another scheduler", async () => {
      const [row] = await admin`
        select from pg_catalog.pg_stat_activity as act
        where
          act.datname = current_database()
          and act.application_name = 'pg_cron scheduler'
          and act.pid <> ${pid}
      `;
      return row;
    });
    await schedule("after", "1 second", "select 1");
    await endedRun("after");
    expect(reports).toHaveLength(1);
  });

  it("leaves the work to another one that was there first, until that one stops", async () => {
    const stopFirst = await start();
    const waiting: string[] = [];
    await start((line) => waiting.push(line));
    expect(waiting).toHaveLength(1);
    await schedule("once", "* * * * *", "insert into public.mark values ('once')");
    await schedulerHasLooked();
    await passMinutes(1);
    await endedRun("once");
    await schedulerHasLooked();
    expect(await countMarks("once")).toBe(1);
    await stopFirst();
    await schedule("taken over", "1 second", "select 1");
    await endedRun("taken over");
  });

  it("leaves no connection when it stops, not even that of a run that is busy", async () => {
    const stop = await start();
    const release = await hold(302);
    await schedule("busy", "1 second", whileLocked(302, ""));
    const { id } = await busyRun("busy");
    await stop();
    await backendsAreGone();
    await release();
    await sql`select cron.unschedule('busy')`;
    await start();
    const [row] = await admin`
      select status, return_message from cron.job_run_details where runid = ${id}::bigint
    `;
    expect(row).toEqual({ status: "failed", return_message: "server restarted" });
  });
});
