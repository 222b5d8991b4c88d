import postgres from "postgres";
import { askExplainer } from "../access-cases/ask-explainer.ts";
import { type CasesResult, type Counts, runCases } from "../access-cases/run-cases.ts";
import { totalCounts } from "../access-cases/summarize-cases.ts";
import { summarize } from "./statistics.ts";
import { table } from "./table.ts";

/** What `npm run bench` found in random cases of access. */
export interface AccessCases {
  readonly result: CasesResult;
  /** The whole run, with the making of the worlds and the database's own answers; ms. */
  readonly tookMs: number;
}

/** The cases that the benchmark asks: as many as `npm test`, from another seed. */
const options = { seed: 2, cases: 2000, proofs: 0.1, patience: Number.POSITIVE_INFINITY };

/** Asks random questions of access and compares with the database. `databaseUrl` is a login as `postgres`. */
export async function measureAccessCases(
  databaseUrl: string,
  progress: (line: string) => void,
): Promise<AccessCases> {
  const begun = performance.now();
  const result = await runCases({
    ...options,
    connect: () => postgres(databaseUrl, { max: 1, onnotice: () => {} }),
    explainer: askExplainer,
    onWorld: (cases) => progress(`cases of access: ${cases} of ${options.cases}`),
  });
  return { result, tookMs: performance.now() - begun };
}

/** The chapter of docs/benchmarks.md. */
export function accessCasesChapter(cases: AccessCases): string[] {
  const { seed, worlds, proofs } = { ...cases.result, proofs: totalCounts(cases.result).proofs };
  return [
    "## Random questions of access",
    `\`runbook.explain_access\` asked in ${worlds} little databases made at random (seed ${seed}): roles and what they inherit, grants, owners, row level security, up to six policies, functions and tables that the policies use. Each answer, row by row and as a whole, is compared with what the database does when the command is really sent as the Data API sends it. Undecided are the cases in which a policy raises and Postgres's order of evaluation decides what comes of it, or a trigger may change the row first: without the proof the answer says that it does not know. Unanswered are writes through views and questions as a role of the application's own. ${proofs} cases were asked once more with the proof, which must agree. \`npm test\` asks as many; \`ACCESS_SEED\` and \`ACCESS_CASES\` choose others.`,
    accessCasesTable(cases),
    `The run took ${(cases.tookMs / 1000).toFixed(1)} s.`,
  ];
}

/** The counts by command, and the times of the calls without a proof in ms. */
export function accessCasesTable({ result }: AccessCases): string {
  const rows = [...result.counts].map(([command, counts]) => [
    command,
    ...countsOf(counts),
    ...timesOf(result.times.get(command) ?? []),
  ]);
  return table(
    ["command", "cases", "agree", "undecided", "unanswered", "disagree", "p50", "p99"],
    [...rows, ["all", ...countsOf(totalCounts(result)), ...timesOf([...result.times.values()].flat())]],
  );
}

function countsOf({ cases, agreed, undecided, unanswered, disagreed }: Counts): string[] {
  return [cases, agreed, undecided, unanswered, disagreed].map(String);
}

function timesOf(times: readonly number[]): string[] {
  if (times.length === 0) return ["", ""];
  const { p50, p99 } = summarize(times);
  return [p50.toFixed(1), p99.toFixed(1)];
}
