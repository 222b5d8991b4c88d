import type { Finding } from "../finding.ts";
import { type InsertedRow, keysOfJson, readInsertedRows } from "./catalog.ts";

/** Where the page is. */
export const checksPage = "docs/checks.md";

/** What stands above this line is written by hand, what stands below it by `npm run format`. */
const marker = "<!-- Below this line `npm run format` writes what the catalog says. -->";

/**
 * The page docs/checks.md as the catalog wants it: a table for each group of checks and a line for each check, below what
 * was written by hand. libpg-query's `loadModule()` must have resolved before.
 */
export function renderChecksPage(
  migrations: readonly { path: string; text: string }[],
  page: string,
): string {
  const above = page.split(marker)[0]?.trimEnd() ?? "";
  const checks = readInsertedRows(migrations, "check").toSorted((a, b) => position(a) - position(b));
  const groups = readInsertedRows(migrations, "check_group").toSorted((a, b) => position(a) - position(b));
  const parts = groups.map((group) => {
    const lines = checks
      .filter((check) => value(check, "check_group") === value(group, "name"))
      .map((check) => line(check));
    return [
      `## ${value(group, "title")} (\`${value(group, "name")}\`, every ${value(group, "every")})`,
      "",
      "| check | what it asks | thresholds | codes |",
      "|---|---|---|---|",
      ...lines,
    ].join("\n");
  });
  return `${[above, marker, ...parts].join("\n\n")}\n`;
}

/** Whether docs/checks.md says what the catalog says. */
export function compareChecksPage(
  migrations: readonly { path: string; text: string }[],
  page: string,
): Finding[] {
  const message = "The page is not what the catalog says. `npm run format` writes it.";
  return page === renderChecksPage(migrations, page) ? [] : [{ file: checksPage, line: 0, message }];
}

function line(check: InsertedRow): string {
  const unit = value(check, "unit");
  const question = value(check, "description") + (unit === "" ? "" : ` Value: ${unit}.`);
  const cells = [
    `\`${value(check, "name")}\``,
    question,
    thresholdsOf(check).join(", ") || "none",
    keysOfJson(check.values.get("codes"))
      .map((code) => `\`${code}\``)
      .join(", "),
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function thresholdsOf(check: InsertedRow): string[] {
  const thresholds: unknown = JSON.parse(value(check, "thresholds") || "{}");
  return Object.entries(thresholds ?? {}).map(([name, number]) => `\`${name}\` ${String(number)}`);
}

function value(row: InsertedRow, column: string): string {
  return (row.values.get(column) ?? "").replaceAll(/\s+/g, " ").trim();
}

function position(row: InsertedRow): number {
  return Number(row.values.get("position"));
}
