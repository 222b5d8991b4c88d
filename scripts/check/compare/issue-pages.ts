import type { Finding } from "../finding.ts";
import { keysOfJson, readInsertedRows } from "./catalog.ts";

interface TextFile {
  readonly path: string;
  readonly text: string;
}

/**
 * Each issue of the catalog has its page docs/issues/<name>.md, which names every code that a diagnosis may find, those of
 * its causes included, and every remediation; a code that a page describes (in a heading or in the first cell of a table about findings) is in
 * the catalog. libpg-query's `loadModule()` must have resolved before.
 */
export function compareIssuePages(migrations: readonly TextFile[], pages: readonly TextFile[]): Finding[] {
  const issues = readInsertedRows(migrations, "issue");
  const parts = readInsertedRows(migrations, "issue_part");
  const remediations = readInsertedRows(migrations, "remediation");
  const causes = readInsertedRows(migrations, "cause");
  const findings: Finding[] = [];
  const named = new Set<string>();
  for (const issue of issues) {
    const name = issue.values.get("name") ?? "";
    const path = `docs/issues/${name}.md`;
    named.add(path);
    const page = pages.find((one) => one.path === path);
    if (page === undefined) {
      findings.push({
        file: path,
        line: 0,
        message: `The catalog has the issue ${name}, and this page is missing.`,
      });
      continue;
    }
    const codes = [
      ...[issue, ...parts.filter((part) => part.values.get("issue") === name)].flatMap((row) =>
        keysOfJson(row.values.get("codes")),
      ),
      ...causes
        .filter((cause) => cause.values.get("issue") === name)
        .map((cause) => cause.values.get("code") ?? ""),
    ];
    const cures = remediations
      .filter((row) => row.values.get("issue") === name)
      .map((row) => row.values.get("name") ?? "");
    for (const word of [...codes, ...cures]) {
      if (page.text.includes(`\`${word}\``)) continue;
      findings.push({
        file: path,
        line: 0,
        message: `The page does not tell about \`${word}\` of the catalog.`,
      });
    }
    for (const { code, line } of describedCodes(page.text)) {
      if (codes.includes(code)) continue;
      findings.push({ file: path, line, message: `The catalog has no code ${code} for this issue.` });
    }
  }
  for (const page of pages) {
    if (named.has(page.path)) continue;
    findings.push({ file: page.path, line: 0, message: "The catalog has no issue of this name." });
  }
  return findings;
}

/** Codes that a page describes: a heading of its own, or the first cell of a table below a heading about findings. */
function describedCodes(page: string): { code: string; line: number }[] {
  let isAboutFindings = false;
  return page.split("\n").flatMap((line, index) => {
    if (line.startsWith("#")) isAboutFindings = /\bfind/i.test(line);
    const heading = /^#+ `([a-z][a-z0-9_]*)`\s*$/.exec(line)?.[1];
    const cell = isAboutFindings ? /^\|\s*`([a-z][a-z0-9_]*)`\s*\|/.exec(line)?.[1] : undefined;
    const code = heading ?? cell;
    return code === undefined ? [] : [{ code, line: index + 1 }];
  });
}
