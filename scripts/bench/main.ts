// `npm run bench`: measures the endpoints beside their SQL and beside an empty function, on a stack of its own.
// `npm run bench -- --write` also writes docs/benchmarks.md; `--quick` leaves out what is measured among a million users.
// A missed goal is a figure and not a failure: the exit code is 0 unless something could not be measured.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createProgress } from "../stack/progress.ts";
import type { Stack } from "../stack/stack.ts";
import { describeError } from "../stack/stack-error.ts";
import { startBenchStack } from "./bench-stack.ts";
import { withOthersChapters } from "./page-chapters.ts";
import { benchmarkPage, resultTables } from "./report.ts";
import { runBenchmark } from "./run-benchmark.ts";

const root = join(import.meta.dirname, "..", "..");
let stack: Stack | undefined;
let lastLogged = 0;
let ending = false;

/** Stops the stack, whichever of the two it is, and ends; what fails because of that is not told. */
async function end(code: number, sentence?: string): Promise<void> {
  if (ending) return;
  ending = true;
  if (sentence !== undefined) console.error(`\n${sentence}`);
  await stack?.stop();
  process.exit(code);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => void end(130));

try {
  const { values } = parseArgs({
    options: { write: { type: "boolean", default: false }, quick: { type: "boolean", default: false } },
  });
  console.log("Starting a stack for the benchmark, twice\n");
  const progress = createProgress((line) => console.log(line));
  const bench = await startBenchStack(root, process, progress, (started) => {
    stack = started;
  });
  console.log("\nMeasuring");
  const result = await runBenchmark({ ...bench, quick: values.quick, progress: tellProgress });
  console.log(`\n${resultTables(result)}\n`);
  if (values.write) {
    const page = join(root, "docs", "benchmarks.md");
    writeFileSync(page, withOthersChapters(benchmarkPage(result), readFileSync(page, "utf8")));
    console.log("Written: docs/benchmarks.md\n");
  }
  await end(0);
} catch (error) {
  await end(1, describeError(error));
}

/** In a terminal one line that changes; in a log a line now and then. */
function tellProgress(line: string): void {
  const finished = /(\d+) of \1$/.test(line);
  if (process.stdout.isTTY) process.stdout.write(`\r  ${line}${finished ? "\n" : "   "}`);
  else if (finished || performance.now() - lastLogged > 10_000) {
    lastLogged = performance.now();
    console.log(`  ${line}`);
  }
}
