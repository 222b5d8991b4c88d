import type { Explanation, KeyedExplanation } from "./explanation.ts";
import type { RealAnswer, RowAnswer } from "./real-answer.ts";
import type { Question } from "./world.ts";

/** How an explanation and the database's answer go together. */
export type Comparison =
  | { readonly result: "agrees" }
  /** The explainer said that it cannot know, since a policy raises and what comes of that hangs on the order of evaluation. */
  | { readonly result: "undecided" }
  | { readonly result: "disagrees"; readonly complaints: readonly string[] };

/** Compares row by row and as a whole. */
export function compare(question: Question, real: RealAnswer, said: KeyedExplanation): Comparison {
  const complaints: string[] = [];
  const undecided = compareRows(question, real, said, complaints) || compareWhole(real, said, complaints);
  if (complaints.length > 0) return { result: "disagrees", complaints };
  return { result: undecided ? "undecided" : "agrees" };
}

/** Returns whether a row was left open that the database decides. */
function compareRows(
  question: Question,
  real: RealAnswer,
  { explanation, keys }: KeyedExplanation,
  complaints: string[],
): boolean {
  const isStopped = explanation.gates.some(
    ({ gate, state }) => gate !== "policies" && gate !== "exposed" && state === "fail",
  );
  const saidKeys = question.command === "insert" ? keys.map(() => "") : keys;
  const expected = question.command === "insert" ? [""] : real.keys;
  if (isStopped) {
    if (real.whole === "yes") complaints.push("a gate is shut, but the command went through in the database");
    return false;
  }
  const missing = expected.filter((key) => !saidKeys.includes(key));
  const surplus = saidKeys.filter((key) => !expected.includes(key));
  if (missing.length > 0) complaints.push(`rows not explained: ${missing.join(", ")}`);
  if (surplus.length > 0) complaints.push(`rows explained that do not match: ${surplus.join(", ")}`);
  let undecided = false;
  let shown = 0;
  explanation.rows.forEach((row, index) => {
    const key = saidKeys[index] ?? "";
    const claimed = question.command === "select" ? row.visible : row.allowed;
    if (claimed === true) shown += 1;
    if (question.command === "select" && !followsFromPolicies(row))
      complaints.push(`row ${key}: said visible ${row.visible}, but its policies say otherwise`);
    const answer = real.rows?.get(key);
    if (answer === undefined) return;
    const fault = compareRow(answer, claimed ?? null);
    if (fault === "open") {
      if (isOpen(row.policies)) undecided = true;
      else
        complaints.push(`row ${key}: left open, though no policy raises; the database says ${tell(answer)}`);
    } else if (fault !== null) complaints.push(`row ${key}: ${fault}`);
  });
  if (real.rows === null && real.whole === "yes" && shown !== real.count)
    complaints.push(`${shown} rows are said to be visible, the database shows ${real.count}`);
  return undecided;
}

function compareRow(answer: RowAnswer, claimed: boolean | null): string | null {
  if (typeof answer === "object")
    return claimed === null ? null : `said ${claimed}, but the database raised ${answer.raised}`;
  if (claimed === null) return "open";
  return claimed === (answer === "yes") ? null : `said ${claimed}, but the database says ${tell(answer)}`;
}

/** Returns whether the verdict was left open. */
function compareWhole(real: RealAnswer, { explanation }: KeyedExplanation, complaints: string[]): boolean {
  const { verdict, gates } = explanation;
  const isHidden = gates.some(({ gate, state }) => gate === "exposed" && state === "fail");
  if (isHidden) {
    if (verdict !== "denied") complaints.push(`not exposed to the Data API, but the verdict is ${verdict}`);
    return false;
  }
  const expected = expectedVerdicts(real);
  if (expected.includes(verdict)) return false;
  if (verdict === "unknown" && hasError(explanation)) return true;
  complaints.push(
    `the verdict is ${verdict}, but the database: ${real.error ?? `${real.count} of ${real.keys.length} rows`}`,
  );
  return false;
}

function expectedVerdicts(real: RealAnswer): readonly string[] {
  if (typeof real.whole === "object") return ["denied", "unknown"];
  if (real.whole === "no") return ["denied"];
  if (real.rows?.has("")) return ["allowed"];
  if (real.keys.length === 0) return ["allowed", "unknown", "denied"];
  if (real.count === 0) return ["denied"];
  return real.count === real.keys.length ? ["allowed"] : ["partly"];
}

function hasError({ rows }: Explanation): boolean {
  return rows.some(({ policies }) => isOpen(policies));
}

/** Whether a policy was not, or could not be, evaluated. */
function isOpen(policies: Explanation["rows"][number]["policies"]): boolean {
  return policies.some(({ verdict }) => verdict === "error" || verdict === "unknown");
}

/** Whether a row is said to be visible exactly if one permissive policy is true and no restrictive one is not. */
function followsFromPolicies({ visible, policies }: Explanation["rows"][number]): boolean {
  if (policies.length === 0 || isOpen(policies)) return true;
  const isTrue = ({ verdict }: { verdict: string }): boolean => verdict === "true";
  const permissive = policies.filter(({ kind }) => kind === "permissive");
  const restrictive = policies.filter(({ kind }) => kind === "restrictive");
  return visible === (permissive.some(isTrue) && restrictive.every(isTrue));
}

function tell(answer: RowAnswer): string {
  if (typeof answer === "object") return answer.raised;
  return answer;
}
