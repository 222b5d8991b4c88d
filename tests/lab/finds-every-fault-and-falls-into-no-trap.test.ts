import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { Mark } from "../../scripts/lab/lab.ts";
import { startLabStack } from "../../scripts/lab/lab-stack.ts";
import { ownFaults } from "../../scripts/lab/own-faults.ts";
import { publishedFaults } from "../../scripts/lab/published-faults.ts";
import { type LabResult, runLab } from "../../scripts/lab/run-lab.ts";
import { mustBeFound, traps } from "../../scripts/lab/traps.ts";
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
}, 900_000);

afterAll(async () => {
  await stack?.stop();
}, 120_000);

describe("the fault lab", () => {
  it.each([...publishedFaults, ...ownFaults].map(({ id, title }) => ({ id, title })))(
    "$id $title: is found",
    ({ id }) => {
      const found = result?.faults.find(({ fault }) => fault.id === id)?.found;
      const { marks = [] } = [...publishedFaults, ...ownFaults].find((fault) => fault.id === id) ?? {};
      expect(found, said(marks)).toBeDefined();
    },
  );

  it.each(trapIds)("%s: nothing wrong is said", (id) => {
    const alarm = result?.traps.find((trap) => trap.id === id)?.alarm;
    expect(alarm, said(mustBeFound.filter(({ trap }) => trap === id).map(({ mark }) => mark))).toBe("");
  });

  it("says nothing about the lab's tables that no fault explains", () => {
    expect(
      result?.others.map(
        ({ check, summary, evidence }) => `${check}: ${summary} ${JSON.stringify(evidence)}`,
      ),
    ).toEqual([]);
  });

  it("runs every check, or says why not", () => {
    for (const { check, status, reason } of result?.report.checks ?? []) {
      expect(status, `${check}: ${reason}`).not.toBe("error");
      if (status === "skipped" || status === "not_applicable") expect(reason, check).toMatch(/\w/);
    }
  });
});

/** What the checks that should have found it said instead. */
function said(marks: readonly Mark[]): string {
  const entries =
    result?.report.checks.filter(({ check }) => marks.some((mark) => mark.check === check)) ?? [];
  return JSON.stringify(
    entries.map(({ check, status, reason, findings }) => ({
      check,
      status,
      reason,
      findings: findings.map(({ code, subject, summary }) => `${code} ${subject}: ${summary}`).slice(0, 20),
    })),
    null,
    2,
  );
}
