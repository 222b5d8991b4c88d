import { expect, inject, test } from "vitest";
import { z } from "zod";
import {
  addPerson,
  adminClient,
  appClient,
  callAuth,
  failure,
  lastMailTo,
  newEmail,
  refusal,
  testDatabase,
} from "./auth-test-kit.ts";

const sql = testDatabase();
const { admin } = adminClient().auth;

test("someone is created, found, changed and deleted", async () => {
  const email = newEmail("Made");
  const made = await admin.createUser({
    email,
    password: "a good password",
    email_confirm: true,
    user_metadata: { full_name: "Bea" },
    app_metadata: { school: 7 },
  });
  expect(made.error).toBeNull();
  const id = made.data.user?.id ?? "";
  expect(made.data.user).toMatchObject({
    email: email.toLowerCase(),
    role: "authenticated",
    user_metadata: { full_name: "Bea", email_verified: true },
    app_metadata: { provider: "email", providers: ["email"], school: 7 },
  });

  expect((await admin.getUserById(id)).data.user).toEqual(made.data.user);
  const changed = await admin.updateUserById(id, {
    email: newEmail("changed"),
    password: "another password",
    user_metadata: { full_name: null, city: "Gent" },
    app_metadata: { school: null },
  });
  expect(changed.error).toBeNull();
  expect(changed.data.user?.user_metadata).toEqual({ email_verified: true, city: "Gent" });
  expect(changed.data.user?.app_metadata).toEqual({ provider: "email", providers: ["email"] });
  const signedIn = await appClient().auth.signInWithPassword({
    email: changed.data.user?.email ?? "",
    password: "another password",
  });
  expect(signedIn.error).toBeNull();

  expect((await admin.deleteUser(id)).error).toBeNull();
  expect((await admin.getUserById(id)).error).toMatchObject({ status: 404, code: "user_not_found" });
  const left = await sql`
    select from auth.identities where user_id = ${id}
    union all select from auth.sessions where user_id = ${id}
    union all select from auth.refresh_tokens where user_id = ${id}`;
  expect(left).toHaveLength(0);
  const log = await sql`
    select payload from auth.audit_log_entries
    where payload -> 'traits' ->> 'user_id' = ${id} order by created_at`;
  expect(
    log.map((row) => [row["payload"].action, row["payload"].actor_username, row["payload"].actor_id]),
  ).toEqual([
    ["user_signedup", "service_role", "00000000-0000-0000-0000-000000000000"],
    ["user_modified", "service_role", "00000000-0000-0000-0000-000000000000"],
    ["user_deleted", "service_role", "00000000-0000-0000-0000-000000000000"],
  ]);
});

test("a ban refuses the sign-in until it is lifted", async () => {
  const email = newEmail("ban");
  const id = await addPerson(email);
  const signIn = () => appClient().auth.signInWithPassword({ email, password: "a good password" });

  const banned = await admin.updateUserById(id, { ban_duration: "1h30m" });
  const until = z
    .object({ banned_until: z.iso.datetime({ offset: true }) })
    .parse(banned.data.user).banned_until;
  expect(Math.abs(Date.parse(until) - Date.now() - 5_400_000)).toBeLessThan(60_000);
  expect((await signIn()).error).toMatchObject({ status: 400, code: "user_banned" });

  for (const wrong of ["7d", "soon", "24", "-"]) {
    const { error } = await admin.updateUserById(id, { ban_duration: wrong });
    expect(error, wrong).toMatchObject({ status: 400, code: "validation_failed" });
  }
  expect((await signIn()).error?.code).toBe("user_banned");

  const freed = await admin.updateUserById(id, { ban_duration: "none" });
  expect(freed.data.user).not.toHaveProperty("banned_until");
  expect((await signIn()).error).toBeNull();
});

test("confirming by hand clears what the mail was for", async () => {
  const email = newEmail("byhand");
  const { data } = await appClient().auth.signUp({ email, password: "correct horse" });
  const id = data.user?.id ?? "";
  const { tokenHash } = await lastMailTo(email);
  const { error } = await admin.updateUserById(id, { email_confirm: true });
  expect(error).toBeNull();
  const [row] = await sql`
    select confirmation_token, confirmation_sent_at is not null as sent, email_confirmed_at is not null as confirmed,
      raw_user_meta_data ->> 'email_verified' as verified,
      (select count(*)::integer from auth.one_time_tokens as ott where ott.user_id = usr.id) as codes
    from auth.users as usr where id = ${id}`;
  expect(row).toEqual({ confirmation_token: "", sent: true, confirmed: true, verified: "true", codes: 0 });
  const late = await appClient().auth.verifyOtp({ type: "signup", token_hash: tokenHash });
  expect(late.error?.code).toBe("otp_expired");
  expect((await appClient().auth.signInWithPassword({ email, password: "correct horse" })).error).toBeNull();
});

test("a password set by an admin ends all sessions", async () => {
  const email = newEmail("reset");
  const id = await addPerson(email);
  const client = appClient();
  await client.auth.signInWithPassword({ email, password: "a good password" });
  await admin.updateUserById(id, { password: "another password" });
  expect((await client.auth.getUser()).error).not.toBeNull();
  const weak = await admin.updateUserById(id, { password: "short" });
  expect(weak.error).toMatchObject({ status: 422, code: "weak_password" });
});

test("an address set by an admin voids the codes that went to the old one", async () => {
  const email = newEmail("moved");
  const id = await addPerson(email);
  await appClient().auth.resetPasswordForEmail(email);
  const { tokenHash } = await lastMailTo(email);
  expect((await admin.updateUserById(id, { email: newEmail("moved") })).error).toBeNull();
  const { error } = await appClient().auth.verifyOtp({ type: "recovery", token_hash: tokenHash });
  expect(error?.code).toBe("otp_expired");
});

test("a person deleted softly keeps the id and nothing else", async () => {
  const email = newEmail("soft");
  const id = await addPerson(email);
  await appClient().auth.signInWithPassword({ email, password: "a good password" });
  expect((await admin.deleteUser(id, true)).error).toBeNull();
  const [once] = await sql`select email, updated_at from auth.users where id = ${id}`;
  expect((await admin.deleteUser(id, true)).error).toBeNull();
  const [twice] = await sql`select email, updated_at from auth.users where id = ${id}`;
  expect(twice).toEqual(once);
  const [row] = await sql`
    select email, encrypted_password, raw_user_meta_data, deleted_at is not null as deleted,
      (select count(*)::integer from auth.sessions where user_id = ${id}) as sessions,
      (select string_agg(identity_data::text || provider_id, '') from auth.identities where user_id = ${id}) as identity
    from auth.users where id = ${id}`;
  expect(row).toMatchObject({ encrypted_password: null, raw_user_meta_data: {}, deleted: true, sessions: 0 });
  expect(JSON.stringify(row)).not.toContain(email);
  expect(row?.["identity"]).not.toContain(id);
  expect((await appClient().auth.signUp({ email, password: "a new start" })).error).toBeNull();
});

test("the list has pages, a total and links", async () => {
  const emails = [newEmail("page"), newEmail("page"), newEmail("page")];
  for (const email of emails) await addPerson(email);
  const { data } = await admin.listUsers({ page: 1, perPage: 2 });
  expect(data.users.map((user) => user.email)).toEqual([emails[2], emails[1]]);
  expect("total" in data && data.total).toBeGreaterThanOrEqual(3);
  expect("nextPage" in data && data.nextPage).toBe(2);
  const second = await admin.listUsers({ page: 2, perPage: 2 });
  expect(second.data.users[0]?.email).toBe(emails[0]);

  const headers = { apikey: inject("secretKey") };
  const response = await callAuth("/admin/users?per_page=1&page=1", { headers });
  expect(response.headers.get("link")).toMatch(
    /^<\/admin\/users\?page=2&per_page=1>; rel="next", <\/admin\/users\?page=\d+&per_page=1>; rel="last"$/,
  );
  const [count] = await sql`select count(*)::text as total from auth.users where aud = 'authenticated'`;
  expect(response.headers.get("x-total-count")).toBe(count?.["total"]);
  expect(await response.json()).toMatchObject({ aud: "authenticated", users: [{ email: emails[2] }] });

  const found = await callAuth(`/admin/users?filter=${emails[1]}`, { headers });
  expect(await found.json()).toMatchObject({ users: [{ email: emails[1] }] });
  for (const query of ["page=x", "per_page=0", "per_page=-1"]) {
    const refused = await callAuth(`/admin/users?${query}`, { headers });
    expect(await refusal(refused), query).toEqual({ status: 400, code: "validation_failed" });
  }
});

test("factors are listed without their secrets", async () => {
  const id = await addPerson(newEmail("factors"));
  await sql`
    insert into auth.mfa_factors (id, user_id, friendly_name, factor_type, status, secret, created_at, updated_at)
    values (gen_random_uuid(), ${id}, 'my phone', 'totp', 'verified', 'hush', now(), now())`;
  const { data } = await admin.mfa.listFactors({ userId: id });
  expect(data?.factors).toMatchObject([
    { friendly_name: "my phone", factor_type: "totp", status: "verified" },
  ]);
  expect(JSON.stringify(data)).not.toContain("hush");
});

test("what cannot be done is refused, and only admins are let in", async () => {
  const email = newEmail("twice");
  const id = await addPerson(email);
  expect((await admin.createUser({ email: email.toUpperCase() })).error).toMatchObject({
    status: 422,
    code: "email_exists",
  });
  expect((await admin.createUser({})).error).toMatchObject({ status: 400, code: "validation_failed" });
  const other = await addPerson(newEmail("other"));
  const headers = { apikey: inject("secretKey") };
  const taken = await callAuth(`/admin/users/${other}`, { method: "PUT", body: { email }, headers });
  expect(await failure(taken)).toEqual({
    status: 500,
    code: "unexpected_failure",
    message: "Error updating user",
  });
  expect(await refusal(await callAuth("/admin/users/7", { headers }))).toEqual({
    status: 404,
    code: "validation_failed",
  });
  expect(await refusal(await callAuth(`/admin/users/${crypto.randomUUID()}`, { headers }))).toEqual({
    status: 404,
    code: "user_not_found",
  });

  const { data } = await appClient().auth.signInWithPassword({ email, password: "a good password" });
  const asUser = { authorization: `Bearer ${data.session?.access_token}` };
  for (const path of ["/admin/users", `/admin/users/${id}`, `/admin/users/${id}/factors`]) {
    expect(await refusal(await callAuth(path)), path).toEqual({ status: 403, code: "not_admin" });
    expect(await refusal(await callAuth(path, { headers: asUser })), path).toEqual({
      status: 403,
      code: "not_admin",
    });
    const basic = { authorization: "Basic c2VjcmV0" };
    expect(await refusal(await callAuth(path, { headers: basic })), path).toEqual({
      status: 401,
      code: "no_authorization",
    });
  }
});
