import { describe, expect, it } from "vitest";
import { readSourceFile } from "./source-file.ts";

/** Text with a template's placeholders, written with another sign so that nobody takes it for a forgotten template. */
const template = (text: string): string => text.replaceAll("€", "$");
const code = (text: string): string => readSourceFile("a/b.ts", text).code;

describe("readSourceFile", () => {
  it("blanks comments, strings, templates and regular expressions and keeps every position", () => {
    const text = template('a("x\'"); // b\n/* c\n */ d = `e €{f(`g €{h}`)} i`; j = /[/]k/ + l / m;');
    expect(code(text)).toBe(
      template('a("  ");     \n    \n    d = `  €{f(`  €{h}`)}  `; j = /    / + l / m;'),
    );
    expect(code(text)).toHaveLength(text.length);
  });

  it("keeps code inside a template that has braces of its own", () => {
    expect(code(template("`a €{b({ c: 1 })} d` + e"))).toBe(template("`  €{b({ c: 1 })}  ` + e"));
  });

  it("reads imports of every form, with the place that they lead to", () => {
    const text = [
      'import a, { type B } from "../c/d.ts";',
      "import {",
      "  e,",
      '} from "zod";',
      "import './f.ts';",
      'const g = await import("./g.ts");',
      'export * from "../../h.ts";',
      "export const i = \"not from './i.ts'\";",
      "// import './j.ts';",
    ].join("\n");
    expect(readSourceFile("a/b/k.ts", text).imports).toEqual([
      { specifier: "../c/d.ts", target: "a/c/d.ts", line: 1 },
      { specifier: "zod", target: undefined, line: 4 },
      { specifier: "./f.ts", target: "a/b/f.ts", line: 5 },
      { specifier: "./g.ts", target: "a/b/g.ts", line: 6 },
      { specifier: "../../h.ts", target: "h.ts", line: 7 },
    ]);
  });
});
