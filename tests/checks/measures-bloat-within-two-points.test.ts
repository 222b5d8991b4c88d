import postgres from "postgres";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

const sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });

// The tables on which published formulas fail by up to 73 points: padding, fillfactor, TOAST, and statistics that are
// stale or missing. Autovacuum stays away, so that what is stale stays so.
const tables: Record<string, string> = {
  padding: `
    create table bloat_lab.padding (a int2, b int8, c bool, d int8, e bool, f int8);
    insert into bloat_lab.padding select 1, n, true, n, false, n from generate_series(1, 60000) as n;
    vacuum analyze bloat_lab.padding`,
  fillfactor_70: `
    create table bloat_lab.fillfactor_70 (id int, body text) with (fillfactor = 70);
    insert into bloat_lab.fillfactor_70 select n, md5(n::text) from generate_series(1, 60000) as n;
    vacuum analyze bloat_lab.fillfactor_70`,
  fillfactor_70_deleted: `
    create table bloat_lab.fillfactor_70_deleted (id int, body text) with (fillfactor = 70);
    insert into bloat_lab.fillfactor_70_deleted select n, md5(n::text) from generate_series(1, 60000) as n;
    delete from bloat_lab.fillfactor_70_deleted where id % 2 = 0;
    vacuum analyze bloat_lab.fillfactor_70_deleted`,
  toasted_jsonb: `
    create table bloat_lab.toasted_jsonb (id int, body jsonb);
    insert into bloat_lab.toasted_jsonb
    select n, (select jsonb_object_agg(md5(n || '-' || k), md5(k || '-' || n)) from generate_series(1, 60) as k)
    from generate_series(1, 1500) as n;
    vacuum analyze bloat_lab.toasted_jsonb`,
  wide_text: `
    create table bloat_lab.wide_text (id int, body text);
    insert into bloat_lab.wide_text select n, repeat(md5(n::text), 20) from generate_series(1, 12000) as n;
    vacuum analyze bloat_lab.wide_text`,
  real_arrays: `
    create table bloat_lab.real_arrays (id int, body real[]);
    insert into bloat_lab.real_arrays
    select n, (select array_agg(k * n) from generate_series(1, 100) as k) from generate_series(1, 15000) as n;
    vacuum analyze bloat_lab.real_arrays`,
  uuid_mix: `
    create table bloat_lab.uuid_mix (id uuid, a bool, b uuid, c int2, d timestamptz, e text);
    insert into bloat_lab.uuid_mix
    select gen_random_uuid(), true, gen_random_uuid(), 1, now(), n::text from generate_series(1, 50000) as n;
    vacuum analyze bloat_lab.uuid_mix`,
  half_deleted: `
    create table bloat_lab.half_deleted (id int, body text);
    insert into bloat_lab.half_deleted select n, md5(n::text) from generate_series(1, 60000) as n;
    delete from bloat_lab.half_deleted where id % 2 = 0;
    vacuum analyze bloat_lab.half_deleted`,
  most_deleted: `
    create table bloat_lab.most_deleted (id int, body text);
    insert into bloat_lab.most_deleted select n, md5(n::text) from generate_series(1, 60000) as n;
    delete from bloat_lab.most_deleted where id % 5 <> 0;
    vacuum analyze bloat_lab.most_deleted`,
  stale: `
    create table bloat_lab.stale (id int, body text);
    insert into bloat_lab.stale select n, md5(n::text) from generate_series(1, 60000) as n;
    vacuum analyze bloat_lab.stale;
    delete from bloat_lab.stale where id % 5 <> 0`,
  never_analyzed: `
    create table bloat_lab.never_analyzed (id int, body text);
    insert into bloat_lab.never_analyzed select n, md5(n::text) from generate_series(1, 60000) as n;
    delete from bloat_lab.never_analyzed where id % 5 <> 0`,
  updated: `
    create table bloat_lab.updated (id int, body text);
    insert into bloat_lab.updated select n, md5(n::text) from generate_series(1, 30000) as n;
    vacuum analyze bloat_lab.updated;
    update bloat_lab.updated set body = md5(body);
    update bloat_lab.updated set body = md5(body) where id % 3 = 0`,
};

beforeAll(async () => {
  await sql`create schema bloat_lab`;
  for (const [name, script] of Object.entries(tables)) {
    const statements = script.split(";");
    statements.splice(1, 0, `alter table bloat_lab.${name} set (autovacuum_enabled = off)`);
    for (const statement of statements) await sql.unsafe(statement);
  }
});

afterAll(async () => {
  await sql`drop schema bloat_lab cascade`;
  await sql.end();
});

it.each(Object.keys(tables))("agrees with pgstattuple about %s", async (name) => {
  const relation = `bloat_lab.${name}`;
  const rows = await sql`
    select
      100.0 * (msr.dead_bytes + msr.free_bytes) / msr.bytes as measured,
      100.0 * msr.wasted_bytes / msr.bytes as wasted,
      exact.dead_tuple_percent + exact.free_percent as exact,
      100 * greatest(
        0,
        1 - (1 - (exact.dead_tuple_percent + exact.free_percent) / 100) * 100
          / coalesce(runbook.storage_parameter(rel.reloptions, 'fillfactor')::numeric, 100)
      ) as exact_waste
    from pg_catalog.pg_class as rel
    cross join lateral unnest(array[rel.oid, nullif(rel.reltoastrelid, 0)]) as part (oid)
    cross join lateral runbook.measure_bloat(part.oid) as msr
    cross join lateral extensions.pgstattuple(part.oid::regclass) as exact
    where rel.oid = ${relation}::regclass and msr.bytes > 0`;
  expect(rows.length).toBeGreaterThan(0);
  for (const row of rows) {
    expect(Math.abs(Number(row["measured"]) - Number(row["exact"]))).toBeLessThanOrEqual(2);
    expect(Math.abs(Number(row["wasted"]) - Number(row["exact_waste"]))).toBeLessThanOrEqual(2);
  }
});
