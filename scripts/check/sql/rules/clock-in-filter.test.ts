import { expect, it } from "vitest";
import { clockInFilter } from "./clock-in-filter.ts";
import { linesReported } from "./lines-reported.ts";

it.each([
  "select 1 from app.t where x > (select runbook.now()) - interval '1 day';",
  "select runbook.now() - x from app.t where x > 1;",
  "insert into app.t (x) values (runbook.now());",
  "update app.t set x = coalesce(runbook.now(), x) where y = 1;",
  "select (select max(runbook.now() - x) from app.t) from app.u;",
  "do $$ begin v := runbook.now(); if x > runbook.now() then return; end if; end $$;",
  "insert into app.t (x) values (1) on conflict (x) do update set x = runbook.now();",
  "comment on function runbook.now() is 'x'; grant execute on function runbook.now() to a;",
])("is silent about %s", async (sql) => {
  expect(await linesReported(clockInFilter, sql)).toEqual([]);
});

it.each([
  "select 1 from app.t where x > runbook.now();",
  "select 1 from app.t where (y or (x > greatest(runbook.now() - z, w)));",
  "select 1 from app.t where case when y then x > runbook.now() else runbook.now() < z end;",
  "select 1 from app.t as t inner join app.u as u on u.x > runbook.now();",
  "select count(*) filter (where x > runbook.now()) from app.t;",
  "do $$ begin delete from app.t where x < runbook.now(); end $$;",
])("reports %s", async (sql) => {
  expect(new Set(await linesReported(clockInFilter, sql))).toEqual(new Set([1]));
});
