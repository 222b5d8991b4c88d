import type postgres from "postgres";
import { afterAll, beforeAll, expect } from "vitest";

const patient = { timeout: 25_000, interval: 100 };

/** Ticks, after a tick of the schedule that is under way: beside it this one would leave at once and do nothing. */
export async function tick(sql: postgres.Sql): Promise<void> {
  await sql.begin(async (transaction) => {
    await transaction`select runbook.lock_for_transaction('tick')`;
    await transaction`select runbook.tick()`;
  });
}

/**
 * Calls a collector, after one of the schedule that is under way. The schedule does not come again within its interval,
 * which is an hour or more: what the tests of a file remove and write is their own for that long.
 */
export async function collect(sql: postgres.Sql, name: string): Promise<void> {
  const isDone = async (): Promise<unknown> =>
    (await sql`select runbook.collect(${name}) as done`)[0]?.["done"];
  await expect.poll(isDone, patient).toBe(true);
}

/**
 * Switches jobs of the schedule off for the tests of a file that do the jobs' work themselves, and waits until none of
 * them is at work; afterwards they are on again.
 */
export function switchOff(sql: postgres.Sql, ...jobs: ("runbook-checks" | "runbook-collect")[]): void {
  const switchJobs = (active: boolean): PromiseLike<unknown> => sql`
    select cron.alter_job(job.jobid, active := ${active}) from cron.job as job where job.jobname = any(${jobs})`;
  beforeAll(async () => {
    await switchJobs(false);
    // The scheduler learns of it within a second, and may have begun a run until then.
    await new Promise((wake) => setTimeout(wake, 1500));
    const atWork = (): PromiseLike<readonly unknown[]> => sql`
      select det.status, det.command
      from cron.job_run_details as det
      inner join cron.job as job on job.jobid = det.jobid
      where job.jobname = any(${jobs}) and det.status in ('starting', 'running')`;
    await expect.poll(async () => [...(await atWork())], patient).toEqual([]);
  });
  afterAll(() => switchJobs(true));
}
