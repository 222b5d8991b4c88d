import { expect, it } from "vitest";
import { linesReported } from "./lines-reported.ts";
import { selectStar } from "./select-star.ts";

it("is silent over CTEs of the same statement", async () => {
  const sql = `
    with a as (select 1 as x), b (y) as materialized (select 2)
    select a.*, b.y * 2, count(*) from a inner join b on b.y = a.x where true;
    with recursive r as (select 1 as n union all select n + 1 from r) select * from r order by n;
    insert into app.t with fresh as (select 1) select * from fresh;`;
  expect(await linesReported(selectStar, sql)).toEqual([]);
});

it("is silent about products, counts and composite values", async () => {
  expect(await linesReported(selectStar, "select x * 2, count(*), (f(x)).*, array[1] from app.t;")).toEqual(
    [],
  );
});

it("reports tables, functions, subqueries and a CTE of another statement", async () => {
  const sql = [
    "with a as (select 1) select * from a;",
    "select * from a;",
    "select x, t.* from app.t as t;",
    "select distinct * from f(1) as g;",
    "select * from (select 1) as s;",
    "with a as (select 1) select * from a cross join app.t;",
    "select 1 from b where exists (select * from app.t);",
  ].join("\n");
  expect(await linesReported(selectStar, sql)).toEqual([2, 3, 4, 5, 6, 7]);
});

it("looks into bodies", async () => {
  const body = (code: string) => `do $$\nbegin\n${code}\nend $$;`;
  expect(
    await linesReported(
      selectStar,
      body("for r in with c as (select 1) select * from c loop null; end loop;"),
    ),
  ).toEqual([]);
  expect(await linesReported(selectStar, body("select * into r from app.t;"))).toEqual([3]);
  expect(
    await linesReported(selectStar, body("for r in select t.* from app.t loop null; end loop;")),
  ).toEqual([3]);
});

it("is silent about a variable of the relation's own row type, and only that", async () => {
  const body = (type: string) =>
    `do $$ declare v_row ${type}; begin\nselect t.* into strict v_row from app.t as t where true; end $$;`;
  expect(await linesReported(selectStar, body("app.t"))).toEqual([]);
  expect(await linesReported(selectStar, body("constant app.t%rowtype"))).toEqual([]);
  expect(await linesReported(selectStar, body("app.u"))).toEqual([2]);
  expect(await linesReported(selectStar, body("record"))).toEqual([2]);
});
