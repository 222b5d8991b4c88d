import postgres from "postgres";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { collect } from "../setup/schedule.ts";
import { entryOf, flushCounters } from "./findings-of.ts";

const sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
const idle = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
const waiting = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });

beforeAll(async () => {
  for (const name of ["sizes", "bloat"]) await collect(sql, name);
  await sql`create schema lock_story`;
  await sql`
    create table lock_story.event (
      id bigint generated always as identity,
      body text,
      created_at timestamptz not null default now()
    )`;
  await sql`alter table lock_story.event set (autovacuum_enabled = off)`;
  await sql`
    insert into lock_story.event (body, created_at)
    select repeat(md5(n::text), 4), now() - n * interval '1 hour' from generate_series(1, 20000) as n`;
  await sql`analyze lock_story.event`;
  await sql`delete from lock_story.event where id % 2 = 0`;
  await flushCounters(sql);
  await sql`select runbook.tune_check('bloat', '{"wasted_bytes": 1000000, "percent": 20}')`;
});

afterAll(async () => {
  await sql`select runbook.tune_check('bloat', null)`;
  await sql`drop schema lock_story cascade`;
  await Promise.all([sql.end(), idle.end(), waiting.end()]);
});

it("answers with every check of storage and platform, and leaves nobody waiting", async () => {
  const names = await sql<{ name: string }[]>`
    select chk.name from runbook.check as chk
    where chk.check_group in ('storage', 'platform') order by chk.position`;
  expect(names.length).toBeGreaterThan(15);

  let alter: Promise<unknown> = Promise.resolve();
  await idle.begin(async (reader) => {
    await reader`select count(*) from lock_story.event`;
    alter = waiting`alter table lock_story.event add column more int`.execute();
    const isWaiting = async (): Promise<boolean> =>
      (await sql`select from pg_locks where relation = 'lock_story.event'::regclass and not granted`)
        .length === 1;
    await expect.poll(isWaiting).toBe(true);

    await sql`set statement_timeout = '5s'`;
    for (const { name } of names) {
      const entry = await entryOf(sql, name);
      expect([name, entry.status]).not.toEqual([name, "error"]);
      if (name !== "bloat")
        expect([name, entry.reason ?? ""]).not.toEqual([name, expect.stringContaining("lock")]);
    }
    const bloat = await entryOf(sql, "bloat");
    expect(bloat.reason).toMatch(
      /lock_story\.event was not measured: pid \d+ .* waits for an exclusive lock/,
    );
    const deadRows = await entryOf(sql, "dead_rows");
    expect(deadRows.findings.map(({ subject }) => subject)).toContain("lock_story.event");
    const oldRows = await entryOf(sql, "old_rows");
    expect(oldRows.findings.map(({ subject }) => subject)).toContain("lock_story.event");

    // The collectors look elsewhere, and write what they saw.
    const [sizes] = await sql`select runbook.collect_sizes('30 days') as written`;
    expect(Number(sizes?.["written"])).toBeGreaterThan(1);
    expect(
      await sql`
      select from runbook.table_size where name = 'lock_story.event' and bytes > 0`,
    ).not.toHaveLength(0);
    await sql`select runbook.collect_bloat('30 days')`;
    await sql`reset statement_timeout`;
    const waiters = await sql`
      select act.pid, act.query
      from pg_locks as lck inner join pg_stat_activity as act on act.pid = lck.pid
      where lck.relation = 'lock_story.event'::regclass and not lck.granted`;
    expect([...waiters]).toEqual([{ pid: expect.any(Number), query: expect.stringMatching(/^alter table/) }]);
  });
  await alter;
  await sql`delete from runbook.table_size where true`;
  await sql`delete from runbook.database_size where true`;
  await sql`delete from runbook.bloat_measurement where true`;
});
