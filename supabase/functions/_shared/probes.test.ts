import { expect, test } from "vitest";
import * as z from "zod";
import { Probes } from "./probes.ts";
import { VERSION } from "./version.ts";

const environment = {
  supabaseUrl: "http://api.example",
  databaseUrl: "postgres://unused",
  publishableKeys: { default: "sb_publishable_x" },
  secretKeys: {},
  jwks: { keys: [] },
  executionId: undefined,
};

test("Auth's health is asked for with the publishable key", async () => {
  const asked: Request[] = [];
  const probes = new Probes(environment, {
    fetch: async (input, init) => {
      asked.push(new Request(input, init));
      return Response.json({ name: "GoTrue" });
    },
  });
  expect(await probes.look(["auth_health"])).toEqual([
    { name: "auth_health", ok: true, evidence: { status: 200, error: null, took_ms: expect.any(Number) } },
  ]);
  expect(asked.map((request) => [request.url, request.headers.get("apikey")])).toEqual([
    ["http://api.example/auth/v1/health", "sb_publishable_x"],
  ]);
});

test("an answer other than 2xx is not ok", async () => {
  const probes = new Probes(environment, { fetch: async () => new Response(null, { status: 503 }) });
  expect(await probes.look(["auth_health"])).toMatchObject([{ ok: false, evidence: { status: 503 } }]);
});

test.each([
  [new TypeError("error sending request to someone@demo.example"), "unreachable"],
  [new DOMException("signal timed out", "TimeoutError"), "timeout"],
])("a failure is what was seen, in one word: %s", async (failure, word) => {
  const probes = new Probes(environment, { fetch: () => Promise.reject(failure) });
  expect(await probes.look(["auth_health"])).toEqual([
    { name: "auth_health", ok: false, evidence: { status: null, error: word, took_ms: expect.any(Number) } },
  ]);
});

test("the version of the functions is a probe", async () => {
  expect(await new Probes(environment).look(["functions_version"])).toEqual([
    { name: "functions_version", ok: true, evidence: { version: VERSION } },
  ]);
});

test("a probe that nobody knows is not looked at", async () => {
  const probes = new Probes(environment);
  expect(probes.due(["weather", "constructor"])).toEqual([]);
  expect(await probes.look(["weather", "constructor"])).toEqual([]);
});

test("of Auth's settings only those are kept that decide who may sign in", async () => {
  const answer = {
    external: { email: false, google: true },
    disable_signup: true,
    mailer_autoconfirm: false,
    saml_enabled: false,
    sms_provider: "twilio",
  };
  const probes = new Probes(environment, { fetch: async () => Response.json(answer) });
  expect(await probes.look(["auth_settings"])).toEqual([
    {
      name: "auth_settings",
      ok: true,
      evidence: {
        status: 200,
        error: null,
        took_ms: expect.any(Number),
        external: { email: false },
        disable_signup: true,
        mailer_autoconfirm: false,
        saml_enabled: false,
      },
    },
  ]);
});

test.each(["", "null", "<html>", `{"external":{"email":"yes"}}`])(
  "settings that cannot be read are not ok: %j",
  async (body) => {
    const probes = new Probes(environment, { fetch: async () => new Response(body) });
    expect(await probes.look(["auth_settings"])).toMatchObject([
      { ok: false, evidence: { status: 200, error: "unreadable" } },
    ]);
  },
);

async function lookAtDataApi(status: number, answer: unknown): Promise<{ seen: unknown; asked: Request[] }> {
  const asked: Request[] = [];
  const probes = new Probes(environment, {
    fetch: async (input, init) => {
      asked.push(new Request(input, init));
      return typeof answer === "string"
        ? new Response(answer, { status })
        : Response.json(answer, { status });
    },
  });
  const [seen] = await probes.look(["data_api"]);
  return { seen, asked };
}

test.each([
  [
    "PostgREST 14",
    {
      code: "PGRST106",
      details: null,
      hint: "Only the following schemas are exposed: public, graphql_public, Odd One",
      message: "Invalid schema: runbook_asks_which_schemas",
    },
  ],
  [
    "PostgREST 12",
    {
      code: "PGRST106",
      details: null,
      hint: null,
      message: "The schema must be one of the following: public, graphql_public, Odd One",
    },
  ],
])("the Data API names its schemas when it refuses one: %s", async (_version, refusal) => {
  const { seen, asked } = await lookAtDataApi(406, refusal);
  expect(seen).toMatchObject({
    ok: true,
    evidence: { status: 406, error: null, schemas: ["public", "graphql_public", "Odd One"] },
  });
  expect(
    asked.map(({ url, headers }) => [url, headers.get("apikey"), headers.get("accept-profile")]),
  ).toEqual([
    ["http://api.example/rest/v1/runbook?limit=0", "sb_publishable_x", "runbook_asks_which_schemas"],
  ]);
});

test.each<[string, number, unknown]>([
  ["rows", 200, []],
  ["a refusal of the key", 401, { message: "Invalid API key" }],
  ["another refusal", 406, { code: "PGRST107", message: "None of these media types are available" }],
  ["a refusal without the list", 406, { code: "PGRST106", message: "Invalid schema: x", hint: null }],
  [
    "an empty list",
    406,
    { code: "PGRST106", message: "x", hint: "Only the following schemas are exposed: " },
  ],
  ["no JSON", 406, "<html>"],
])("any other answer of the Data API tells nothing: %s", async (_what, status, answer) => {
  const { seen } = await lookAtDataApi(status, answer);
  expect(seen).toMatchObject({ ok: false, evidence: { status } });
  expect(seen).not.toHaveProperty("evidence.schemas");
});

const hosted = {
  ...environment,
  supabaseUrl: "https://abcdefghijklmnopqrst.supabase.co",
  secretKeys: { default: "sb_secret_x" },
};
const management = { url: "http://127.0.0.1:1", token: "sbp_x", projectRef: "abcdefghijklmnopqrst" };

async function lookAtRealtime(
  given: typeof hosted & { management?: typeof management },
  answer: unknown,
): Promise<{ seen: unknown; asked: Request[] }> {
  const asked: Request[] = [];
  const probes = new Probes(given, {
    fetch: async (input, init) => {
      asked.push(new Request(input, init));
      return answer instanceof Response ? answer : Response.json(answer);
    },
  });
  const [seen] = await probes.look(["realtime_health"]);
  return { seen, asked };
}

test("Realtime is asked for its health at its own address, with the secret key", async () => {
  const { seen, asked } = await lookAtRealtime(hosted, {
    data: { healthy: true, db_connected: false, connected_cluster: 0, region: "hidden" },
  });
  expect(seen).toEqual({
    name: "realtime_health",
    ok: true,
    evidence: {
      by: "realtime",
      status: 200,
      error: null,
      took_ms: expect.any(Number),
      healthy: true,
      db_connected: false,
      connected_cluster: 0,
    },
  });
  expect(asked.map(({ url, headers }) => [url, headers.get("apikey")])).toEqual([
    [
      "https://abcdefghijklmnopqrst.supabase.co/realtime/v1/api/tenants/abcdefghijklmnopqrst/health",
      "sb_secret_x",
    ],
  ]);
});

test("elsewhere than on the platform the tenant has the name that it has in Docker", async () => {
  const { asked } = await lookAtRealtime({ ...hosted, supabaseUrl: "http://api.example" }, {});
  expect(asked[0]?.url).toBe("http://api.example/realtime/v1/api/tenants/realtime-dev/health");
});

test("where there is a token the Management API is asked, and told nothing else", async () => {
  const { seen, asked } = await lookAtRealtime({ ...hosted, management }, [
    { name: "rest", status: "UNHEALTHY" },
    { name: "realtime", status: "ACTIVE_HEALTHY", info: { replication_connected: true, name: "hidden" } },
  ]);
  expect(seen).toMatchObject({
    ok: true,
    evidence: {
      by: "management_api",
      project_ref: "abcdefghijklmnopqrst",
      healthy: true,
      state: "ACTIVE_HEALTHY",
      replication_connected: true,
    },
  });
  const [request] = asked;
  expect(request?.url).toBe("http://127.0.0.1:1/v1/projects/abcdefghijklmnopqrst/health?services=realtime");
  expect(request?.headers.get("authorization")).toBe("Bearer sbp_x");
  expect(request?.headers.get("apikey")).toBeNull();
  expect(request?.redirect).toBe("manual");
  expect(JSON.stringify(seen)).not.toMatch(/sbp_x|hidden/);
});

test.each([
  [[{ name: "realtime", status: "UNHEALTHY" }], { healthy: false, error: null }],
  [[{ name: "auth", status: "ACTIVE_HEALTHY" }], { error: "unreadable" }],
  [{ message: "hidden" }, { error: "unreadable" }],
  [new Response("<html>hidden</html>"), { error: "unreadable" }],
  [new Response("hidden", { status: 401 }), { status: 401 }],
])("what is no good news of Realtime is not ok: %j", async (answer, evidence) => {
  const { seen } = await lookAtRealtime({ ...hosted, management }, answer);
  expect(seen).toMatchObject({ ok: false, evidence: { by: "management_api", ...evidence } });
  expect(JSON.stringify(seen)).not.toContain("hidden");
});

async function lookAtDisk(
  answer: () => Promise<Response>,
  given: typeof hosted & { management?: typeof management } = { ...hosted, management },
): Promise<{ seen: unknown; asked: Request[] }> {
  const asked: Request[] = [];
  const probes = new Probes(given, {
    fetch: async (input, init) => {
      asked.push(new Request(input, init));
      return await answer();
    },
  });
  const [seen] = await probes.look(["disk"]);
  return { seen, asked };
}

const sizes = { fs_size_bytes: 8_000_000_000, fs_used_bytes: 6_000_000_000, fs_avail_bytes: 1_900_000_000 };

test("the Management API is asked how full the disk is", async () => {
  const { seen, asked } = await lookAtDisk(async () =>
    Response.json({
      timestamp: "2026-11-23T12:00:00+01:00",
      metrics: { ...sizes, hidden: 1 },
      hidden: true,
    }),
  );
  expect(seen).toEqual({
    name: "disk",
    ok: true,
    evidence: {
      by: "management_api",
      project_ref: "abcdefghijklmnopqrst",
      status: 200,
      error: null,
      took_ms: expect.any(Number),
      measured_at: "2026-11-23T11:00:00.000Z",
      ...sizes,
    },
  });
  const [request] = asked;
  expect(request?.method).toBe("GET");
  expect(request?.url).toBe("http://127.0.0.1:1/v1/projects/abcdefghijklmnopqrst/config/disk/util");
  expect(request?.headers.get("authorization")).toBe("Bearer sbp_x");
  expect(request?.redirect).toBe("manual");
});

test("without a token nobody is asked for the disk", async () => {
  const { seen, asked } = await lookAtDisk(() => Promise.reject(new Error("asked")), hosted);
  expect(seen).toEqual({ name: "disk", ok: false, evidence: { status: null, error: "no_management_token" } });
  expect(asked).toEqual([]);
});

test.each(["yesterday", "", "+275760-09-13T00:00:00Z", undefined])(
  "a time that cannot be read is left out: %j",
  async (timestamp) => {
    const { seen } = await lookAtDisk(async () => Response.json({ timestamp, metrics: sizes }));
    expect(seen).toMatchObject({ ok: true, evidence: sizes });
    expect(JSON.stringify(seen)).not.toContain("measured_at");
  },
);

test.each([
  ["null", { error: "unreadable" }],
  ["{}", { error: "unreadable" }],
  ["<html>", { error: "unreadable" }],
  [JSON.stringify({ metrics: { ...sizes, fs_used_bytes: "6" } }), { error: "unreadable" }],
  [JSON.stringify({ metrics: { ...sizes, fs_used_bytes: null } }), { error: "unreadable" }],
  [`{"metrics":{"fs_size_bytes":1e999,"fs_used_bytes":1,"fs_avail_bytes":1}}`, { error: "unreadable" }],
])("what is no disk is not ok: %s", async (body, evidence) => {
  const { seen } = await lookAtDisk(async () => new Response(body));
  expect(seen).toMatchObject({ ok: false, evidence: { status: 200, ...evidence } });
});

test.each([
  [{ "retry-after": "7" }, 7],
  [{ "x-ratelimit-reset": "41" }, 41],
  [{ "retry-after": "1.2", "x-ratelimit-reset": "41" }, 2],
  [{ "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "x-ratelimit-reset": "41" }, 41],
  [{ "retry-after": "-1" }, undefined],
  [{}, undefined],
])("a service is left alone for as long as it asks: %j", async (headers, seconds) => {
  const { seen } = await lookAtDisk(async () => new Response("hidden", { status: 429, headers }));
  expect(seen).toMatchObject({ ok: false, evidence: { status: 429 } });
  const told = z.object({ evidence: z.object({ retry_after_s: z.number().optional() }) }).parse(seen);
  expect(told.evidence.retry_after_s).toBe(seconds);
  expect(JSON.stringify(seen)).not.toContain("hidden");
});
