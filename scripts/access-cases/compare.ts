import type { Explanation, KeyedExplanation } from "./explanation.ts";
import type { RealAnswer, RowAnswer } from "./real-answer.ts";
import type { Case, Question } from "./world.ts";

/** How an explanation and the database's answer go together. */
export type Comparison =
  | { readonly result: "agrees" }
  /** The explainer said that it cannot know, since a policy raises and what comes of that hangs on the order of evaluation. */
  | { readonly result: "undecided" }
  /** The explainer said that it cannot look through these eyes or at this relation. */
  | { readonly result: "unanswered" }
  | { readonly result: "disagrees"; readonly complaints: readonly string[] };

/** Compares row by row and as a whole. */
export function compare({ world, question }: Case, real: RealAnswer, said: KeyedExplanation): Comparison {
  const complaints: string[] = [];
  const { gates, verdict, rows } = said.explanation;
  const shut = gates.find(({ gate, state }) => gate !== "policies" && gate !== "exposed" && state === "fail");
  if (shut !== undefined) {
    if (real.whole === "yes") complaints.push(`the gate ${shut.gate} is shut, but the command went through`);
    if (verdict !== "denied") complaints.push(`the gate ${shut.gate} is shut, but the verdict is ${verdict}`);
    return complaints.length > 0 ? { result: "disagrees", complaints } : { result: "agrees" };
  }
  // No policy lets anything through, so there is nothing to tell of each row.
  const isRefused = gates.some(({ gate, state }) => gate === "policies" && state === "fail");
  const isNothingDone = real.whole !== "yes" || (real.count === 0 && question.command !== "insert");
  if (verdict === "denied" && rows.length === 0 && isRefused && isNothingDone) return { result: "agrees" };
  // It says that it cannot look, and claims nothing.
  if (verdict === "unknown" && rows.length === 0 && gates.some(({ state }) => state === "unknown"))
    return { result: real.keys.length === 0 && question.command !== "insert" ? "agrees" : "unanswered" };
  if (world.subject.kind === "view") {
    compareView(real, said, complaints);
    return complaints.length > 0 ? { result: "disagrees", complaints } : { result: "agrees" };
  }
  const undecided = compareRows(question, real, said, complaints);
  const isWholeOpen = compareWhole(real, said, complaints);
  if (complaints.length > 0) return { result: "disagrees", complaints };
  return { result: undecided || isWholeOpen ? "undecided" : "agrees" };
}

/** Returns whether a row was left open that the database decides. */
function compareRows(
  question: Question,
  real: RealAnswer,
  { explanation, keys }: KeyedExplanation,
  complaints: string[],
): boolean {
  const isInsert = question.command === "insert";
  const expected = isInsert ? [""] : real.keys;
  if (explanation.rows.length !== expected.length)
    complaints.push(`${explanation.rows.length} rows are explained of ${expected.length}`);
  const wrong = isInsert ? [] : keys.filter((key) => key === null || !expected.includes(key));
  if (wrong.length > 0) complaints.push(`rows explained that do not match: ${wrong.join(", ")}`);
  let undecided = false;
  let shown = 0;
  explanation.rows.forEach((row, index) => {
    const key = isInsert ? "" : (keys[index] ?? "");
    const claimed = (question.command === "select" ? row.visible : row.allowed) ?? null;
    if (claimed === true) shown += 1;
    if (question.command === "select" && !followsFromPolicies(row))
      complaints.push(`row ${key}: said visible ${claimed}, but its policies say otherwise`);
    const answer = real.rows?.get(key);
    if (answer === undefined) return;
    const isLeftOpen = isOpen(row.policies);
    if (isRightOf(answer, claimed, row.raises ?? null)) return;
    if (claimed === null && isLeftOpen) undecided = true;
    else complaints.push(`row ${key}: said ${claimed}, but the database says ${tell(answer)}`);
  });
  if (real.rows === null && real.whole === "yes" && !undecided && shown !== real.count)
    complaints.push(`${shown} rows are said to be given, the database gives ${real.count}`);
  return undecided;
}

/** A view is looked at through the role's own eyes, so its rows are those that it gives. */
function compareView(real: RealAnswer, { explanation }: KeyedExplanation, complaints: string[]): void {
  const { verdict, rows } = explanation;
  const isGiven = real.whole === "yes" && real.count > 0;
  // Nothing was asked about, so nothing is hidden.
  if (real.whole === "yes" && real.keys.length === 0 && rows.length === 0) return;
  if (isGiven !== (verdict === "allowed" || verdict === "partly"))
    complaints.push(`the verdict is ${verdict}, but the database: ${real.error ?? `${real.count} rows`}`);
  if (isGiven && rows.length > 0 && rows.length !== real.count)
    complaints.push(`${rows.length} rows are explained, the database gives ${real.count}`);
}

/** Whether a claim is the database's answer. Of a row that raises it may be said that it is not given, with the same SQLSTATE. */
function isRightOf(answer: RowAnswer, claimed: boolean | null, raises: string | null): boolean {
  if (typeof answer === "object") return claimed === false && answer.raised.startsWith(`${raises} `);
  // What a check refuses raises 42501 too, but is no error of a policy.
  if (raises !== null && raises !== "42501") return false;
  return claimed === (answer === "yes");
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
  const answers = [...(real.rows?.values() ?? [])];
  // Where the filter may not go before the policies, a row that is not asked about can raise. Nobody looks at those.
  const isRaisedElsewhere =
    typeof real.whole === "object" && answers.length > 0 && !answers.some((one) => typeof one === "object");
  if (isRaisedElsewhere) return verdictsOf(answers.filter((one) => one === "yes").length, answers.length);
  if (typeof real.whole === "object") return ["denied", "unknown"];
  if (real.whole === "no") return ["denied"];
  if (real.rows?.has("")) return ["allowed"];
  if (real.keys.length === 0) return ["allowed", "unknown", "denied"];
  return verdictsOf(real.count, real.keys.length);
}

function verdictsOf(given: number, all: number): readonly string[] {
  if (given === 0) return ["denied"];
  return given === all ? ["allowed"] : ["partly"];
}

function hasError({ rows }: Explanation): boolean {
  return rows.some(({ policies }) => isOpen(policies));
}

/** Whether a policy was not, or could not be, evaluated. */
function isOpen(policies: Explanation["rows"][number]["policies"]): boolean {
  return policies.some(
    ({ verdict, depends_on_order: dependsOnOrder }) =>
      verdict === "error" || verdict === "unknown" || dependsOnOrder === true,
  );
}

/** Whether a row is said to be visible exactly if one permissive policy is true and no restrictive one is not. */
function followsFromPolicies({ visible, raises, policies }: Explanation["rows"][number]): boolean {
  if (policies.length === 0 || typeof raises === "string" || isOpen(policies)) return true;
  const isTrue = ({ verdict }: { verdict: string }): boolean => verdict === "true";
  const permissive = policies.filter(({ kind }) => kind === "permissive");
  const restrictive = policies.filter(({ kind }) => kind === "restrictive");
  return visible === (permissive.some(isTrue) && restrictive.every(isTrue));
}

function tell(answer: RowAnswer): string {
  if (typeof answer === "object") return answer.raised;
  return answer;
}
