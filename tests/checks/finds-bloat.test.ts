import postgres from "postgres";
import { afterAll, afterEach, beforeAll, expect, inject, it } from "vitest";
import { collect } from "../setup/schedule.ts";
import { entryOf, findingsOf, flushCounters } from "./findings-of.ts";

const sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
const other = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });

beforeAll(async () => {
  await collect(sql, "bloat");
  // Small tables tell the story too, where small waste counts.
  await sql`select runbook.tune_check('bloat', '{"wasted_bytes": 1000000}')`;
});

afterEach(async () => {
  await sql`drop schema if exists bloat_story cascade`;
  await sql`delete from runbook.bloat_measurement where true`;
});

afterAll(async () => {
  await sql`select runbook.tune_check('bloat', null)`;
  await Promise.all([sql.end(), other.end()]);
});

/** A table of 60,000 rows in 4 MB that autovacuum leaves alone. */
async function makeTable(name: string): Promise<void> {
  await sql`create schema if not exists bloat_story`;
  await sql`create table bloat_story.${sql(name)} (id int, body text)`;
  await sql`alter table bloat_story.${sql(name)} set (autovacuum_enabled = off)`;
  await sql`insert into bloat_story.${sql(name)} select n, md5(n::text) from generate_series(1, 60000) as n`;
  await flushCounters(sql);
  await sql`vacuum analyze bloat_story.${sql(name)}`;
}

const found = async (): Promise<unknown[]> =>
  (await findingsOf(sql, "bloat", "bloat_story")).map(({ code, severity, subject, remediation }) => [
    code,
    severity,
    subject,
    remediation,
  ]);

it("is silent, then finds a bloated table, tells what vacuum can do, and is silent again", async () => {
  const name = `we'ird "Näme`;
  await makeTable(name);
  expect(await found()).toEqual([]);

  await sql`delete from bloat_story.${sql(name)} where id % 10 < 3`;
  await flushCounters(sql);
  expect(await found()).toEqual([]);

  await sql`delete from bloat_story.${sql(name)} where id % 10 <> 9`;
  await flushCounters(sql);
  const subject = 'bloat_story."we\'ird ""Näme"';
  expect(await found()).toEqual([["table_bloated", "warning", subject, "vacuum-table"]]);
  const [finding] = await findingsOf(sql, "bloat", "bloat_story");
  expect(finding?.params).toEqual({ table: subject });
  expect(finding?.method).toMatch(/^measured by pgstattuple_approx at /);
  expect(finding?.evidence["percent"]).toBeGreaterThan(80);

  // The collector's measurement counts until a vacuum changes what is in the file.
  expect(await sql`select runbook.collect_bloat('30 days') as written`).not.toEqual([{ written: "0" }]);
  expect(await found()).toEqual([["table_bloated", "warning", subject, "vacuum-table"]]);
  // A snapshot of the running stack may still see the rows for a moment.
  const foundAfterVacuum = async (): Promise<unknown[]> => {
    await sql`vacuum bloat_story.${sql(name)}`;
    await flushCounters(sql);
    return await found();
  };
  await expect.poll(foundAfterVacuum).toEqual([["table_bloated", "warning", subject, null]]);

  await sql`vacuum full bloat_story.${sql(name)}`;
  await flushCounters(sql);
  expect(await found()).toEqual([]);
});

it("estimates with low confidence what is too large to measure at once, until the collector has", async () => {
  await makeTable("large");
  await sql`delete from bloat_story.large where id % 10 <> 9`;
  await flushCounters(sql);
  await sql`select runbook.tune_check('bloat', '{"wasted_bytes": 1000000, "pages_at_once": 10}')`;
  try {
    expect(await found()).toEqual([["table_bloated", "info", "bloat_story.large", null]]);
    await sql`select runbook.collect_bloat('30 days')`;
    expect(await found()).toEqual([["table_bloated", "warning", "bloat_story.large", "vacuum-table"]]);
    expect(await sql`select runbook.collect_bloat('30 days') as written`).toEqual([{ written: "0" }]);
    expect(await sql`select runbook.collect_bloat('0') as written`).not.toEqual([{ written: "0" }]);
  } finally {
    await sql`select runbook.tune_check('bloat', '{"wasted_bytes": 1000000}')`;
  }
});

it("finds a TOAST table under the name of its table", async () => {
  await sql`create schema bloat_story`;
  await sql`create table bloat_story.file (id int, body text)`;
  await sql`alter table bloat_story.file set (autovacuum_enabled = off)`;
  await sql`alter table bloat_story.file alter body set storage external`;
  await sql`insert into bloat_story.file select n, repeat('x', 4000) from generate_series(1, 1000) as n`;
  await flushCounters(sql);
  expect(await found()).toEqual([]);

  await sql`delete from bloat_story.file where id % 10 <> 0`;
  await flushCounters(sql);
  expect(await found()).toEqual([["table_bloated", "warning", "bloat_story.file", "vacuum-table"]]);
  const [finding] = await findingsOf(sql, "bloat", "bloat_story");
  expect(finding?.summary).toContain("(its TOAST table)");
});

it("finds a bloated index once the collector has read it", async () => {
  await makeTable("indexed");
  await sql`create index indexed_body on bloat_story.indexed (body)`;
  await sql`vacuum bloat_story.indexed`;
  await sql`select runbook.collect_bloat('30 days')`;
  expect(await found()).toEqual([]);

  await sql`delete from bloat_story.indexed where id % 10 <> 0`;
  const foundAfterVacuum = async (): Promise<unknown[]> => {
    await sql`vacuum (index_cleanup on) bloat_story.indexed`;
    await sql`delete from runbook.bloat_measurement where true`;
    await sql`select runbook.collect_bloat('30 days')`;
    return await found();
  };
  await expect
    .poll(foundAfterVacuum)
    .toContainEqual(["index_bloated", "warning", "bloat_story.indexed_body", null]);

  await sql`reindex index bloat_story.indexed_body`;
  expect(await found()).not.toContainEqual(expect.arrayContaining(["index_bloated"]));
});

it("names the session that keeps it from measuring", async () => {
  await makeTable("locked");
  await other.begin(async (holder) => {
    await holder`lock table bloat_story.locked in access exclusive mode`;
    const [row] = await holder<{ pid: number }[]>`select pg_backend_pid() as pid`;
    const entry = await entryOf(sql, "bloat");
    expect(entry.reason).toContain(`bloat_story.locked was not measured: pid ${row?.pid} `);
    await sql`select runbook.collect_bloat('30 days')`;
    expect(
      await sql`
      select from runbook.bloat_measurement where relation = 'bloat_story.locked'::regclass
    `,
    ).toHaveLength(0);
  });
  expect((await entryOf(sql, "bloat")).reason).toBeUndefined();
});
