import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from "vitest";
import type { Endpoint } from "../../supabase/functions/_shared/endpoint.ts";
import { serveDiagnosis } from "../../supabase/functions/_shared/serve-diagnosis.ts";
import { serveHealthCheck } from "../../supabase/functions/_shared/serve-health-check.ts";
import { serveRemediation } from "../../supabase/functions/_shared/serve-remediation.ts";
import { untilNothing } from "../setup/schedule.ts";
import { call, openDatabase, secretKey, supabase } from "./runbook-client.ts";
import { partsOn, requestTo } from "./worker-on.ts";

const sql = openDatabase();
const silent = (): void => {};

const opened: ReturnType<typeof partsOn>[] = [];
afterAll(() => Promise.all(opened.map((parts) => parts.end())));

function endpointsOn(
  databaseUrl: string,
): Record<"diagnose-login" | "unblock-login" | "health-check", Endpoint> {
  const parts = partsOn({ databaseUrl });
  opened.push(parts);
  return {
    "diagnose-login": serveDiagnosis("login", parts),
    "unblock-login": serveRemediation("unblock-login", parts),
    "health-check": serveHealthCheck(parts),
  };
}

function ask(endpoint: Endpoint, name: string, headers: Record<string, string> = {}): Promise<Response> {
  const json = name === "health-check" ? {} : { email: "blocked@demo.example" };
  return endpoint.fetch(
    requestTo(name, name === "unblock-login" ? { ...json, reason: "a test" } : json, headers),
  );
}

describe("nobody serves the port", () => {
  const endpoints = endpointsOn("postgres://postgres:secret-password@127.0.0.1:1/postgres");

  it.each(["diagnose-login", "unblock-login", "health-check"] as const)(
    "%s says so at once",
    async (name) => {
      const response = await ask(endpoints[name], name);
      const text = await response.text();
      expect(response.status).toBe(503);
      expect(JSON.parse(text)).toMatchObject({ code: "DATABASE_UNREACHABLE" });
      expect(response.headers.get("retry-after")).toBe("10");
      expect(text).not.toMatch(/127\.0\.0\.1|secret|ECONNREFUSED/);
    },
  );

  it("says so in sentences to people", async () => {
    const response = await ask(endpoints["health-check"], "health-check", { accept: "text/plain" });
    expect(response.status).toBe(503);
    expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    const text = await response.text();
    expect(text).toMatch(/^The database cannot be reached\.\n/);
    expect(text).toContain("critical        database_writable\nok              auth_reachable\n");
    for (const line of text.split("\n")) expect([...line].length).toBeLessThanOrEqual(80);
  });

  it("tells what it saw outside all the same", async () => {
    const response = await ask(endpoints["health-check"], "health-check");
    expect(await response.json()).toMatchObject({
      details: {
        report: {
          status: "critical",
          partial: true,
          checks: [
            { check: "database_writable", status: "critical", findings: [{ code: "database_unreachable" }] },
            { check: "auth_reachable", status: "ok", findings: [] },
          ],
        },
        last_report: null,
      },
    });
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

describe("when all connections are taken", () => {
  const holders: postgres.Sql[] = [];
  afterAll(async () => {
    await Promise.all(holders.map((holder) => holder.end({ timeout: 1 })));
    // The server takes a moment to end them, and the next tests count connections.
    await untilNothing(
      "too many connections",
      () => sql`
        select count(*)
        from pg_stat_activity
        where backend_type = 'client backend'
        having count(*) > current_setting('max_connections')::integer / 2`,
    );
  });

  async function takeAll(): Promise<void> {
    for (let isFull = false; !isFull; ) {
      const holder = postgres(inject("databaseUrl"), { max: 1, connect_timeout: 5 });
      holders.push(holder);
      isFull = await holder`select 1`.then(
        () => false,
        (error: unknown) => error instanceof postgres.PostgresError && error.code === "53300",
      );
      expect(holders.length).toBeLessThan(200);
    }
  }

  const reporting = endpointsOn(inject("databaseUrl"))["health-check"];
  let lastReport: unknown;

  /** Asks for health until there is no place: one that a session of the stack leaves meanwhile is taken again. */
  async function askForHealth(headers: Record<string, string> = {}): Promise<Response> {
    for (let attempt = 1; attempt <= 20; attempt += 1) {
      await takeAll();
      const response = await ask(reporting, "health-check", headers);
      if (response.status !== 200) return response;
      await giveALastReport();
    }
    throw new Error("Twenty times a connection was free.");
  }

  async function giveALastReport(): Promise<void> {
    lastReport = await (await ask(reporting, "health-check")).json();
    await takeAll();
    await sql`
      select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'runbook test'`;
  }

  beforeAll(giveALastReport);

  it.each(["diagnose-login", "unblock-login", "health-check"] as const)(
    "%s says so with the next step",
    async (name) => {
      let response: Response;
      // A place that a session of the stack leaves meanwhile is taken again.
      do {
        await takeAll();
        response = await ask(endpointsOn(inject("databaseUrl"))[name], name);
      } while (response.status === 200);
      expect(response.status).toBe(503);
      expect(await response.json()).toMatchObject({
        code: "NO_CONNECTIONS",
        hint: expect.stringContaining("RUNBOOK_DB_URL"),
      });
      expect(response.headers.get("retry-after")).toBe("5");
    },
  );

  it("health-check tells what it sees outside, and the last report that it gave", async () => {
    const response = await askForHealth();
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({
      code: "NO_CONNECTIONS",
      details: {
        report: {
          status: "critical",
          checks: [
            { check: "connections", findings: [{ code: "connections_used_up" }] },
            { check: "auth_reachable" },
          ],
        },
        last_report: lastReport,
      },
    });
  });

  it("health-check tells people the same", async () => {
    const response = await askForHealth({ accept: "text/plain" });
    expect(await response.text()).toMatch(
      /^critical {8}connections\n\w+ +auth_reachable\nThe last report, of \S+, was: \w+\.$/m,
    );
  });
});

describe("in read-only mode", () => {
  const url = new URL(inject("databaseUrl"));
  url.searchParams.set("default_transaction_read_only", "on");
  const endpoints = endpointsOn(url.href);

  it("diagnoses", async () => {
    // Nobody else's look may count.
    await sql`delete from runbook.probe`;
    const response = await ask(endpoints["diagnose-login"], "diagnose-login");
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ issue: "login", skipped: [] });
  });

  it("reports health", async () => {
    await sql`delete from runbook.probe`;
    const response = await ask(endpoints["health-check"], "health-check");
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      status: "critical",
      checks: expect.arrayContaining([
        expect.objectContaining({ check: "database_writable", status: "critical" }),
        expect.objectContaining({ check: "connections", status: "ok" }),
        expect.objectContaining({ check: "auth_reachable", status: "ok" }),
        expect.objectContaining({ check: "versions_agree", status: "ok" }),
      ]),
    });
  });

  it("refuses as ever, though the refusal cannot be recorded", async () => {
    const email = `read-only-${crypto.randomUUID()}@demo.example`;
    const { error } = await supabase().auth.signUp({ email, password: "demo-password-1" });
    expect(error).toBeNull();
    const parts = partsOn({ databaseUrl: url.href });
    opened.push(parts);
    const response = await serveRemediation("resend-confirmation", parts).fetch(
      requestTo("resend-confirmation", { email, reason: "a test" }),
    );
    expect(await response.json()).toMatchObject({ code: "TOO_SOON" });
  });

  it("changes nothing and says why", async () => {
    const response = await ask(endpoints["unblock-login"], "unblock-login");
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ code: "READ_ONLY" });
  });
});

describe("while somebody holds the row", () => {
  const holder = postgres(inject("databaseUrl"), {
    max: 1,
    connection: { application_name: "the forgotten one" },
  });
  const holderState = (): PromiseLike<readonly Record<string, unknown>[]> =>
    sql`select pid from pg_stat_activity where application_name = 'the forgotten one'`;
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

  it("a remediation gives up after two seconds, names who it is, and may be tried again", async () => {
    const answer = await call("unblock-login", { headers: secretKey(), json: { email, reason: "a test" } });
    expect(answer.status).toBe(503);
    const [held] = await holderState();
    expect(answer.body).toMatchObject({
      code: "LOCKED",
      message: expect.stringContaining(String(held?.["pid"])),
      hint: expect.any(String),
      details: {
        blockers: [{ pid: held?.["pid"], application: "the forgotten one", state: "idle in transaction" }],
      },
    });
    // What it runs may quote people.
    expect(answer.text).not.toContain("for update");
    expect(answer.headers.get("retry-after")).toBe("2");
  });

  it("a diagnosis does not wait", async () => {
    const answer = await call("diagnose-login", { headers: secretKey(), json: { email } });
    expect(answer.status).toBe(200);
  });
});

describe("while somebody holds a table of the runbook", () => {
  /** Holds it until the test is over; answers the session's process. */
  async function hold(table: string): Promise<unknown> {
    const holder = postgres(inject("databaseUrl"), {
      max: 1,
      connection: { application_name: "an upgrade that hangs" },
    });
    onTestFinished(() => holder.end({ timeout: 0 }));
    await holder.unsafe(`begin; lock table ${table} in access exclusive mode`).simple();
    const [session] = await holder`select pg_backend_pid() as pid`;
    return session?.["pid"];
  }

  it("checks answer without the figures of their costs", async () => {
    const pid = await hold("runbook.check_state");
    const health = await call("health-check?groups=activity", { headers: secretKey(), json: {} });
    expect(health).toMatchObject({ status: 200, body: { scheduled_cost: { reason: expect.any(String) } } });
    const diagnosis = await call("diagnose-memory", { headers: secretKey(), json: {} });
    expect(diagnosis).toMatchObject({ status: 200, body: { skipped: [] } });
    expect(pid).toEqual(expect.any(Number));
  });

  it("a health check that cannot do without it names who it is, to those who may know", async () => {
    const pid = await hold("runbook.suppression");
    const answer = await call("health-check?groups=activity", { headers: secretKey(), json: {} });
    expect(answer).toMatchObject({
      status: 503,
      body: {
        code: "LOCKED",
        message: expect.stringContaining("The runbook's own table (suppression) is locked by"),
        details: { blockers: [{ pid, application: "an upgrade that hangs" }] },
      },
    });
    const stranger = await call("health-check", { headers: {}, json: {} });
    expect(stranger.text).not.toContain("an upgrade that hangs");
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
    // A worker that has not looked yet: what another one saw may have been deleted by the tests above.
    const answer = await ask(endpointsOn(inject("databaseUrl"))["health-check"], "health-check");
    expect(answer.status).toBe(200);
    expect(await answer.text()).toContain("versions_differ");
  });
});

describe("a full disk", () => {
  it("keeps neither a diagnosis nor the health check from answering", async () => {
    await sql`
      create function public.no_space() returns trigger language plpgsql as $$
      begin raise exception 'could not extend file' using errcode = '53100'; end $$`;
    await sql`create trigger no_space before insert or update on runbook.probe execute function public.no_space()`;
    await sql`create trigger no_space before insert on runbook.report execute function public.no_space()`;
    onTestFinished(async () => {
      await sql`drop function public.no_space() cascade`;
    });
    const endpoints = endpointsOn(inject("databaseUrl"));
    const parts = opened.at(-1);
    expect((await ask(endpoints["diagnose-login"], "diagnose-login")).status).toBe(200);
    expect((await ask(endpoints["health-check"], "health-check")).status).toBe(200);
    expect(parts?.lines.map((line) => JSON.parse(line).unrecorded)).toEqual(["DISK_FULL", "DISK_FULL"]);
  });
});

describe("an application that refuses the change", () => {
  it("is named as such by the plan, and not as a fault of the caller", async () => {
    const email = `refused-${crypto.randomUUID()}@demo.example`;
    await sql`
      insert into public.auth_rate_limits (identifier, blocked_until) values (${email}, now() + interval '1 hour')`;
    await sql`
      create function public.no_delete() returns trigger language plpgsql as $$
      begin raise exception 'not for you' using errcode = '42501'; end $$`;
    await sql`create trigger no_delete before delete on public.auth_rate_limits execute function public.no_delete()`;
    onTestFinished(async () => {
      await sql`drop function public.no_delete() cascade`;
      await sql`delete from public.auth_rate_limits where identifier = ${email}`;
    });
    const headers = secretKey();
    const plan = await call("unblock-login", { headers, json: { email, dry_run: true } });
    expect(plan.status).toBe(409);
    expect(plan.body).toMatchObject({ code: "CANNOT_BE_PLANNED", details: { sqlstate: "42501" } });
    const run = await call("unblock-login", { headers, json: { email, reason: "a test" } });
    expect(run.status).toBe(500);
    expect(run.body).toMatchObject({
      message: "The remediation failed, and nothing was changed.",
      hint: expect.stringMatching(/remediation-runs with \{"id": \d+\}/),
    });
  });
});
