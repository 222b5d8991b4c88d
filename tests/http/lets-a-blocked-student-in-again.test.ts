import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import {
  bearer,
  call,
  changeable,
  newPerson,
  openDatabase,
  type Person,
  runIdOf,
  signIn,
  supabase,
} from "./runbook-client.ts";

const sql = openDatabase();
const email = "blocked@demo.example";
let operator: Person;
let headers: Record<string, string>;
let blocks: readonly Record<string, unknown>[];

beforeAll(async () => {
  operator = await newPerson(sql, "operator");
  headers = bearer(operator.token);
  blocks = await sql`select * from public.auth_rate_limits where identifier = ${email}`;
  // A stack that was used before may have none.
  if (blocks.length === 0) {
    await sql`
      insert into public.auth_rate_limits (identifier, blocked_until) values (${email}, now() + interval '4 hours')`;
    blocks = await sql`select * from public.auth_rate_limits where identifier = ${email}`;
  }
});

afterAll(async () => {
  await sql`insert into public.auth_rate_limits ${sql(blocks)} on conflict (identifier) do nothing`;
});

it("tells the story of the handbook", async () => {
  const attempt = await supabase().auth.signInWithPassword({ email, password: "demo-password-1" });
  expect(attempt.data.session).toBeNull();
  expect(attempt.error).not.toBeNull();

  const diagnosis = await call("diagnose-login", { headers, json: { email } });
  expect(diagnosis.status).toBe(200);
  expect(diagnosis.body).toMatchObject({
    issue: "login",
    subject: email,
    verdict: "problem",
    findings: [
      {
        code: "rate_limited",
        severity: "warning",
        summary: expect.stringContaining("blocked until"),
        remediation: "unblock-login",
        params: { email },
      },
    ],
    skipped: [],
    blind_spots: expect.arrayContaining([expect.any(String)]),
    took_ms: expect.any(Number),
  });

  const before = await changeable(sql);
  const plan = await call("unblock-login", { headers, json: { email, dry_run: true } });
  expect(plan.status).toBe(200);
  expect(plan.body).toMatchObject({
    run: null,
    state: "planned",
    plan_hash: expect.any(String),
    steps: [{ kind: "row", relation: "public.auth_rate_limits", key: { identifier: email } }],
  });
  expect(await changeable(sql)).toEqual(before);

  const reason = "She called: too many attempts with an old password.";
  const applied = await call("unblock-login", {
    headers: { ...headers, "x-request-id": "story-1" },
    json: { email, reason, plan_hash: plan.body["plan_hash"] },
  });
  expect(applied.status).toBe(200);
  expect(applied.body).toMatchObject({
    state: "succeeded",
    plan_hash: plan.body["plan_hash"],
    run: { remediation: "unblock-login", actor: `user:${operator.id}`, reason, state: "succeeded" },
  });
  expect(applied.headers.get("idempotency-key")).toMatch(/^[0-9a-f-]{36}$/);
  expect(await sql`select 1 from public.auth_rate_limits where identifier = ${email}`).toHaveLength(0);

  const again = await call("unblock-login", { headers, json: { email, reason } });
  expect(again.status).toBe(200);
  expect(again.body).toMatchObject({ state: "no_op", steps: [] });

  expect(await signIn(email)).toEqual(expect.any(String));
  const healthy = await call("diagnose-login", { headers, json: { email } });
  expect(healthy.body).toMatchObject({ verdict: "ok", findings: [{ code: "signed_in" }] });

  const runId = runIdOf(applied);
  const takenBack = { headers, json: { run_id: runId, reason: "She called from another phone." } };
  const undoPlan = await call("undo-remediation", { headers, json: { run_id: runId, dry_run: true } });
  expect(undoPlan.body).toMatchObject({ run: null, state: "planned", steps: [{ kind: "row" }] });
  const undone = await call("undo-remediation", takenBack);
  expect(undone.status).toBe(200);
  expect(undone.body).toMatchObject({ state: "succeeded", run: { undo_of: runId } });
  expect(await sql`select * from public.auth_rate_limits where identifier = ${email}`).toEqual(blocks);
  const undoneTwice = await call("undo-remediation", takenBack);
  expect(undoneTwice.body).toMatchObject({ state: "no_op" });
  const story = await call("remediation-runs", { headers, json: { id: runId } });
  expect(story.body).toMatchObject({ state: "undone", undo: { available: false } });
});

it("undoes nothing after somebody else's change, and shows the difference", async () => {
  const address = `changed-${crypto.randomUUID()}@demo.example`;
  onTestFinished(async () => {
    await sql`delete from public.auth_rate_limits where identifier = ${address}`;
  });
  await sql`
    insert into public.auth_rate_limits (identifier, blocked_until) values (${address}, now() + interval '1 hour')`;
  const applied = await call("unblock-login", { headers, json: { email: address, reason: "a test" } });
  const runId = runIdOf(applied);
  await sql`
    insert into public.auth_rate_limits (identifier, blocked_until) values (${address}, now() + interval '2 hours')`;
  const refused = await call("undo-remediation", { headers, json: { run_id: runId, reason: "a test" } });
  expect(refused.status).toBe(409);
  expect(refused.body).toMatchObject({
    code: "UNDO_REFUSED",
    details: {
      run_id: expect.any(Number),
      differences: [{ relation: "public.auth_rate_limits", key: { identifier: address } }],
    },
  });
  expect(await sql`select 1 from public.auth_rate_limits where identifier = ${address}`).toHaveLength(1);
});

it("gives the first answer to a request that is sent twice under one key", async () => {
  const address = `twice-${crypto.randomUUID()}@demo.example`;
  await sql`
    insert into public.auth_rate_limits (identifier, blocked_until) values (${address}, now() + interval '1 hour')`;
  const keyed = { ...headers, "idempotency-key": crypto.randomUUID() };
  const json = { email: address, reason: "Sent twice." };
  const first = await call("unblock-login", { headers: keyed, json });
  const second = await call("unblock-login", { headers: keyed, json });
  expect(first.body).toMatchObject({ state: "succeeded" });
  expect(second.status).toBe(200);
  expect(second.body["run"]).toEqual(first.body["run"]);
  expect(second.headers.get("idempotency-key")).toBe(keyed["idempotency-key"]);
  const other = await call("unblock-login", {
    headers: keyed,
    json: { ...json, email: "else@demo.example" },
  });
  expect(other.status).toBe(409);
  expect(other.body["code"]).toBe("IDEMPOTENCY_CONFLICT");
});

it("applies nothing when the world moved since the plan", async () => {
  const address = `moved-${crypto.randomUUID()}@demo.example`;
  onTestFinished(async () => {
    await sql`delete from public.auth_rate_limits where identifier = ${address}`;
  });
  await sql`
    insert into public.auth_rate_limits (identifier, blocked_until) values (${address}, now() + interval '1 hour')`;
  const plan = await call("unblock-login", { headers, json: { email: address, dry_run: true } });
  await sql`
    update public.auth_rate_limits set blocked_until = now() + interval '2 hours' where identifier = ${address}`;
  const answer = await call("unblock-login", {
    headers,
    json: { email: address, reason: "An old plan.", plan_hash: plan.body["plan_hash"] },
  });
  expect(answer.status).toBe(409);
  expect(answer.body).toMatchObject({
    code: "PLAN_CHANGED",
    details: { plan_hash: expect.any(String), steps: expect.any(Array) },
  });
  expect(await sql`select 1 from public.auth_rate_limits where identifier = ${address}`).toHaveLength(1);
});

it("finds the other troubles of the demo", async () => {
  const codes = async (address: string): Promise<unknown> => {
    const { body } = await call("diagnose-login", { headers, json: { email: address } });
    return body["findings"];
  };
  expect(await codes("unconfirmed@demo.example")).toMatchObject([
    { code: "unconfirmed", remediation: "confirm-email" },
    { code: "confirmation_expired", remediation: "resend-confirmation" },
  ]);
  expect(await codes("banned@demo.example")).toEqual(
    expect.arrayContaining([expect.objectContaining({ code: "banned", remediation: "unban-user" })]),
  );
  const healthy = await call("diagnose-login", { headers, json: { email: "OK@Demo.Example" } });
  expect(healthy.body).toMatchObject({ verdict: "ok" });
  const ghost = await codes("ghost@demo.example");
  expect(ghost).toEqual(expect.arrayContaining([expect.objectContaining({ code: "no_such_user" })]));
  expect(ghost).toEqual(expect.arrayContaining([expect.objectContaining({ code: "rate_limited" })]));
});
