import postgres from "postgres";
import { afterAll, describe, expect, inject, it } from "vitest";
import type { Explainer } from "../../scripts/access-cases/ask-explainer.ts";
import type { Explanation } from "../../scripts/access-cases/explanation.ts";
import { printCase } from "../../scripts/access-cases/print-case.ts";
import { readRealAnswer } from "../../scripts/access-cases/real-answer.ts";
import { runCases } from "../../scripts/access-cases/run-cases.ts";
import { shrinkCase } from "../../scripts/access-cases/shrink-case.ts";
import { totalCounts } from "../../scripts/access-cases/summarize-cases.ts";
import { leftBehind } from "./left-behind.ts";

const connect = (): postgres.Sql => postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
const sql = connect();
const options = { connect, seed: 4, cases: 60, proofs: 0, patience: Number.POSITIVE_INFINITY };

afterAll(() => sql.end({ timeout: 5 }));

describe("the generator", () => {
  it("agrees with an explainer that asks the database itself", async () => {
    const counts = totalCounts(await runCases({ ...options, explainer: asTheDatabase }));
    expect(counts.cases).toBeGreaterThanOrEqual(60);
    expect(counts.agreed).toBe(counts.cases);
  });

  it("makes the same cases again from the same seed, and others from another", async () => {
    const asked: string[][] = [];
    for (const seed of [4, 4, 5]) {
      const statements: string[] = [];
      const explainer: Explainer = (tx, one, proof) => {
        statements.push(one.world.statements.join("\n"));
        return asTheDatabase(tx, one, proof);
      };
      await runCases({ ...options, seed, cases: 20, explainer });
      asked.push(statements);
    }
    expect(asked[1]).toEqual(asked[0]);
    expect(asked[2]).not.toEqual(asked[0]);
  });

  it.each<[string, (said: Explanation) => void]>([
    ["shows a row that is hidden", (said) => flipRow(said, false)],
    ["hides a row that is shown", (said) => flipRow(said, true)],
    ["leaves a row out", (said) => void said.rows.pop()],
    [
      "calls all of it allowed",
      (said) => {
        said.verdict = "allowed";
      },
    ],
    ["shuts a gate that is open", (said) => void said.gates.push({ gate: "grants", state: "fail" })],
  ])("catches one that %s", async (_, spoil) => {
    const explainer: Explainer = async (...asked) => {
      const said = await asTheDatabase(...asked);
      spoil(said.explanation);
      return { ...said, keys: said.keys.slice(0, said.explanation.rows.length) };
    };
    expect(totalCounts(await runCases({ ...options, explainer })).disagreed).toBeGreaterThan(0);
  });

  it("prints a small failing case that runs as it is, and leaves nothing behind", async () => {
    const explainer: Explainer = async (...asked) => {
      const said = await asTheDatabase(...asked);
      flipRow(said.explanation, true);
      return said;
    };
    const { disagreements } = await runCases({ ...options, patience: 1, explainer });
    const [first] = disagreements;
    if (first === undefined) throw new Error("Nothing disagreed.");
    const small = await shrinkCase(connect, explainer, first, 150);
    expect(small.case.world.statements.length).toBeLessThan(first.case.world.statements.length);
    const text = printCase(small);
    // Where the role may not read the key, the rows are counted.
    expect(text).toMatch(
      /^-- Where .*\n-- .*(said false, but the database says yes|rows are said to be given)/,
    );
    // psql's own lines aside, everything runs; the explainer need not.
    const script = text.replace(/^\\.*$/gm, "").replace(/^select jsonb_pretty.*$/m, "");
    await sql.unsafe(script);
    expect(await leftBehind(sql)).toEqual([]);
  });

  it("leaves nothing behind when the explainer breaks", async () => {
    const explainer: Explainer = () => Promise.reject(new Error("broken"));
    const { disagreements } = await runCases({ ...options, cases: 4, explainer });
    expect(disagreements[0]?.complaints).toEqual(["the explainer raised: broken"]);
    expect(await leftBehind(sql)).toEqual([]);
  });
});

/** Says what the database does: the best that there can be. */
const asTheDatabase: Explainer = async (tx, asked) => {
  const real = await readRealAnswer(tx, asked);
  const isInsert = asked.question.command === "insert";
  const keys = isInsert ? [""] : [...real.keys];
  const answers = keys.map((key) => real.rows?.get(key) ?? (real.whole === "yes" ? "yes" : "no"));
  const judged = answers.map((answer, index) => {
    // Where keys may not be read, as many rows as were shown.
    if (real.rows === null) return { allowed: index < real.count };
    // A row that raises is not given, and its SQLSTATE is told.
    return typeof answer === "object"
      ? { allowed: false, raises: answer.raised.slice(0, 5) }
      : { allowed: answer === "yes" };
  });
  const verdict =
    real.whole !== "yes" || (!isInsert && real.count === 0)
      ? "denied"
      : isInsert || real.count === keys.length
        ? "allowed"
        : "partly";
  return {
    explanation: {
      verdict,
      summary: "",
      gates: [],
      rows: judged.map(({ allowed, ...row }) => ({ visible: allowed, allowed, policies: [], ...row })),
    },
    keys,
    tookMs: 0,
  };
};

/** Turns the first row around that says so. */
function flipRow({ rows }: Explanation, from: boolean): void {
  const row = rows.find(({ visible, allowed }) => visible === from && allowed === from);
  if (row === undefined) return;
  row.visible = !from;
  row.allowed = !from;
}
