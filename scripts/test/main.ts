// `npm test`: the checks of `npm run check`, then every test on a stack of its own. `npm test -- <filter>` runs the tests
// whose file names contain the filter, without the checks. The last line says how many tests passed and failed.

import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";

const root = join(import.meta.dirname, "..", "..");
const filters = process.argv.slice(2);

if (filters.length === 0) {
  const checks = runNode(["--import", "tsx", join("scripts", "check", "main.ts")]);
  if (checks !== 0) {
    console.error(
      "The checks found something; the tests were not run. `npm run format` mends what can be mended.",
    );
    process.exit(1);
  }
}

const reportFile = join(tmpdir(), `supabase-runbook-tests-${process.pid}.json`);
const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
const reporter = process.env["CI"] === "true" ? "dot" : "default";
const status = runNode([
  vitest,
  "run",
  `--reporter=${reporter}`,
  "--reporter=json",
  `--outputFile.json=${reportFile}`,
  ...filters,
]);
const { passed, failed, skipped } = readReport(reportFile, status);
console.log(
  skipped > 0
    ? `${passed} passed, ${failed} failed, ${skipped} skipped`
    : `${passed} passed, ${failed} failed`,
);
process.exit(status === 0 && failed === 0 && passed > 0 ? 0 : 1);

function runNode(args: string[]): number {
  const child = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
  return child.status ?? 1;
}

/** The numbers of vitest's own report; without one, the run itself counts as failed. */
function readReport(file: string, code: number): { passed: number; failed: number; skipped: number } {
  try {
    const report = z
      .object({
        numPassedTests: z.number(),
        numFailedTests: z.number(),
        numPendingTests: z.number(),
        numFailedTestSuites: z.number(),
      })
      .parse(JSON.parse(readFileSync(file, "utf8")));
    rmSync(file, { force: true });
    const failedElsewhere = code !== 0 && report.numFailedTests === 0 ? 1 : 0;
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + failedElsewhere,
      skipped: report.numPendingTests,
    };
  } catch (error) {
    console.error(`The test run left no report: ${String(error)}`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}
