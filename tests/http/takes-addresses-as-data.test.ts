import { expect, it, onTestFinished } from "vitest";
import { call, changeable, expectRefusal, openDatabase, secretKey } from "./runbook-client.ts";

const sql = openDatabase();

const hostile = [
  `o'brien"@demo.example`,
  `'; drop table runbook.run; --`,
  `\\'; select pg_sleep(10); --`,
  "$$ || (select 'x') || $$",
  "%s %I $1 {{email}} #{email}",
  "<script>alert(1)</script>@demo.example",
  "فاطمة@مثال.إختبار",
  "学生@例子.测试",
  "student@дему.example",
  "🧕🏽@demo.example",
  "e\u0301\u202Ex@demo.example",
  "x".repeat(320),
  " \t\n",
  "__proto__",
];

it.each(hostile)("diagnoses %j as an address that nobody has", async (email) => {
  const before = await changeable(sql);
  const answer = await call("diagnose-login", { headers: secretKey(), json: { email } });
  expect(answer.status).toBe(200);
  expect(answer.body).toMatchObject({ issue: "login", verdict: "problem" });
  expect(answer.body["findings"]).toMatchObject([{ code: "no_such_user", severity: "warning" }]);
  expect(await changeable(sql)).toEqual(before);
});

it.each(hostile)("unblocks %j as an address that nothing blocks", async (email) => {
  const limits = await sql`select identifier from public.auth_rate_limits order by identifier`;
  const answer = await call("unblock-login", {
    headers: secretKey(),
    json: { email, reason: `Said so: ${email}` },
  });
  expect(answer.status).toBe(200);
  expect(answer.body).toMatchObject({ state: "no_op", steps: [] });
  expect(await sql`select identifier from public.auth_rate_limits order by identifier`).toEqual(limits);
});

it("refuses an address of 10,000 characters by its length", async () => {
  for (const email of ["x".repeat(10_000), "'".repeat(10_000), "é".repeat(10_000)]) {
    const answer = await call("diagnose-login", { headers: secretKey(), json: { email } });
    expectRefusal(answer, 400, "INVALID_BODY");
    expect(answer.body["details"]).toEqual([
      { path: "email", message: expect.stringMatching(/^must have at most 320 characters, not \d+$/) },
    ]);
  }
});

it("finds a blocked address whatever the characters in it", async () => {
  const identifier = `o'brien"\\%_$1 ${crypto.randomUUID()}@demo.example`;
  onTestFinished(async () => {
    await sql`delete from public.auth_rate_limits where identifier in (${identifier}, 'near-miss@demo.example')`;
  });
  await sql`
    insert into public.auth_rate_limits (identifier, blocked_until)
    values (${identifier}, now() + interval '1 hour'), ('near-miss@demo.example', now() + interval '1 hour')`;
  const applied = await call("unblock-login", {
    headers: secretKey(),
    json: { email: identifier.toUpperCase(), reason: "She called." },
  });
  expect(applied.body).toMatchObject({ state: "succeeded" });
  expect(await sql`select 1 from public.auth_rate_limits where identifier = ${identifier}`).toHaveLength(0);
  expect(
    await sql`select 1 from public.auth_rate_limits where identifier = 'near-miss@demo.example'`,
  ).toHaveLength(1);
});
