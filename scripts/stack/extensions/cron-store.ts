import type postgres from "postgres";
import { z } from "zod";
import { type ScheduleDescription, scheduleDescription } from "./cron-schedule.ts";

/** One job of cron.job. */
export interface CronJob {
  id: string;
  command: string;
  database: string;
  username: string;
  active: boolean;
  /** The schedule as it was written. */
  scheduleText: string;
  /** Null for a schedule that pg_cron refuses and that got past its functions. */
  schedule: ScheduleDescription | null;
}

const jobRows = z.array(
  z.object({
    id: z.string(),
    command: z.string(),
    database: z.string(),
    username: z.string(),
    active: z.boolean(),
    schedule_text: z.string(),
    schedule: scheduleDescription.nullable(),
  }),
);

/** Reads every job, in the order of their numbers. */
export async function readJobs(sql: postgres.Sql): Promise<CronJob[]> {
  const rows = jobRows.parse(
    await sql`
      select
        job.jobid::text as id,
        job.command,
        job.database,
        job.username,
        job.active,
        job.schedule as schedule_text,
        stand_in.read_schedule(job.schedule) as schedule
      from cron.job as job
      order by job.jobid
    `,
  );
  return rows.map(({ schedule_text: scheduleText, ...row }) => ({ ...row, scheduleText }));
}

/** Marks what was running when the scheduler or the server ended, as pg_cron does when it starts. */
export async function failInterruptedRuns(sql: postgres.Sql): Promise<void> {
  await sql`
    update cron.job_run_details
    set status = 'failed', return_message = 'server restarted'
    where status in ('starting', 'running')
  `;
}

/**
 * Records that a run starts, if the session is still the one that holds the scheduler's lock.
 * @returns The number of the run, or null when the session is another one.
 */
export async function insertRun(sql: postgres.Sql, pid: number, job: CronJob): Promise<string | null> {
  const [row] = await sql<{ id: string }[]>`
    insert into cron.job_run_details as det (jobid, database, username, command, status)
    select ${job.id}::bigint, ${job.database}, ${job.username}, ${job.command}, 'starting'
    where pg_catalog.pg_backend_pid() = ${pid}
    returning det.runid::text as id
  `;
  return row?.id ?? null;
}

/** Records the run's backend, and that the command is on its way to it. */
export async function markRunning(sql: postgres.Sql, runId: string, jobPid: number): Promise<void> {
  await sql`
    update cron.job_run_details
    set status = 'running', job_pid = ${jobPid}, start_time = pg_catalog.clock_timestamp()
    where runid = ${runId}::bigint
  `;
}

/** Records the end of a run whose command was answered. */
export async function finishRun(
  sql: postgres.Sql,
  runId: string,
  status: "succeeded" | "failed",
  returnMessage: string,
): Promise<void> {
  await sql`
    update cron.job_run_details
    set status = ${status}, return_message = ${returnMessage}, end_time = pg_catalog.clock_timestamp()
    where runid = ${runId}::bigint
  `;
}

/** Records the end of a run whose command was not answered: pg_cron sets no end time then. */
export async function abandonRun(sql: postgres.Sql, runId: string, returnMessage: string): Promise<void> {
  await sql`
    update cron.job_run_details
    set status = 'failed', return_message = ${returnMessage}
    where runid = ${runId}::bigint
  `;
}

/** Ends backends, for example those of runs that are still busy when the stack stops. */
export async function terminateBackends(sql: postgres.Sql, pids: readonly number[]): Promise<void> {
  await sql`
    select pg_catalog.pg_terminate_backend(pid.value::integer)
    from pg_catalog.jsonb_array_elements_text(${sql.json([...pids])}) as pid (value)
  `;
}
