import { describe, expect, it } from "vitest";
import type { Transaction } from "./connection.ts";
import type { Statements } from "./database.ts";
import { runChecks } from "./run-checks.ts";

type Answer = Record<string, unknown>[];

/** A transaction whose checks are answered by a function, and what was asked of it. */
function transactionThat(answer: (checks: string[]) => Answer): {
  transaction: Transaction;
  asked: string[][];
} {
  const asked: string[][] = [];
  const statements: Statements = (_, names) => {
    const checks: string[] = JSON.parse(String(names));
    asked.push(checks);
    return Promise.resolve().then(() => [{ entries: answer(checks) }]);
  };
  return {
    asked,
    transaction: Object.assign(statements, { attempt: (part) => part(statements) } satisfies Pick<
      Transaction,
      "attempt"
    >),
  };
}

const entry = (check: string, more: Record<string, unknown> = { status: "ok" }): Record<string, unknown> => ({
  check,
  ...more,
});
const cancelled = { status: "error", sqlstate: "57014" };
const left = { status: "skipped", reason: "budget spent" };

describe("runChecks", () => {
  it("asks for all checks at once", async () => {
    const { transaction, asked } = transactionThat((checks) => checks.map((check) => entry(check)));
    expect(await runChecks(transaction, ["a", "b"])).toEqual([entry("a"), entry("b")]);
    expect(asked).toEqual([["a", "b"]]);
  });

  it("asks again for a check that was cancelled behind others, and goes on behind one that had all the time", async () => {
    const { transaction, asked } = transactionThat((checks) => {
      const place = checks.indexOf("b");
      return checks.map((check, at) =>
        place === -1 || at < place ? entry(check) : entry(check, at === place ? cancelled : left),
      );
    });
    expect(await runChecks(transaction, ["a", "b", "c"])).toEqual([
      entry("a"),
      entry("b", cancelled),
      entry("c"),
    ]);
    expect(asked).toEqual([["a", "b", "c"], ["b", "c"], ["c"]]);
  });

  it("asks for each alone when the statement itself failed", async () => {
    const { transaction } = transactionThat((checks) => {
      if (checks.includes("b")) throw new Error("lost");
      return checks.map((check) => entry(check));
    });
    expect(await runChecks(transaction, ["a", "b", "c"])).toMatchObject([
      { check: "a", status: "ok" },
      { check: "b", status: "error", reason: expect.stringMatching(/^could not be run: /) },
      { check: "c", status: "ok" },
    ]);
  });

  it("says so when a check is not there any more", async () => {
    const { transaction } = transactionThat((checks) =>
      checks.filter((check) => check !== "b").map((check) => entry(check)),
    );
    expect(await runChecks(transaction, ["a", "b"])).toMatchObject([
      entry("a"),
      { check: "b", status: "error" },
    ]);
  });

  it("has nothing to ask where there are none", async () => {
    const { transaction, asked } = transactionThat(() => []);
    expect(await runChecks(transaction, [])).toEqual([]);
    expect(asked).toEqual([]);
  });
});
