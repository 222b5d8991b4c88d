import { expect, it } from "vitest";
import { readTap } from "./tap.ts";

it("passes when every planned assertion passed", () => {
  expect(readTap(["1..2", "ok 1 - a", "ok 2 - b"])).toEqual({ planned: 2, passed: 2, failures: [] });
});

it("fails for an assertion that failed, with its diagnostics", () => {
  const result = readTap(["1..2", "ok 1 - a", 'not ok 2 - b\n# Failed test 2: "b"', "# have: 1"]);
  expect(result.failures.join("\n")).toContain("have: 1");
});

it("fails without a plan and when the plan does not fit", () => {
  expect(readTap(["ok 1 - a"]).failures).toEqual(["the script has no plan"]);
  expect(readTap(["1..2", "ok 1 - a"]).failures).toEqual(["planned 2 assertions but ran 1"]);
});
