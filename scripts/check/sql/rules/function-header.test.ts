import { expect, it } from "vitest";
import { functionHeader } from "./function-header.ts";
import { linesReported } from "./lines-reported.ts";

const create = (name: string, returned: string, taken = "jsonb"): string =>
  `create function a.${name}(x ${taken}) returns ${returned} language sql as $$ select 1 $$;`;

it("is silent about a function with its comment, and a check with cost and misses", async () => {
  expect(await linesReported(functionHeader, `-- One number.\n${create("check_names", "int")}`)).toEqual([]);
  const part = create("check_answer", "a.check_result", "numeric");
  expect(await linesReported(functionHeader, `-- One result.\n${part}`)).toEqual([]);
  const check = `-- Is it?\n--\n-- Cost: nothing.\n-- Misses: all.\n${create("check_x", "a.check_result")}`;
  expect(await linesReported(functionHeader, check)).toEqual([]);
});

it("reports a function without a comment, and one whose comment stands apart", async () => {
  expect(await linesReported(functionHeader, create("f", "int"))).toEqual([1]);
  expect(await linesReported(functionHeader, `-- The file.\n\n${create("f", "int")}`)).toEqual([3]);
});

it("reports a check or diagnosis that does not say what it costs or misses", async () => {
  expect(
    await linesReported(functionHeader, `-- Cost: x.\n${create("diagnose_x", "setof a.finding")}`),
  ).toEqual([2]);
  expect(await linesReported(functionHeader, `-- Why.\n${create("check_x", "a.check_result")}`)).toEqual([
    2, 2,
  ]);
});
