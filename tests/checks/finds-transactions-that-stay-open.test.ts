import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asker, connectAs, openSession, pause, runCheck, untilAtWork, untilWaiting } from "./sessions.ts";

beforeAll(async () => {
  await asker`create schema checks_test`;
  await asker`create table checks_test.note (id integer primary key, content text)`;
  await asker`insert into checks_test.note values (1, 'x'), (2, 'y')`;
  await asker`create materialized view checks_test.slow as select pg_sleep(20) is null as slept with no data`;
});
afterAll(async () => {
  await asker`drop schema checks_test cascade`;
});

describe("idle_in_transaction", () => {
  const soon = { after_s: 0.2 };

  it("is silent about sessions that are idle, at work, or idle in a transaction for a moment", async () => {
    const idle = await openSession("postgres");
    await idle.sql`select 1`;
    const atWork = await openSession("postgres");
    void atWork.start("begin; select pg_sleep(20)");
    await untilAtWork(atWork, 300);
    const moment = await openSession("postgres");
    await moment.sql`begin`;
    expect(await runCheck("idle_in_transaction", { after_s: 30 })).toMatchObject({
      status: "ok",
      findings: [],
    });
    await moment.sql`rollback`;
    expect(await runCheck("idle_in_transaction", soon)).toMatchObject({ status: "ok", findings: [] });
  });

  it("names the session, its last statement without values, and its cure", async () => {
    const session = await openSession("authenticator", "PostgREST 12.2");
    await session.sql.unsafe("begin; select 'secret of Jan', 42");
    await pause(300);
    const entry = await runCheck("idle_in_transaction", soon);
    expect(entry.findings).toMatchObject([
      {
        code: "idle_in_transaction",
        severity: "warning",
        subject: `pid ${session.pid}`,
        evidence: { last_statement: expect.stringContaining("select ?"), blocks: 0 },
        remediation: "terminate-connection",
        params: { pid: session.pid },
      },
    ]);
    expect(JSON.stringify(entry)).not.toContain("Jan");
    expect(entry.findings[0]?.summary).toContain("PostgREST (Data API) as authenticator");
    await session.sql`rollback`;
    expect(await runCheck("idle_in_transaction", soon)).toMatchObject({ status: "ok", findings: [] });
  });

  it("is critical when it blocks somebody, and after a failed statement as well", async () => {
    const session = await openSession("postgres");
    await session.sql.unsafe("begin; update checks_test.note set content = 'z' where id = 1");
    const waiter = await openSession("postgres");
    void waiter.start("update checks_test.note set content = 'w' where id = 1");
    await untilWaiting(1);
    const failed = await openSession("postgres");
    await failed.start("begin; select 1 / 0");
    await pause(300);
    const { findings } = await runCheck("idle_in_transaction", soon);
    expect(findings).toMatchObject([
      { severity: "critical", subject: `pid ${session.pid}`, evidence: { blocks: 1 } },
      {
        severity: "warning",
        subject: `pid ${failed.pid}`,
        evidence: { state: "idle in transaction (aborted)" },
      },
    ]);
  });

  it("has no cure for a superuser's", async () => {
    const session = await openSession("supabase_admin");
    await session.sql`begin`;
    await pause(300);
    const { findings } = await runCheck("idle_in_transaction", soon);
    expect(findings).toMatchObject([{ subject: `pid ${session.pid}`, remediation: null, params: null }]);
  });
});

describe("long_queries", () => {
  const soon = { after_s: 0.2 };

  it("names a statement at work with the cure that ends it", async () => {
    const session = await openSession("postgres", "report");
    const ended = session.start("select pg_sleep(20), 'Jan', 7");
    await untilAtWork(session, 300);
    const { findings } = await runCheck("long_queries", soon);
    expect(findings).toMatchObject([
      {
        code: "long_running_query",
        severity: "warning",
        subject: `pid ${session.pid}`,
        evidence: { statement: "select pg_sleep(?), ?, .." },
        remediation: "cancel-query",
      },
    ]);
    expect(findings[0]?.params).toMatchObject({ pid: session.pid });
    await asker`select pg_cancel_backend(${session.pid})`;
    expect(await ended).toBe("57014");
    expect(await runCheck("long_queries", soon)).toMatchObject({ status: "ok", findings: [] });
  });

  it("is silent about what takes its time, waits for a lock, or is a scheduled job", async () => {
    const holder = await openSession("postgres");
    await holder.sql.unsafe("begin; lock table checks_test.note in access exclusive mode");
    const job = await openSession("postgres", "pg_cron");
    void job.start("select pg_sleep(20)");
    const run = await openSession("postgres", "runbook run 7");
    void run.start("select pg_sleep(20)");
    const waiter = await openSession("postgres");
    void waiter.start("select count(*) from checks_test.note");
    await untilWaiting(1);
    const refresher = await openSession("postgres");
    void refresher.start("refresh materialized view checks_test.slow");
    const dump = await openSession("postgres", "pg_dump");
    void dump.start("select pg_sleep(20)");
    for (const session of [job, run, waiter, refresher, dump]) await untilAtWork(session, 300);
    expect(await runCheck("long_queries", soon)).toMatchObject({ status: "ok", findings: [] });
    const { findings } = await runCheck("long_queries", { ...soon, job_after_s: 0.2 });
    expect(findings).toMatchObject([{ subject: `pid ${job.pid}` }]);
  });
});

describe("long_transactions", () => {
  const soon = { after_s: 1.2 };

  it("names a transaction of several statements, and leaves one long statement to long_queries", async () => {
    const session = await openSession("postgres", "import");
    await session.sql.unsafe("begin; insert into checks_test.note values (9, 'Jan')");
    const single = await openSession("postgres");
    void single.start("select pg_sleep(20)");
    const dump = await openSession("postgres", "pg_dump");
    await dump.sql.unsafe("begin isolation level repeatable read; select 1");
    await pause(1300);
    void session.start("select pg_sleep(20)");
    void dump.start("select pg_sleep(20)");
    for (const each of [session, dump]) await untilAtWork(each, 0);
    const entry = await runCheck("long_transactions", soon);
    expect(entry.findings).toMatchObject([
      { code: "long_transaction", severity: "warning", subject: `pid ${session.pid}` },
      { severity: "info", subject: `pid ${dump.pid}` },
    ]);
    expect(entry.findings[0]?.remediation).toBe("terminate-connection");
    expect(await runCheck("long_transactions", { after_s: 60 })).toMatchObject({
      status: "ok",
      findings: [],
    });
  });

  it("leaves one that is idle for long to idle_in_transaction", async () => {
    const session = await openSession("postgres");
    await session.sql.unsafe("begin; select 1");
    await pause(1300);
    expect((await runCheck("long_transactions", soon)).findings).toHaveLength(1);
    try {
      await asker`select runbook.tune_check('idle_in_transaction', '{"after_s": 1}')`;
      expect((await runCheck("long_transactions", soon)).findings).toEqual([]);
    } finally {
      await asker`select runbook.tune_check('idle_in_transaction', null)`;
    }
  });
});

describe("vacuum_horizon", () => {
  const soon = { warning: 10, after_s: 0, close_percent: 1 };

  async function useTransactions(): Promise<void> {
    for (let index = 0; index < 12; index += 1) await asker`select txid_current()`;
  }

  it("is silent about young transactions, and about an old one in a quiet database", async () => {
    const session = await openSession("postgres");
    await session.sql.unsafe("begin isolation level repeatable read; select 1");
    expect(await runCheck("vacuum_horizon", { ...soon, warning: 1000 })).toMatchObject({
      status: "ok",
      findings: [],
    });
  });

  it("names a session, a slot and a prepared transaction, each with its age", async () => {
    // First, because it waits for transactions to end.
    await asker`select pg_create_logical_replication_slot('checks_test', 'pgoutput')`;
    const session = await openSession("postgres", "report");
    await session.sql.unsafe("begin isolation level repeatable read; select count(*) from checks_test.note");
    await asker`select txid_current()`;
    const preparer = await openSession("postgres");
    await preparer.sql.unsafe(
      "begin; update checks_test.note set content = 'p' where id = 2; prepare transaction 'horizon'",
    );
    try {
      await useTransactions();
      const entry = await runCheck("vacuum_horizon", soon);
      expect(entry.value).toBeGreaterThanOrEqual(12);
      expect(new Map(entry.findings.map((one) => [one.subject, one.remediation]))).toEqual(
        new Map([
          [`pid ${session.pid}`, "terminate-connection"],
          ["slot checks_test", null],
          ["prepared transaction horizon", null],
        ]),
      );
      const slot = entry.findings.find(({ subject }) => subject === "slot checks_test");
      expect(slot?.summary).toMatch(/transactions cannot be vacuumed: replication slot checks_test may/);
      const together = await runCheck("vacuum_horizon", { ...soon, close_percent: 50 });
      const bySubject = together.findings.toSorted((one, other) => one.subject.localeCompare(other.subject));
      expect(bySubject).toMatchObject([
        {
          subject: `pid ${session.pid}`,
          summary: expect.stringMatching(/\d s\) cannot .* Another one is close behind\.$/),
          evidence: { others: 1, close_behind: [expect.stringMatching(/^prepared transaction horizon /)] },
        },
        { subject: "slot checks_test", evidence: { others: 0, close_behind: [] } },
      ]);
    } finally {
      await asker`rollback prepared 'horizon'`;
      await asker`select pg_drop_replication_slot('checks_test')`;
    }
    await session.sql`rollback`;
    expect(await runCheck("vacuum_horizon", soon)).toMatchObject({ status: "ok", findings: [] });
  });
});

describe("vacuum_horizon of a queue", () => {
  it("names the root once, though who waits behind it began earlier", async () => {
    const waiter = await openSession("postgres", "waits");
    await waiter.sql.unsafe("begin isolation level repeatable read; select count(*) from checks_test.note");
    await asker`select txid_current()`;
    const root = await openSession("postgres", "forgotten");
    await root.sql.unsafe(
      "begin; lock table checks_test.note in share row exclusive mode; select txid_current()",
    );
    void waiter.start("update checks_test.note set content = 'w' where id = 1");
    await untilWaiting(1);
    for (let index = 0; index < 20; index += 1) await asker`select txid_current()`;
    const { findings } = await runCheck("vacuum_horizon", { warning: 10, after_s: 0, close_percent: 50 });
    expect(findings).toMatchObject([
      {
        subject: `pid ${root.pid}`,
        evidence: { others: 1, close_behind: [expect.stringContaining("waits")] },
      },
    ]);
  });
});

describe("prepared_transactions", () => {
  it("tells of one that nobody ends, with the statement that does", async () => {
    expect(await runCheck("prepared_transactions")).toMatchObject({ status: "ok", value: 0 });
    const preparer = await openSession("postgres");
    await preparer.sql.unsafe(
      "begin; update checks_test.note set content = 'p' where id = 2; prepare transaction 'or''phan'",
    );
    const closer = connectAs("postgres");
    try {
      expect(await runCheck("prepared_transactions")).toMatchObject({ status: "ok", value: 1, findings: [] });
      const { findings } = await runCheck("prepared_transactions", { after_s: 0 });
      expect(findings).toMatchObject([
        { code: "prepared_transaction_orphaned", severity: "warning", remediation: null },
      ]);
      const statement = /rollback prepared .*(?=;)/.exec(findings[0]?.summary ?? "")?.[0] ?? "";
      await closer.unsafe(statement);
      expect(await runCheck("prepared_transactions", { after_s: 0 })).toMatchObject({
        value: 0,
        findings: [],
      });
    } finally {
      await closer.unsafe("rollback prepared 'or''phan'").catch(() => undefined);
    }
  });
});
