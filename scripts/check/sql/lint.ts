import { type Finding, lineAt } from "../finding.ts";
import { type FormatLevel, formatSql } from "./format.ts";
import type { SqlRule } from "./rule.ts";
import { clockInFilter } from "./rules/clock-in-filter.ts";
import { emptyHandler } from "./rules/empty-handler.ts";
import { functionAttributes } from "./rules/function-attributes.ts";
import { functionComment } from "./rules/function-comment.ts";
import { functionHeader } from "./rules/function-header.ts";
import { lineLength } from "./rules/line-length.ts";
import { lowerCaseNames } from "./rules/lower-case-names.ts";
import { migrationHeader } from "./rules/migration-header.ts";
import { objectOrder } from "./rules/object-order.ts";
import { parameterNames } from "./rules/parameter-names.ts";
import { qualifiedCatalog } from "./rules/qualified-catalog.ts";
import { queryCanceled } from "./rules/query-canceled.ts";
import { raiseErrcode } from "./rules/raise-errcode.ts";
import { raiseHint } from "./rules/raise-hint.ts";
import { selectStar } from "./rules/select-star.ts";
import { meansTheSame } from "./same-meaning.ts";
import { readSource, SqlSyntaxError } from "./source.ts";

/** Which rules a file of SQL is held to. */
export interface SqlProfile {
  readonly format: FormatLevel;
  readonly rules: readonly SqlRule[];
}

const migration: SqlProfile = {
  format: "house",
  rules: [
    migrationHeader,
    lineLength,
    lowerCaseNames,
    functionAttributes,
    functionComment,
    functionHeader,
    objectOrder,
    parameterNames,
    selectStar,
    emptyHandler,
    queryCanceled,
    raiseErrcode,
    raiseHint,
    qualifiedCatalog,
    clockInFilter,
  ],
};
const ours: SqlProfile = { format: "house", rules: [lineLength] };
const application: SqlProfile = { format: "safe", rules: [] };

/** Migrations are held to every rule, other SQL of ours to the format, the demo school's to what is safe to change. */
export function profileOf(path: string): SqlProfile {
  if (path.startsWith("supabase/migrations/")) return migration;
  return path.startsWith("supabase/demo/") ? application : ours;
}

/** What the linter found in a file, and what the formatter makes of it. */
export interface SqlReport {
  readonly findings: readonly Finding[];
  /** The formatted text; the text itself where it is in format or could not be formatted. */
  readonly formatted: string;
}

/**
 * Lints and formats one file of SQL; the findings are those of the formatted text, and each line that the formatter
 * changes is one of them unless `fix` is set. libpg-query's `loadModule()` must have resolved before.
 */
export function checkSqlFile(path: string, text: string, fix: boolean): SqlReport {
  const profile = profileOf(path);
  try {
    readSource(path, text);
  } catch (error) {
    if (!(error instanceof SqlSyntaxError)) throw error;
    const message = `Postgres's parser refuses this: ${error.message}.`;
    return {
      findings: [{ file: path, line: lineAt(text, error.position), message, rule: "syntax" }],
      formatted: text,
    };
  }
  const formatted = formatSql(text, profile.format);
  if (formatted !== text && !meansTheSame(text, formatted)) {
    const message =
      "Formatting would change the meaning, so nothing was written. This is a defect of the formatter.";
    return { findings: [{ file: path, line: 0, message, rule: "format" }], formatted: text };
  }
  const findings = fix ? [] : formatFindings(path, text, formatted);
  return { findings: sortByLine([...findings, ...lint(path, fix ? formatted : text, profile)]), formatted };
}

function formatFindings(path: string, before: string, after: string): Finding[] {
  if (before === after) return [];
  const old = before.split("\n");
  const wanted = after.split("\n");
  const at = old.findIndex((line, index) => line !== wanted[index]);
  const line = at < 0 ? old.length : at + 1;
  const message = "The file is not in format from here on. Run `npm run format`.";
  return [{ file: path, line, message, rule: "format" }];
}

function lint(path: string, text: string, profile: SqlProfile): Finding[] {
  const source = readSource(path, text);
  const allowances = readAllowances(text);
  const findings = profile.rules.flatMap((rule) =>
    rule.check(source).flatMap((problem): Finding[] => {
      const line = lineAt(text, problem.position);
      const allowance = allowances.find(
        (one) => one.rule === rule.name && (one.line === line || one.target === line),
      );
      if (allowance !== undefined) {
        allowance.used = true;
        return [];
      }
      return [{ file: path, line, message: problem.message, rule: rule.name }];
    }),
  );
  for (const { rule, line, used } of allowances) {
    if (!used)
      findings.push({
        file: path,
        line,
        message: `Nothing here breaks ${rule}. Remove the allowance.`,
        rule: "allow",
      });
  }
  return findings;
}

function sortByLine(findings: readonly Finding[]): Finding[] {
  return [...findings].sort((a, b) => a.line - b.line);
}

/**
 * A rule is broken on purpose with `-- allow <rule>: <reason>` at the end of the line or above it (other lines of
 * comment may stand between). One that allows nothing is itself a finding, so they go when they are not needed.
 */
function readAllowances(text: string): { rule: string; line: number; target: number; used: boolean }[] {
  const lines = text.split("\n");
  return lines.flatMap((line, index) => {
    const rule = /-- allow ([a-z-]+): \S/.exec(line)?.[1];
    if (rule === undefined) return [];
    let target = index + 1;
    while (/^\s*--/.test(lines[target] ?? "")) target += 1;
    return [{ rule, line: index + 1, target: target + 1, used: false }];
  });
}
