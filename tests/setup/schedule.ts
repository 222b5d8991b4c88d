import type postgres from "postgres";
import { afterAll, beforeAll } from "vitest";

const patienceMs = 30_000;

/**
 * Asks until nothing is in the way any more. Unlike `expect.poll` it may be called in a hook.
 * @throws Error with what still is, after half a minute.
 */
export async function untilNothing(what: string, look: () => PromiseLike<readonly unknown[]>): Promise<void> {
  for (const begun = Date.now(); ; await new Promise((wake) => setTimeout(wake, 100))) {
    const left = [...(await look())];
    if (left.length === 0) return;
    if (Date.now() - begun > patienceMs) throw new Error(`There still is ${what}: ${JSON.stringify(left)}`);
  }
}

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
  await untilNothing(
    "another collector at work, or this one fails",
    () => sql`
      select clt.name, stt.error
      from (select ${name} as name, runbook.collect(${name}) as is_done offset 0) as clt
      left join runbook.collector_state as stt on stt.collector_name = clt.name
      where not clt.is_done`,
  );
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
    await untilNothing(
      "a run of the schedule",
      () => sql`
        select det.status, det.start_time, job.jobname
        from cron.job_run_details as det
        inner join cron.job as job on job.jobid = det.jobid
        where job.jobname = any(${jobs}) and det.status in ('starting', 'running')`,
    );
  });
  afterAll(() => switchJobs(true));
}
