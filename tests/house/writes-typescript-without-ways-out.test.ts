import { describe, expect, it } from "vitest";
import { compilerSwitchedOff, exportsWithoutDocs, testsLeftOut, typeAssertions } from "./code-rules.ts";
import { readProjectSources, readSourceFile } from "./source-file.ts";

const project = readProjectSources();
const file = (path: string, ...lines: string[]) => [readSourceFile(path, lines.join("\n"))];

describe("the project", () => {
  it("asserts no types with as", () => {
    for (const fault of ["const a = b as string;", "f(x as unknown as Y);", "const a = {} as { b: 1 };"]) {
      expect(typeAssertions(file("scripts/a.ts", fault))).not.toEqual([]);
    }
    const fine = [
      'import { a as b } from "c";',
      'import * as d from "d";',
      "export { e as f };",
      "export {",
      "  g as h,",
      '} from "g";',
      "const i = [1] as const;",
      "// written as text",
      "await sql`select 1 as one`;",
      "const j = /x as y/;",
    ];
    expect(typeAssertions(file("scripts/a.ts", ...fine))).toEqual([]);
    expect(typeAssertions(project)).toEqual([]);
  });

  it("never switches the compiler off", () => {
    const off = "@ts-ignore";
    expect(compilerSwitchedOff(file("scripts/a.ts", `// ${off}`, "f();"))).toHaveLength(1);
    expect(compilerSwitchedOff(file("scripts/a.ts", `const a = "${off}";`))).toEqual([]);
    expect(compilerSwitchedOff(project)).toEqual([]);
  });

  it("says at every export what it does", () => {
    for (const declared of [
      "function a() {}",
      "const a = 1;",
      "interface a {}",
      "type a = 1;",
      "async function a() {}",
    ]) {
      expect(exportsWithoutDocs(file("scripts/a.ts", "// Not TSDoc.", `export ${declared}`))).toHaveLength(1);
      expect(exportsWithoutDocs(file("scripts/a.ts", "/** One. */", `export ${declared}`))).toEqual([]);
    }
    expect(exportsWithoutDocs(file("tests/a.ts", "export const a = 1;"))).toEqual([]);
    expect(exportsWithoutDocs(project)).toEqual([]);
  });

  it("leaves no test out", () => {
    expect(testsLeftOut(file("tests/a.test.ts", 'it.only("a", f);', 'describe.skip("b", f);'))).toHaveLength(
      2,
    );
    expect(testsLeftOut(file("tests/a.test.ts", 'it.skipIf(c)("a", f);', 'it("says it.only", f);'))).toEqual(
      [],
    );
    expect(testsLeftOut(project)).toEqual([]);
  });
});
