import type { SupabaseClient } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import {
  addPerson,
  appClient,
  callAuth,
  newEmail,
  refusal,
  stackSigningKey,
  testDatabase,
} from "./auth-test-kit.ts";
import { generateSigningKey, signToken } from "./signing-key.ts";

const sql = testDatabase();

async function signInTwice(
  name: string,
): Promise<{ id: string; here: SupabaseClient; there: SupabaseClient }> {
  const email = newEmail(name);
  const id = await addPerson(email);
  const [here, there] = [appClient(), appClient()];
  for (const client of [here, there]) {
    const { error } = await client.auth.signInWithPassword({ email, password: "a good password" });
    expect(error).toBeNull();
  }
  return { id, here, there };
}

async function isSignedIn(client: SupabaseClient): Promise<boolean> {
  return (await client.auth.getUser()).error === null;
}

test("signing out everywhere ends both sessions", async () => {
  const { id, here, there } = await signInTwice("global");
  await here.auth.signOut({ scope: "global" });
  expect(await isSignedIn(there)).toBe(false);
  const [left] = await sql`select count(*)::integer as sessions from auth.sessions where user_id = ${id}`;
  expect(left).toEqual({ sessions: 0 });
});

test("signing out here leaves the other session", async () => {
  const { here, there } = await signInTwice("local");
  await here.auth.signOut({ scope: "local" });
  expect(await isSignedIn(there)).toBe(true);
});

test("signing out elsewhere leaves this session", async () => {
  const { here, there } = await signInTwice("others");
  await here.auth.signOut({ scope: "others" });
  expect([await isSignedIn(here), await isSignedIn(there)]).toEqual([true, false]);
});

test("an unknown scope changes nothing", async () => {
  const { here } = await signInTwice("scope");
  const { data } = await here.auth.getSession();
  const headers = { authorization: `Bearer ${data.session?.access_token}` };
  const response = await callAuth("/logout?scope=all", { method: "POST", headers });
  expect(await refusal(response)).toEqual({ status: 400, code: "validation_failed" });
  expect(await isSignedIn(here)).toBe(true);
});

test("a token lives on while its owner is banned, and dies with the session or the owner", async () => {
  const { id, here } = await signInTwice("living");
  await sql`update auth.users set banned_until = now() + interval '1 hour' where id = ${id}`;
  expect(await isSignedIn(here)).toBe(true);
  const { data } = await here.auth.getSession();
  const headers = { authorization: `Bearer ${data.session?.access_token}` };
  await sql`delete from auth.sessions where user_id = ${id}`;
  expect(await refusal(await callAuth("/user", { headers }))).toEqual({
    status: 403,
    code: "session_not_found",
  });
  await sql`delete from auth.users where id = ${id}`;
  expect(await refusal(await callAuth("/user", { headers }))).toEqual({
    status: 403,
    code: "user_not_found",
  });
});

test("tokens that are not ours, not people's or not tokens are refused", async () => {
  const key = stackSigningKey();
  const sub = crypto.randomUUID();
  const stranger = { ...(await generateSigningKey()), kid: key.kid };
  const refused = async (token: string) =>
    refusal(await callAuth("/user", { headers: { authorization: token } }));

  expect(await refused("Basic dXNlcjpwYXNz")).toEqual({ status: 401, code: "no_authorization" });
  expect(await refused("Bearer garbage")).toEqual({ status: 403, code: "bad_jwt" });
  expect(await refused(`Bearer ${await signToken(stranger, { sub }, 60)}`)).toEqual({
    status: 403,
    code: "bad_jwt",
  });
  expect(await refused(`Bearer ${await signToken(key, { sub }, -1)}`)).toEqual({
    status: 403,
    code: "bad_jwt",
  });
  expect(await refused(`Bearer ${await signToken(key, {}, 60)}`)).toEqual({ status: 403, code: "bad_jwt" });
  expect(await refused(`Bearer ${await signToken(key, { sub: "me" }, 60)}`)).toEqual({
    status: 400,
    code: "bad_jwt",
  });
  expect(await refused(`Bearer ${await signToken(key, { sub }, 60)}`)).toEqual({
    status: 403,
    code: "user_not_found",
  });
});
