import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Answer,
  bearer,
  call,
  expectRefusal,
  openDatabase,
  secretKey,
  signIn,
} from "./runbook-client.ts";

const sql = openDatabase();

function entry(answer: Answer, check: string): Record<string, unknown> | undefined {
  const checks = answer.body["checks"];
  return Array.isArray(checks) ? checks.find((one) => one.check === check) : undefined;
}

async function ticketFor(endpoint: string): Promise<string> {
  const [row] = await sql`select runbook.issue_ticket(${endpoint}) as ticket`;
  return String(row?.["ticket"]);
}

it("answers a report of every check of the catalog", async () => {
  const answer = await call("health-check", { method: "GET", headers: secretKey() });
  expect(answer.status).toBe(200);
  expect(answer.body).toMatchObject({
    status: expect.stringMatching(/^(ok|warning|critical|unknown)$/),
    checked_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*(Z|\+00:00)$/),
    took_ms: expect.any(Number),
  });
  const [row] = await sql`select jsonb_agg(name order by position) as names from runbook.check`;
  const checks = answer.body["checks"];
  expect(Array.isArray(checks) ? checks.map((one) => one.check) : checks).toEqual(row?.["names"]);
  for (const check of Array.isArray(checks) ? checks : []) {
    expect(check).toMatchObject({
      status: expect.any(String),
      group: expect.any(String),
      measured_at: expect.any(String),
      took_ms: expect.any(Number),
      findings: expect.any(Array),
    });
    expect(check).toHaveProperty("value");
    expect(check).toHaveProperty("threshold");
  }
});

it("has looked at Auth and at the functions' version itself", async () => {
  const answer = await call("health-check", { headers: secretKey() });
  expect(entry(answer, "auth_reachable")).toMatchObject({ status: "ok" });
  expect(entry(answer, "versions_agree")).toMatchObject({ status: "ok" });
});

it("takes its parameters from the body and from the query", async () => {
  for (const sent of [
    { json: { detail: true } },
    { json: {} },
    { method: "GET", path: "?detail=true" },
    { method: "GET", path: "?detail=false&fail=critical" },
  ]) {
    const { path = "", ...rest } = sent;
    const answer = await call(`health-check${path}`, { ...rest, headers: secretKey() });
    expect(answer.body).toHaveProperty("checks");
  }
});

const unknownCheck = 'is not a known check: "coffee"; a report without a choice names all';
const unknownGroup = "must be one of runbook, platform, activity, limits, statements, indexes, storage, not";

it.each([
  [
    "?fial=critical",
    {},
    [{ path: "?fial", message: "is not a known parameter; known are checks, groups, detail, width, fail" }],
  ],
  ["?fail=warning", {}, undefined],
  ["?detail=yes", {}, undefined],
  ["", { detail: "yes" }, [{ path: "detail", message: 'must be of type boolean, not "yes"' }]],
  [
    "",
    { details: true },
    [{ path: "details", message: "is not a known parameter; known are checks, groups, detail" }],
  ],
  ["", { checks: ["connections", "coffee"] }, [{ path: "checks.1", message: unknownCheck }]],
  ["?checks=coffee,connections", {}, [{ path: "?checks.0", message: unknownCheck }]],
  ["?groups=cups", {}, [{ path: "?groups.0", message: `${unknownGroup} "cups"` }]],
  [
    "",
    { groups: ['we\'ird "Näme"'] },
    [{ path: "groups.0", message: `${unknownGroup} "we'ird \\"Näme\\""` }],
  ],
  ["", { checks: "connections" }, [{ path: "checks", message: 'must be of type array, not "connections"' }]],
  ["", { checks: [] }, [{ path: "checks", message: "must not be empty" }]],
  ["?width=20", {}, [{ path: "?width", message: 'must be at least 30, not "20"' }]],
  ["?width=wide", {}, [{ path: "?width", message: 'must be of type integer, not "wide"' }]],
  ["?checks=", {}, [{ path: "?checks.0", message: "must not be empty" }]],
  ["?checks=connections", { checks: ["connections"] }, undefined],
])("refuses %s with %j", async (query, json, details) => {
  const answer = await call(`health-check${query}`, { json, headers: secretKey() });
  expectRefusal(answer, 400, "INVALID_BODY");
  if (details !== undefined) expect(answer.body["details"]).toEqual(details);
});

describe("asked for some checks", () => {
  it.each([
    ["", { checks: ["connections", "clock_not_shifted"] }],
    ["?checks=connections,clock_not_shifted", undefined],
  ])("%s %j answers a partial report of these", async (query, json) => {
    const method = json === undefined ? "GET" : "POST";
    const answer = await call(`health-check${query}`, { method, json, headers: secretKey() });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      partial: true,
      checks: [{ check: "clock_not_shifted" }, { check: "connections" }],
    });
    const text = await call(`health-check${query}`, {
      method,
      json,
      headers: { ...secretKey(), accept: "text/plain" },
    });
    expect(text.text).toContain("only 2 checks");
  });

  it("answers those of a group", async () => {
    const answer = await call("health-check?groups=activity", { method: "GET", headers: secretKey() });
    const checks = answer.body["checks"];
    expect(Array.isArray(checks) && checks.length > 0).toBe(true);
    for (const check of Array.isArray(checks) ? checks : []) expect(check.group).toBe("activity");
  });

  it("keeps no partial report as the latest", async () => {
    await call("health-check", { json: { checks: ["connections"] }, headers: secretKey() });
    const [kept] = await sql`select count(*)::integer as n from runbook.report where report ? 'partial'`;
    expect(kept?.["n"]).toBe(0);
  });
});

describe("for people", () => {
  it("is plain text of 80 columns", async () => {
    const headers = { ...bearer(await signIn("viewer@demo.example")), accept: "text/plain" };
    const answer = await call("health-check", { method: "GET", headers });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(answer.text).toMatch(/^Health check: \w+\./);
    expect(answer.text.endsWith("\n")).toBe(true);
    for (const line of answer.text.split("\n")) expect([...line].length).toBeLessThanOrEqual(80);
  });

  it("tells with detail what is worth knowing and no problem", async () => {
    const headers = { ...secretKey(), accept: "text/plain" };
    const checks = ["settings", "table_growth"];
    const short = await call("health-check", { json: { checks }, headers });
    const long = await call("health-check", { json: { checks, detail: true }, headers });
    expect(short.text).toMatch(
      /\ninfo {12}Worth knowing, and no problem: Settings\.\s+health-check\?detail=true tells it\.\n/,
    );
    expect(long.text).toMatch(/\ninfo {12}Settings: 1 setting\n {16}random_page_cost is 4, /);
    expect(long.text).toMatch(/\nnot applicable {2}Growth of tables\n {16}There are no sizes /);
  });

  it("refuses in sentences", async () => {
    const answer = await call("health-check", { method: "GET", headers: { accept: "text/plain" } });
    expect(answer.status).toBe(401);
    expect(answer.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(answer.text).toMatch(/^The request has no valid credentials\.\n/);
    expect(answer.text).toContain(`(UNAUTHENTICATED, request ${answer.headers.get("x-request-id")})`);
  });
});

describe("when a check hangs", () => {
  beforeAll(async () => {
    await sql`create schema health_test`;
    await sql`
      create function health_test.check_hangs(settings jsonb) returns runbook.check_result
      language sql stable as 'select row(1, null)::runbook.check_result from pg_sleep(5)'`;
    await sql`
      create function health_test.check_takes_its_time(settings jsonb) returns runbook.check_result
      language sql stable as 'select row(1, null)::runbook.check_result from pg_sleep(0.35)'`;
    await sql`
      insert into runbook.check (name, title, description, function, position)
      values
        ('takes_its_time', 'Slow', 'Slow.', 'health_test.check_takes_its_time', -5),
        ('takes_its_time_too', 'Slow', 'Slow.', 'health_test.check_takes_its_time', -4),
        ('takes_its_time_as_well', 'Slow', 'Slow.', 'health_test.check_takes_its_time', -3),
        ('hangs', 'Hangs', 'Hangs.', 'health_test.check_hangs', -2),
        ('hangs_too', 'Hangs', 'Hangs.', 'health_test.check_hangs', -1)`;
  });
  afterAll(async () => {
    await sql`delete from runbook.check where function like 'health_test.%'`;
    await sql`drop schema health_test cascade`;
  });

  it("gives it one second, and runs those behind it", async () => {
    const answer = await call("health-check", { method: "GET", headers: secretKey() });
    expect(answer.status).toBe(200);
    for (const name of ["hangs", "hangs_too"])
      expect(entry(answer, name)).toMatchObject({ status: "error", reason: expect.any(String) });
    expect(entry(answer, "versions_agree")).toMatchObject({ status: "ok" });
    // Together they take longer than one statement may.
    for (const name of ["takes_its_time", "takes_its_time_too", "takes_its_time_as_well"])
      expect(entry(answer, name)).toMatchObject({ status: "ok", value: 1 });
    const checks = answer.body["checks"];
    const names = Array.isArray(checks) ? checks.map((one) => one.check) : [];
    expect(new Set(names).size).toBe(names.length);
  });
});

describe("when the clock is shifted", () => {
  beforeAll(() => sql`select runbook.shift_clock('1 hour')`);
  afterAll(() => sql`select runbook.shift_clock(null)`);

  it("is critical and still 200", async () => {
    const answer = await call("health-check", { method: "GET", headers: secretKey() });
    expect(answer.status).toBe(200);
    expect(answer.body["status"]).toBe("critical");
    expect(entry(answer, "clock_not_shifted")).toMatchObject({ status: "critical" });
  });

  it("is 503 for a monitor that asks for it, with the same report", async () => {
    const answer = await call("health-check?fail=critical", { method: "GET", headers: secretKey() });
    expect(answer.status).toBe(503);
    expect(entry(answer, "clock_not_shifted")).toMatchObject({ status: "critical" });
    const text = await call("health-check?fail=critical", {
      method: "GET",
      headers: { ...secretKey(), accept: "text/plain" },
    });
    expect(text.status).toBe(503);
    expect(text.text).toMatch(/^Health check: critical\./);
  });
});

describe("the schedule's ticket", () => {
  it("opens the endpoint once, and makes it look outside", async () => {
    const headers = { "x-runbook-ticket": await ticketFor("health-check") };
    await sql`delete from runbook.probe`;
    const first = await call("health-check", { headers, json: {} });
    // pg_net keeps answers where every login can read them.
    expect(first.status).toBe(204);
    expect(first.text).toBe("");
    const probes = await sql`select name, ok from runbook.probe order by name`;
    expect([...probes]).toEqual([
      { name: "auth_health", ok: true },
      { name: "data_api", ok: true },
      { name: "disk", ok: true },
      { name: "functions_version", ok: true },
    ]);
    expectRefusal(await call("health-check", { headers, json: {} }), 401, "UNAUTHENTICATED");
  });

  it("leaves nothing of the report where every login of the database can read it", async () => {
    const ids: unknown[] = [];
    await sql.begin(async (transaction) => {
      await transaction`select runbook.lock_for_transaction('tick')`;
      await transaction`select runbook.tick()`;
      // The request of this tick, which is sent when it commits.
      const queued = await transaction`
        select max(req.id)::text as id from net.http_request_queue as req where req.url like '%/health-check'`;
      ids.push(queued[0]?.["id"]);
    });
    const answers = async (): Promise<unknown[]> => [
      ...(await sql`
        select res.status_code, res.content, res.timed_out, res.error_msg
        from net._http_response as res where res.id = ${String(ids[0])}::bigint`),
    ];
    await expect.poll(answers, { timeout: 60_000 }).not.toEqual([]);
    expect(await answers()).toEqual([{ status_code: 204, content: null, timed_out: false, error_msg: null }]);
  });

  it("opens no other endpoint, and is not used up there", async () => {
    const headers = { "x-runbook-ticket": await ticketFor("health-check") };
    const json = { email: "ok@demo.example" };
    expectRefusal(await call("diagnose-login", { headers, json }), 401, "UNAUTHENTICATED");
    expectRefusal(await call("unblock-login", { headers, json }), 401, "UNAUTHENTICATED");
    expect((await call("health-check", { headers })).status).toBe(204);
  });

  it("of another endpoint, of garbage or of no characters is refused", async () => {
    for (const ticket of [await ticketFor("other-endpoint"), "'; --", "x".repeat(300), "x"]) {
      const answer = await call("health-check", { headers: { "x-runbook-ticket": ticket } });
      expectRefusal(answer, 401, "UNAUTHENTICATED");
    }
  });

  it("is too old after two minutes", async () => {
    const ticket = await ticketFor("health-check");
    await sql`update runbook.ticket set issued_at = issued_at - interval '121 seconds'`;
    const answer = await call("health-check", { headers: { "x-runbook-ticket": ticket } });
    expectRefusal(answer, 401, "UNAUTHENTICATED");
  });
});
