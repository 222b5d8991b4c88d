import type postgres from "postgres";
import { z } from "zod";
import { explainStatement } from "./commands.ts";
import { explanationShape, type KeyedExplanation } from "./explanation.ts";
import { quoteText } from "./quote.ts";
import type { Case } from "./world.ts";

/** Whoever answers questions about access. */
export type Explainer = (tx: postgres.Sql, asked: Case, proof: boolean) => Promise<KeyedExplanation>;

const answerRows = z.tuple([z.object({ answer: z.unknown(), keys: z.array(z.string().nullable()) })]);

/** Asks `runbook.explain_access` in the open transaction. Throws what the database or the shape of the answer raises. */
export const askExplainer: Explainer = async (tx, { world: { subject }, question }, proof) => {
  const begun = performance.now();
  // The keys are read as text by the database: a bigint would lose digits here.
  const results = await tx.unsafe(
    `select said.answer, (select coalesce(jsonb_agg(line.row -> 'key' ->> ${quoteText(subject.key.name)} order by line.position), '[]') from jsonb_array_elements(said.answer -> 'rows') with ordinality as line (row, position)) as keys from (select (${explainStatement(subject, question, proof)}) as answer offset 0) as said`,
  );
  const tookMs = performance.now() - begun;
  const [{ answer, keys }] = answerRows.parse([...results]);
  return { explanation: explanationShape.parse(answer), keys, tookMs };
};
