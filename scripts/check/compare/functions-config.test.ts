import { expect, it } from "vitest";
import { compareFunctionsConfig } from "./functions-config.ts";

const block = (name: string, jwt = "false", map = "../deno.json"): string =>
  `[functions.${name}]\nverify_jwt = ${jwt}\nimport_map = "${map}"\n`;

function compare(toml: string, ...folders: string[]): string[] {
  return compareFunctionsConfig(toml, folders).map((finding) => `${finding.line} ${finding.message}`);
}

it("is silent when blocks and folders agree", () => {
  expect(compare(block("a") + block("b"), "a", "b")).toEqual([]);
  expect(compare("project_id = 'x'\n")).toEqual([]);
});

it("reports a folder without a block and a block without a folder", () => {
  expect(compare(block("a"), "a", "b")).toEqual([
    expect.stringContaining("1 There is no block [functions.b]"),
  ]);
  expect(compare(block("a") + block("b"), "a")).toEqual([
    expect.stringContaining("4 The function b has no folder"),
  ]);
});

it("reports a platform check that is on or left to the default, and another import map", () => {
  expect(compare(block("a", "true"), "a")).toEqual([expect.stringContaining("verify_jwt = false")]);
  expect(compare('[functions.a]\nimport_map = "../deno.json"\n', "a")).toEqual([
    expect.stringContaining("verify_jwt"),
  ]);
  expect(compare(block("a") + block("b", "false", "./b/deno.json"), "a", "b")).toEqual([
    expect.stringContaining('4 b needs the import map of all functions: import_map = "../deno.json"'),
  ]);
  expect(compare("[functions.a]\nverify_jwt = false\n", "a")).toEqual([
    expect.stringContaining("import_map"),
  ]);
});
