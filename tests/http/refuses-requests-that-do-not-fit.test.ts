import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Call, call, changeable, expectRefusal, openDatabase, secretKey } from "./runbook-client.ts";

const sql = openDatabase();
const json = { "content-type": "application/json" };
let before: unknown;

beforeEach(async () => {
  before = await changeable(sql);
});

afterEach(async () => {
  expect(await changeable(sql)).toEqual(before);
});

const email = "blocked@demo.example";
const apply = { email, reason: "a test" };

/** Name, what is sent, status, code and the details. */
const cases: [string, Call, number, string, unknown?][] = [
  [
    "an unknown key",
    { json: { ...apply, emial: "x" } },
    400,
    "INVALID_BODY",
    [{ path: "emial", message: "is not a known parameter; known are email" }],
  ],
  [
    "a value of the wrong type",
    { json: { ...apply, email: 7 } },
    400,
    "INVALID_BODY",
    [{ path: "email", message: "must be of type string, not 7" }],
  ],
  [
    "a missing key",
    { json: { reason: "a test" } },
    400,
    "INVALID_BODY",
    [{ path: "email", message: "is required" }],
  ],
  ["no body", {}, 400, "INVALID_BODY", [{ path: "", message: "a JSON object is required" }]],
  ["no body that claims to be JSON", { headers: json }, 400, "INVALID_BODY"],
  [
    "invalid JSON",
    { headers: json, body: `{"email":"${email}",` },
    400,
    "INVALID_BODY",
    [{ path: "", message: "is not valid JSON" }],
  ],
  ["an array", { json: [apply] }, 400, "INVALID_BODY", [{ path: "", message: "must be a JSON object" }]],
  ["a scalar", { json: email }, 400, "INVALID_BODY", [{ path: "", message: "must be a JSON object" }]],
  ["null", { headers: json, body: "null" }, 400, "INVALID_BODY"],
  [
    "a NUL character",
    { json: { ...apply, email: "blocked\0@demo.example" } },
    400,
    "INVALID_BODY",
    [{ path: "email", message: "contains the character NUL" }],
  ],
  ["half of a surrogate pair", { headers: json, body: '{"email":"\\ud800"}' }, 400, "INVALID_BODY"],
  [
    "a text body",
    { headers: { "content-type": "text/plain" }, body: JSON.stringify(apply) },
    415,
    "UNSUPPORTED_MEDIA_TYPE",
  ],
  ["a form", { body: new URLSearchParams(apply) }, 415, "UNSUPPORTED_MEDIA_TYPE"],
  ["2 MB", { json: { ...apply, email: "x".repeat(2_000_000) } }, 413, "BODY_TOO_LARGE"],
];

describe.each(["diagnose-login", "unblock-login", "confirm-email"])("%s", (endpoint) => {
  it.each(cases)("refuses %s", async (_name, sent, status, code, details) => {
    const answer = await call(endpoint, { ...sent, headers: { ...secretKey(), ...sent.headers } });
    expectRefusal(answer, status, code);
    // The diagnosis takes no reason, so it has one more problem to name there.
    if (details !== undefined && endpoint === "unblock-login")
      expect(answer.body["details"]).toEqual(details);
  });

  it.each(["GET", "PUT", "PATCH", "DELETE"])("refuses %s", async (method) => {
    const answer = await call(endpoint, { method, headers: secretKey() });
    expectRefusal(answer, 405, "METHOD_NOT_ALLOWED");
    expect(answer.headers.get("allow")).toBe("POST, OPTIONS");
  });

  it("refuses a path below it", async () => {
    expectRefusal(await call(`${endpoint}/more`, { headers: secretKey(), json: apply }), 404, "NOT_FOUND");
  });

  it("keeps a sane request id and replaces another", async () => {
    const ask = async (id: string): Promise<unknown> =>
      (await call(endpoint, { headers: { ...secretKey(), "x-request-id": id } })).body["request_id"];
    expect(await ask("night-shift-7")).toBe("night-shift-7");
    expect(await ask("someone@demo.example")).toMatch(/^[0-9a-f-]{36}$/);
  });
});

it("refuses 2 MB that are sent in pieces without saying how much it is", async () => {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (let sent = 0; sent < 2_000_000; sent += 50_000)
        controller.enqueue(new Uint8Array(50_000).fill(32));
      controller.close();
    },
  });
  expectRefusal(
    await call("diagnose-login", { headers: { ...secretKey(), ...json }, body }),
    413,
    "BODY_TOO_LARGE",
  );
});

it("refuses to apply without a reason, with a wrong dry_run or under a key with blanks", async () => {
  const ask = (sent: unknown, headers: Record<string, string> = {}): ReturnType<typeof call> =>
    call("unblock-login", { json: sent, headers: { ...secretKey(), ...headers } });
  const withoutReason = await ask({ email });
  expectRefusal(withoutReason, 400, "INVALID_BODY");
  expect(withoutReason.body["details"]).toMatchObject([{ path: "reason" }]);
  const wrongDryRun = await ask({ ...apply, dry_run: "yes" });
  expectRefusal(wrongDryRun, 400, "INVALID_BODY");
  expect(wrongDryRun.body["details"]).toEqual([
    { path: "dry_run", message: 'must be of type boolean, not "yes"' },
  ]);
  expectRefusal(await ask(apply, { "idempotency-key": "two words" }), 400, "INVALID_BODY");
});

it("says what a request takes that does not fit, and how a change of high risk is asked for", async () => {
  const forum = await call("diagnose-forum", { json: { class_id: "Conversatie" }, headers: secretKey() });
  expectRefusal(forum, 400, "INVALID_BODY");
  expect(forum.body["hint"]).toMatch(/^It takes class_id \(.+\), email\? \(.+\), user_id\? \(.+\)\.$/);
  const listed = await call("remediate", { json: { remediation: "vacuum-table" }, headers: secretKey() });
  expect(listed.body["hint"]).toMatch(/^It takes table \(.+\)\.$/);
  const unplanned = await call("confirm-email", { json: apply, headers: secretKey() });
  expectRefusal(unplanned, 400, "INVALID_BODY");
  expect(unplanned.body["hint"]).toMatch(/dry_run: true.+plan_hash.+Idempotency-Key/);
  const unexplained = await call("unblock-login", { json: { email }, headers: secretKey() });
  expect(unexplained.body).not.toHaveProperty("hint");
});

it.each([
  [{ ...apply, reason: " " }, "reason", "must not be empty"],
  [{ ...apply, reason: "x".repeat(10_000) }, "reason", "must have at most 1000 characters, not 10000"],
  [{ ...apply, reason: 7 }, "reason", "must be of type string, not 7"],
  [{ ...apply, plan_hash: "yesterday" }, "plan_hash", "must have at least 64 characters, not 9"],
])("refuses to apply when an envelope does not fit: %j", async (sent, path, message) => {
  const answer = await call("unblock-login", { json: sent, headers: secretKey() });
  expectRefusal(answer, 400, "INVALID_BODY");
  expect(answer.body["details"]).toEqual([{ path, message }]);
});

it.each([
  [{}, "run_id"],
  [{ run_id: "1" }, "run_id"],
  [{ run_id: 1.5 }, "run_id"],
  [{ run_id: -1 }, "run_id"],
  [{ run_id: 1e300 }, "run_id"],
  [{ run_id: 1, force: true }, "force"],
])("refuses to undo %j", async (sent, path) => {
  const answer = await call("undo-remediation", {
    json: { ...sent, reason: "a test" },
    headers: secretKey(),
  });
  expectRefusal(answer, 400, "INVALID_BODY");
  expect(answer.body["details"]).toMatchObject([{ path }]);
});

it.each([
  ["unblock-login", { email: "" }, 400, /does not fit/, /^It takes email/],
  ["confirm-email", { email: "nobody@demo.example" }, 404, /No account has this address/, /diagnose-login/],
  [
    "enroll-student",
    { email: "ok@demo.example", class_id: "30000000-0000-4000-8000-000000000099" },
    404,
    /There is no class 3/,
    /diagnose-class-access/,
  ],
  [
    "mark-enrollment-paid",
    { email: "ok@demo.example", class_id: "30000000-0000-4000-8000-000000000005" },
    404,
    /There is no such enrolment/,
    /diagnose-class-access/,
  ],
  ["undo-remediation", { run_id: 999_999_999 }, 404, /There is no run 999999999/, /remediation-runs/],
])(
  "says of %s for %j what is not there and where to look",
  async (endpoint, params, status, message, hint) => {
    const answer = await call(endpoint, { json: { ...params, dry_run: true }, headers: secretKey() });
    expectRefusal(answer, status, status === 400 ? "INVALID_BODY" : "NOT_FOUND");
    expect(answer.body).toMatchObject({
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    });
  },
);

it("answers 404 for the undo of a run that nobody made", async () => {
  const json = { run_id: 999_999_999, reason: "a test" };
  expectRefusal(await call("undo-remediation", { json, headers: secretKey() }), 404, "NOT_FOUND");
});

it("answers 404 for an endpoint that does not exist", async () => {
  const answer = await call("diagnose-everything", { headers: secretKey(), json: {} });
  expect(answer.status).toBe(404);
  expect(answer.body["code"]).toBe("NOT_FOUND");
  expect((await call("_shared", { headers: secretKey(), json: {} })).status).toBe(404);
});
