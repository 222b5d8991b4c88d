import { z } from "zod";
import { type Finding, lineAt } from "../finding.ts";
import { readInsertedRows } from "./catalog.ts";

const versionTs = "supabase/functions/_shared/version.ts";

/**
 * The functions carry the version of package.json, and the last migration records the same one in runbook.release.
 * libpg-query's `loadModule()` must have resolved before.
 * @param migrations in the order of their names
 */
export function compareVersions(
  packageJson: string,
  functionsVersion: string,
  migrations: readonly { path: string; text: string }[],
): Finding[] {
  const { version } = z.object({ version: z.string() }).parse(JSON.parse(packageJson));
  const findings: Finding[] = [];
  const carried = /\bVERSION = "([^"]*)"/.exec(functionsVersion);
  if (carried?.[1] !== version) {
    const message = `package.json has the version ${version}. Write export const VERSION = "${version}".`;
    findings.push({ file: versionTs, line: lineAt(functionsVersion, carried?.index ?? 0), message });
  }
  const last = migrations.at(-1);
  const recorded =
    last === undefined ? [] : readInsertedRows([last], "release").map((row) => row.values.get("version"));
  if (last !== undefined && recorded.at(-1) !== version) {
    const found = recorded.at(-1) ?? "no version";
    const message = `The last migration records ${found} in runbook.release; package.json has ${version}. Record that one.`;
    findings.push({ file: last.path, line: 0, message });
  }
  return findings;
}
