import { expect, test } from "vitest";
import {
  addPerson,
  appClient,
  callAuth,
  failure,
  localAuth,
  newEmail,
  refusal,
  testDatabase,
} from "./auth-test-kit.ts";

const sql = testDatabase();

test("errors have the shape that the request's API version asks for", async () => {
  const body = { email: newEmail("nobody"), password: "wrong" };
  const old = await callAuth("/token?grant_type=password", { body });
  expect(old.status).toBe(400);
  expect(old.headers.get("x-supabase-api-version")).toBeNull();
  expect(old.headers.get("x-sb-error-code")).toBe("invalid_credentials");
  expect(await old.json()).toEqual({
    code: 400,
    error_code: "invalid_credentials",
    msg: "Invalid login credentials",
  });
  for (const version of ["2024-01-01", "2026-06-01"]) {
    const headers = { "X-Supabase-Api-Version": version };
    const recent = await callAuth("/token?grant_type=password", { body, headers });
    expect(recent.headers.get("x-supabase-api-version")).toBe("2024-01-01");
    expect(await recent.json()).toEqual({
      code: "invalid_credentials",
      message: "Invalid login credentials",
    });
  }
  for (const version of ["2023-12-31", "yesterday", "2024-99-99"]) {
    const headers = { "X-Supabase-Api-Version": version };
    const earlier = await callAuth("/token?grant_type=password", { body, headers });
    expect(earlier.headers.get("x-supabase-api-version"), version).toBeNull();
  }
});

test("a weak password tells its weakness in both shapes", async () => {
  const body = { email: newEmail("weak"), password: "12345" };
  const weakness = { weak_password: { reasons: ["length"] } };
  expect(await (await callAuth("/signup", { body })).json()).toEqual({
    code: 422,
    error_code: "weak_password",
    msg: "Password should be at least 6 characters.",
    ...weakness,
  });
  const headers = { "X-Supabase-Api-Version": "2024-01-01" };
  expect(await (await callAuth("/signup", { body, headers })).json()).toEqual({
    code: "weak_password",
    message: "Password should be at least 6 characters.",
    ...weakness,
  });
});

test("bodies that are no objects of the right types are refused", async () => {
  for (const body of ["", "{", "[]", "null", '"text"', '{"email": 7}', '{"password": {}}']) {
    const response = await callAuth("/token?grant_type=password", { method: "POST", body });
    expect(await refusal(response), body).toEqual({ status: 400, code: "bad_json" });
  }
  const extra = await callAuth("/token?grant_type=password", { body: { email: "a@b.example", surprise: 1 } });
  expect(await refusal(extra)).toEqual({ status: 400, code: "invalid_credentials" });
});

test("a body over one megabyte is refused", async () => {
  const body = { email: newEmail("big"), password: "correct horse", data: { text: "x".repeat(1024 * 1024) } };
  expect(await refusal(await callAuth("/signup", { body }))).toEqual({
    status: 413,
    code: "request_entity_too_large",
  });
});

test("unknown paths and methods are answered as by GoTrue's router", async () => {
  for (const path of ["/", "/nothing", "/token/more", "/admin", "/admin/users/1/2", "/constructor"]) {
    const response = await callAuth(path);
    expect(response.status, path).toBe(404);
    expect(await response.text()).toBe("404 page not found\n");
  }
  expect((await callAuth("/token")).status).toBe(405);
  expect((await callAuth("/user", { method: "DELETE" })).status).toBe(405);
});

test("the grants are checked in GoTrue's order", async () => {
  const signIn = async (body: unknown, grant = "password") =>
    refusal(await callAuth(`/token?grant_type=${grant}`, { body }));
  expect(await signIn({}, "magic")).toEqual({ status: 400, code: "invalid_credentials" });
  expect(await signIn({})).toEqual({ status: 400, code: "validation_failed" });
  expect(await signIn({ email: "a@b.example", phone: "1" })).toEqual({
    status: 400,
    code: "validation_failed",
  });
  expect(await signIn({ phone: "1" })).toEqual({ status: 422, code: "phone_provider_disabled" });

  const email = newEmail("order");
  const id = await addPerson(email);
  const wrong = { email, password: "wrong" };
  const right = { email, password: "a good password" };
  await sql`update auth.users set email_confirmed_at = null where id = ${id}`;
  expect(await signIn(wrong)).toEqual({ status: 400, code: "invalid_credentials" });
  expect(await signIn(right)).toEqual({ status: 400, code: "email_not_confirmed" });
  await sql`update auth.users set banned_until = now() + interval '1 hour' where id = ${id}`;
  expect(await signIn(wrong)).toEqual({ status: 400, code: "user_banned" });
  await sql`update auth.users set encrypted_password = '' where id = ${id}`;
  expect(await signIn(right)).toEqual({ status: 400, code: "invalid_credentials" });
  await sql`update auth.users set encrypted_password = 'not a hash', banned_until = null where id = ${id}`;
  expect(await signIn(right)).toEqual({ status: 400, code: "invalid_credentials" });
});

test("rows made by hand are read: NULL tokens, other costs and the younger names of bcrypt", async () => {
  const email = newEmail("byhand");
  const id = await addPerson(email);
  for (const [cost, name] of [
    [4, "$2a$"],
    [6, "$2b$"],
    [6, "$2y$"],
  ] as const) {
    await sql`
      update auth.users
      set
        encrypted_password = ${name} || substr(extensions.crypt('by hand', extensions.gen_salt('bf', ${cost})), 5),
        confirmation_token = null, recovery_token = null, email_change = null, email_change_token_new = null,
        email_change_token_current = null, email_change_confirm_status = null, phone = null, role = 'authenticated'
      where id = ${id}`;
    const { error } = await appClient().auth.signInWithPassword({ email, password: "by hand" });
    expect(error, name).toBeNull();
  }
});

test("hostile addresses and passwords are data", async () => {
  const addresses = ["' or 1=1 --", "a\0b@c.example", "x".repeat(10_000), "имя@пример.рф", "%", "{}"];
  for (const email of addresses) {
    const response = await callAuth("/token?grant_type=password", { body: { email, password: "x" } });
    expect(await refusal(response), email.slice(0, 20)).toEqual({ status: 400, code: "invalid_credentials" });
  }
  const email = newEmail("hostile");
  await addPerson(email);
  for (const password of ["a good password\0", "x".repeat(10_000), "'; drop table auth.users; --"]) {
    const response = await callAuth("/token?grant_type=password", { body: { email, password } });
    expect(await refusal(response)).toEqual({ status: 400, code: "invalid_credentials" });
  }
});

test("a sign-up that the application's trigger refuses is a 500 that tells nothing of the cause", async () => {
  const local = await localAuth(sql);
  const email = `${"x".repeat(20)}.${newEmail("trigger")}`;
  const schema = `auth_test_${crypto.randomUUID().slice(0, 8)}`;
  await sql.unsafe(`
    create schema ${schema};
    create function ${schema}.refuse() returns trigger language plpgsql as $$
    begin raise exception 'the school is full'; end $$;
    create trigger ${schema} before insert on auth.users
      for each row when (new.email = '${email}') execute function ${schema}.refuse()`);
  try {
    const response = await local.post("/signup", { email, password: "correct horse" });
    expect(await failure(response)).toEqual({
      status: 500,
      code: "unexpected_failure",
      message: "Database error saving new user",
    });
    expect(local.reports.join()).toContain("the school is full");
  } finally {
    await sql.unsafe(`drop schema ${schema} cascade`);
  }
});

test("the project's settings close the sign-up or confirm at once", async () => {
  const closed = await localAuth(sql, { disableSignup: true });
  const refused = await closed.client.auth.signUp({ email: newEmail("closed"), password: "correct horse" });
  expect(refused.error).toMatchObject({ status: 422, code: "signup_disabled" });

  const open = await localAuth(sql, { autoconfirm: true });
  const email = newEmail("open");
  const { data } = await open.client.auth.signUp({ email, password: "correct horse" });
  expect(data.session?.user.email_confirmed_at).toBeTruthy();
  expect(open.mails).toEqual([]);
  const again = await open.client.auth.signUp({ email, password: "correct horse" });
  expect(again.error).toMatchObject({ status: 422, code: "user_already_exists" });
  const [log] = await sql`
    select count(*)::integer as entries from auth.audit_log_entries
    where payload ->> 'actor_username' = ${email} and payload ->> 'action' = 'user_repeated_signup'`;
  expect(log).toEqual({ entries: 1 });
});

test("an old password that is too weak today still signs in, and says so", async () => {
  const strict = await localAuth(sql, { passwordMinLength: 30 });
  const email = newEmail("weaker");
  await addPerson(email);
  const { data, error } = await strict.client.auth.signInWithPassword({ email, password: "a good password" });
  expect(error).toBeNull();
  expect(data.weakPassword).toMatchObject({ reasons: ["length"] });
});
