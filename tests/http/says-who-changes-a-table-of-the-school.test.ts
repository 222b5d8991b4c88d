import postgres from "postgres";
import { expect, inject, it, onTestFinished } from "vitest";
import { z } from "zod";
import { call, openDatabase, secretKey } from "./runbook-client.ts";

const sql = openDatabase();

/** Lets an `alter table` wait behind a reader until the test ends, and takes it back then; answers its process. */
async function queueChange(table: string): Promise<number> {
  const open = (name: string): postgres.Sql =>
    postgres(inject("databaseUrl"), { max: 1, onnotice: () => {}, connection: { application_name: name } });
  const reader = open("a long report");
  const changer = open("a migration");
  await reader`begin`;
  await reader`select from ${reader(table)} limit 1`;
  await changer`begin`;
  const [row] = await changer`select pg_backend_pid() as pid`;
  const change = changer`alter table ${changer(table)} add column test_note text`.then(
    () => {},
    () => {},
  );
  onTestFinished(async () => {
    await reader.end({ timeout: 1 });
    await change;
    await changer`rollback`.catch(() => {});
    await changer.end({ timeout: 1 });
  });
  const pid = z.number().parse(row?.["pid"]);
  await expect
    .poll(async () => {
      const [lock] = await sql`
        select from pg_catalog.pg_locks as lck where lck.pid = ${pid} and not lck.granted`;
      return lock !== undefined;
    })
    .toBe(true);
  return pid;
}

const diagnosis = z.looseObject({
  verdict: z.string(),
  findings: z.array(z.looseObject({ code: z.string() })),
  skipped: z.array(z.object({ check: z.string(), reason: z.string() })),
});

async function diagnose(issue: string, json: unknown): Promise<z.infer<typeof diagnosis>> {
  const answer = await call(`diagnose-${issue}`, { headers: secretKey(), json });
  expect(answer.status).toBe(200);
  return diagnosis.parse(answer.body);
}

it("says who waits to change the classes, and that nothing was looked at", async () => {
  const pid = await queueChange("public.klassen");
  const { verdict, findings, skipped } = await diagnose("class-access", { email: "ok@demo.example" });
  expect({ verdict, findings }).toEqual({ verdict: "unknown", findings: [] });
  expect(skipped.map(({ check }) => check)).toContain("unpaid");
  for (const { reason } of skipped) {
    expect(reason).toContain("public.klassen is locked");
    expect(reason).toContain(`pid ${pid} (postgres, a migration)`);
  }
});

it("leaves out the one table of content that is being changed", async () => {
  const pid = await queueChange("public.recordings");
  const { verdict, findings, skipped } = await diagnose("class-access", { email: "ok@demo.example" });
  expect(verdict).toBe("unknown");
  expect(findings.map(({ code }) => code)).toContain("sees_class");
  expect(skipped).toEqual([
    { check: "content_hidden", reason: expect.stringMatching(`public.recordings is locked: pid ${pid} `) },
  ]);
});

it("still follows Realtime when the posts cannot be read", async () => {
  await queueChange("public.forum_posts");
  const { findings, skipped } = await diagnose("forum", {
    class_id: "30000000-0000-4000-8000-000000000005",
    email: "empty-forum@demo.example",
  });
  expect(findings.map(({ code }) => code)).toContain("table_followed");
  expect(skipped.map(({ check }) => check)).toContain("no_posts");
});

it("refuses to enrol while the enrolments are being changed, and says who holds them", async () => {
  await queueChange("public.inschrijvingen");
  const answer = await call("enroll-student", {
    headers: secretKey(),
    json: {
      email: "no-enrollment@demo.example",
      class_id: "30000000-0000-4000-8000-000000000005",
      reason: "Cash at the desk, receipt 113.",
    },
  });
  expect(answer.status).toBe(503);
  expect(answer.body).toMatchObject({ code: "LOCKED" });
});
