import { beforeAll, expect, inject, it } from "vitest";
import {
  applyPlanned,
  bearer,
  call,
  expectRefusal,
  newPerson,
  openDatabase,
  runIdOf,
  signIn,
  supabase,
} from "./runbook-client.ts";

const sql = openDatabase();
const password = "demo-password-1";
let headers: Record<string, string>;

beforeAll(async () => {
  headers = bearer((await newPerson(sql, "admin")).token);
});

/** Signs somebody up who does not open the mail. */
async function newUnconfirmed(): Promise<{ id: string; email: string }> {
  const email = `unconfirmed-${crypto.randomUUID()}@demo.example`;
  const { data, error } = await supabase().auth.signUp({ email, password });
  if (error !== null) throw error;
  return { id: data.user?.id ?? "", email };
}

async function codesOf(email: string): Promise<string[]> {
  const { body } = await call("diagnose-login", { headers, json: { email } });
  const findings = Array.isArray(body["findings"]) ? body["findings"] : [];
  return findings.map((finding: { code: string }) => finding.code);
}

it("confirms an address, and the person signs in", async () => {
  const { id, email } = await newUnconfirmed();
  await expect(signIn(email)).rejects.toMatchObject({ code: "email_not_confirmed" });
  expect(await codesOf(email)).toContain("unconfirmed");
  const { plan, applied } = await applyPlanned("confirm-email", {
    headers,
    json: { email, reason: "Her mail box is full." },
  });
  expect(plan.body).toMatchObject({
    run: null,
    state: "planned",
    steps: [{ kind: "call", statement: `PUT /admin/users/${id}`, body: { email_confirm: true } }],
    undo: { available: false, reason: expect.any(String) },
  });
  expect(applied.status).toBe(200);
  expect(applied.body).toMatchObject({
    state: "succeeded",
    run: { remediation: "confirm-email" },
    steps: [{ kind: "call", state: "done", progress: { state: "sent", attempts: 1, response_status: 200 } }],
    verification: { status: "verified" },
  });
  expect(await codesOf(email)).not.toContain("unconfirmed");
  expect(await signIn(email)).toEqual(expect.any(String));
});

it("lifts a ban, the person signs in, and the undo bans for the rest of the time", async () => {
  const person = await newPerson(sql);
  const { admin } = supabase(inject("secretKey")).auth;
  expect((await admin.updateUserById(person.id, { ban_duration: "48h" })).error).toBeNull();
  const bannedUntil = async (): Promise<number> => {
    const [row] = await sql`select banned_until from auth.users where id = ${person.id}`;
    const until: unknown = row?.["banned_until"];
    return until instanceof Date ? until.getTime() : 0;
  };
  const until = await bannedUntil();
  await expect(signIn(person.email)).rejects.toMatchObject({ code: "user_banned" });

  const { applied } = await applyPlanned("unban-user", {
    headers,
    json: { email: person.email, reason: "He paid." },
  });
  expect(applied.status).toBe(200);
  expect(applied.body).toMatchObject({ state: "succeeded", undo: { available: true, complete: true } });
  expect(await bannedUntil()).toBe(0);
  expect(await signIn(person.email)).toEqual(expect.any(String));

  const undone = await applyPlanned("undo-remediation", {
    headers,
    json: { run_id: runIdOf(applied), reason: "The payment bounced." },
  });
  expect(undone.applied.status).toBe(200);
  expect(undone.applied.body).toMatchObject({ state: "succeeded", run: { undo_of: runIdOf(applied) } });
  expect(Math.abs((await bannedUntil()) - until)).toBeLessThan(60_000);
  await expect(signIn(person.email)).rejects.toMatchObject({ code: "user_banned" });
});

it("sends the confirmation mail again, but not within Auth's own interval", async () => {
  const { id, email } = await newUnconfirmed();
  const json = { email, reason: "She finds no mail." };
  const early = await call("resend-confirmation", { headers, json });
  expectRefusal(early, 429, "TOO_SOON");
  expect(early.body["details"]).toEqual({ wait_s: expect.any(Number) });
  expect(early.headers.get("retry-after")).toMatch(/^[1-9]\d?$/);
  const refusals = await sql`
    select ref.code, ref.actor from runbook.refusal as ref
    where ref.name = 'resend-confirmation' and ref.params ->> 'email' = ${email}`;
  expect(refusals).toMatchObject([{ code: "TOO_SOON", actor: expect.stringMatching(/^user:/) }]);

  await sql`
    update auth.users set confirmation_sent_at = now() - interval '2 minutes' where id = ${id}`;
  const sent = await call("resend-confirmation", { headers, json });
  expect({ status: sent.status, state: sent.body["state"] }).toEqual({ status: 200, state: "succeeded" });
  const [user] = await sql`
    select confirmation_sent_at > now() - interval '1 minute' as is_new from auth.users where id = ${id}`;
  expect(user).toEqual({ is_new: true });
  expectRefusal(await call("resend-confirmation", { headers, json }), 429, "TOO_SOON");
});

it("signs a person out everywhere", async () => {
  const person = await newPerson(sql, "viewer");
  const ask = (): ReturnType<typeof call> =>
    call("diagnose-login", { headers: bearer(person.token), json: { email: person.email } });
  expect((await ask()).status).toBe(200);
  const { applied } = await applyPlanned("sign-out-user", {
    headers,
    json: { user_id: person.id, reason: "The phone was stolen." },
  });
  expect(applied.body).toMatchObject({ state: "succeeded" });
  expect(await sql`select from auth.sessions where user_id = ${person.id}`).toHaveLength(0);
  expectRefusal(await ask(), 401, "SESSION_ENDED");
});

it("wants a plan and a key of the caller's for a high risk", async () => {
  const { email } = await newUnconfirmed();
  const json = { email, reason: "a test" };
  const bare = await call("confirm-email", { headers, json });
  expectRefusal(bare, 400, "INVALID_BODY");
  expect(bare.body["details"]).toEqual([
    { path: "Idempotency-Key", message: "is required" },
    { path: "plan_hash", message: "is required" },
  ]);
  const old = await call("confirm-email", {
    headers: { ...headers, "idempotency-key": crypto.randomUUID() },
    json: { ...json, plan_hash: "0".repeat(64) },
  });
  expect(old.status).toBe(409);
  expect(old.body["code"]).toBe("PLAN_CHANGED");
  expect(old.body["details"]).toMatchObject({ plan_hash: expect.any(String), steps: [{ kind: "call" }] });
});

it("tells the operator that a high risk needs an admin", async () => {
  const operator = bearer((await newPerson(sql, "operator")).token);
  for (const endpoint of ["confirm-email", "unban-user", "sign-out-user"]) {
    const json = { email: "unconfirmed@demo.example", dry_run: true };
    const answer = await call(endpoint, { headers: operator, json });
    expectRefusal(answer, 403, "ROLE_REQUIRED");
    expect(answer.body["details"]).toEqual({ required: "admin", has: "operator" });
  }
});

it("says that there is no such account", async () => {
  for (const endpoint of ["confirm-email", "unban-user", "sign-out-user", "resend-confirmation"]) {
    const answer = await call(endpoint, { headers, json: { email: "nobody@demo.example", dry_run: true } });
    expectRefusal(answer, 404, "NOT_FOUND");
  }
});
