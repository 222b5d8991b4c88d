import postgres from "postgres";
import { afterAll, expect, inject, it } from "vitest";
import { findingsOf } from "./findings-of.ts";

const sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });

afterAll(async () => {
  await sql`drop schema if exists index_story cascade`;
  await sql.end();
});

const found = async (): Promise<unknown[]> =>
  (await findingsOf(sql, "migrations", "index_story")).map(({ code, severity, subject }) => [
    code,
    severity,
    subject,
  ]);

it("suspects a migration behind an invalid index that no record names", async () => {
  await sql`create schema index_story`;
  await sql`create table index_story.pair (id int)`;
  await sql`insert into index_story.pair values (1), (1)`;
  await sql`create index concurrently whole on index_story.pair (id)`;
  expect(await found()).toEqual([]);

  const half = `half 'built"`;
  await expect(sql`create unique index concurrently ${sql(half)} on index_story.pair (id)`).rejects.toThrow(
    /could not create unique index/,
  );
  const subject = `index_story."half 'built"""`;
  expect(await found()).toEqual([["migration_failed", "info", subject]]);

  // A migration that is in the record ran to its end, so the index broke later.
  const statement = `create unique index concurrently ${half} on pair (id)`;
  await sql`
    insert into supabase_migrations.schema_migrations (version, statements)
    values ('20990101000000', ${[statement.toUpperCase()]})`;
  expect(await found()).toEqual([]);
  await sql`delete from supabase_migrations.schema_migrations where version = '20990101000000'`;
  expect(await found()).toHaveLength(1);

  await sql`drop index index_story.${sql(half)}`;
  expect(await found()).toEqual([]);
});
