import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import {
  barrels,
  functionsImportingEachOther,
  importsAgainstTheLayers,
  importsByAddress,
  relativeImportsWithoutExtension,
  sharedImportingFunctions,
} from "./import-rules.ts";
import { readProjectSources, readSourceFile } from "./source-file.ts";

const project = readProjectSources();
const denoJson = z
  .object({ imports: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readFileSync(new URL("../../deno.json", import.meta.url), "utf8")));
const mapped = Object.keys(denoJson.imports);

/** One file with these lines. */
const file = (path: string, ...lines: string[]) => [readSourceFile(path, lines.join("\n"))];

describe("functions", () => {
  it("never import each other", () => {
    expect(functionsImportingEachOther(project)).toEqual([]);
  });

  it("are caught when they do, also by a type, a re-export or a dynamic import", () => {
    const lines = [
      'import type { A } from "../b/a.ts";',
      'export { c } from "../c/c.ts";',
      'await import("../d/d.ts");',
    ];
    expect(functionsImportingEachOther(file("supabase/functions/a/index.ts", ...lines))).toEqual([
      expect.stringContaining("a/index.ts:1 imports the function b"),
      expect.stringContaining("a/index.ts:2 imports the function c"),
      expect.stringContaining("a/index.ts:3 imports the function d"),
    ]);
    const own = [
      'import { a } from "../_shared/a.ts";',
      'import { b } from "./b.ts";',
      '// import "../b/a.ts";',
    ];
    expect(functionsImportingEachOther(file("supabase/functions/a/index.ts", ...own))).toEqual([]);
  });

  it("are unknown to _shared", () => {
    expect(
      sharedImportingFunctions(file("supabase/functions/_shared/a.ts", 'import "../b/b.ts";')),
    ).toHaveLength(1);
    expect(sharedImportingFunctions(file("supabase/functions/_shared/a.ts", 'import "./b.ts";'))).toEqual([]);
    expect(sharedImportingFunctions(project)).toEqual([]);
  });

  it("know nothing of scripts and tests, and scripts nothing of tests", () => {
    const up = 'import { a } from "../../../scripts/a.ts";';
    expect(importsAgainstTheLayers(file("supabase/functions/_shared/a.ts", up))).toHaveLength(1);
    expect(importsAgainstTheLayers(file("scripts/a/a.ts", 'import "../../tests/a.ts";'))).toHaveLength(1);
    expect(importsAgainstTheLayers(file("scripts/a/a.ts", 'import "./b.test.ts";'))).toHaveLength(1);
    const down = 'import { a } from "../../supabase/functions/_shared/version.ts";';
    expect(importsAgainstTheLayers(file("scripts/a/a.ts", down))).toEqual([]);
    expect(importsAgainstTheLayers(file("tests/a.test.ts", 'import "../scripts/a.ts";'))).toEqual([]);
    expect(importsAgainstTheLayers(project)).toEqual([]);
  });
});

describe("imports", () => {
  it("end in .ts where they are relative", () => {
    const lines = [
      'import { a } from "./a";',
      'import { b } from "./b.js";',
      'import { c } from "./c.ts";',
      'import "zod";',
    ];
    expect(relativeImportsWithoutExtension(file("scripts/x.ts", ...lines))).toEqual([
      expect.stringContaining("x.ts:1"),
      expect.stringContaining("x.ts:2"),
    ]);
    expect(relativeImportsWithoutExtension(project)).toEqual([]);
  });

  it("are bare names that deno.json maps in functions, and addresses nowhere", () => {
    const lines = [
      'import { z } from "zod";',
      'import { join } from "node:path";',
      'import { a } from "other";',
      'import { b } from "npm:b@1.0.0";',
      'import { c } from "https://example.com/c.ts";',
      "const text = \"import x from 'jsr:y'\";",
    ];
    const lineNumbers = (path: string) =>
      importsByAddress(file(path, ...lines), ["zod"]).map((fault) => /:(\d+)/.exec(fault)?.[1]);
    expect(lineNumbers("supabase/functions/_shared/a.ts")).toEqual(["3", "4", "5"]);
    expect(lineNumbers("scripts/a.ts")).toEqual(["4", "5"]);
    expect(importsByAddress(project, mapped)).toEqual([]);
  });

  it("name the file that holds the thing: there are no barrels", () => {
    const passing = ["/** All. */", 'export * from "./a.ts";', "export {", "  b,", '} from "./b.ts";'];
    expect(barrels(file("scripts/a/index.ts", ...passing))).toHaveLength(1);
    expect(barrels(file("scripts/a/a.ts", ...passing, "export const c = 1;"))).toEqual([]);
    expect(barrels(file("scripts/a/a.ts", 'import "./main.ts";'))).toEqual([]);
    expect(barrels(project)).toEqual([]);
  });
});
