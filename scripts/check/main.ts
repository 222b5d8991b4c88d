// `npm run check [-- files]` and `npm run format [-- files]`: everything that can be judged without running the
// project. Prints one line a step and one a finding; ends with 1 when something was found.
import { fileURLToPath } from "node:url";
import { resolveNamed } from "./project-files.ts";
import { runSteps } from "./run-steps.ts";
import { planSteps } from "./steps.ts";

const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/[/\\]$/, "");
const args = process.argv.slice(2);
const fix = args.includes("--fix");
// npm starts scripts in the project's root and keeps in INIT_CWD where it was called.
const { files, missing } = resolveNamed(
  root,
  process.env["INIT_CWD"] ?? root,
  args.filter((arg) => arg !== "--fix"),
);
if (missing.length > 0) {
  console.error(`No such file or folder in this project: ${missing.join(", ")}.`);
  process.exit(2);
}

const start = performance.now();
const steps = planSteps({ root, env: process.env, node: process.execPath }, fix, files);
// With --fix a step may write what the next one reads.
const count = await runSteps(steps, { parallel: fix ? 1 : 2, print: (line) => console.log(line) });
const took = ((performance.now() - start) / 1000).toFixed(1);
console.log(count === 0 ? `Nothing found in ${took} s.` : `${count} found in ${took} s.`);
process.exitCode = count === 0 ? 0 : 1;
