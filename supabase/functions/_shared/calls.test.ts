import { expect, test } from "vitest";
import { send } from "./calls.ts";
import type { Call } from "./run-statements.ts";

const environment = {
  supabaseUrl: "http://api.example",
  databaseUrl: "postgres://unused",
  publishableKeys: { default: "sb_publishable_x" },
  secretKeys: { first: "sb_secret_first", default: "sb_secret_default" },
  jwks: { keys: [] },
  executionId: undefined,
};
const call: Call = {
  id: "7",
  run_id: "3",
  token: "00000000-0000-0000-0000-000000000000",
  service: "auth",
  method: "PUT",
  path: "/admin/users/1",
  body: { email_confirm: true },
  idempotency_key: "k1",
  attempt: 1,
};

const management = { url: "http://api.example", token: "sbp_x", projectRef: "abcdefghijklmnopqrst" };
const shutdown = {
  service: "management",
  method: "POST",
  path: "/projects/abcdefghijklmnopqrst/config/realtime/shutdown",
  body: null,
};

async function sendTo(
  answer: () => Promise<Response>,
  changed: Partial<Call> = {},
  more: Partial<Parameters<typeof send>[1]["environment"]> = {},
): Promise<{ outcome: Awaited<ReturnType<typeof send>>; asked: Request[] }> {
  const asked: Request[] = [];
  const outcome = await send(
    { ...call, ...changed },
    {
      environment: { ...environment, ...more },
      fetch: async (input, init) => {
        asked.push(new Request(input, init));
        return await answer();
      },
    },
  );
  return { outcome, asked };
}

test("a call is sent with the default secret key and its idempotency key", async () => {
  const { outcome, asked } = await sendTo(async () => Response.json({ id: 1 }));
  expect(outcome).toEqual({ status: 200 });
  const [request] = asked;
  expect(request?.method).toBe("PUT");
  expect(request?.url).toBe("http://api.example/auth/v1/admin/users/1");
  expect(request?.redirect).toBe("manual");
  expect(Object.fromEntries(request?.headers ?? [])).toMatchObject({
    apikey: "sb_secret_default",
    "idempotency-key": "k1",
    "content-type": "application/json",
  });
  expect(await request?.json()).toEqual({ email_confirm: true });
});

test("a call without a body has none", async () => {
  const { asked } = await sendTo(async () => new Response(), { method: "DELETE", body: null });
  expect(await asked[0]?.text()).toBe("");
  expect(asked[0]?.headers.has("content-type")).toBe(false);
});

test.each([
  [429, `{"code":"over_email_send_rate_limit","message":"x@demo.example"}`, "over_email_send_rate_limit"],
  [422, `{"code":422,"error_code":"email_exists","msg":"x@demo.example"}`, "email_exists"],
  [500, `{"code":"Someone <x@demo.example>"}`, undefined],
  [502, "<html>x@demo.example</html>", undefined],
  [503, "null", undefined],
])("of a %s only the code is kept", async (status, body, error) => {
  const { outcome } = await sendTo(async () => new Response(body, { status }));
  expect(outcome).toEqual({ status, ...(error === undefined ? {} : { error }) });
});

test.each([
  ["30", 30],
  ["1.2", 2],
  ["Wed, 21 Oct 2026 07:28:00 GMT", undefined],
  ["-1", undefined],
])("Retry-After %s waits %s", async (header, seconds) => {
  const { outcome } = await sendTo(
    async () => new Response(null, { status: 503, headers: { "retry-after": header } }),
  );
  expect(outcome.retry_after_s).toBe(seconds);
});

test.each([
  [new TypeError("error sending request for x@demo.example"), "unreachable"],
  [new DOMException("signal timed out", "TimeoutError"), "timeout"],
])("no answer is an outcome without a status: %s", async (failure, error) => {
  expect((await sendTo(() => Promise.reject(failure))).outcome).toEqual({ error });
});

test.each([
  { service: "auth", path: "//evil.example/admin" },
  { service: "auth", path: "/../../functions/v1/members" },
  { service: "auth", path: "/%2e%2e/%2e%2e/functions/v1/members" },
  { service: "auth", path: "admin/users" },
  { service: "auth", path: "/\\..\\..\\rest/v1" },
  { service: "mail", path: "/send" },
])("nothing is sent outside of Auth's own paths: %j", async (changed) => {
  const { outcome, asked } = await sendTo(async () => new Response(), changed);
  for (const request of asked) expect(request.url).toMatch(/^http:\/\/api\.example\/auth\/v1\//);
  if (asked.length === 0) expect(outcome).toEqual({ status: 400, error: "no_such_address" });
});

test("without a secret key nothing is sent, and it may be tried again", async () => {
  const fetch = (): Promise<Response> => Promise.reject(new Error("sent"));
  expect(await send(call, { environment: { ...environment, secretKeys: {} }, fetch })).toEqual({
    error: "no_secret_key",
  });
});

test("the Management API is called with its own token and no key of the project", async () => {
  const { outcome, asked } = await sendTo(async () => new Response(null, { status: 204 }), shutdown, {
    management,
  });
  expect(outcome).toEqual({ status: 204 });
  const [request] = asked;
  expect(request?.url).toBe("http://api.example/v1/projects/abcdefghijklmnopqrst/config/realtime/shutdown");
  expect(request?.headers.get("authorization")).toBe("Bearer sbp_x");
  expect(request?.headers.get("apikey")).toBeNull();
  expect(request?.redirect).toBe("manual");
});

test("a path does not leave the Management API", async () => {
  const changed = { ...shutdown, path: "/../../evil" };
  const { outcome, asked } = await sendTo(async () => new Response(), changed, { management });
  expect(outcome).toEqual({ status: 400, error: "no_such_address" });
  expect(asked).toEqual([]);
});

test("without a token the Management API is not called", async () => {
  const { outcome, asked } = await sendTo(async () => new Response(), shutdown);
  expect(outcome).toEqual({ error: "no_management_token" });
  expect(asked).toEqual([]);
});

test("a page of somebody in between is no answer of the service", async () => {
  const page = new Response("<html>", { headers: { "content-type": "text/html; charset=utf-8" } });
  expect((await sendTo(async () => page, shutdown, { management })).outcome).toEqual({
    status: 502,
    error: "not_the_service",
  });
});
