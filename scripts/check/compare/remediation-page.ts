import type { Finding } from "../finding.ts";
import { readInsertedRows } from "./catalog.ts";

const page = "docs/remediations.md";

/**
 * The first table of docs/remediations.md has each remediation of the catalog with its risk, and no other.
 * libpg-query's `loadModule()` must have resolved before.
 */
export function compareRemediationPage(
  migrations: readonly { path: string; text: string }[],
  text: string,
): Finding[] {
  const rows = readInsertedRows(migrations, "remediation");
  const risks = new Map(rows.map(({ values }) => [values.get("name") ?? "", values.get("risk")]));
  const described = describedRemediations(text);
  const missing = [...risks.keys()]
    .filter((name) => !described.has(name))
    .map((name) => ({
      file: page,
      line: 0,
      message: `The table has no row for \`${name}\` of the catalog.`,
    }));
  const wrong = [...described].flatMap(([name, { risk, line }]) => {
    if (!risks.has(name)) return [{ file: page, line, message: `The catalog has no remediation ${name}.` }];
    if (risks.get(name) === risk) return [];
    return [{ file: page, line, message: `${name} has the risk ${risks.get(name)} in the catalog.` }];
  });
  return [...missing, ...wrong];
}

/** The rows of the page's first table: a name, linked or not, and the risk beside it. */
function describedRemediations(text: string): Map<string, { risk: string; line: number }> {
  const found = new Map<string, { risk: string; line: number }>();
  const lines = text.split("\n");
  const begin = lines.findIndex((line) => line.startsWith("|"));
  const length = lines.slice(begin).findIndex((line) => !line.startsWith("|"));
  lines.slice(begin, begin + length).forEach((line, index) => {
    const [, name, risk] = /^\|\s*\[?`([a-z-]+)`[^|]*\|\s*([a-z]+)\s*\|/.exec(line) ?? [];
    if (name !== undefined && risk !== undefined) found.set(name, { risk, line: begin + index + 1 });
  });
  return found;
}
