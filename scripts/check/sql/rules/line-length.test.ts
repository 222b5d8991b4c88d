import { expect, it } from "vitest";
import { lineLength } from "./line-length.ts";
import { linesReported } from "./lines-reported.ts";

const long = "a".repeat(110);

it("is silent at 100 characters and reports 101", async () => {
  expect(await linesReported(lineLength, `select ${"a".repeat(92)};`)).toEqual([]);
  expect(await linesReported(lineLength, `select 1;\nselect ${"a".repeat(93)};`)).toEqual([2]);
});

it("counts characters and not units of an encoding", async () => {
  expect(await linesReported(lineLength, `select '${"😀".repeat(80)}', 1;`)).toEqual([]);
});

it("is silent about a string that stands alone or is a comment's text", async () => {
  expect(await linesReported(lineLength, `comment on table a.b is '${long}';`)).toEqual([]);
  expect(await linesReported(lineLength, `select\n  '${long}',\n  1;`)).toEqual([]);
  expect(await linesReported(lineLength, `select '${long}\n${long}';`)).toEqual([1]);
});

it("reports a string that could stand on its own line", async () => {
  expect(await linesReported(lineLength, `select a, b, '${long}';`)).toEqual([1]);
  expect(await linesReported(lineLength, `comment on column a.b.c is '${"a".repeat(75)}';`)).toEqual([1]);
});

it("reports long comments and long lines of dollar quotes and bodies", async () => {
  expect(await linesReported(lineLength, `-- ${"word ".repeat(30)}\nselect 1;`)).toEqual([1]);
  expect(await linesReported(lineLength, `select $$\n${long}\n$$;`)).toEqual([2]);
  expect(await linesReported(lineLength, `do $$ begin\n  perform ${long}();\nend $$;`)).toEqual([2]);
});
