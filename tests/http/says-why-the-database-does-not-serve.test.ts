import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from "vitest";
import type { Endpoint } from "../../supabase/functions/_shared/endpoint.ts";
import { serveDiagnosis } from "../../supabase/functions/_shared/serve-diagnosis.ts";
import { serveHealthCheck } from "../../supabase/functions/_shared/serve-health-check.ts";
import { serveRemediation } from "../../supabase/functions/_shared/serve-remediation.ts";
import { createWorker, type Worker } from "../../supabase/functions/_shared/worker.ts";
import { call, openDatabase, secretKey } from "./runbook-client.ts";

const sql = openDatabase();
const silent = (): void => {};

const workers: Worker[] = [];
afterAll(() => Promise.all(workers.map((worker) => worker.connection.end())));

/** A worker in this process, on another database URL than the stack's functions have. */
function workerOn(databaseUrl: string): Worker {
  const environment = {
    supabaseUrl: inject("url"),
    databaseUrl,
    publishableKeys: { default: inject("publishableKey") },
    secretKeys: { default: inject("secretKey") },
    jwks: { keys: [] },
    executionId: undefined,
  };
  const worker = createWorker(environment, "test");
  workers.push(worker);
  return worker;
}

function endpointsOn(
  databaseUrl: string,
): Record<"diagnose-login" | "unblock-login" | "health-check", Endpoint> {
  const worker = workerOn(databaseUrl);
  const parts = { open: () => worker, log: silent };
  return {
    "diagnose-login": serveDiagnosis("login", parts),
    "unblock-login": serveRemediation("unblock-login", parts),
    "health-check": serveHealthCheck(parts),
  };
}

function ask(endpoint: Endpoint, name: string, headers: Record<string, string> = {}): Promise<Response> {
  const json = name === "health-check" ? {} : { email: "blocked@demo.example" };
  const body = JSON.stringify(name === "unblock-login" ? { ...json, reason: "a test" } : json);
  return endpoint.fetch(
    new Request(`http://functions/${name}`, {
      method: "POST",
      body,
      headers: { ...secretKey(), "content-type": "application/json", ...headers },
    }),
  );
}

describe("nobody serves the port", () => {
  const endpoints = endpointsOn("postgres://postgres:secret-password@127.0.0.1:1/postgres");

  it.each(["diagnose-login", "unblock-login", "health-check"] as const)(
    "%s says so at once",
    async (name) => {
      const startedAt = performance.now();
      const response = await ask(endpoints[name], name);
      const text = await response.text();
      expect(response.status).toBe(503);
      expect(JSON.parse(text)).toMatchObject({ code: "DATABASE_UNREACHABLE" });
      expect(response.headers.get("retry-after")).toBe("10");
      expect(text).not.toMatch(/127\.0\.0\.1|secret|ECONNREFUSED/);
      expect(performance.now() - startedAt).toBeLessThan(2500);
    },
  );

  it("says so in sentences to people", async () => {
    const response = await ask(endpoints["health-check"], "health-check", { accept: "text/plain" });
    expect(response.status).toBe(503);
    expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(await response.text()).toMatch(/^The database cannot be reached\.\n/);
  });

  it("is still refused without credentials before anything is tried", async () => {
    const response = await endpoints["health-check"].fetch(new Request("http://functions/health-check"));
    expect(response.status).toBe(401);
  });
});

it("tells a database without free connections from one that is away", async () => {
  const role = `runbook_test_${crypto.randomUUID().slice(0, 8)}`;
  await sql.unsafe(`create role ${role} login password 'x' connection limit 0`);
  onTestFinished(async () => {
    await sql.unsafe(`drop role ${role}`);
  });
  const url = new URL(inject("databaseUrl"));
  url.username = role;
  url.password = "x";
  const response = await ask(endpointsOn(url.href)["health-check"], "health-check");
  expect(response.status).toBe(503);
  expect(await response.json()).toMatchObject({ code: "NO_CONNECTIONS" });
});

describe("in read-only mode", () => {
  const url = new URL(inject("databaseUrl"));
  url.searchParams.set("default_transaction_read_only", "on");
  const endpoints = endpointsOn(url.href);

  it("diagnoses", async () => {
    const response = await ask(endpoints["diagnose-login"], "diagnose-login");
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ issue: "login" });
  });

  it("reports health", async () => {
    const response = await ask(endpoints["health-check"], "health-check");
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ checks: expect.any(Array) });
  });

  it("changes nothing and says why", async () => {
    const response = await ask(endpoints["unblock-login"], "unblock-login");
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ code: "READ_ONLY" });
  });
});

describe("while somebody holds the row", () => {
  const holder = postgres(inject("databaseUrl"), { max: 1 });
  const email = `held-${crypto.randomUUID()}@demo.example`;
  let release: () => void = silent;
  let held: Promise<unknown>;

  beforeAll(async () => {
    await sql`
      insert into public.auth_rate_limits (identifier, blocked_until) values (${email}, now() + interval '1 hour')`;
    await new Promise<void>((resolve, reject) => {
      held = holder.begin(async (transaction) => {
        await transaction`select from public.auth_rate_limits where identifier = ${email} for update`;
        resolve();
        await new Promise<void>((done) => {
          release = done;
        });
      });
      held.catch(reject);
    });
  });

  afterAll(async () => {
    release();
    await held;
    await holder.end();
    await sql`delete from public.auth_rate_limits where identifier = ${email}`;
  });

  it("a remediation gives up after two seconds and may be tried again", async () => {
    const answer = await call("unblock-login", { headers: secretKey(), json: { email, reason: "a test" } });
    expect(answer.status).toBe(503);
    expect(answer.body["code"]).toBe("LOCKED");
    expect(answer.headers.get("retry-after")).toBe("2");
  });

  it("a diagnosis does not wait", async () => {
    const answer = await call("diagnose-login", { headers: secretKey(), json: { email } });
    expect(answer.status).toBe(200);
  });
});

describe("when the schema has another version", () => {
  beforeAll(async () => {
    await sql`insert into runbook.release (version, migrations) values ('99.0.0', array['0'])`;
  });
  afterAll(() => sql`delete from runbook.release where version = '99.0.0'`);

  it.each(["diagnose-login", "unblock-login"])("%s refuses and names both", async (name) => {
    const answer = await call(name, { headers: secretKey(), json: { email: "x", reason: "a test" } });
    expect(answer.status).toBe(503);
    expect(answer.body).toMatchObject({
      code: "VERSION_MISMATCH",
      message: expect.stringContaining("99.0.0"),
      details: { functions: "0.1.0", schema: "99.0.0" },
    });
  });

  it("the health check tells of it", async () => {
    const answer = await call("health-check", { headers: secretKey(), json: {} });
    expect(answer.status).toBe(200);
    expect(answer.text).toContain("versions_differ");
  });
});
