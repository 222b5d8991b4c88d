import { decodeJwt } from "jose";
import { expect, inject, test } from "vitest";
import {
  addPerson,
  appClient,
  callAuth,
  lastMailTo,
  mailsTo,
  newEmail,
  refusal,
  testDatabase,
} from "./auth-test-kit.ts";

const sql = testDatabase();

test("someone signs up, confirms, signs in, refreshes, changes and signs out", async () => {
  const { auth } = appClient();
  const email = newEmail("Story");
  const lower = email.toLowerCase();
  const password = "correct horse";

  const signedUp = await auth.signUp({ email, password, options: { data: { full_name: "Ada" } } });
  expect(signedUp.error).toBeNull();
  expect(signedUp.data.session).toBeNull();
  expect(signedUp.data.user).toMatchObject({ email: lower, role: "authenticated", aud: "authenticated" });
  expect(signedUp.data.user?.user_metadata).toMatchObject({
    full_name: "Ada",
    email: lower,
    email_verified: false,
  });
  expect(signedUp.data.user?.app_metadata).toEqual({ provider: "email", providers: ["email"] });
  expect(signedUp.data.user?.identities).toHaveLength(1);

  const early = await auth.signInWithPassword({ email, password });
  expect(early.error).toMatchObject({ status: 400, code: "email_not_confirmed" });

  const mail = await lastMailTo(lower);
  expect(mail).toMatchObject({ kind: "signup", token: expect.stringMatching(/^\d{6}$/) });
  const verified = await auth.verifyOtp({ type: "signup", email, token: mail.token });
  expect(verified.error).toBeNull();
  expect(verified.data.user?.email_confirmed_at).toBeTruthy();
  expect(verified.data.user?.user_metadata["email_verified"]).toBe(true);

  const signedIn = await auth.signInWithPassword({ email, password });
  expect(signedIn.error).toBeNull();
  const first = signedIn.data.session;
  expect(first).toMatchObject({ token_type: "bearer", expires_in: 3600 });

  const refreshed = await auth.refreshSession();
  expect(refreshed.error).toBeNull();
  expect(refreshed.data.session?.refresh_token).not.toBe(first?.refresh_token);

  expect((await auth.getUser()).data.user?.id).toBe(signedUp.data.user?.id);
  const updated = await auth.updateUser({ data: { full_name: null, city: "Gent" } });
  expect(updated.data.user?.user_metadata).toMatchObject({ city: "Gent" });
  expect(updated.data.user?.user_metadata).not.toHaveProperty("full_name");

  const accessToken = refreshed.data.session?.access_token ?? "";
  expect((await auth.signOut()).error).toBeNull();
  const afterwards = await callAuth("/user", { headers: { authorization: `Bearer ${accessToken}` } });
  expect(await refusal(afterwards)).toEqual({ status: 403, code: "session_not_found" });
});

test("the access token has GoTrue's claims, and supabase-js verifies it by the key set", async () => {
  const email = newEmail("claims");
  const id = await addPerson(email);
  const { auth } = appClient();
  const { data } = await auth.signInWithPassword({ email, password: "a good password" });
  const token = data.session?.access_token ?? "";
  const claims = decodeJwt(token);
  expect(claims).toEqual({
    iss: `${inject("url")}/auth/v1`,
    sub: id,
    aud: "authenticated",
    exp: Number(claims.iat) + 3600,
    iat: expect.any(Number),
    email,
    phone: "",
    app_metadata: { provider: "email", providers: ["email"] },
    user_metadata: { email_verified: true },
    role: "authenticated",
    aal: "aal1",
    amr: [{ method: "password", timestamp: expect.any(Number) }],
    session_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    is_anonymous: false,
  });
  const checked = await auth.getClaims(token);
  expect(checked.error).toBeNull();
  expect(checked.data?.claims.sub).toBe(id);
});

test("the rows are GoTrue's: empty tokens, a session, its method, a token and the log", async () => {
  const { auth } = appClient();
  const email = newEmail("rows");
  await auth.signUp({ email, password: "correct horse" });
  const { tokenHash, token } = await lastMailTo(email);
  const [pending] = await sql`
    select usr.id, usr.instance_id, usr.confirmation_token, usr.recovery_token, usr.email_change,
      usr.email_change_token_new, usr.email_change_token_current, usr.reauthentication_token,
      left(usr.encrypted_password, 7) as algorithm, usr.confirmed_at, ott.token_hash, ott.relates_to
    from auth.users as usr
    join auth.one_time_tokens as ott on ott.user_id = usr.id and ott.token_type = 'confirmation_token'
    where usr.email = ${email}`;
  expect(pending).toMatchObject({
    instance_id: "00000000-0000-0000-0000-000000000000",
    confirmation_token: tokenHash,
    recovery_token: "",
    email_change: "",
    email_change_token_new: "",
    email_change_token_current: "",
    reauthentication_token: "",
    algorithm: "$2a$10$",
    confirmed_at: null,
    token_hash: tokenHash,
    relates_to: email,
  });

  await auth.verifyOtp({ type: "email", email, token });
  const id = String(pending?.["id"]);
  const [confirmed] = await sql`
    select usr.confirmation_token, usr.confirmed_at is not null as confirmed,
      usr.last_sign_in_at = ses.created_at as signed_in, ses.aal, ses.user_agent,
      amr.authentication_method, rtk.parent, rtk.revoked, length(rtk.token) as length,
      (select count(*)::integer from auth.one_time_tokens as ott where ott.user_id = usr.id) as codes
    from auth.users as usr
    join auth.sessions as ses on ses.user_id = usr.id
    join auth.mfa_amr_claims as amr on amr.session_id = ses.id
    join auth.refresh_tokens as rtk on rtk.session_id = ses.id and rtk.user_id = usr.id::text
    where usr.id = ${id}`;
  expect(confirmed).toMatchObject({
    confirmation_token: "",
    confirmed: true,
    signed_in: true,
    aal: "aal1",
    authentication_method: "otp",
    parent: null,
    revoked: false,
    length: 12,
    codes: 0,
  });
  const log = await sql`
    select payload from auth.audit_log_entries where payload ->> 'actor_id' = ${id} order by created_at`;
  expect(log.map((row) => row["payload"])).toEqual([
    {
      action: "user_confirmation_requested",
      actor_id: id,
      actor_username: email,
      actor_via_sso: false,
      log_type: "user",
      traits: { provider: "email" },
    },
    {
      action: "user_signedup",
      actor_id: id,
      actor_username: email,
      actor_via_sso: false,
      log_type: "team",
      traits: { provider: "email" },
    },
  ]);
});

test("a second sign-up with a confirmed address tells nothing and changes nothing", async () => {
  const email = newEmail("taken");
  const id = await addPerson(email);
  const { data, error } = await appClient().auth.signUp({
    email: email.toUpperCase(),
    password: "another one",
  });
  expect(error).toBeNull();
  expect(data.user).toMatchObject({ email, role: "", identities: [] });
  expect(data.user?.id).not.toBe(id);
  expect(await mailsTo(email)).toEqual([]);
  const { error: wrong } = await appClient().auth.signInWithPassword({ email, password: "another one" });
  expect(wrong?.code).toBe("invalid_credentials");
});

test("a second sign-up before the confirmation keeps the first password and waits for the mail interval", async () => {
  const email = newEmail("twice");
  await appClient().auth.signUp({ email, password: "the first one" });
  const again = await appClient().auth.signUp({ email, password: "the second one" });
  expect(again.error).toMatchObject({ status: 429, code: "over_email_send_rate_limit" });
  expect(again.error?.message).toMatch(
    /^For security purposes, you can only request this after \d+ seconds\.$/,
  );
  const { token } = await lastMailTo(email);
  await appClient().auth.verifyOtp({ type: "signup", email, token });
  expect((await appClient().auth.signInWithPassword({ email, password: "the first one" })).error).toBeNull();
});

test("what cannot be an account is refused", async () => {
  const { auth } = appClient();
  const weak = await auth.signUp({ email: newEmail("weak"), password: "12345" });
  expect(weak.error).toMatchObject({ status: 422, code: "weak_password", reasons: ["length"] });
  const long = await auth.signUp({ email: newEmail("long"), password: "x".repeat(73) });
  expect(long.error).toMatchObject({ status: 400, code: "validation_failed" });
  for (const email of ["nobody", "a b@c.example", "a@b@c", `${"x".repeat(250)}@a.example`, "a@b..c"]) {
    const { error } = await auth.signUp({ email, password: "good enough" });
    expect(error, email).toMatchObject({ status: 400, code: "validation_failed" });
  }
  expect(await refusal(await callAuth("/signup", { body: { password: "good enough" } }))).toEqual({
    status: 422,
    code: "anonymous_provider_disabled",
  });
  expect(await refusal(await callAuth("/signup", { body: { email: newEmail("none") } }))).toEqual({
    status: 400,
    code: "validation_failed",
  });
});
