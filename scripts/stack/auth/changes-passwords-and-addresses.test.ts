import { expect, test } from "vitest";
import {
  addPerson,
  appClient,
  lastMailTo,
  localAuth,
  mailsTo,
  newEmail,
  testDatabase,
} from "./auth-test-kit.ts";

const sql = testDatabase();

test("a forgotten password is replaced with the code of the mail", async () => {
  const email = newEmail("forgot");
  await addPerson(email);
  const other = appClient();
  await other.auth.signInWithPassword({ email, password: "a good password" });

  const { auth } = appClient();
  expect((await auth.resetPasswordForEmail(email)).error).toBeNull();
  const mail = await lastMailTo(email);
  expect(mail.kind).toBe("recovery");
  const { error } = await auth.verifyOtp({ type: "recovery", token_hash: mail.tokenHash });
  expect(error).toBeNull();

  const same = await auth.updateUser({ password: "a good password" });
  expect(same.error).toMatchObject({ status: 422, code: "same_password" });
  const weak = await auth.updateUser({ password: "short" });
  expect(weak.error).toMatchObject({ status: 422, code: "weak_password" });
  expect((await auth.updateUser({ password: "a better password" })).error).toBeNull();

  expect((await auth.getUser()).error).toBeNull();
  expect((await other.auth.getUser()).error).not.toBeNull();
  expect(
    (await appClient().auth.signInWithPassword({ email, password: "a better password" })).error,
  ).toBeNull();
  const old = await appClient().auth.signInWithPassword({ email, password: "a good password" });
  expect(old.error?.code).toBe("invalid_credentials");
});

test("the log has an entry for each step, in GoTrue's words", async () => {
  const email = newEmail("log");
  const id = await addPerson(email);
  const { auth } = appClient();
  await auth.resetPasswordForEmail(email);
  await auth.verifyOtp({ type: "recovery", token_hash: (await lastMailTo(email)).tokenHash });
  await auth.updateUser({ password: "a better password" });
  await auth.signOut();
  const log = await sql`
    select payload ->> 'action' as action, payload ->> 'log_type' as type
    from auth.audit_log_entries
    where payload ->> 'actor_id' = ${id}
    order by created_at, payload ->> 'action' desc`;
  expect([...log]).toEqual([
    { action: "user_recovery_requested", type: "user" },
    { action: "login", type: "account" },
    { action: "user_updated_password", type: "user" },
    { action: "user_modified", type: "user" },
    { action: "logout", type: "account" },
  ]);
});

test("a recovery for an address that nobody has looks the same and sends nothing", async () => {
  const email = newEmail("nobody");
  expect((await appClient().auth.resetPasswordForEmail(email)).error).toBeNull();
  expect(await mailsTo(email)).toEqual([]);
});

test("a code works once, for its purpose, and for an hour", async () => {
  const local = await localAuth(sql);
  const { auth } = local.client;
  const email = newEmail("once");
  const id = await addPerson(email);
  await auth.resetPasswordForEmail(email);
  const first = local.mails.at(-1)?.token ?? "";

  const wrongPurpose = await auth.verifyOtp({ type: "signup", email, token: first });
  expect(wrongPurpose.error).toMatchObject({ status: 403, code: "otp_expired" });
  const wrongCode = await auth.verifyOtp({
    type: "recovery",
    email,
    token: first === "000000" ? "1" : "000000",
  });
  expect(wrongCode.error).toMatchObject({ status: 403, code: "otp_expired" });
  const hash = local.mails.at(-1)?.tokenHash ?? "";
  const wrongLink = await auth.verifyOtp({ type: "signup", token_hash: hash });
  expect(wrongLink.error).toMatchObject({ status: 403, code: "otp_expired" });
  expect((await auth.verifyOtp({ type: "recovery", email, token: first })).error).toBeNull();
  const again = await auth.verifyOtp({ type: "recovery", email, token: first });
  expect(again.error).toMatchObject({ status: 403, code: "otp_expired" });

  local.travel(61);
  await auth.resetPasswordForEmail(email);
  local.travel(3601);
  const late = await auth.verifyOtp({ type: "recovery", email, token: local.mails.at(-1)?.token ?? "" });
  expect(late.error).toMatchObject({ status: 403, code: "otp_expired" });
  const lateLink = await auth.verifyOtp({
    type: "recovery",
    token_hash: local.mails.at(-1)?.tokenHash ?? "",
  });
  expect(lateLink.error).toMatchObject({ status: 403, code: "otp_expired" });

  await auth.resetPasswordForEmail(email);
  await sql`update auth.users set banned_until = now() + interval '9 hours' where id = ${id}`;
  const banned = await auth.verifyOtp({ type: "recovery", email, token: local.mails.at(-1)?.token ?? "" });
  expect(banned.error).toMatchObject({ status: 403, code: "user_banned" });
});

test("an address changes when the old and the new one have agreed", async () => {
  const [before, after] = [newEmail("before"), newEmail("after")];
  const id = await addPerson(before);
  const { auth } = appClient();
  await auth.signInWithPassword({ email: before, password: "a good password" });
  const asked = await auth.updateUser({ email: after });
  expect(asked.data.user).toMatchObject({ email: before, new_email: after });

  const [toOld, toNew] = [await lastMailTo(before), await lastMailTo(after)];
  expect([toOld.kind, toNew.kind]).toEqual(["email_change", "email_change"]);
  const half = await appClient().auth.verifyOtp({ type: "email_change", email: before, token: toOld.token });
  expect(half.error).toBeNull();
  expect(half.data.session).toBeNull();
  expect((await auth.getUser()).data.user?.email).toBe(before);

  const whole = await appClient().auth.verifyOtp({ type: "email_change", token_hash: toNew.tokenHash });
  expect(whole.data.user).toMatchObject({ id, email: after });
  expect(whole.data.user?.identities?.[0]?.identity_data).toMatchObject({
    email: after,
    email_verified: true,
  });
  expect(
    (await appClient().auth.signInWithPassword({ email: after, password: "a good password" })).error,
  ).toBeNull();
});

test("a project may ask the new address only", async () => {
  const local = await localAuth(sql, { secureEmailChange: false });
  const [before, after] = [newEmail("old"), newEmail("new")];
  await addPerson(before);
  await local.client.auth.signInWithPassword({ email: before, password: "a good password" });
  await local.client.auth.updateUser({ email: after });
  expect(local.mails.map((mail) => mail.to)).toEqual([after]);
  const { data } = await local.client.auth.verifyOtp({
    type: "email_change",
    token_hash: local.mails[0]?.tokenHash ?? "",
  });
  expect(data.user?.email).toBe(after);
});

test("a taken address is refused", async () => {
  const [mine, theirs] = [newEmail("mine"), newEmail("theirs")];
  await addPerson(mine);
  await addPerson(theirs);
  const { auth } = appClient();
  await auth.signInWithPassword({ email: mine, password: "a good password" });
  const { error } = await auth.updateUser({ email: theirs.toUpperCase() });
  expect(error).toMatchObject({ status: 422, code: "email_exists" });
});

test("with a second factor the password asks for a session that passed it", async () => {
  const email = newEmail("factor");
  const id = await addPerson(email);
  await sql`
    insert into auth.mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at)
    values (gen_random_uuid(), ${id}, 'phone', 'totp', 'verified', now(), now())`;
  const { auth } = appClient();
  const { data } = await auth.signInWithPassword({ email, password: "a good password" });
  expect(data.user?.factors).toMatchObject([{ factor_type: "totp", status: "verified" }]);
  const refused = await auth.updateUser({ password: "a better password" });
  expect(refused.error).toMatchObject({ status: 401, code: "insufficient_aal" });
  expect((await auth.updateUser({ data: { city: "Gent" } })).error).toBeNull();
});
