import { expect, it } from "vitest";
import { compareErrorPage } from "./error-page.ts";

const errorsTs = `const definitions = {
  NOT_FOUND: { status: 404, message: "m" },
  LOCKED: {
    status: 503,
    message: "m",
  },
};`;
const errorsMd =
  "# Errors\n\n| code | status | meaning |\n| --- | --- | --- |\n| `NOT_FOUND` | 404 | `NOTHING` |\n| `LOCKED` | 503 | |\n";

function compare(ts: string, md: string): string[] {
  return compareErrorPage(ts, md).map((finding) => `${finding.file}:${finding.line} ${finding.message}`);
}

it("is silent when the page and the constants agree", () => {
  expect(compare(errorsTs, errorsMd)).toEqual([]);
});

it("goes by the first place where a code stands, and looks at every code of every table", () => {
  const inSql = (code: string) =>
    `${errorsMd}\n| code | SQLSTATE |\n| --- | --- |\n| \`${code}\` | RB404 |\n`;
  expect(compare(errorsTs, inSql("NOT_FOUND"))).toEqual([]);
  expect(compare(errorsTs, inSql("GONE"))).toEqual([expect.stringContaining("errors.ts has no code GONE")]);
});

it("reports a code on one side only", () => {
  expect(compare(errorsTs, errorsMd.replace("| `LOCKED`", "| `LOKCED`"))).toEqual([
    expect.stringContaining("errors.ts:3 LOCKED is not in"),
    expect.stringContaining("docs/errors.md:6 errors.ts has no code LOKCED"),
  ]);
  expect(compare(errorsTs, "")).toHaveLength(2);
});

it("reports another status", () => {
  expect(compare(errorsTs, errorsMd.replace("404", "410"))).toEqual([
    expect.stringContaining("404 in errors.ts and 410 here"),
  ]);
});

it("reports a source in which it finds no code, instead of agreeing with it", () => {
  expect(compare("", errorsMd)).toEqual([expect.stringContaining("No error code was found")]);
});
