// `npm run lab`: seeds a database of its own with known faults and traps, asks our checks and every peer that is installed,
// and prints who found what and how long it took. `-- --large` measures on 10,000 tables instead, `-- --cost` how much
// throughput the schedule costs; `-- --ours` asks no peer; `-- --write` puts the tables into
// docs/benchmarks.md; `-- --keep <file>` writes what everyone said into a file. Ends with 1 when we missed a fault or fell
// into a trap.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { withChapter } from "../bench/page-chapters.ts";
import { createProgress } from "../stack/progress.ts";
import type { Stack } from "../stack/stack.ts";
import { describeError } from "../stack/stack-error.ts";
import { costChapter, measureCostOfSchedule } from "./cost-of-schedule.ts";
import { labChapter } from "./lab-report.ts";
import { startLabStack } from "./lab-stack.ts";
import { largeCatalogChapter, measureLargeCatalog } from "./large-catalog.ts";
import { runLab } from "./run-lab.ts";

const root = join(import.meta.dirname, "..", "..");
let stack: Stack | undefined;
let ending = false;

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
    options: {
      ours: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
      large: { type: "boolean", default: false },
      cost: { type: "boolean", default: false },
      keep: { type: "string" },
    },
  });
  console.log("Starting a stack for the fault lab\n");
  stack = await startLabStack(
    root,
    process,
    "lab",
    createProgress((line) => console.log(line)),
  );
  if (values.large) {
    const path = values.ours ? null : (process.env["PATH"] ?? "");
    const large = await measureLargeCatalog({ stack, root, path }, (line) => console.log(`  ${line}`));
    show("At 10,000 tables", "npm run lab -- --large --write", largeCatalogChapter(large), values.write);
    await end(0);
  }
  if (values.cost) {
    const cost = await measureCostOfSchedule({ stack, path: process.env["PATH"] ?? "" }, (line) =>
      console.log(`  ${line}`),
    );
    if (cost === null) await end(1, "pgbench is not on the PATH: it comes with Postgres' own packages.");
    else show("What the schedule costs", "npm run lab -- --cost --write", costChapter(cost), values.write);
    await end(0);
  }
  const result = await runLab({
    stack,
    root,
    path: values.ours ? null : (process.env["PATH"] ?? ""),
    progress: (line) => console.log(`  ${line}`),
  });
  show("The fault lab", "npm run lab -- --write", labChapter(result), values.write);
  for (const { check, summary } of result.others) console.log(`Not seeded: ${check}: ${summary}`);
  if (values.keep !== undefined) writeFileSync(values.keep, JSON.stringify(result, null, 2));
  const wrong =
    result.faults.filter(({ found }) => found === undefined).length +
    result.traps.filter(({ alarm }) => alarm !== "").length;
  await end(wrong === 0 ? 0 : 1);
} catch (error) {
  await end(1, describeError(error));
}

function show(title: string, command: string, chapter: string, write: boolean): void {
  console.log(`\n${chapter}\n`);
  if (!write) return;
  const page = join(root, "docs", "benchmarks.md");
  writeFileSync(page, withChapter(readFileSync(page, "utf8"), title, command, chapter));
  console.log("Written: docs/benchmarks.md");
}
