import { loadModule } from "libpg-query";
import { beforeAll, describe, expect, it } from "vitest";
import { checkSqlFile, profileOf } from "./lint.ts";

const header = "-- one\n-- two\n-- three\n";

function rulesIn(path: string, text: string, fix = false): string[] {
  return checkSqlFile(path, text, fix).findings.map((finding) => `${finding.line} ${finding.rule}`);
}

describe("checkSqlFile", () => {
  beforeAll(loadModule);

  it("holds each folder to its own rules", () => {
    const text = `select *  from Pg_class;\n\n\nselect '${"a".repeat(80)}', '${"b".repeat(80)}';\n`;
    expect(rulesIn("supabase/migrations/1_a.sql", header + text)).toEqual([
      "4 lower-case-names",
      "4 select-star",
      "4 qualified-catalog",
      "6 format",
      "7 line-length",
    ]);
    expect(rulesIn("supabase/tests/a/b.test.sql", text)).toEqual(["3 format", "4 line-length"]);
    expect(rulesIn("supabase/demo/1_a.sql", text)).toEqual([]);
    expect(profileOf("scripts/stack/platform/1_roles.sql").rules).toHaveLength(1);
  });

  it("formats with fix and then has nothing to say about format", () => {
    const report = checkSqlFile("scripts/a.sql", "SELECT 1 ;", true);
    expect(report).toEqual({ findings: [], formatted: "select 1;\n" });
  });

  it("says where the parser refuses the text, and does not format it", () => {
    const report = checkSqlFile("scripts/a.sql", "SELECT 'é';\nSELECT frm where;\n", true);
    expect(report.findings).toMatchObject([{ line: 2, rule: "syntax" }]);
    expect(report.formatted).toContain("SELECT");
  });

  it("takes an allowance with a reason, above or behind, and reports one that allows nothing", () => {
    const path = "supabase/migrations/1_a.sql";
    expect(
      rulesIn(path, `${header}\n-- allow select-star: the view is the contract\nselect * from a.t;\n`),
    ).toEqual([]);
    expect(
      rulesIn(path, `${header}\nselect * from a.t; -- allow select-star: the view is the contract\n`),
    ).toEqual([]);
    expect(rulesIn(path, `${header}\n-- allow select-star:\nselect * from a.t;\n`)).toEqual([
      "6 select-star",
    ]);
    expect(rulesIn(path, `${header}\n-- allow select-star: no reason\nselect 1;\n`)).toEqual(["5 allow"]);
  });
});
