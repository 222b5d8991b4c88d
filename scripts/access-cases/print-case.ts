import { becomeStatements, commandStatement, explainStatement, withoutDataApi } from "./commands.ts";
import type { KeyedExplanation } from "./explanation.ts";
import type { RealAnswer } from "./real-answer.ts";
import type { Case } from "./world.ts";

/** A case that disagrees. */
export interface Disagreement {
  readonly case: Case;
  readonly complaints: readonly string[];
  readonly real: RealAnswer | null;
  readonly said: KeyedExplanation | null;
}

/** The case as SQL to paste into psql as postgres: it makes the world, asks, does it really, and rolls all of it back. */
export function printCase({ case: failing, complaints, real, said }: Disagreement): string {
  const { world, question } = failing;
  const columns = real === null || real.readable.length === 0 ? [world.subject.key.name] : real.readable;
  return [
    "-- Where runbook.explain_access and the database disagree:",
    ...complaints.flatMap((complaint) => complaint.split("\n").map((line) => `--   ${line}`)),
    `-- World ${world.seed}. The explainer said: ${said === null ? "nothing" : said.explanation.verdict}, ${JSON.stringify(said?.explanation.rows.map(({ visible, allowed }, index) => [said.keys[index], allowed ?? visible]) ?? [])}`,
    `-- The database: ${real === null ? "was not asked" : (real.error ?? `${real.count} of ${real.keys.length} rows`)}, ${JSON.stringify([...(real?.rows ?? [])])}`,
    "begin;",
    `${withoutDataApi};`,
    ...world.statements.map((statement) => `${statement};`),
    "\\pset format unaligned",
    `select jsonb_pretty((${explainStatement(world.subject, question, false)}));`,
    "savepoint attempt;",
    ...becomeStatements(question).map((statement) => `${statement};`),
    `${commandStatement(world.subject, question, columns)};`,
    "rollback;",
  ].join("\n");
}
