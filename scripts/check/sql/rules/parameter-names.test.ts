import { expect, it } from "vitest";
import { linesReported } from "./lines-reported.ts";
import { parameterNames } from "./parameter-names.ts";

it("is silent about plain names that only begin with p", async () => {
  const sql = "create function a.f(pid int, params jsonb, int) returns int language sql as $$ select 1 $$;";
  expect(await linesReported(parameterNames, sql)).toEqual([]);
});

it("reports p_ among the inputs and the outputs", async () => {
  const sql = "\ncreate function a.f(p_pid int, out p_x int) returns int language sql as $$ select 1 $$;";
  expect(await linesReported(parameterNames, sql)).toEqual([2, 2]);
});
