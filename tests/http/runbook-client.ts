import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { afterAll, expect, inject } from "vitest";
import { z } from "zod";
import { NoWebSocket } from "../../scripts/stack/auth/no-web-socket.ts";
import { keepAnswer } from "../setup/answers.ts";

/** What an endpoint answered. */
export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  /** The body, where it is a JSON object. */
  body: Record<string, unknown>;
}

/** What is sent; `json` is the body as a value, `body` as it is. */
export interface Call {
  method?: string;
  headers?: Record<string, string>;
  json?: unknown;
  body?: BodyInit;
}

const objectText = z.string().transform((text, context): Record<string, unknown> => {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  } catch {
    context.addIssue({ code: "custom", message: "is no JSON object" });
    return z.NEVER;
  }
});

/** Calls an endpoint through the gateway: POST unless told otherwise. */
export async function call(
  endpoint: string,
  { method = "POST", headers, json, body }: Call = {},
): Promise<Answer> {
  const init: RequestInit & { duplex: "half" } = {
    // A body may be a stream.
    duplex: "half",
    method,
    headers: { ...(json === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    ...(body === undefined ? {} : { body }),
  };
  const response = await fetch(`${inject("url")}/functions/v1/${endpoint}`, init);
  const text = await response.text();
  keepAnswer(`${method} ${endpoint}: ${response.status} ${text}`);
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: objectText.safeParse(text).data ?? {},
  };
}

/** The headers of a machine with the stack's secret key. */
export function secretKey(): Record<string, string> {
  return { apikey: inject("secretKey") };
}

/** The headers of a caller with a token. */
export function bearer(token: string): Record<string, string> {
  return { apikey: inject("publishableKey"), authorization: `Bearer ${token}` };
}

/** supabase-js as a page uses it, or with the secret key as a server does. */
export function supabase(key = inject("publishableKey")): SupabaseClient {
  return createClient(inject("url"), key, {
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { transport: NoWebSocket },
  });
}

/** Signs in and answers the token. */
export async function signIn(email: string, password = "demo-password-1"): Promise<string> {
  const { data, error } = await supabase().auth.signInWithPassword({ email, password });
  if (error !== null) throw error;
  return data.session.access_token;
}

const people: Person[] = [];

/** A login as `postgres`, for a whole file; after its tests the people of `newPerson` are removed. */
export function openDatabase(): postgres.Sql {
  const sql = postgres(inject("databaseUrl"), { max: 2, onnotice: () => {} });
  afterAll(async () => {
    const ids = people.map(({ id }) => id);
    await sql`delete from runbook.member where user_id = any(${ids}::uuid[])`;
    for (const id of ids) await supabase(inject("secretKey")).auth.admin.deleteUser(id);
    await sql.end();
  });
  return sql;
}

/** Someone whom only this file's tests know. */
export interface Person {
  id: string;
  email: string;
  token: string;
}

/** Makes a person with a role of the runbook or with none, signed in; gone after the file's tests. */
export async function newPerson(sql: postgres.Sql, role?: "viewer" | "operator" | "admin"): Promise<Person> {
  const { admin } = supabase(inject("secretKey")).auth;
  const email = `http-test-${crypto.randomUUID()}@demo.example`;
  const { data, error } = await admin.createUser({ email, password: "demo-password-1", email_confirm: true });
  if (error !== null) throw error;
  if (role !== undefined) await sql`select runbook.add_member(${email}, ${role})`;
  const person = { id: data.user.id, email, token: await signIn(email) };
  people.push(person);
  return person;
}

/** An apply of high risk as people do it: the plan first, then the same with its hash and a key of its own. */
export async function applyPlanned(
  endpoint: string,
  { headers = {}, json }: { headers?: Record<string, string>; json: Record<string, unknown> },
): Promise<{ plan: Answer; applied: Answer }> {
  const plan = await call(endpoint, { headers, json: { ...json, dry_run: true } });
  expect({ status: plan.status, text: plan.text }).toMatchObject({ status: 200 });
  const applied = await call(endpoint, {
    headers: { "idempotency-key": crypto.randomUUID(), ...headers },
    json: { ...json, plan_hash: plan.body["plan_hash"] },
  });
  return { plan, applied };
}

/** The id of the run that an endpoint answered. */
export function runIdOf(answer: Answer): number {
  return z.object({ run: z.object({ id: z.number() }) }).parse(answer.body).run.id;
}

/** Everything that a request of the runbook could change, to be compared before and after. */
export async function changeable(sql: postgres.Sql): Promise<unknown> {
  const [row] = await sql`
    select
      (select count(*) from runbook.run) as runs,
      (select count(*) from runbook.step) as steps,
      (select jsonb_agg(to_jsonb(mem) order by mem.user_id) from runbook.member as mem) as members,
      (select jsonb_agg(to_jsonb(lim) order by lim.identifier) from public.auth_rate_limits as lim) as limits`;
  return row;
}

/** Expects a refusal of the documented shape that tells nothing of its cause. */
export function expectRefusal(answer: Answer, status: number, code: string): void {
  expect({ status: answer.status, code: answer.body["code"] }).toEqual({ status, code });
  for (const key of Object.keys(answer.body))
    expect(["code", "message", "hint", "details", "request_id"]).toContain(key);
  expect(answer.body["message"]).toEqual(expect.any(String));
  expect(answer.body["request_id"]).toBe(answer.headers.get("x-request-id"));
  expect(answer.headers.get("access-control-allow-origin")).toBe("*");
  expect(answer.text).not.toMatch(
    /sqlstate|pl\/pgsql|postgres|node_modules|\.ts\b|\bat .+:\d+|jwt|jwks|sb_secret/i,
  );
}
