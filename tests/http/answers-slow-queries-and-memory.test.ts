import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bearer, call, expectRefusal, openDatabase, secretKey, signIn } from "./runbook-client.ts";

const sql = openDatabase();

async function asRole(role: "viewer" | "operator"): Promise<Record<string, string>> {
  return bearer(await signIn(`${role}@demo.example`));
}

describe.each([
  ["diagnose-queries", "slow-queries"],
  ["diagnose-memory", "memory"],
])("%s", (endpoint, issue) => {
  it("answers a viewer", async () => {
    const answer = await call(endpoint, { json: {}, headers: await asRole("viewer") });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ issue, subject: null, findings: expect.any(Array) });
  });

  it("refuses parameters, and whoever has no credentials", async () => {
    const answer = await call(endpoint, { json: { table: "x" }, headers: secretKey() });
    expectRefusal(answer, 400, "INVALID_BODY");
    expect(answer.body["details"]).toEqual([
      { path: "table", message: expect.stringMatching(/^is not a known parameter; /) },
    ]);
    expectRefusal(await call(endpoint, { json: {} }), 401, "UNAUTHENTICATED");
  });

  it("is the same as the generic endpoint's answer", async () => {
    const answer = await call("diagnose", { json: { issue, params: {} }, headers: secretKey() });
    expect(answer.body).toMatchObject({ issue });
  });
});

it("tells the demo school's foreign key without an index, with the cure ready to be sent", async () => {
  const answer = await call("diagnose-queries", { json: {}, headers: secretKey() });
  expect(answer.body["findings"]).toContainEqual(
    expect.objectContaining({
      code: "foreign_key_without_index",
      subject: "public.forum_posts",
      remediation: "create-index",
      params: { table: "public.forum_posts", columns: ["thread_id"] },
    }),
  );
});

describe("suppress-finding", () => {
  beforeAll(() => sql`select runbook.shift_clock('1 second')`);
  afterAll(() => sql`select runbook.shift_clock(null)`);
  const json = {
    check: "clock_not_shifted",
    code: "clock_shifted",
    subject: "clock",
    until: new Date(Date.now() + 86_400_000).toISOString(),
  };

  it("takes an operator, a reason and an expiry", async () => {
    const operator = await asRole("operator");
    const viewer = await asRole("viewer");
    const reason = "a test";
    expectRefusal(
      await call("suppress-finding", { json: { ...json, reason }, headers: viewer }),
      403,
      "ROLE_REQUIRED",
    );
    expectRefusal(await call("suppress-finding", { json, headers: operator }), 400, "INVALID_BODY");
    const { until: _, ...withoutExpiry } = json;
    const endless = await call("suppress-finding", {
      json: { ...withoutExpiry, reason },
      headers: operator,
    });
    expectRefusal(endless, 400, "INVALID_BODY");
    const other = { ...json, reason, subject: "other" };
    const unknown = await call("suppress-finding", { json: other, headers: operator });
    expectRefusal(unknown, 404, "NOT_FOUND");
    expect(unknown.body["message"]).toMatch(/does not find .* for other now/);
  });

  it("counts the finding in reports until it is undone", async () => {
    const headers = await asRole("operator");
    const made = await call("suppress-finding", { json: { ...json, reason: "a test" }, headers });
    expect(made.status).toBe(200);
    const checks = { checks: ["clock_not_shifted"] };
    expect((await call("health-check", { json: checks, headers })).body).toMatchObject({
      // Critical, so no report is well because of it.
      status: "warning",
      suppressed: 1,
      checks: [{ status: "ok", suppressed: [{ code: "clock_shifted", reason: "a test" }] }],
    });
    const run = made.body["run"];
    const undone = await call("undo-remediation", {
      json: {
        run_id: typeof run === "object" && run !== null && "id" in run ? run.id : null,
        reason: "over",
      },
      headers,
    });
    expect(undone.status).toBe(200);
    expect((await call("health-check", { json: checks, headers })).body).toMatchObject({
      status: "critical",
      suppressed: 0,
    });
  });
});
