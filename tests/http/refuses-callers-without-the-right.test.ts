import { UnsecuredJWT } from "jose";
import { afterEach, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { generateSigningKey, readSigningKey, signToken } from "../../scripts/stack/auth/signing-key.ts";
import {
  bearer,
  call,
  changeable,
  expectRefusal,
  newPerson,
  openDatabase,
  type Person,
  signIn,
  supabase,
} from "./runbook-client.ts";

const sql = openDatabase();
const apply = { email: "blocked@demo.example", reason: "a test" };
let before: unknown;

beforeEach(async () => {
  before = await changeable(sql);
});

afterEach(async () => {
  expect(await changeable(sql)).toEqual(before);
});

/** Calls every endpoint with a request that an admin could send. */
async function callAll(headers: Record<string, string>): Promise<Awaited<ReturnType<typeof call>>[]> {
  const keyed = { "idempotency-key": crypto.randomUUID(), ...headers };
  const planned = { ...apply, plan_hash: "0".repeat(64) };
  return [
    await call("diagnose-login", { headers, json: { email: apply.email } }),
    await call("unblock-login", { headers, json: apply }),
    await call("health-check", { headers, method: "GET" }),
    await call("diagnose", { headers, json: { issue: "login", params: { email: apply.email } } }),
    await call("remediate", {
      headers,
      json: { remediation: "unblock-login", params: { email: apply.email }, reason: "a test" },
    }),
    await call("undo-remediation", { headers, json: { run_id: 1, reason: "a test" } }),
    await call("remediation-runs", { headers, method: "GET" }),
    await call("members", { headers, method: "GET" }),
    await call("members", {
      headers,
      json: { action: "add", email: "ok@demo.example", role: "admin" },
    }),
    await call("freeze", { headers, method: "GET" }),
    await call("freeze", { headers, json: { freeze: true, reason: "a test" } }),
    await call("resend-confirmation", { headers, json: apply }),
    await call("confirm-email", { headers: keyed, json: planned }),
    await call("unban-user", { headers: keyed, json: planned }),
    await call("sign-out-user", { headers: keyed, json: planned }),
  ];
}

describe("without credentials that are worth something", () => {
  let admin: string;
  let claims: Record<string, unknown>;

  beforeAll(async () => {
    admin = await signIn("admin@demo.example");
    claims = JSON.parse(atob(admin.split(".")[1]?.replaceAll("-", "+").replaceAll("_", "/") ?? ""));
  });

  const ownKey = (): ReturnType<typeof readSigningKey> => readSigningKey(JSON.parse(inject("signingKey")));
  const cases: [string, () => Promise<Record<string, string>> | Record<string, string>][] = [
    ["no credentials", () => ({})],
    ["a wrong key", () => ({ apikey: "sb_secret_wrong" })],
    ["an empty key", () => ({ apikey: "" })],
    ["a publishable key", () => ({ apikey: inject("publishableKey") })],
    ["a publishable key as supabase-js sends it", () => bearer(inject("publishableKey"))],
    ["a secret key as a token", () => ({ authorization: `Bearer ${inject("secretKey")}` })],
    ["a ticket that nobody issued", () => ({ "x-runbook-ticket": "0".repeat(64) })],
    ["garbage", () => bearer("garbage")],
    ["garbage of three parts", () => bearer("eyJhbGciOiJFUzI1NiJ9.e30.AAAA")],
    ["an expired token", async () => bearer(await signToken(ownKey(), claims, -10))],
    ["an unsigned token", () => bearer(new UnsecuredJWT(claims).encode())],
    [
      "a foreign token under our key's name",
      async () =>
        bearer(await signToken({ ...(await generateSigningKey()), kid: ownKey().kid }, claims, 3600)),
    ],
    [
      "a foreign token beside the secret key",
      async () => ({
        ...bearer(await signToken(await generateSigningKey(), claims, 3600)),
        apikey: inject("secretKey"),
      }),
    ],
    ["a changed token", () => bearer(admin.slice(0, -6) + (admin.endsWith("AAAAAA") ? "BBBBBB" : "AAAAAA"))],
    [
      "a token of the service role",
      async () => bearer(await signToken(ownKey(), { role: "service_role" }, 60)),
    ],
    [
      "a token of the service role with a subject",
      async () => bearer(await signToken(ownKey(), { ...claims, role: "service_role" }, 60)),
    ],
  ];

  it.each(cases)("refuses %s in the one way", async (_name, headers) => {
    for (const answer of await callAll(await headers())) {
      expectRefusal(answer, 401, "UNAUTHENTICATED");
      expect(answer.body["message"]).toBe("The request has no valid credentials.");
      expect(answer.body).not.toHaveProperty("details");
    }
  });

  it("looks at credentials before it looks at the body", async () => {
    expectRefusal(await call("diagnose-login", { json: [] }), 401, "UNAUTHENTICATED");
    expectRefusal(
      await call("diagnose-login", { json: { email: "x".repeat(2_000_000) } }),
      401,
      "UNAUTHENTICATED",
    );
  });
});

it("refuses a user who is no member, and tells them nothing of the parameters", async () => {
  const outsider = await newPerson(sql);
  for (const answer of await callAll(bearer(outsider.token))) expectRefusal(answer, 403, "NOT_A_MEMBER");
  const curious = await call("diagnose-login", { headers: bearer(outsider.token), json: { guess: 1 } });
  expectRefusal(curious, 403, "NOT_A_MEMBER");
  expect(curious.text).not.toContain("email");
});

it("refuses a healthy student of the school", async () => {
  for (const answer of await callAll(bearer(await signIn("ok@demo.example"))))
    expectRefusal(answer, 403, "NOT_A_MEMBER");
});

it("lets a viewer diagnose and refuses them a remediation, its dry run too", async () => {
  const headers = bearer(await signIn("viewer@demo.example"));
  const [diagnosis, applied, health] = await callAll(headers);
  expect(diagnosis?.status).toBe(200);
  expect(health?.status).toBe(200);
  for (const answer of [
    applied,
    await call("unblock-login", { headers, json: { ...apply, dry_run: true } }),
  ]) {
    if (answer === undefined) throw new Error("unblock-login was not called.");
    expectRefusal(answer, 403, "ROLE_REQUIRED");
    expect(answer.body["details"]).toEqual({ required: "operator", has: "viewer" });
  }
});

describe("a member whose token outlives their right", () => {
  let member: Person;

  const expectEnded = async (): Promise<void> => {
    for (const answer of await callAll(bearer(member.token))) expectRefusal(answer, 401, "SESSION_ENDED");
  };

  beforeEach(async () => {
    member = await newPerson(sql, "admin");
    const [diagnosis] = await callAll(bearer((await newPerson(sql, "viewer")).token));
    expect(diagnosis?.status).toBe(200);
    before = await changeable(sql);
  });

  it("is out when banned, and in again when the ban is lifted", async () => {
    const { admin } = supabase(inject("secretKey")).auth;
    expect((await admin.updateUserById(member.id, { ban_duration: "24h" })).error).toBeNull();
    await expectEnded();
    expect((await admin.updateUserById(member.id, { ban_duration: "none" })).error).toBeNull();
    const answer = await call("diagnose-login", { headers: bearer(member.token), json: { email: "x" } });
    expect(answer.status).toBe(200);
  });

  it("is out when signed out", async () => {
    const { error } = await supabase(inject("secretKey")).auth.admin.signOut(member.token);
    expect(error).toBeNull();
    await expectEnded();
  });

  it("is out when the account is deleted", async () => {
    const { error } = await supabase(inject("secretKey")).auth.admin.deleteUser(member.id);
    expect(error).toBeNull();
    await expectEnded();
  });

  it("is out when no longer a member", async () => {
    await sql`select runbook.remove_member(${member.email})`;
    before = await changeable(sql);
    for (const answer of await callAll(bearer(member.token))) expectRefusal(answer, 403, "NOT_A_MEMBER");
  });
});
