import { readFileSync } from "node:fs";
import { beforeAll, expect, inject, it } from "vitest";
import { applyPlanned, bearer, call, newPerson, openDatabase, runIdOf, supabase } from "./runbook-client.ts";

const sql = openDatabase();
const canary = (place: string): string => `canary-${place}-${crypto.randomUUID().slice(0, 8)}`;
const planted: string[] = [];
const texts: string[] = [];
let email: string;

/** Signs somebody up and puts a canary into every secret of Auth that belongs to them. */
beforeAll(async () => {
  email = `secrets-${crypto.randomUUID()}@demo.example`;
  const { data, error } = await supabase().auth.signUp({ email, password: "demo-password-1" });
  if (error !== null) throw error;
  const id = data.user?.id ?? "";
  const plant = (place: string): string => {
    const value = canary(place);
    planted.push(value);
    return value;
  };
  await sql`
    update auth.users
    set
      encrypted_password = ${plant("password")},
      confirmation_token = ${plant("confirmation")},
      recovery_token = ${plant("recovery")},
      email_change_token_new = ${plant("new")},
      email_change_token_current = ${plant("current")},
      reauthentication_token = ${plant("reauthentication")},
      phone_change_token = ${plant("phone")},
      confirmation_sent_at = now() - interval '2 minutes',
      banned_until = now() + interval '1 day'
    where id = ${id}`;
  await sql`update auth.one_time_tokens set token_hash = ${plant("one-time")} where user_id = ${id}`;
  const session = crypto.randomUUID();
  await sql`
    insert into auth.sessions (id, user_id, created_at, updated_at, refresh_token_hmac_key)
    values (${session}, ${id}, now(), now(), ${plant("hmac")})`;
  await sql`
    insert into auth.refresh_tokens (token, user_id, session_id, revoked, created_at, updated_at, instance_id)
    values (${plant("refresh")}, ${id}, ${session}, false, now(), now(), '00000000-0000-0000-0000-000000000000')`;
  await sql`
    insert into auth.mfa_factors (id, user_id, factor_type, status, secret, created_at, updated_at)
    values (gen_random_uuid(), ${id}, 'totp', 'verified', ${plant("factor")}, now(), now())`;
});

/** Every row of schema runbook and of pg_net, as text. */
async function everythingKept(): Promise<string> {
  const tables = await sql`
    select format('%I.%I', nsp.nspname, cls.relname) as name
    from pg_class as cls
    join pg_namespace as nsp on nsp.oid = cls.relnamespace
    where nsp.nspname in ('runbook', 'net') and cls.relkind in ('r', 'p', 'v')`;
  const contents = [];
  for (const { name } of tables) {
    const [row] = await sql.unsafe(
      `select coalesce(jsonb_agg(to_jsonb(t))::text, '') as text from ${name} as t`,
    );
    contents.push(String(row?.["text"]));
  }
  expect(tables.length).toBeGreaterThan(15);
  return contents.join("\n");
}

it("shows none in any answer", async () => {
  const headers = bearer((await newPerson(sql, "admin")).token);
  const reason = "a test of secrets";
  texts.push((await call("diagnose-login", { headers, json: { email } })).text);
  const resent = await call("resend-confirmation", { headers, json: { email, reason } });
  texts.push(resent.text);
  for (const endpoint of ["unban-user", "confirm-email", "sign-out-user"]) {
    const { plan, applied } = await applyPlanned(endpoint, { headers, json: { email, reason } });
    expect({ endpoint, status: applied.status }).toEqual({ endpoint, status: 200 });
    texts.push(plan.text, applied.text);
    const run = await call("remediation-runs", { headers, json: { id: runIdOf(applied) } });
    const undone = { run_id: runIdOf(applied), dry_run: true };
    texts.push(run.text, (await call("undo-remediation", { headers, json: undone })).text);
  }
  const old = await call("confirm-email", {
    headers: { ...headers, "idempotency-key": crypto.randomUUID() },
    json: { email, reason, plan_hash: "0".repeat(64) },
  });
  texts.push(old.text, (await call("remediation-runs", { headers, json: {} })).text);
  texts.push((await call("health-check", { headers, json: { detail: true } })).text);
  expect(resent.status).toBe(200);
  expect(planted).toHaveLength(11);
  for (const secret of [...planted, inject("secretKey")]) expect(texts.join("\n")).not.toContain(secret);
});

it("keeps none in its tables, in pg_net's queue or in its log", async () => {
  const kept = await everythingKept();
  expect(kept).toContain(email);
  const log = readFileSync(inject("functionsLog"), "utf8");
  expect(log).toContain("unban-user");
  for (const secret of [...planted, inject("secretKey")]) {
    expect(kept).not.toContain(secret);
    expect(log).not.toContain(secret);
  }
  expect(log).not.toContain(email);
});

it("takes none from a caller into the record of refusals", async () => {
  const viewer = bearer((await newPerson(sql, "viewer")).token);
  const secret = canary("caller");
  const sent = { headers: viewer, json: { email, reason: "a test", password: secret, api_key: secret } };
  await call("members", { headers: viewer, json: { action: "add", email, role: "admin" } });
  await call("unblock-login", sent);
  await call("freeze", sent);
  expect(await everythingKept()).not.toContain(secret);
});
