import { expect, it } from "vitest";
import { readBiomeOutput, readDenoOutput, readTypeScriptOutput } from "./tools.ts";

it("reads what Biome prints", () => {
  const output = [
    "::notice title=deserialize,file=/p/biome.json,line=6,endLine=14,col=13,endColumn=4::Deprecated.",
    "::error title=lint/suspicious/noExplicitAny,file=/p/a/b.ts,line=3,endLine=3,col=1,endColumn=2::Unexpected any: 100%25.",
    "::error title=format,file=/p/c.ts,line=1,endLine=1,col=2,endColumn=2::Formatter would have printed the following content:",
  ].join("\n");
  expect(readBiomeOutput(output, "/p")).toEqual([
    {
      file: "a/b.ts",
      line: 3,
      message: "Unexpected any: 100%.",
      rule: "biome lint/suspicious/noExplicitAny",
    },
    {
      file: "c.ts",
      line: 0,
      message: "The file is not in format. Run `npm run format`.",
      rule: "biome format",
    },
  ]);
});

it("reads what tsc prints, with the lines that explain an error", () => {
  const output =
    "a/b.ts(8,49): error TS2322: Type A is not B.\n  The types differ.\n    More.\nc.ts(1,1): error TS1: X.\n";
  expect(readTypeScriptOutput(output)).toEqual([
    { file: "a/b.ts", line: 8, message: "Type A is not B. The types differ. More.", rule: "TS2322" },
    { file: "c.ts", line: 1, message: "X.", rule: "TS1" },
  ]);
});

it("reads what deno check prints", () => {
  const output = `TS2322 [ERROR]: Type 'string' is not assignable to type 'number'.
const x: number = "a";
      ~
    at file:///p/f/index.ts:1:7

error: Type checking failed.
`;
  expect(readDenoOutput(output, "/p")).toEqual([
    {
      file: "f/index.ts",
      line: 1,
      message: "Type 'string' is not assignable to type 'number'.",
      rule: "TS2322",
    },
  ]);
});
