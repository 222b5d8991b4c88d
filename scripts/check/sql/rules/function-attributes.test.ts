import { expect, it } from "vitest";
import { functionAttributes } from "./function-attributes.ts";
import { linesReported } from "./lines-reported.ts";

const whole =
  "create function a.f(x int) returns int language sql stable security invoker set search_path = '' as $$ select 1 $$;";

it("is silent when everything is written out", async () => {
  expect(await linesReported(functionAttributes, whole)).toEqual([]);
  expect(
    await linesReported(
      functionAttributes,
      "create procedure a.p() language sql security invoker set search_path = public as $$ select 1 $$;",
    ),
  ).toEqual([]);
});

it.each(["returns int", "stable", "security invoker", "set search_path = ''"])(
  "reports a function without %s",
  async (part) => {
    const broken =
      part === "returns int" ? whole.replace("(x int) returns int", "(out x int)") : whole.replace(part, "");
    expect(await linesReported(functionAttributes, `select 1;\n${broken}`)).toEqual([2]);
  },
);

it("does not take another setting for search_path", async () => {
  expect(await linesReported(functionAttributes, whole.replace("search_path", "work_mem"))).toEqual([1]);
});
