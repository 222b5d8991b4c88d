import { afterAll, beforeAll, expect, it } from "vitest";
import { asker, connectAs, openSession, runCheck, untilWaiting } from "./sessions.ts";

const now = { after_s: 0 };

beforeAll(async () => {
  await asker`create schema checks_test`;
  await asker`create table checks_test."we'ird ""Näme" (id integer primary key, note text)`;
  await asker`insert into checks_test."we'ird ""Näme" select one.id, 'x' from generate_series(1, 60) as one (id)`;
  await asker`grant usage on schema checks_test to anon`;
  await asker`grant select, update on checks_test."we'ird ""Näme" to anon`;
});
afterAll(async () => {
  await asker`drop schema checks_test cascade`;
});

const table = `checks_test."we'ird ""Näme"`;
const touch = (id: number): string => `update ${table} set note = 'secret of Jan' where id = ${id}`;

it("is silent when nobody waits, however much is locked", async () => {
  const holder = await openSession("postgres");
  await holder.sql.unsafe(`begin; ${touch(1)}; lock table ${table} in share row exclusive mode`);
  expect(await runCheck("blocking", now)).toMatchObject({ status: "ok", findings: [] });
});

it("is silent about a wait that has only begun", async () => {
  const holder = await openSession("postgres");
  await holder.sql.unsafe(`begin; ${touch(1)}`);
  const waiter = await openSession("postgres");
  void waiter.start(touch(1));
  await untilWaiting(1);
  expect(await runCheck("blocking", { after_s: 30 })).toMatchObject({ status: "ok", findings: [] });
});

it("tells one finding for a chain of three, by its head, without values", async () => {
  const [first, second, third] = [
    await openSession("postgres", "psql"),
    await openSession("postgres"),
    await openSession("postgres"),
  ];
  await first.sql.unsafe(`begin; ${touch(1)}`);
  await second.sql.unsafe(`begin; ${touch(2)}`);
  void second.start(touch(1));
  await untilWaiting(1);
  void third.start(touch(2));
  await untilWaiting(2);
  // Of sessions of the stack that wait for a moment the value counts, too.
  await expect.poll(async () => (await runCheck("blocking", now)).value).toBe(2);
  const entry = await runCheck("blocking", now);
  expect(entry.findings).toHaveLength(1);
  expect(entry.findings[0]).toMatchObject({
    code: "root_blocker",
    severity: "warning",
    subject: `pid ${first.pid}`,
    remediation: "terminate-connection",
    params: { pid: first.pid, backend_start: expect.any(String) },
    evidence: { owner: "psql", role: "postgres", waiting: 2, table },
  });
  expect(JSON.stringify(entry)).not.toContain("Jan");
  await first.sql.unsafe("rollback");
  // The second goes on, and keeps the third waiting until it ends.
  await second.sql.unsafe("rollback");
  await expect.poll(() => runCheck("blocking", now)).toMatchObject({ status: "ok", findings: [] });
});

it("advises to cancel the change of a table that stops all who come later", async () => {
  const root = await openSession("postgres", "psql");
  await root.sql.unsafe(`begin; select count(*) from ${table}`);
  const change = await openSession("postgres", "migration");
  const changed = change.start(`alter table ${table} add column extra integer`);
  await untilWaiting(1);
  const readers = [];
  for (let index = 0; index < 3; index += 1) {
    const reader = await openSession(index === 0 ? "postgres" : "authenticator", "postgrest");
    if (index > 0) await reader.sql.unsafe("set role anon");
    readers.push(reader.start(`select count(*) from ${table}`));
  }
  await untilWaiting(4);
  const entry = await runCheck("blocking", { ...now, critical_api_s: 0 });
  expect(entry.findings).toHaveLength(1);
  const [finding] = entry.findings;
  expect(finding).toMatchObject({
    severity: "critical",
    subject: `pid ${root.pid}`,
    remediation: "cancel-query",
    params: { pid: change.pid },
    evidence: {
      waiting: 4,
      api_requests: 2,
      state: "idle in transaction",
      queue_behind: { pid: change.pid, would_free: 3 },
    },
  });
  expect(finding?.summary.length).toBeLessThanOrEqual(300);
  expect(finding?.summary).toMatch(
    new RegExp(`\\. Safest: cancel pid ${change.pid}, and the others go on\\.$`),
  );
  await asker`select pg_cancel_backend(${change.pid})`;
  expect(await changed).toBe("57014");
  expect(await Promise.all(readers)).toEqual(["done", "done", "done"]);
  expect(await runCheck("blocking", now)).toMatchObject({ status: "ok", findings: [] });
});

it("ends the root where others wait for it directly as well", async () => {
  const root = await openSession("postgres");
  await root.sql.unsafe(`begin; ${touch(7)}`);
  const writer = await openSession("postgres");
  void writer.start(touch(7));
  await untilWaiting(1);
  const change = await openSession("postgres");
  void change.start(`alter table ${table} add column extra integer`);
  await untilWaiting(2);
  const reader = await openSession("postgres");
  void reader.start(`select count(*) from ${table}`);
  await untilWaiting(3);
  const entry = await runCheck("blocking", now);
  expect(entry.findings).toHaveLength(1);
  expect(entry.findings[0]).toMatchObject({
    remediation: "terminate-connection",
    params: { pid: root.pid },
    evidence: { waiting: 3, queue_behind: { pid: change.pid, would_free: 1 } },
  });
});

it("keeps two incidents apart, and names other roots of one", async () => {
  const readers = [await openSession("postgres"), await openSession("postgres")];
  for (const reader of readers) await reader.sql.unsafe(`begin; select count(*) from ${table}`);
  const change = await openSession("postgres");
  void change.start(`alter table ${table} add column extra integer`);
  const holder = await openSession("postgres");
  await holder.sql.unsafe("begin; lock table runbook.ticket in access exclusive mode");
  const other = await openSession("postgres");
  void other.start("select count(*) from runbook.ticket");
  await untilWaiting(2);
  const entry = await runCheck("blocking", now);
  expect(entry.findings).toHaveLength(2);
  const queue = entry.findings.find((finding) => finding.subject !== `pid ${holder.pid}`);
  expect([`pid ${readers[0]?.pid}`, `pid ${readers[1]?.pid}`]).toContain(queue?.subject);
  expect(queue?.evidence["other_blockers"]).toHaveLength(1);
});

it("says that a superuser's session cannot be ended from here", async () => {
  const root = await openSession("supabase_admin", "supabase/dashboard");
  await root.sql.unsafe(`begin; ${touch(1)}`);
  const waiter = await openSession("postgres");
  void waiter.start(touch(1));
  await untilWaiting(1);
  const { findings } = await runCheck("blocking", now);
  expect(findings).toMatchObject([
    { subject: `pid ${root.pid}`, remediation: null, params: null, evidence: { owner: "dashboard" } },
  ]);
  expect(findings[0]?.summary).toMatch(/superuser/);
});

it("names a prepared transaction, which has no pid", async () => {
  const holder = await openSession("postgres");
  await holder.sql.unsafe(`begin; ${touch(1)}; prepare transaction 'checks test'`);
  const closer = connectAs("postgres");
  try {
    const waiter = await openSession("postgres");
    void waiter.start(touch(1));
    await untilWaiting(1);
    const { findings } = await runCheck("blocking", now);
    expect(findings).toMatchObject([
      { subject: expect.stringMatching(/^prepared transaction \d+$/), remediation: null },
    ]);
    expect(findings[0]?.summary).toMatch(/^Prepared transaction checks test of postgres holds up 1/);
  } finally {
    await closer`rollback prepared 'checks test'`;
  }
});

it("tells of sessions that wait for each other, which have no root", async () => {
  const sessions = [await openSession("supabase_admin"), await openSession("supabase_admin")];
  for (const [index, session] of sessions.entries()) {
    await session.sql`set deadlock_timeout = '1min'`;
    await session.sql.unsafe(`begin; ${touch(index + 1)}`);
  }
  void sessions[0]?.start(touch(2));
  void sessions[1]?.start(touch(1));
  await untilWaiting(2);
  const { findings } = await runCheck("blocking", now);
  expect(findings).toMatchObject([{ evidence: { waiting: 2 }, remediation: null }]);
  expect(findings[0]?.summary).toMatch(/wait for each other/);
});

it("does not blame sessions that queue for an advisory lock", async () => {
  const leader = await openSession("postgres");
  await leader.sql`select pg_advisory_lock(4711)`;
  const follower = await openSession("postgres");
  void follower.start("select pg_advisory_lock(4711)");
  await untilWaiting(1);
  expect(await runCheck("blocking", now)).toMatchObject({
    status: "ok",
    findings: [{ severity: "info", subject: `pid ${leader.pid}` }],
  });
});

it("is patient with an index that is built concurrently behind a transaction", async () => {
  const reader = await openSession("postgres");
  await reader.sql.unsafe(
    `begin isolation level repeatable read; update ${table} set note = 'y' where id = 1`,
  );
  const builder = await openSession("postgres");
  void builder.start(`create index concurrently on ${table} (note)`);
  await untilWaiting(1);
  expect(await runCheck("blocking", now)).toMatchObject({ status: "ok", findings: [] });
  expect((await runCheck("blocking", { ...now, patient_s: 0 })).findings).toHaveLength(1);
});

it("answers while fifty sessions wait, and leaves nobody waiting of its own", async () => {
  const root = await openSession("postgres");
  await root.sql.unsafe(`begin; ${touch(1)}`);
  const waiters = await Promise.all(Array.from({ length: 50 }, () => openSession("postgres")));
  for (const waiter of waiters) void waiter.start(touch(1));
  await untilWaiting(50);
  // Far below what the waiting would take; how long it is belongs to the lab.
  await asker`set statement_timeout = '10s'`;
  const entry = await runCheck("blocking", now).finally(() => asker`reset statement_timeout`);
  expect(entry.findings).toMatchObject([
    { severity: "critical", subject: `pid ${root.pid}`, evidence: { waiting: 50 } },
  ]);
  await root.sql.unsafe("rollback");
  await expect.poll(() => runCheck("blocking", now)).toMatchObject({ findings: [] });
});
