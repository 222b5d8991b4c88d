import { beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { bearer, call, newPerson, openDatabase } from "./runbook-client.ts";

const sql = openDatabase();
let headers: Record<string, string>;

beforeAll(async () => {
  headers = bearer((await newPerson(sql, "viewer")).token);
});

// The people of the demo school, as supabase/demo/README.md lists them.
it.each([
  ["unconfirmed@demo.example", ["confirmation_expired", "unconfirmed"]],
  ["banned@demo.example", ["banned", "signed_in"]],
  ["google@demo.example", ["no_password"]],
  ["deleted@demo.example", ["deleted", "no_such_user"]],
  ["email-change@demo.example", ["email_change_pending"]],
  ["salma-nieuw@demo.example", ["email_change_pending"]],
  ["second-factor@demo.example", ["second_factor"]],
  ["sso@partner-school.example", ["sso_account"]],
  ["amina-demo@gmial.com", ["no_such_user"]],
  ["karim@demo.example", ["no_such_user"]],
  ["ghost@demo.example", ["no_such_user", "rate_limited"]],
  ["was-banned@demo.example", []],
  ["was-blocked@demo.example", []],
])("finds of %s: %j", async (email, codes) => {
  const { status, body } = await call("diagnose-login", { headers, json: { email } });
  expect(status).toBe(200);
  expect(codesOf(body)).toEqual(codes);
  expect(body["skipped"]).toEqual([]);
});

it.each([
  ["amina-demo@gmial.com", "amina-demo@gmail.com"],
  ["karim@demo.example", "karim+arabisch@demo.example"],
  ["salma-nieuw@demo.example", "email-change@demo.example"],
])("says of %s that %s may be meant", async (email, meant) => {
  const { body } = await call("diagnose-login", { headers, json: { email } });
  expect(body).toMatchObject({ findings: [{ summary: expect.stringContaining(meant) }] });
});

it("takes the id of an account as well, and nothing but one of the two", async () => {
  const user_id = "10000000-0000-4000-8000-000000000015";
  const deleted = await call("diagnose-login", { headers, json: { user_id } });
  expect(codesOf(deleted.body)).toEqual(["deleted"]);
  for (const json of [{}, { user_id, email: "deleted@demo.example" }]) {
    const refused = await call("diagnose-login", { headers, json });
    expect(refused.status).toBe(400);
    expect(refused.body).toMatchObject({
      code: "INVALID_BODY",
      details: [{ path: "email" }, { path: "user_id" }],
    });
  }
});

const diagnosisBody = z.object({ findings: z.array(z.object({ code: z.string() })) });

function codesOf(diagnosis: Record<string, unknown>): string[] {
  return diagnosisBody
    .parse(diagnosis)
    .findings.map(({ code }) => code)
    .sort();
}
