import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { findFreePorts, type StackPorts } from "../stack/ports.ts";
import type { Progress } from "../stack/progress.ts";
import { readSettings } from "../stack/settings.ts";
import { type Stack, type StackOptions, startStack } from "../stack/stack.ts";
import { StackError } from "../stack/stack-error.ts";
import { removeAbandoned } from "../stack/state-directory.ts";

/** How long the stack took to the point where `npm start` prints the health report; ms. */
export interface StartTimes {
  /** With no database yet; from the launch of this program, so Node and the compiler are in it. */
  first: number;
  /** On the database of the first start; the launch counts as it did there. */
  again: number;
}

/** A stack of the benchmark's own. */
export interface BenchStack {
  stack: Stack;
  starts: StartTimes;
  /** Access token of the demo's operator, who signed in through Auth. */
  operatorToken: string;
}

/** The name under which the empty function is served. */
export const emptyFunction = "bench-empty";

/**
 * Starts the stack twice on free ports, in a directory of its own: once from nothing, once on what the first start made. The
 * second one stays.
 * @param program whose id names the directory, and whose environment may choose Postgres.
 * @param onStack is told of each stack at once, so that the caller can stop it whatever happens.
 */
export async function startBenchStack(
  root: string,
  program: { pid: number; env: NodeJS.ProcessEnv },
  progress: Progress,
  onStack: (stack: Stack) => void,
): Promise<BenchStack> {
  const launched = performance.now(); // counts from the start of the process
  const parent = join(root, ".stack");
  mkdirSync(parent, { recursive: true });
  removeAbandoned(parent);
  const options = {
    root,
    stateDirectory: join(parent, `temporary-${program.pid}-bench`),
    settings: { ...readSettings({}), postgresBin: readSettings(program.env).postgresBin },
    pgtap: false,
    extraFunctions: { [emptyFunction]: join(import.meta.dirname, "empty-function", "index.ts") },
    progress,
    onCrash: (sentence: string) => {
      console.error(sentence);
    },
  };
  const ports = await findFreePorts();
  const firstStack = await startToReport({ ...options, ports, temporary: false }, onStack);
  const first = performance.now();
  await firstStack.stop();
  const begun = performance.now();
  const stack = await startToReport({ ...options, ports, temporary: true }, onStack);
  const again = launched + performance.now() - begun;
  const operatorToken = stack.env["RUNBOOK_OPERATOR_TOKEN"];
  if (operatorToken === undefined) throw new StackError("The demo's operator could not sign in.");
  return { stack, starts: { first, again }, operatorToken };
}

/** As `npm start` does it: ready is when the health report could be printed. */
async function startToReport(
  options: StackOptions & { ports: StackPorts },
  onStack: (stack: Stack) => void,
): Promise<Stack> {
  const stack = await startStack(options);
  onStack(stack);
  const answer = await fetch(`${stack.url}/functions/v1/health-check`, {
    headers: { accept: "text/plain", apikey: stack.keys.secretKey },
  });
  const report = await answer.text();
  if (answer.status !== 200)
    throw new StackError(`The health check answered ${answer.status}: ${report.slice(0, 300)}`);
  return stack;
}
