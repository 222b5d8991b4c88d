import postgres from "postgres";
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, it } from "vitest";
import { rolledBack } from "../conformance/rolled-back.ts";
import { untilNothing } from "../setup/schedule.ts";
import { findingsOf, flushCounters } from "./findings-of.ts";

const sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
const other = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
const admin = postgres({
  host: inject("socketDirectory"),
  port: inject("databasePort"),
  user: "supabase_admin",
  database: "postgres",
  max: 1,
});

/** How often autovacuum looks at the database. */
async function setNaptime(naptime: "1s" | "1h" | null): Promise<void> {
  await admin.unsafe(
    naptime === null
      ? "alter system reset autovacuum_naptime"
      : `alter system set autovacuum_naptime = '${naptime}'`,
  );
  await admin`select pg_reload_conf()`;
}

// It would come in the middle of a test, and whatever it left a moment ago is no finding.
beforeAll(async () => {
  await setNaptime("1h");
  await untilNothing(
    "a worker of autovacuum",
    () => admin`select pid, query from pg_stat_activity where backend_type = 'autovacuum worker'`,
  );
});

beforeEach(async () => {
  await sql`create schema vacuum_story`;
  await sql`create table vacuum_story.thing (id int, body text)`;
});

afterEach(async () => {
  await sql`drop schema vacuum_story cascade`;
});

afterAll(async () => {
  await setNaptime(null);
  await Promise.all([sql.end(), other.end(), admin.end()]);
});

/** So many rows, analyzed and never vacuumed. */
async function fill(rows: number): Promise<void> {
  await sql`insert into vacuum_story.thing select n, 'x' from generate_series(1, ${rows}::int) as n`;
  // Rows that are told after they were analyzed count twice.
  await flushCounters(sql);
  await sql`analyze vacuum_story.thing`;
}

/** Does work while autovacuum finds the table locked, and so passes it by. */
async function withoutAutovacuum(work: () => Promise<void>): Promise<void> {
  await other.begin(async (holder) => {
    await holder`lock table vacuum_story.thing in share update exclusive mode`;
    await work();
  });
}

async function found(check: string): Promise<unknown[]> {
  await flushCounters(sql);
  return (await findingsOf(sql, check, "vacuum_story")).map(({ code, subject, remediation, evidence }) => [
    code,
    subject,
    remediation,
    ...("cause" in evidence ? [evidence["cause"]] : []),
  ]);
}

/** Vacuums until the rows are gone: a snapshot of the running stack may still see them for a moment. */
async function expectVacuumToCure(): Promise<void> {
  const left = async (): Promise<unknown[]> => {
    await sql`vacuum vacuum_story.thing`;
    return await found("dead_rows");
  };
  await expect.poll(left).toEqual([]);
}

it("finds dead rows that should have been vacuumed long ago, and no others", async () => {
  await fill(60_000);
  expect(await found("dead_rows")).toEqual([]);
  await withoutAutovacuum(async () => {
    await sql`delete from vacuum_story.thing where id <= 12000`;
    expect(await found("dead_rows")).toEqual([]);

    // Past the trigger of 12,050, so autovacuum is about to come.
    await sql`delete from vacuum_story.thing where id <= 12500`;
    expect(await found("dead_rows")).toEqual([]);

    await sql`delete from vacuum_story.thing where id <= 20000`;
    expect(await found("dead_rows")).toEqual([
      ["dead_rows_pile_up", "vacuum_story.thing", "vacuum-table", "overdue"],
    ]);
  });
  await expectVacuumToCure();
});

it("leaves to autovacuum what it is about to do, or does at this moment", async () => {
  await fill(60_000);
  await withoutAutovacuum(async () => {
    await sql`delete from vacuum_story.thing where id <= 30000`;
    expect(await found("dead_rows")).toHaveLength(1);
    expect(await found("table_statistics")).toHaveLength(1);
    await rolledBack(sql, async (transaction) => {
      await transaction`
        create or replace function runbook.maintenance_under_way()
        returns table (relation oid, command text, pid integer)
        language sql stable
        as $$
          select 'vacuum_story.thing'::regclass::oid, cmd.name, 1
          from (values ('vacuum'), ('analyze')) as cmd (name)
        $$`;
      expect(await findingsOf(transaction, "dead_rows", "vacuum_story")).toEqual([]);
      expect(await findingsOf(transaction, "table_statistics", "vacuum_story")).toEqual([]);
      return true;
    });
  });

  try {
    await setNaptime("1s");
    const hasCome = async (): Promise<boolean> =>
      (
        await sql`
          select from pg_stat_user_tables
          where relid = 'vacuum_story.thing'::regclass
            and last_autovacuum is not null and last_autoanalyze is not null`
      ).length === 1;
    await expect.poll(hasCome, { timeout: 60_000 }).toBe(true);
  } finally {
    await setNaptime("1h");
  }
  expect(await found("dead_rows")).toEqual([]);

  // It came a moment ago, so it will come again.
  await withoutAutovacuum(async () => {
    await sql`delete from vacuum_story.thing where id <= 50000`;
    expect(await found("dead_rows")).toEqual([]);
    expect(await found("table_statistics")).toEqual([]);
  });
});

it("goes by the trigger that a table sets itself", async () => {
  await sql`alter table vacuum_story.thing set (autovacuum_vacuum_threshold = 2500, autovacuum_vacuum_scale_factor = 0)`;
  await fill(60_000);
  await withoutAutovacuum(async () => {
    await sql`delete from vacuum_story.thing where id <= 12400`;
    expect(await found("dead_rows")).toEqual([]);

    await sql`delete from vacuum_story.thing where id <= 12500`;
    expect(await found("dead_rows")).toEqual([
      ["dead_rows_pile_up", "vacuum_story.thing", "vacuum-table", "overdue"],
    ]);
  });
  await expectVacuumToCure();
});

it("finds dead rows where autovacuum is switched off, from its own trigger on", async () => {
  await sql`alter table vacuum_story.thing set (autovacuum_enabled = off)`;
  await fill(5000);
  await sql`delete from vacuum_story.thing where id <= 1050`;
  expect(await found("dead_rows")).toEqual([]);

  await sql`delete from vacuum_story.thing where id <= 1051`;
  expect(await found("dead_rows")).toEqual([
    ["dead_rows_pile_up", "vacuum_story.thing", "vacuum-table", "off"],
  ]);

  await expectVacuumToCure();
});

it("names who keeps vacuum from removing them, and does not offer a vacuum then", async () => {
  await fill(10_000);
  await sql`select runbook.tune_check('dead_rows', '{"horizon_s": 0}')`;
  try {
    await other.begin("isolation level repeatable read", async (holder) => {
      const [row] = await holder<{ pid: number }[]>`select pg_backend_pid() as pid, count(*) from pg_class`;
      await sql`delete from vacuum_story.thing where id <= 5000`;
      await sql`vacuum vacuum_story.thing`;
      expect(await found("dead_rows")).toEqual([
        ["dead_rows_pile_up", "vacuum_story.thing", null, "held_back"],
      ]);
      const [finding] = await findingsOf(sql, "dead_rows", "vacuum_story");
      expect(finding?.summary).toContain(`pid ${row?.pid} `);
    });
    await expectVacuumToCure();
  } finally {
    await sql`select runbook.tune_check('dead_rows', null)`;
  }
});

it("finds statistics that are stale against the trigger of ANALYZE, and no others", async () => {
  await fill(60_000);
  expect(await found("table_statistics")).toEqual([]);
  await withoutAutovacuum(async () => {
    // Past the trigger of 6,050, so autovacuum is about to come.
    await sql`update vacuum_story.thing set body = 'y' where id <= 12000`;
    expect(await found("table_statistics")).toEqual([]);

    await sql`update vacuum_story.thing set body = 'y' where id <= 200`;
    expect(await found("table_statistics")).toEqual([
      ["statistics_stale", "vacuum_story.thing", "analyze-table"],
    ]);
  });
  await sql`alter table vacuum_story.thing set (autovacuum_enabled = off)`;
  await sql`analyze vacuum_story.thing`;
  expect(await found("table_statistics")).toEqual([]);

  await sql`update vacuum_story.thing set body = 'z' where id <= 6000`;
  expect(await found("table_statistics")).toEqual([]);
});

it("finds tables that were never analyzed, also partitioned ones, which autovacuum leaves out", async () => {
  await withoutAutovacuum(async () => {
    await sql`insert into vacuum_story.thing select n, 'x' from generate_series(1, 9000) as n`;
    expect(await found("table_statistics")).toEqual([]);

    await sql`insert into vacuum_story.thing select n, 'x' from generate_series(1, 1000) as n`;
    expect(await found("table_statistics")).toEqual([
      ["statistics_missing", "vacuum_story.thing", "analyze-table"],
    ]);
  });
  await sql`analyze vacuum_story.thing`;
  expect(await found("table_statistics")).toEqual([]);

  await sql`create table vacuum_story.log (id int) partition by range (id)`;
  await sql`create table vacuum_story.log_1 partition of vacuum_story.log for values from (0) to (100000)`;
  await sql`insert into vacuum_story.log select generate_series(1, 20000)`;
  await flushCounters(sql);
  await sql`analyze vacuum_story.log_1`;
  expect(await found("table_statistics")).toEqual([
    ["statistics_missing", "vacuum_story.log", "analyze-table"],
  ]);
  await sql`analyze vacuum_story.log`;
  expect(await found("table_statistics")).toEqual([]);
});
