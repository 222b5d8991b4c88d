import postgres from "postgres";
import { afterAll, describe, expect, inject, it } from "vitest";
import { startHttpTarget } from "./testing/http-target.ts";
import { waitUntil } from "./testing/wait-until.ts";

// The scheduler and the sender of the running stack, whoever they are.

const sql = postgres(inject("databaseUrl"), { max: 2, onnotice: () => {} });
const [cron] = await sql<{ old: boolean }[]>`
  select ext.extversion ~ '^1\\.[0-4]' as old from pg_catalog.pg_extension as ext where ext.extname = 'pg_cron'
`;
const isOld = cron?.old === true;

afterAll(() => sql.end());

describe("the stack", () => {
  it("has a scheduler under the name that Supabase's guide looks for", async () => {
    const rows = await sql`
      select from pg_catalog.pg_stat_activity where application_name ilike 'pg_cron scheduler'
    `;
    expect(rows).toHaveLength(1);
  });

  it.skipIf(isOld)("runs jobs (an old pg_cron knows no schedules in seconds)", async () => {
    await sql`select cron.schedule('stack workers', '1 second', 'select 1')`;
    try {
      const run = await waitUntil("the job has run", async () => {
        const [row] = await sql<{ status: string; message: string }[]>`
          select det.status, det.return_message as message
          from cron.job_run_details as det
          join cron.job as job on job.jobid = det.jobid
          where job.jobname = 'stack workers' and det.end_time is not null
        `;
        return row;
      });
      expect(run).toEqual({ status: "succeeded", message: "1 row" });
    } finally {
      await sql`select cron.unschedule('stack workers')`;
    }
  });

  it("sends requests", async () => {
    const target = await startHttpTarget((_, response) => response.end("thanks"));
    const [row] = await sql<{ id: string }[]>`select net.http_post(${target.url}, '{"a": 1}')::text as id`;
    const response = await waitUntil("the request is answered", async () => {
      const [found] = await sql`
        select status_code, content from net._http_response where id = ${row?.id ?? ""}::bigint
      `;
      return found;
    });
    expect(response).toEqual({ status_code: 200, content: "thanks" });
    expect(target.arrivals).toMatchObject([{ method: "POST", body: '{"a": 1}' }]);
    await target.close();
  });
});
