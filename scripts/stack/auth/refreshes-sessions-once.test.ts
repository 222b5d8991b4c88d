import { beforeEach, expect, test } from "vitest";
import { addPerson, type LocalAuth, localAuth, newEmail, refusal, testDatabase } from "./auth-test-kit.ts";

const sql = testDatabase();
const watcher = testDatabase();
let auth: LocalAuth;

beforeEach(async () => {
  auth = await localAuth(sql);
});

async function signIn(
  name: string,
): Promise<{ id: string; email: string; token: string; sessionId: string }> {
  const email = newEmail(name);
  const id = await addPerson(email);
  const { data } = await auth.client.auth.signInWithPassword({ email, password: "a good password" });
  const token = data.session?.refresh_token ?? "";
  const [row] = await sql`select session_id from auth.refresh_tokens where token = ${token}`;
  return { id, email, token, sessionId: String(row?.["session_id"]) };
}

async function refresh(token: string): Promise<Response> {
  return auth.fetch("/token?grant_type=refresh_token", {
    method: "POST",
    body: JSON.stringify({ refresh_token: token }),
  });
}

async function successor(token: string): Promise<string> {
  const response = await refresh(token);
  expect(response.status).toBe(200);
  const body: unknown = await response.json();
  return String(body !== null && typeof body === "object" && "refresh_token" in body && body.refresh_token);
}

test("a token is good for one successor, and the rows say so", async () => {
  const { id, token, sessionId } = await signIn("rotate");
  const next = await successor(token);
  const rows = await sql`
    select token, parent, revoked from auth.refresh_tokens where session_id = ${sessionId} order by id`;
  expect([...rows]).toEqual([
    { token, parent: null, revoked: true },
    { token: next, parent: token, revoked: false },
  ]);
  const [session] =
    await sql`select refreshed_at is not null as refreshed from auth.sessions where id = ${sessionId}`;
  expect(session).toEqual({ refreshed: true });
  const log = await sql`
    select payload ->> 'action' as action, payload ->> 'log_type' as type
    from auth.audit_log_entries
    where payload ->> 'actor_id' = ${id} and payload ->> 'action' like 'token%'
    order by payload ->> 'action'`;
  expect([...log]).toEqual([
    { action: "token_refreshed", type: "token" },
    { action: "token_revoked", type: "token" },
  ]);
});

test("the parent of the current token may come again, whenever the answer was lost", async () => {
  const { token } = await signIn("lost");
  const next = await successor(token);
  auth.travel(3600);
  expect(await successor(token)).toBe(next);
});

test("an older token may come again for ten seconds", async () => {
  const { token } = await signIn("late");
  const second = await successor(token);
  await successor(second);
  // The clock goes on by itself as well.
  auth.travel(4);
  const branch = await successor(token);
  expect(branch).not.toBe(second);
});

test("an older token after ten seconds is theft: nothing of the session can be refreshed", async () => {
  const { token, sessionId } = await signIn("stolen");
  const second = await successor(token);
  const third = await successor(second);
  auth.travel(11);
  expect(await refusal(await refresh(token))).toEqual({ status: 400, code: "refresh_token_already_used" });
  const [row] = await sql`
    select count(*)::integer as living from auth.refresh_tokens where session_id = ${sessionId} and not revoked`;
  expect(row).toEqual({ living: 0 });
  auth.travel(11);
  expect(await refusal(await refresh(third))).toEqual({ status: 400, code: "refresh_token_already_used" });
});

test("refreshes at once wait for each other and give one successor", async () => {
  const { token, sessionId } = await signIn("race");
  // Whoever refreshes while this lock is held has read the token before anybody has exchanged it.
  const holder = await watcher.reserve();
  await holder`begin`;
  await holder`select from auth.sessions where id = ${sessionId} for update`;
  const refreshes = [successor(token), successor(token), successor(token)];
  await waitUntilBlocked(3);
  await holder`commit`;
  holder.release();
  expect(new Set(await Promise.all(refreshes)).size).toBe(1);
  const [row] = await sql`
    select count(*)::integer as tokens from auth.refresh_tokens where session_id = ${sessionId}`;
  expect(row).toEqual({ tokens: 2 });
});

async function waitUntilBlocked(sessions: number): Promise<void> {
  await expect
    .poll(async () => {
      const [row] = await watcher`
        select count(*)::integer as blocked from pg_catalog.pg_stat_activity
        where wait_event_type = 'Lock' and query like '%auth.%'`;
      return row?.["blocked"];
    })
    .toBe(sessions);
}

test("the amr claim keeps the first sign-in", async () => {
  const { email } = await signIn("amr");
  await auth.client.auth.signInWithPassword({ email, password: "a good password" });
  auth.travel(100);
  const before = await auth.client.auth.getSession();
  const { data } = await auth.client.auth.refreshSession();
  const claims = (token = "") => JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
  const [older, newer] = [claims(before.data.session?.access_token), claims(data.session?.access_token)];
  expect(newer.amr).toEqual(older.amr);
  expect(newer.session_id).toBe(older.session_id);
  expect(newer.iat).toBeGreaterThan(older.iat);
});

test("unknown, short and missing tokens are refused", async () => {
  for (const token of ["abcdefghijkl", "short", "with\0nul-inside", "x".repeat(5000)]) {
    expect(await refusal(await refresh(token)), token).toEqual({
      status: 400,
      code: "refresh_token_not_found",
    });
  }
  const missing = await refresh("");
  expect(missing.status).toBe(400);
  expect(await missing.json()).toEqual({
    error: "invalid_request",
    error_description: "refresh_token required",
  });
});

test("what SQL changes is seen by the next refresh", async () => {
  const banned = await signIn("banned");
  await sql`update auth.users set banned_until = now() + interval '1 hour' where id = ${banned.id}`;
  expect(await refusal(await refresh(banned.token))).toEqual({ status: 400, code: "user_banned" });
  await sql`update auth.users set banned_until = null where id = ${banned.id}`;
  await successor(banned.token);

  const ended = await signIn("ended");
  await sql`update auth.sessions set not_after = now() - interval '1 second' where id = ${ended.sessionId}`;
  expect(await refusal(await refresh(ended.token))).toEqual({ status: 400, code: "session_expired" });

  const gone = await signIn("gone");
  await sql`delete from auth.sessions where id = ${gone.sessionId}`;
  expect(await refusal(await refresh(gone.token))).toEqual({ status: 400, code: "refresh_token_not_found" });

  const orphan = await signIn("orphan");
  await sql`update auth.refresh_tokens set session_id = null where token = ${orphan.token}`;
  expect(await refusal(await refresh(orphan.token))).toEqual({ status: 400, code: "session_not_found" });
});
