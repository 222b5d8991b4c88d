import { expect, it } from "vitest";
import { linesReported } from "./lines-reported.ts";
import { objectOrder } from "./object-order.ts";

const lines = (...statements: string[]): string => statements.join("\n");

it("is silent about the order of the house, with indexes and columns in between", async () => {
  const sql = lines(
    "create table a.t (x int);",
    "create index t_x on a.t (x);",
    "comment on table a.t is 't';",
    "comment on column a.t.x is 'x';",
    "revoke all on table a.t from public;",
    "grant select on a.t to b;",
    "create view a.v as select 1;",
    "comment on view a.v is 'v';",
    "grant select on a.v to b;",
  );
  expect(await linesReported(objectOrder, sql)).toEqual([]);
});

it("is silent about objects of other files and about grants for several objects", async () => {
  const sql = lines(
    "create table a.t (x int);",
    "comment on table a.t is 't';",
    "create table a.u (x int);",
    "comment on table a.u is 'u';",
    "grant select on a.other to b;",
    "comment on table a.elsewhere is 'x';",
    "grant select on a.t, a.u to b;",
  );
  expect(await linesReported(objectOrder, sql)).toEqual([]);
});

it("reports a comment behind a grant and a revoke behind a grant", async () => {
  const sql = lines(
    "create function a.f(x int) returns int language sql as $$ select 1 $$;",
    "grant execute on function a.f(int) to b;",
    "revoke all on function a.f(int) from public;",
    "comment on function a.f is 'f';",
  );
  expect(await linesReported(objectOrder, sql)).toEqual([3, 4]);
});

it("reports a comment that stands behind another object, and one before its object", async () => {
  const sql = lines(
    "create table a.t (x int);",
    "create table a.u (x int);",
    "comment on table a.t is 't';",
    "comment on type a.k is 'k';",
    "create type a.k as enum ('x');",
  );
  expect(await linesReported(objectOrder, sql)).toEqual([3, 5]);
});
