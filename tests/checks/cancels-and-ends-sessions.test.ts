import postgres from "postgres";
import { beforeAll, describe, expect, inject, it, onTestFinished } from "vitest";
import {
  applyPlanned,
  bearer,
  call,
  expectRefusal,
  newPerson,
  openDatabase,
  runIdOf,
} from "../http/runbook-client.ts";
import { begin, inState, isAlive, openSession } from "./second-session.ts";

const sql = openDatabase();
let admin: Record<string, string>;
let operator: Record<string, string>;

beforeAll(async () => {
  admin = bearer((await newPerson(sql, "admin")).token);
  operator = bearer((await newPerson(sql, "operator")).token);
});

const reason = "a test";

describe("cancel-query", () => {
  it("cancels what is run, as planned, and sees it end", async () => {
    const session = await openSession(`we'ird "name"`);
    const ended = begin(session.sql`select 'private words', pg_sleep(60)`);
    await inState(sql, session.pid, "active");
    const json = { pid: session.pid, backend_start: session.backendStart };

    const plan = await call("cancel-query", { headers: operator, json: { ...json, dry_run: true } });
    expect(plan).toMatchObject({ status: 200, body: { state: "planned", steps: [{ kind: "effect" }] } });
    expect(plan.text).toContain("we'ird");
    expect(plan.text).not.toContain("private");
    await inState(sql, session.pid, "active");

    const key = { "idempotency-key": crypto.randomUUID() };
    const asked = { ...json, reason, plan_hash: plan.body["plan_hash"] };
    const applied = await call("cancel-query", { headers: { ...operator, ...key }, json: asked });
    expect(applied).toMatchObject({ status: 200, body: { state: "succeeded", undo: { available: false } } });
    expect(await ended).toBe("57014");
    expect(await isAlive(sql, session.pid)).toBe(true);

    const again = await call("cancel-query", { headers: { ...operator, ...key }, json: asked });
    expect(runIdOf(again)).toBe(runIdOf(applied));
    const idle = await call("cancel-query", { headers: operator, json: { ...json, reason } });
    expect(idle).toMatchObject({ status: 200, body: { state: "no_op" } });
  });

  it("does not cancel another statement than was planned", async () => {
    const session = await openSession("cures moved on");
    const first = begin(session.sql`select pg_sleep(60)`);
    await inState(sql, session.pid, "active");
    const json = { pid: session.pid };
    const plan = await call("cancel-query", { headers: operator, json: { ...json, dry_run: true } });
    await sql`select pg_cancel_backend(${session.pid})`;
    expect(await first).toBe("57014");
    const second = begin(session.sql`select pg_sleep(60)`);
    await inState(sql, session.pid, "active");

    const applied = await call("cancel-query", {
      headers: operator,
      json: { ...json, reason, plan_hash: plan.body["plan_hash"] },
    });
    expect(applied).toMatchObject({ status: 409, body: { code: "PLAN_CHANGED" } });
    await inState(sql, session.pid, "active");
    await sql`select pg_terminate_backend(${session.pid})`;
    expect(await second).not.toBe("done");
  });

  it("says so when the statement goes on", async () => {
    const session = await openSession("cures stubborn");
    const ended = begin(
      session.sql.unsafe(`
        do $$ begin
          for i in 1..60 loop
            begin perform pg_sleep(0.5); exception when query_canceled then null; end;
          end loop;
        end $$`),
    );
    await inState(sql, session.pid, "active");
    const applied = await call("cancel-query", { headers: operator, json: { pid: session.pid, reason } });
    expect(applied).toMatchObject({
      status: 500,
      body: { code: "RUN_FAILED", hint: expect.stringContaining("terminate-connection") },
    });
    expect(applied.body["message"]).toMatch(/runs the same statement/);
    await sql`select pg_terminate_backend(${session.pid})`;
    expect(await ended).not.toBe("done");
  });

  it("refuses a session that runs nothing and keeps its locks", async () => {
    const session = await openSession("cures idle in transaction");
    await session.sql.unsafe("begin").simple();
    await inState(sql, session.pid, "idle in transaction");
    const applied = await call("cancel-query", { headers: operator, json: { pid: session.pid, reason } });
    expect(applied).toMatchObject({
      status: 409,
      body: { code: "REFUSED", hint: expect.stringContaining("terminate-connection") },
    });
    expect(applied.body["message"]).toMatch(/idle in transaction since .* \(its transaction began at /);
  });
});

describe("terminate-connection", () => {
  it("ends a session, as planned, and sees it gone", async () => {
    const session = await openSession("cures victim");
    const json = { pid: session.pid, backend_start: session.backendStart, reason };
    expectRefusal(
      await call("terminate-connection", { headers: operator, json: { ...json, dry_run: true } }),
      403,
      "ROLE_REQUIRED",
    );
    const { plan, applied } = await applyPlanned("terminate-connection", { headers: admin, json });
    expect(plan.body).toMatchObject({ state: "planned", undo: { available: false } });
    expect(applied).toMatchObject({ status: 200, body: { state: "succeeded", steps: [{ state: "done" }] } });
    expect(await isAlive(sql, session.pid)).toBe(false);
    expectRefusal(
      await call("terminate-connection", { headers: admin, json: { ...json, dry_run: true } }),
      404,
      "NOT_FOUND",
    );
  });

  it("leaves the session alone that got the number of the one that was planned", async () => {
    const session = await openSession("cures reused");
    const backend_start = new Date(Date.parse(session.backendStart) - 1000).toISOString();
    const answer = await call("terminate-connection", {
      headers: { ...admin, "idempotency-key": crypto.randomUUID() },
      json: { pid: session.pid, backend_start, reason, plan_hash: "0".repeat(64) },
    });
    expectRefusal(answer, 404, "NOT_FOUND");
    expect(answer.body["message"]).toMatch(/another has its number/);
    expect(await isAlive(sql, session.pid)).toBe(true);
  });

  it.each([
    ["idle in a transaction", "begin", "commit; begin; select 1"],
    ["idle in a transaction that is over since", "begin", "commit"],
    ["idle", "select 1", "begin"],
  ])("leaves a session alone that was planned as %s and has gone on", async (_name, first, then) => {
    const session = await openSession("cures gone on");
    await session.sql.unsafe(first).simple();
    const json = { pid: session.pid, backend_start: session.backendStart };
    const plan = await call("terminate-connection", { headers: admin, json: { ...json, dry_run: true } });
    await session.sql.unsafe(then).simple();
    const applied = await call("terminate-connection", {
      headers: { ...admin, "idempotency-key": crypto.randomUUID() },
      json: { ...json, reason, plan_hash: plan.body["plan_hash"] },
    });
    expect(applied).toMatchObject({ status: 409, body: { code: "PLAN_CHANGED" } });
    expect(await isAlive(sql, session.pid)).toBe(true);
  });

  it("says how many wait behind the session, in the second row too", async () => {
    const [first, second, third] = [
      await openSession("cures head"),
      await openSession("cures waits"),
      await openSession("cures waits behind"),
    ];
    await first.sql.unsafe("begin; select pg_advisory_xact_lock(4712)").simple();
    await second.sql.unsafe("begin; select pg_advisory_xact_lock(4713)").simple();
    const waits = [begin(second.sql`select pg_advisory_xact_lock(4712)`)];
    await inState(sql, second.pid, "active");
    waits.push(begin(third.sql`select pg_advisory_xact_lock(4713)`));
    const summary = async (): Promise<string> =>
      (await call("terminate-connection", { headers: admin, json: { pid: first.pid, dry_run: true } })).text;
    await expect.poll(summary).toContain("2 sessions wait for it.");
    expect(await summary()).toContain("What its transaction did is rolled back.");
    await first.sql.unsafe("rollback").simple();
    await second.sql.unsafe("rollback").simple();
    expect(await Promise.all(waits)).toEqual(["done", "done"]);
    expect(await summary()).toContain("It has no transaction open.");
  });

  it("is done once when two ask at the same time", async () => {
    const session = await openSession("cures twice");
    const json = { pid: session.pid, reason };
    const plan = await call("terminate-connection", { headers: admin, json: { ...json, dry_run: true } });
    const answers = await Promise.all(
      [1, 2].map(() =>
        call("terminate-connection", {
          headers: { ...admin, "idempotency-key": crypto.randomUUID() },
          json: { ...json, plan_hash: plan.body["plan_hash"] },
        }),
      ),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses[0]).toBe(200);
    expect([404, 409, 503]).toContain(statuses[1]);
    const runs = await sql`
      select from runbook.run
      where remediation = 'terminate-connection' and subject = ${String(session.pid)} and state = 'succeeded'`;
    expect(runs.length).toBe(1);
  });

  it("says so when the session lives on", async () => {
    const session = await openSession("cures stopped");
    process.kill(session.pid, "SIGSTOP");
    try {
      const { applied } = await applyPlanned("terminate-connection", {
        headers: admin,
        json: { pid: session.pid, reason },
      });
      expect(applied.status).toBe(500);
      expect(applied.body["message"]).toMatch(/still there/);
    } finally {
      process.kill(session.pid, "SIGCONT");
    }
    await expect.poll(() => isAlive(sql, session.pid)).toBe(false);
  });

  it("refuses a superuser's session and a sender of the log", async () => {
    for (const pid of [await openSender(), await openSuperuser()]) {
      const answer = await call("terminate-connection", {
        headers: admin,
        json: { pid, dry_run: true },
      });
      expectRefusal(answer, 409, "REFUSED");
      expect(await isAlive(sql, pid)).toBe(true);
    }
  });
});

/** A session of the platform's superuser; answers its process. */
async function openSuperuser(): Promise<number> {
  const superuser = postgres({
    host: inject("socketDirectory"),
    port: inject("databasePort"),
    user: "supabase_admin",
    database: "postgres",
    max: 1,
  });
  onTestFinished(() => superuser.end({ timeout: 0 }));
  const [row] = await superuser`select pg_backend_pid() as pid`;
  return Number(row?.["pid"]);
}

/** A session that could send the log; answers its process. */
async function openSender(): Promise<number> {
  const name = `cures sender ${crypto.randomUUID().slice(0, 8)}`;
  const sender = postgres(inject("databaseUrl"), {
    max: 1,
    fetch_types: false,
    connection: { application_name: name, replication: "database" },
  });
  onTestFinished(() => sender.end({ timeout: 0 }));
  await sender.unsafe("IDENTIFY_SYSTEM").simple();
  const [row] = await sql`
    select pid from pg_stat_activity where application_name = ${name} and backend_type = 'walsender'`;
  return Number(row?.["pid"]);
}
