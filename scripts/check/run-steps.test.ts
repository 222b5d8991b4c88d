import { expect, it } from "vitest";
import { runSteps } from "./run-steps.ts";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

it("prints the steps in order, whichever is done first, and counts what they found", async () => {
  const lines: string[] = [];
  const count = await runSteps(
    [
      { name: "slow", run: () => pause(30).then(() => []) },
      { name: "quick", run: async () => [{ file: "a.sql", line: 3, message: "Wrong.", rule: "r" }] },
      { name: "broken", run: async () => Promise.reject(new Error("no such file")) },
    ],
    { parallel: 2, print: (line) => lines.push(line.replace(/\s+[\d.]+ s$/, "")) },
  );
  expect(count).toBe(2);
  expect(lines).toEqual([
    "slow              ok",
    "quick             1 finding",
    "  a.sql:3  Wrong. [r]",
    "broken            1 finding",
    "  The step broke: no such file",
  ]);
});

it("runs no more steps at once than it may", async () => {
  let running = 0;
  let most = 0;
  const step = (name: string) => ({
    name,
    run: async () => {
      running += 1;
      most = Math.max(most, running);
      await pause(5);
      running -= 1;
      return [];
    },
  });
  await runSteps(["a", "b", "c", "d", "e"].map(step), { parallel: 2, print: () => undefined });
  expect(most).toBe(2);
});
