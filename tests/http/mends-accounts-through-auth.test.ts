import { beforeAll, expect, inject, it, onTestFinished } from "vitest";
import { z } from "zod";
import {
  type Answer,
  bearer,
  call,
  newPerson,
  openDatabase,
  runIdOf,
  signIn,
  supabase,
} from "./runbook-client.ts";

const sql = openDatabase();
let headers: Record<string, string>;
const password = "demo-password-1";
const reason = "The person called.";

beforeAll(async () => {
  headers = bearer((await newPerson(sql, "admin")).token);
});

it("sends the confirmation mail again, and not sooner than Auth does", async () => {
  const { email, id } = await signUp();
  const json = { email, reason };
  const tooSoon = await call("resend-confirmation", { headers, json });
  expect(tooSoon.status).toBe(429);
  expect(tooSoon.body).toMatchObject({ code: "TOO_SOON", details: { wait_s: expect.any(Number) } });
  await sql`
    update auth.users set confirmation_sent_at = now() - interval '2 days' where id = ${id}`;
  expect(await codes(email)).toEqual(["confirmation_expired", "unconfirmed"]);

  const mails = await mailsTo(email);
  const sent = await call("resend-confirmation", { headers, json });
  expect(sent.status).toBe(200);
  expect(sent.body).toMatchObject({
    state: "succeeded",
    steps: [{ kind: "call", statement: "POST /resend", state: "done" }],
    verification: { status: "verified" },
    undo: { available: false },
  });
  expect(await mailsTo(email)).toBe(mails + 1);
  expect(await codes(email)).toEqual(["unconfirmed"]);
});

it("confirms an address, and the person signs in", async () => {
  const { email } = await signUp();
  await expect(signIn(email, password)).rejects.toMatchObject({ code: "email_not_confirmed" });
  const confirmed = await planAndApply("confirm-email", { email });
  expect(confirmed.status).toBe(200);
  expect(confirmed.body).toMatchObject({ state: "succeeded", verification: { status: "verified" } });
  expect(await signIn(email, password)).toEqual(expect.any(String));
});

it("lifts a ban, and brings back what is left of it", async () => {
  const { email, id } = await newPerson(sql);
  await supabase(inject("secretKey")).auth.admin.updateUserById(id, { ban_duration: "24h" });
  const [before] = await sql`select banned_until from auth.users where id = ${id}`;
  await expect(signIn(email)).rejects.toMatchObject({ code: "user_banned" });

  const lifted = await planAndApply("unban-user", { user_id: id });
  expect(lifted.status).toBe(200);
  expect(lifted.body).toMatchObject({ state: "succeeded", undo: { available: true, complete: true } });
  expect(await signIn(email)).toEqual(expect.any(String));

  const undone = await planAndApply("undo-remediation", { run_id: runIdOf(lifted) });
  expect(undone.status).toBe(200);
  expect(undone.body).toMatchObject({ state: "succeeded" });
  await expect(signIn(email)).rejects.toMatchObject({ code: "user_banned" });
  const [after] = await sql`select banned_until from auth.users where id = ${id}`;
  const difference = Number(after?.["banned_until"]) - Number(before?.["banned_until"]);
  expect(Math.abs(difference)).toBeLessThan(60_000);
});

it("ends the sessions of a person, whose token opens nothing here any more", async () => {
  const person = await newPerson(sql, "viewer");
  const own = { headers: bearer(person.token), json: { email: person.email } };
  expect((await call("diagnose-login", own)).status).toBe(200);
  const ended = await planAndApply("sign-out-user", { email: person.email });
  expect(ended.status).toBe(200);
  expect(ended.body).toMatchObject({ state: "succeeded", verification: { status: "verified" } });
  const refused = await call("diagnose-login", own);
  expect(refused.status).toBe(401);
  expect(refused.body).toMatchObject({ code: "SESSION_ENDED" });
});

it("finds nobody to mend where there is no account", async () => {
  for (const endpoint of ["resend-confirmation", "confirm-email", "unban-user", "sign-out-user"]) {
    const answer = await call(endpoint, { headers, json: { email: "nobody@demo.example", dry_run: true } });
    expect({ endpoint, status: answer.status, code: answer.body["code"] }).toEqual({
      endpoint,
      status: 404,
      code: "NOT_FOUND",
    });
  }
});

/** What high risk asks for: the plan first, then its hash and a name for the change. */
async function planAndApply(endpoint: string, params: Record<string, unknown>): Promise<Answer> {
  const plan = await call(endpoint, { headers, json: { ...params, dry_run: true } });
  expect(plan.body).toMatchObject({ state: "planned" });
  return call(endpoint, {
    headers: { ...headers, "idempotency-key": crypto.randomUUID() },
    json: { ...params, reason, plan_hash: plan.body["plan_hash"] },
  });
}

/** Somebody who has signed up and has not answered the mail; gone after the test. */
async function signUp(): Promise<{ email: string; id: string }> {
  const email = `signed-up-${crypto.randomUUID()}@demo.example`;
  const { data, error } = await supabase().auth.signUp({ email, password });
  if (error !== null) throw error;
  const id = z.string().parse(data.user?.id);
  onTestFinished(async () => {
    await supabase(inject("secretKey")).auth.admin.deleteUser(id);
  });
  return { email, id };
}

async function codes(email: string): Promise<unknown> {
  const { body } = await call("diagnose-login", { headers, json: { email } });
  const found = z.object({ findings: z.array(z.object({ code: z.string() })) }).parse(body);
  return found.findings.map(({ code }) => code).sort();
}

/** How many mails the stack's receiver has for an address. */
async function mailsTo(email: string): Promise<number> {
  const answer = await fetch(`${inject("receiverUrl")}/requests?service=email`);
  const mails = z
    .array(z.object({ body: z.object({ to: z.string() }).partial() }))
    .parse(await answer.json());
  return mails.filter(({ body }) => body.to === email).length;
}
