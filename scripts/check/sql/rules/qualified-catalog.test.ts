import { expect, it } from "vitest";
import { linesReported } from "./lines-reported.ts";
import { qualifiedCatalog } from "./qualified-catalog.ts";

it.each([
  "select att.attname from pg_catalog.pg_attribute as att, pg_catalog.pg_class as rel;",
  "select pg_backend_pid(), 'pg_class'::regclass from app.t;",
  "select 1 from pg_get_keywords();",
  "select pg_class.oid from pg_catalog.pg_class;",
  "select a, pg_id from app.t;",
  "revoke app_reader from pg_monitor;",
  "select x is distinct from pg_id from app.t;",
])("is silent about %s", async (sql) => {
  expect(await linesReported(qualifiedCatalog, sql)).toEqual([]);
});

it.each([
  "select 1 from pg_class;",
  "select 1 from app.t as t inner join pg_constraint as con on true;",
  "select 1 from app.f(1, 2) as f, pg_class;",
  "create function app.f() returns int language sql as $$ select 1 from pg_stat_activity $$;",
  "do $$ begin update pg_settings set x = 1; end $$;",
])("reports %s", async (sql) => {
  expect(await linesReported(qualifiedCatalog, sql)).toEqual([1]);
});
