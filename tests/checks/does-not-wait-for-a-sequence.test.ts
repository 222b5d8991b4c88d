import { afterAll, beforeAll, expect, it } from "vitest";
import { asker, openSession, runCheck } from "./sessions.ts";

beforeAll(async () => {
  await asker`create schema checks_test`;
  await asker`create sequence checks_test.altered as integer`;
  await asker`create sequence checks_test.used_up as integer`;
  await asker`select setval('checks_test.altered', 2147483647), setval('checks_test.used_up', 2147483647)`;
});
afterAll(async () => {
  await asker`drop schema checks_test cascade`;
});

it("leaves out a sequence that somebody is altering, and says so", async () => {
  const session = await openSession("postgres");
  await session.sql.unsafe("begin; alter sequence checks_test.altered restart with 7");
  const stuck = await runCheck("sequences");
  expect(stuck.findings).toMatchObject([{ subject: "checks_test.used_up", severity: "critical" }]);
  expect(stuck.reason).toBe("checks_test.altered is being altered, and was not looked at.");
  await session.sql`rollback`;
  const free = await runCheck("sequences");
  expect(free.findings).toHaveLength(2);
  expect(free.reason).toBeUndefined();
});
