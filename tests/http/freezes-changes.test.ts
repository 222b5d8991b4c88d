import { afterEach, beforeAll, expect, it } from "vitest";
import { bearer, call, expectRefusal, newPerson, openDatabase, type Person } from "./runbook-client.ts";

const sql = openDatabase();
const apply = { email: "ghost@demo.example", reason: "a test" };
let admin: Person;
let headers: Record<string, string>;

beforeAll(async () => {
  admin = await newPerson(sql, "admin");
  headers = bearer(admin.token);
});

afterEach(async () => {
  await call("freeze", { headers, json: { freeze: false, reason: "the test is over" } });
});

it("refuses every apply and says who froze it, why and until when; plans still work", async () => {
  const until = new Date(Date.now() + 3_600_000).toISOString();
  const reason = "A migration is under way.";
  const frozen = await call("freeze", { headers, json: { freeze: true, reason, until } });
  expect(frozen.status).toBe(200);
  expect(frozen.body).toMatchObject({ frozen: true, by: `user:${admin.id}`, reason });
  const viewer = bearer((await newPerson(sql, "viewer")).token);
  expect((await call("freeze", { method: "GET", headers: viewer })).body).toEqual(frozen.body);

  const runs = await sql`select count(*) from runbook.run`;
  const refused = await call("unblock-login", { headers, json: apply });
  expect(refused.status).toBe(503);
  expect(refused.body).toMatchObject({
    code: "FROZEN",
    message: expect.stringContaining(reason),
    details: { frozen: true, by: `user:${admin.id}`, reason },
  });
  expect(await sql`select count(*) from runbook.run`).toEqual(runs);
  const [refusal] = await sql`select name, code from runbook.refusal order by id desc limit 1`;
  expect(refusal).toEqual({ name: "unblock-login", code: "FROZEN" });
  expect((await call("unblock-login", { headers, json: { ...apply, dry_run: true } })).status).toBe(200);

  const thawed = await call("freeze", { headers, json: { freeze: false, reason: "It is done." } });
  expect(thawed.body).toMatchObject({ frozen: false });
  expect((await call("unblock-login", { headers, json: { ...apply, dry_run: true } })).status).toBe(200);
});

it("is for admins", async () => {
  const operator = bearer((await newPerson(sql, "operator")).token);
  const answer = await call("freeze", { headers: operator, json: { freeze: true, reason: "a test" } });
  expectRefusal(answer, 403, "ROLE_REQUIRED");
  expect((await call("freeze", { method: "GET", headers })).body).toMatchObject({ frozen: false });
});

it.each([
  [{}, ["freeze", "reason"]],
  [{ freeze: true }, ["reason"]],
  [{ freeze: true, reason: " " }, ["reason"]],
  [{ freeze: true, reason: "x".repeat(10_000) }, ["reason"]],
  [{ freeze: true, reason: "a test", until: "tomorrow" }, ["until"]],
  [{ freeze: true, reason: "a test", until: "2020-01-01T00:00:00Z" }, ["until"]],
  [{ freeze: false, reason: "a test", until: "2030-01-01T00:00:00Z" }, ["until"]],
  [{ freeze: true, reason: "a test", forever: true }, ["forever"]],
])("refuses %j by the paths", async (json, paths) => {
  const answer = await call("freeze", { headers, json });
  expectRefusal(answer, 400, "INVALID_BODY");
  expect(answer.body["details"]).toEqual(paths.map((path) => expect.objectContaining({ path })));
  expect((await call("freeze", { method: "GET", headers })).body).toMatchObject({ frozen: false });
});
