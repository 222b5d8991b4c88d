import { expect, test } from "vitest";
import {
  addPerson,
  appClient,
  callAuth,
  localAuth,
  mailsTo,
  newEmail,
  refusal,
  testDatabase,
} from "./auth-test-kit.ts";

const sql = testDatabase();

test("a confirmation can be sent again after a minute, and the newest code counts", async () => {
  const local = await localAuth(sql);
  const { auth } = local.client;
  const email = newEmail("again");
  await auth.signUp({ email, password: "correct horse" });
  local.travel(10);
  const early = await auth.resend({ type: "signup", email });
  expect(early.error).toMatchObject({ status: 429, code: "over_email_send_rate_limit" });
  const left = Number(/after (\d+) seconds/.exec(early.error?.message ?? "")?.[1]);
  // The clock goes on by itself as well.
  expect(left).toBeGreaterThan(20);
  expect(left).toBeLessThanOrEqual(50);

  local.travel(51);
  const [before] = await sql`select confirmation_sent_at from auth.users where email = ${email}`;
  expect((await auth.resend({ type: "signup", email })).error).toBeNull();
  const [after] = await sql`select confirmation_sent_at from auth.users where email = ${email}`;
  expect(
    after?.["confirmation_sent_at"].getTime() - before?.["confirmation_sent_at"].getTime(),
  ).toBeGreaterThan(60_000);

  const [first, second] = local.mails;
  expect(local.mails).toHaveLength(2);
  const old = await auth.verifyOtp({ type: "signup", token_hash: first?.tokenHash ?? "" });
  expect(old.error?.code).toBe("otp_expired");
  expect((await auth.verifyOtp({ type: "signup", token_hash: second?.tokenHash ?? "" })).error).toBeNull();
});

test("a confirmation for nobody, or for someone confirmed, looks the same and sends nothing", async () => {
  const confirmed = newEmail("confirmed");
  await addPerson(confirmed);
  for (const email of [confirmed, newEmail("nobody")]) {
    const response = await callAuth("/resend", { body: { type: "signup", email } });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({});
    expect(await mailsTo(email)).toEqual([]);
  }
});

test("a change of address can be sent again", async () => {
  const local = await localAuth(sql);
  const [before, after] = [newEmail("from"), newEmail("to")];
  await addPerson(before);
  await local.client.auth.signInWithPassword({ email: before, password: "a good password" });
  await local.client.auth.updateUser({ email: after });
  expect((await local.client.auth.resend({ type: "email_change", email: before })).error?.status).toBe(429);
  local.travel(61);
  expect((await local.client.auth.resend({ type: "email_change", email: before })).error).toBeNull();
  expect(local.mails.map((mail) => mail.to)).toEqual([after, before, after, before]);
});

test("what cannot be sent again is refused", async () => {
  const email = newEmail("x");
  const bodies = [{}, { type: "recovery", email }, { type: "signup" }, { type: "signup", email: "nobody" }];
  for (const body of bodies) {
    const response = await callAuth("/resend", { body });
    expect(await refusal(response)).toEqual({ status: 400, code: "validation_failed" });
  }
});

test("a mail that cannot be delivered leaves no account behind", async () => {
  const local = await localAuth(sql);
  local.mails.push = () => {
    throw new Error("the mail server is down");
  };
  const email = newEmail("undelivered");
  const response = await local.post("/signup", { email, password: "correct horse" });
  expect(await refusal(response)).toEqual({ status: 500, code: "unexpected_failure" });
  expect(local.reports.join()).toContain("the mail server is down");
  expect(await sql`select from auth.users where email = ${email}`).toHaveLength(0);
});

test("a project has so many mails an hour", async () => {
  const local = await localAuth(sql, { emailsPerHour: 2 });
  const signUp = (name: string) =>
    local.client.auth.signUp({ email: newEmail(name), password: "correct horse" });
  expect([(await signUp("one")).error, (await signUp("two")).error]).toEqual([null, null]);
  const third = await signUp("three");
  expect(third.error).toMatchObject({
    status: 429,
    code: "over_email_send_rate_limit",
    message: "email rate limit exceeded",
  });
});

test("an address has so many requests in five minutes", async () => {
  const local = await localAuth(sql, { requestsPerFiveMinutes: 2 });
  const ask = (address: string | undefined) =>
    local.fetch("/resend", {
      method: "POST",
      body: "{}",
      headers: address === undefined ? {} : { "x-forwarded-for": address },
    });
  const statuses = async (address: string | undefined) =>
    [await ask(address), await ask(address), await ask(address)].map((response) => response.status);
  expect(await statuses("203.0.113.1")).toEqual([400, 400, 429]);
  expect(await refusal(await ask("203.0.113.1"))).toEqual({ status: 429, code: "over_request_rate_limit" });
  expect(await statuses("203.0.113.2")).toEqual([400, 400, 429]);
  expect(await statuses(undefined)).toEqual([400, 400, 400]);
  local.travel(300);
  expect(await statuses("203.0.113.1")).toEqual([400, 400, 429]);
});

test("supabase-js gives the refusal of a mail to the application", async () => {
  const email = newEmail("refused");
  await appClient().auth.signUp({ email, password: "correct horse" });
  const { error } = await appClient().auth.resend({ type: "signup", email });
  expect(error).toMatchObject({ status: 429, code: "over_email_send_rate_limit" });
});
