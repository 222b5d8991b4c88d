import { expect, test } from "vitest";
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
