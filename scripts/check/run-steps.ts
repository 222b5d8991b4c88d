import { describeFinding, type Finding } from "./finding.ts";
import type { Step } from "./steps.ts";

/** How the check of one step ended. */
interface Outcome {
  readonly findings: readonly Finding[];
  readonly tookMs: number;
}

/**
 * Runs steps, a few at a time, and prints each in the given order as soon as it and those before it are done: one
 * line a step, one line a finding.
 * @returns how many findings there were.
 */
export async function runSteps(
  steps: readonly Step[],
  options: { parallel: number; print: (line: string) => void },
): Promise<number> {
  const outcomes = startAll(steps, options.parallel);
  let count = 0;
  for (const [index, step] of steps.entries()) {
    const outcome = await outcomes[index];
    if (outcome === undefined) continue;
    const { findings, tookMs } = outcome;
    const verdict =
      findings.length === 0 ? "ok" : `${findings.length} finding${findings.length === 1 ? "" : "s"}`;
    options.print(`${step.name.padEnd(18)}${verdict.padEnd(14)}${(tookMs / 1000).toFixed(1).padStart(5)} s`);
    for (const finding of findings) options.print(`  ${describeFinding(finding)}`);
    count += findings.length;
  }
  return count;
}

/** A promise for each step; no more than `parallel` of them run at once. */
function startAll(steps: readonly Step[], parallel: number): Promise<Outcome>[] {
  const running: Promise<unknown>[] = Array.from({ length: parallel }, () => Promise.resolve());
  const outcomes: Promise<Outcome>[] = [];
  let queue: Promise<unknown> = Promise.resolve();
  for (const step of steps) {
    const slot = queue.then(() => Promise.race(running.map((one, index) => one.then(() => index))));
    const outcome = slot.then(() => runStep(step));
    queue = slot.then((index) => {
      running[index] = outcome;
    });
    outcomes.push(outcome);
  }
  return outcomes;
}

async function runStep(step: Step): Promise<Outcome> {
  const start = performance.now();
  try {
    return { findings: await step.run(), tookMs: performance.now() - start };
  } catch (error) {
    // A step that breaks is a finding too: the others still run and are shown.
    const message = error instanceof Error ? error.message : String(error);
    return {
      findings: [{ file: "", line: 0, message: `The step broke: ${message}` }],
      tookMs: performance.now() - start,
    };
  }
}
