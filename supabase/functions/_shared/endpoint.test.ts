import { describe, expect, test } from "vitest";
import { createEndpoint, type EndpointDefinition } from "./endpoint.ts";
import { EnvironmentError } from "./env.ts";
import { ApiError } from "./errors.ts";
import { createWorker, type Worker } from "./worker.ts";

const environment = {
  supabaseUrl: "http://api.example",
  databaseUrl: "postgres://nobody@127.0.0.1:1/none",
  publishableKeys: {},
  secretKeys: {},
  jwks: { keys: [] },
  executionId: "e1",
};

const openNothing = (): Worker => createWorker(environment, "test");

async function ask(
  answer: EndpointDefinition["answer"],
  request: Request = new Request("http://x/say-hello", { method: "POST" }),
  open: () => Worker = openNothing,
): Promise<{ response: Response; body: unknown; line: Record<string, unknown> }> {
  const lines: string[] = [];
  const endpoint = createEndpoint(
    { name: "say-hello", methods: ["POST"], answer },
    { open, log: (line) => lines.push(line) },
  );
  const response = await endpoint.fetch(request);
  const text = await response.text();
  expect(lines).toHaveLength(1);
  return { response, body: text === "" ? undefined : JSON.parse(text), line: JSON.parse(lines[0] ?? "") };
}

const hello: EndpointDefinition["answer"] = async (exchange) => {
  exchange.actor = "user";
  return Response.json({ hello: exchange.requestId });
};

test("an answer carries the request id, CORS and no caching, and is logged", async () => {
  const request = new Request("http://x/functions/v1/say-hello", {
    method: "POST",
    headers: { "x-request-id": "r1" },
  });
  const { response, body, line } = await ask(hello, request);
  expect(response.status).toBe(200);
  expect(body).toEqual({ hello: "r1" });
  expect(response.headers.get("x-request-id")).toBe("r1");
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(response.headers.get("access-control-allow-origin")).toBe("*");
  expect(response.headers.get("access-control-expose-headers")).toContain("x-request-id");
  expect(line).toEqual({
    time: expect.any(String),
    endpoint: "say-hello",
    method: "POST",
    status: 200,
    took_ms: expect.any(Number),
    request_id: "r1",
    actor: "user",
    execution_id: "e1",
  });
});

test("a preflight is answered before anything else", async () => {
  const { response, line } = await ask(
    () => Promise.reject(new Error("asked")),
    new Request("http://x/say-hello", { method: "OPTIONS" }),
    () => {
      throw new Error("opened");
    },
  );
  expect(response.status).toBe(204);
  expect(response.headers.get("access-control-allow-methods")).toBe("POST, OPTIONS");
  for (const name of [
    "authorization",
    "x-client-info",
    "apikey",
    "content-type",
    "idempotency-key",
    "x-request-id",
    "x-region",
    "accept",
  ])
    expect(response.headers.get("access-control-allow-headers")?.split(", ")).toContain(name);
  expect(line).toMatchObject({ method: "OPTIONS", status: 204, actor: "none" });
});

test("another method is 405 with what is allowed", async () => {
  const { response, body } = await ask(hello, new Request("http://x/say-hello"));
  expect(response.status).toBe(405);
  expect(response.headers.get("allow")).toBe("POST, OPTIONS");
  expect(body).toMatchObject({ code: "METHOD_NOT_ALLOWED" });
});

test.each(["/say-hello/again", "/say", "/not-say-hello", "/"])("%s is 404", async (path) => {
  const { response, body } = await ask(hello, new Request(`http://x${path}`, { method: "POST" }));
  expect(response.status).toBe(404);
  expect(body).toMatchObject({ code: "NOT_FOUND" });
});

describe("a failure", () => {
  test("has its status, code, headers and CORS, and is logged with its reason", async () => {
    const error = new ApiError("LOCKED", { reason: "somebody_else" });
    const { response, body, line } = await ask(() => Promise.reject(error));
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("2");
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(body).toEqual(error.body(response.headers.get("x-request-id") ?? ""));
    expect(line).toMatchObject({ status: 503, code: "LOCKED", reason: "somebody_else" });
  });

  test("inside says nothing of its cause, the log does", async () => {
    const { response, body, line } = await ask(() => Promise.reject(new RangeError("secret place")));
    expect(response.status).toBe(500);
    expect(body).toMatchObject({ code: "INTERNAL" });
    expect(JSON.stringify(body)).not.toContain("secret");
    expect(line["cause"]).toMatchObject({ name: "RangeError", message: "secret place" });
  });

  test("of the environment is an inner one, and is tried again at the next request", async () => {
    const { body, line } = await ask(hello, undefined, () => {
      throw new EnvironmentError("SUPABASE_URL: is missing");
    });
    expect(body).toMatchObject({ code: "INTERNAL" });
    expect(line["cause"]).toMatchObject({ name: "EnvironmentError", message: "SUPABASE_URL: is missing" });
  });
});

test("a database that nobody serves is unreachable at once", async () => {
  const { response, body } = await ask(async ({ worker }) =>
    Response.json(await worker.connection.statements`select 1`),
  );
  expect(response.status).toBe(503);
  expect(body).toMatchObject({ code: "DATABASE_UNREACHABLE" });
});
