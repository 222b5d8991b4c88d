import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { startLabStack } from "../../scripts/lab/lab-stack.ts";
import { ownFaults } from "../../scripts/lab/own-faults.ts";
import { publishedFaults } from "../../scripts/lab/published-faults.ts";
import { type LabResult, runLab } from "../../scripts/lab/run-lab.ts";
import { traps } from "../../scripts/lab/traps.ts";
import { createProgress } from "../../scripts/stack/progress.ts";
import type { Stack } from "../../scripts/stack/stack.ts";

/** T3 and T7 are set by the lab itself. */
const trapIds = [...traps.map(({ id }) => id), "T3", "T7"];

let stack: Stack | undefined;
let result: LabResult | undefined;

beforeAll(async () => {
  const root = inject("root");
  stack = await startLabStack(
    root,
    process,
    "lab",
    createProgress(() => {}),
  );
  result = await runLab({ stack, root, path: null, progress: () => {} });
}, 240_000);

afterAll(async () => {
  await stack?.stop();
}, 30_000);

describe("the fault lab", () => {
  it.each([...publishedFaults, ...ownFaults].map(({ id, title }) => ({ id, title })))(
    "$id $title: is found",
    ({ id }) => {
      const found = result?.faults.find(({ fault }) => fault.id === id)?.found;
      expect(found, said(id)).toBeDefined();
    },
  );

  it.each(trapIds)("%s: nothing wrong is said", (id) => {
    expect(result?.traps.find((trap) => trap.id === id)?.alarm).toBe("");
  });

  it("says nothing about the lab's tables that no fault explains", () => {
    expect(result?.others.map(({ check, summary }) => `${check}: ${summary}`)).toEqual([]);
  });

  it("runs every check, or says why not", () => {
    for (const { check, status, reason } of result?.report.checks ?? []) {
      expect(status, check).not.toBe("error");
      if (status === "skipped" || status === "not_applicable") expect(reason, check).toMatch(/\w/);
    }
  });
});

/** What the checks that should have found it said instead. */
function said(id: string): string {
  const marks = [...publishedFaults, ...ownFaults].find((fault) => fault.id === id)?.marks ?? [];
  const entries =
    result?.report.checks.filter(({ check }) => marks.some((mark) => mark.check === check)) ?? [];
  return JSON.stringify(
    entries.map(({ check, status, reason, findings }) => ({
      check,
      status,
      reason,
      findings: findings.map(({ summary }) => summary).slice(0, 10),
    })),
    null,
    2,
  );
}
