import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadModule } from "libpg-query";
import type { Finding } from "./finding.ts";
import { readProjectFiles } from "./project-files.ts";
import { checkSqlFile } from "./sql/lint.ts";

/** Formats and lints files of SQL; with `fix` the formatted text is written back. */
export async function checkSql(root: string, paths: readonly string[], fix: boolean): Promise<Finding[]> {
  await loadModule();
  return readProjectFiles(root, paths).flatMap(({ path, text }) => {
    const report = checkSqlFile(path, text, fix);
    if (fix && report.formatted !== text) writeFileSync(join(root, path), report.formatted);
    return report.findings;
  });
}
