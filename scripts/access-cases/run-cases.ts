import type postgres from "postgres";
import type { Explainer } from "./ask-explainer.ts";
import { withoutDataApi } from "./commands.ts";
import { type Comparison, compare } from "./compare.ts";
import type { KeyedExplanation } from "./explanation.ts";
import { makeWorld } from "./make-world.ts";
import type { Disagreement } from "./print-case.ts";
import { createRandom, seedOf } from "./random.ts";
import { isPostgresError, NotAboutAccess, type RealAnswer, readRealAnswer } from "./real-answer.ts";
import type { Case, Question, World } from "./world.ts";

/** What is counted of the cases of one command. */
export interface Counts {
  cases: number;
  agreed: number;
  /** The explainer said that it depends on the order of evaluation. */
  undecided: number;
  /** The explainer said that it cannot look: a role of the application's own, a relation that is no table. */
  unanswered: number;
  disagreed: number;
  /** Cases that were asked once more with the proof. */
  proofs: number;
}

/** What a run of cases found. */
export interface CasesResult {
  readonly seed: number;
  readonly worlds: number;
  readonly counts: ReadonlyMap<Question["command"], Counts>;
  /** Questions that a constraint answered, whoever asked; not among the cases. */
  readonly notAboutAccess: number;
  readonly disagreements: readonly Disagreement[];
  /** Of the calls without a proof; ms. */
  readonly times: ReadonlyMap<Question["command"], readonly number[]>;
}

/** What a run of cases needs. */
export interface CasesOptions {
  /** Logs in as `postgres` on a stack with the demo; one connection at a time is used. */
  readonly connect: () => postgres.Sql;
  readonly explainer: Explainer;
  readonly seed: number;
  /** How many cases there are to be, at least. */
  readonly cases: number;
  /** In what share of the cases the proof is asked for too. */
  readonly proofs: number;
  /** Ends the run early after so many disagreements. */
  readonly patience: number;
  /** Told after each world how many cases there were. */
  readonly onWorld?: (cases: number) => void;
}

/** What the cases so far found. */
interface Findings {
  counts: Map<Question["command"], Counts>;
  notAboutAccess: number;
  disagreements: Disagreement[];
  times: Map<Question["command"], number[]>;
}

/** How many worlds share a session: plans of functions that are gone make each world slower than the one before. */
const worldsOfSession = 20;

/**
 * Makes worlds until there were enough cases, asks in each, and compares with what the database does.
 * Each world is a transaction that is rolled back, so nothing stays behind, whatever happens.
 */
export async function runCases(options: CasesOptions): Promise<CasesResult> {
  const run: Findings = { counts: new Map(), notAboutAccess: 0, disagreements: [], times: new Map() };
  let worlds = 0;
  let cases = 0;
  // The bound is for a generator gone wrong, whose questions nobody could compare.
  const isEnough = (): boolean =>
    cases >= options.cases || worlds >= options.cases || run.disagreements.length >= options.patience;
  while (!isEnough()) {
    await inSession(options.connect, async (session) => {
      const version = await majorVersion(session);
      await sweepCatalogs(session);
      do {
        const world = makeWorld(seedOf(options.seed, worlds), version);
        worlds += 1;
        await inWorld(session, world, async (tx) => {
          for (const question of world.questions) await askOne(tx, { world, question }, options, run);
        });
        cases = [...run.counts.values()].reduce((sum, counts) => sum + counts.cases, 0);
        options.onWorld?.(cases);
      } while (!isEnough() && worlds % worldsOfSession !== 0);
    });
  }
  return { seed: options.seed, worlds, ...run };
}

/** Lends one connection, and closes it whatever happens. */
export async function inSession<T>(
  connect: () => postgres.Sql,
  use: (session: postgres.Sql) => Promise<T>,
): Promise<T> {
  const client = connect();
  try {
    const session = await client.reserve();
    try {
      return await use(session);
    } finally {
      session.release();
    }
  } finally {
    await client.end({ timeout: 5 });
  }
}

/** Makes the world in a transaction, lets `ask` ask, and rolls back. Throws when a statement of the world fails. */
export async function inWorld<T>(
  connection: postgres.Sql,
  world: World,
  ask: (tx: postgres.Sql) => Promise<T>,
): Promise<T> {
  try {
    await connection.unsafe(
      ["begin", "set local statement_timeout = '20s'", withoutDataApi, ...world.statements].join(";\n"),
    );
    return await ask(connection);
  } catch (error) {
    if (isPostgresError(error)) error.message += ` (world ${world.seed})`;
    throw error;
  } finally {
    await connection.unsafe("rollback");
  }
}

/** One case: what both say, and how that goes together. Null when it is not about access. */
export async function judge(
  tx: postgres.Sql,
  asked: Case,
  explainer: Explainer,
  proof: boolean,
): Promise<{ comparison: Comparison; real: RealAnswer; said: KeyedExplanation | null } | null> {
  let real: RealAnswer;
  try {
    real = await readRealAnswer(tx, asked);
  } catch (error) {
    if (error instanceof NotAboutAccess) return null;
    throw error;
  }
  try {
    await tx.unsafe("savepoint explanation");
    const said = await explainer(tx, asked, proof);
    return { comparison: compare(asked, real, said), real, said };
  } catch (error) {
    const complaint = `the explainer raised: ${error instanceof Error ? error.message : String(error)}`;
    return { comparison: { result: "disagrees", complaints: [complaint] }, real, said: null };
  } finally {
    await tx.unsafe("rollback to savepoint explanation");
  }
}

async function askOne(
  tx: postgres.Sql,
  asked: Case,
  { explainer, proofs }: CasesOptions,
  run: Findings,
): Promise<void> {
  const { command } = asked.question;
  let judged = await judge(tx, asked, explainer, false);
  // What only a trial can tell is told with the proof.
  if (judged?.comparison.result === "unanswered") judged = await judge(tx, asked, explainer, true);
  if (judged === null) {
    run.notAboutAccess += 1;
    return;
  }
  const counts = run.counts.get(command) ?? {
    cases: 0,
    agreed: 0,
    undecided: 0,
    unanswered: 0,
    disagreed: 0,
    proofs: 0,
  };
  run.counts.set(command, counts);
  counts.cases += 1;
  const { comparison, real, said } = judged;
  if (said !== null) run.times.set(command, [...(run.times.get(command) ?? []), said.tookMs]);
  if (comparison.result === "agrees") counts.agreed += 1;
  else if (comparison.result === "undecided") counts.undecided += 1;
  else if (comparison.result === "unanswered") counts.unanswered += 1;
  else {
    counts.disagreed += 1;
    run.disagreements.push({ case: asked, complaints: comparison.complaints, real, said });
    return;
  }
  if (!createRandom(asked.world.seed).chance(proofs)) return;
  const proved = await judge(tx, asked, explainer, true);
  counts.proofs += 1;
  const complaint = proofFault(proved?.said ?? null);
  if (complaint === null && proved?.comparison.result !== "disagrees") return;
  counts.disagreed += 1;
  const complaints = complaint === null ? ["with the proof the answer is wrong"] : [complaint];
  run.disagreements.push({ case: asked, complaints, real, said: proved?.said ?? null });
}

/** Where rows were compared, the proof must agree. */
function proofFault(said: KeyedExplanation | null): string | null {
  if (said === null) return "asked with the proof, there was no answer";
  const { proof } = said.explanation;
  if (proof == null) return "there is no proof";
  const isCompared = proof.tried && (proof.compared ?? 0) > 0;
  if (isCompared && proof.agrees !== true) return "the proof disagrees";
  return null;
}

/** Clears away what rolled-back worlds left in the catalogs, or each world would be slower than the one before. */
async function sweepCatalogs(connection: postgres.Sql): Promise<void> {
  await connection`
    vacuum pg_catalog.pg_attrdef, pg_catalog.pg_attribute, pg_catalog.pg_class, pg_catalog.pg_constraint,
      pg_catalog.pg_depend, pg_catalog.pg_index, pg_catalog.pg_policy, pg_catalog.pg_proc,
      pg_catalog.pg_rewrite, pg_catalog.pg_type`;
}

async function majorVersion(connection: postgres.Sql): Promise<number> {
  const [row] = await connection<{ version: number }[]>`
    select pg_catalog.current_setting('server_version_num')::integer / 10000 as version`;
  return row?.version ?? 0;
}
