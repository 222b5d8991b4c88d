import postgres from "postgres";
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, it } from "vitest";
import { rolledBack } from "../conformance/rolled-back.ts";
import { switchOff, untilNothing } from "../setup/schedule.ts";
import { entryOf, findingsOf, flushCounters } from "./findings-of.ts";

const sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
const other = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
const admin = postgres({
  host: inject("socketDirectory"),
  port: inject("databasePort"),
  user: "supabase_admin",
  database: "postgres",
  max: 1,
});

// Hooks of the end run the last first.
afterAll(() => Promise.all([sql.end(), other.end(), admin.end()]));

/** How often autovacuum looks at the database. */
async function setNaptime(naptime: "1s" | "1h" | null): Promise<void> {
  await admin.unsafe(
    naptime === null
      ? "alter system reset autovacuum_naptime"
      : `alter system set autovacuum_naptime = '${naptime}'`,
  );
  await admin`select pg_reload_conf()`;
}

// The stack's own collector would look between two statements of a test.
switchOff(sql, "runbook-collect");

// Autovacuum would come in the middle of a test, and whatever it left a moment ago is no finding.
beforeAll(async () => {
  await setNaptime("1h");
  await untilNothing(
    "a worker of autovacuum",
    () => admin`select pid, query from pg_stat_activity where backend_type = 'autovacuum worker'`,
  );
});

afterAll(() => setNaptime(null));

beforeEach(async () => {
  await sql`create schema vacuum_story`;
  await sql`create table vacuum_story.thing (id int, body text)`;
});

afterEach(async () => {
  await sql`drop schema vacuum_story cascade`;
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

/** The collector sees what is past a trigger; `ago`: as if it had first seen it so long ago. */
async function seen(ago = "0 s"): Promise<void> {
  await flushCounters(sql);
  await sql`delete from runbook.autovacuum_due where relation = 'vacuum_story.thing'::regclass`;
  await sql`select runbook.collect('autovacuum_due')`;
  await sql`
    update runbook.autovacuum_due set since = since - ${ago}::interval
    where relation = 'vacuum_story.thing'::regclass`;
}

/** What a check finds when autovacuum has missed its time, with what is due now. */
async function foundLate(check: string): Promise<unknown[]> {
  await seen();
  // The server does not let an ANALYZE be of long ago, so the time that it is given is none.
  await sql`select runbook.tune_check(${check}, '{"missed_runs": 0}')`;
  const findings = await found(check);
  await sql`select runbook.tune_check(${check}, null)`;
  return findings;
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
    expect(await foundLate("dead_rows")).toEqual([]);

    // Past the trigger of 12,050, and not by much.
    await sql`delete from vacuum_story.thing where id <= 12500`;
    expect(await foundLate("dead_rows")).toEqual([]);

    await sql`delete from vacuum_story.thing where id <= 20000`;
    await seen("4 hours");
    expect(await found("dead_rows")).toEqual([
      ["dead_rows_pile_up", "vacuum_story.thing", "vacuum-table", "overdue"],
    ]);
    const [finding] = await findingsOf(sql, "dead_rows", "vacuum_story");
    expect(finding?.summary).toMatch(/ has not come for 4 h 0 min, though it looks every 1 h 0 min/);
  });
  await expectVacuumToCure();
});

it("gives autovacuum the time of three rounds after a bulk change", async () => {
  await fill(60_000);
  await withoutAutovacuum(async () => {
    await sql`delete from vacuum_story.thing where id <= 40000`;
    // Nobody has looked since.
    expect([await found("dead_rows"), await found("table_statistics")]).toEqual([[], []]);

    await seen("2 hours 50 minutes");
    expect([await found("dead_rows"), await found("table_statistics")]).toEqual([[], []]);

    await seen("3 hours");
    expect(await found("dead_rows")).toEqual([
      ["dead_rows_pile_up", "vacuum_story.thing", "vacuum-table", "overdue"],
    ]);
    // What the collector saw stays, however often it looks.
    await sql`select runbook.collect('autovacuum_due')`;
    expect(await found("dead_rows")).toHaveLength(1);

    expect(await foundLate("table_statistics")).toEqual([
      ["statistics_stale", "vacuum_story.thing", "analyze-table"],
    ]);
  });
  await sql`analyze vacuum_story.thing`;
  expect(await found("table_statistics")).toEqual([]);
  await expectVacuumToCure();
});

it("says that it does not know whether autovacuum had time while its collector does not look", async () => {
  await fill(60_000);
  await withoutAutovacuum(async () => {
    await sql`delete from vacuum_story.thing where id <= 40000`;
    await flushCounters(sql);
    await rolledBack(sql, async (transaction) => {
      await transaction`delete from runbook.collector_state where collector_name = 'autovacuum_due'`;
      for (const check of ["dead_rows", "table_statistics"]) {
        const { reason, findings } = await entryOf(transaction, check);
        expect(findings.filter(({ subject }) => subject?.startsWith("vacuum_story."))).toEqual([]);
        expect(reason).toMatch(/^\d+ tables? past .*the collector autovacuum_due has not looked yet/);
      }
      return true;
    });
  });
});

it("says that the workers of autovacuum are busy elsewhere", async () => {
  await fill(60_000);
  await withoutAutovacuum(async () => {
    await sql`delete from vacuum_story.thing where id <= 40000`;
    await seen();
    await rolledBack(sql, async (transaction) => {
      for (const check of ["dead_rows", "table_statistics"])
        await transaction`select runbook.tune_check(${check}, '{"missed_runs": 0}')`;
      await transaction`
        create or replace function runbook.autovacuum_is_busy() returns text
        language sql stable as $$ select 'all 3 of its workers are busy with other tables' $$`;
      for (const check of ["dead_rows", "table_statistics"]) {
        const [finding] = await findingsOf(transaction, check, "vacuum_story");
        expect(finding?.summary).toContain("; all 3 of its workers are busy with other tables. ");
      }
      return true;
    });
  });
});

it("does not call a pile cured because somebody vacuumed", async () => {
  await fill(60_000);
  await withoutAutovacuum(async () => {
    await sql`delete from vacuum_story.thing where id <= 40000`;
    await seen("4 hours");
  });
  await sql`vacuum vacuum_story.thing`;
  await sql`delete from vacuum_story.thing where id <= 58000`;
  expect(await found("dead_rows")).toEqual([
    ["dead_rows_pile_up", "vacuum_story.thing", "vacuum-table", "still_there"],
  ]);
  // The collector looks again, and the time begins anew.
  await sql`select runbook.collect('autovacuum_due')`;
  expect(await found("dead_rows")).toEqual([]);
});

it("leaves to autovacuum what it is about to do, or does at this moment", async () => {
  await fill(60_000);
  await withoutAutovacuum(async () => {
    await sql`delete from vacuum_story.thing where id <= 30000`;
    expect(await foundLate("dead_rows")).toHaveLength(1);
    expect(await foundLate("table_statistics")).toHaveLength(1);
    await rolledBack(sql, async (transaction) => {
      for (const check of ["dead_rows", "table_statistics"])
        await transaction`select runbook.tune_check(${check}, '{"missed_runs": 0}')`;
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

  // It came a moment ago, so it will come again, though the collector has not looked since.
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
    expect(await foundLate("dead_rows")).toEqual([]);

    await sql`delete from vacuum_story.thing where id <= 12500`;
    await seen("4 hours");
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
    // Past the trigger of 6,050, and not by much.
    await sql`update vacuum_story.thing set body = 'y' where id <= 12000`;
    expect(await foundLate("table_statistics")).toEqual([]);

    await sql`update vacuum_story.thing set body = 'y' where id <= 200`;
    expect(await foundLate("table_statistics")).toEqual([
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
    expect(await foundLate("table_statistics")).toEqual([]);

    await sql`insert into vacuum_story.thing select n, 'x' from generate_series(1, 1000) as n`;
    expect(await foundLate("table_statistics")).toEqual([
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
