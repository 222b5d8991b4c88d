import { type SqlRule, startsWith } from "../rule.ts";
import { folded, type Token } from "../scan.ts";

const filters = /^(?:where|having|on)$/;
const others =
  /^(?:select|set|values|returning|from|group|order|limit|into|if|elsif|while|return|begin|then|else|loop|default|using|:=|;)$/;

/** In a filter the clock is written `(select runbook.now())`: the bare call runs once a row, at 35 times the cost of now(). */
export const clockInFilter: SqlRule = {
  name: "clock-in-filter",
  check(source) {
    return source.scopes.flatMap((scope) =>
      scope.tokens.flatMap((token, index) => {
        if (!startsWith(scope.tokens, index, "runbook", ".", "now", "(", ")")) return [];
        // `comment on function runbook.now()` names the function and does not call it.
        if (folded(scope.tokens[index - 1]) === "function" || !isInFilter(scope.tokens, index)) return [];
        const message =
          "runbook.now() stands bare in a filter and runs once a row. Write (select runbook.now()).";
        return [{ position: token.start, message }];
      }),
    );
  },
};

/** Goes back, out of parentheses, to the clause that the call belongs to. `then` and `else` of a CASE are passed over. */
function isInFilter(tokens: readonly Token[], call: number): boolean {
  let depth = 0;
  let caseDepth = 0;
  for (let at = call - 1; at >= 0; at -= 1) {
    const word = folded(tokens[at]);
    if (word === ")") depth += 1;
    else if (word === "(") depth = Math.max(0, depth - 1);
    else if (depth > 0) continue;
    else if (word === "end") caseDepth += 1;
    else if (word === "case") caseDepth -= 1;
    else if (filters.test(word)) return true;
    else if ((word === "then" || word === "else") && caseDepth <= 0 && isInCase(tokens, at)) continue;
    else if (caseDepth <= 0 && others.test(word)) return false;
  }
  return false;
}

/** Whether a `then` or `else` belongs to a CASE: going back, `case` comes before a semicolon. */
function isInCase(tokens: readonly Token[], start: number): boolean {
  let depth = 0;
  for (let at = start - 1; at >= 0; at -= 1) {
    const word = folded(tokens[at]);
    if (word === ";") return false;
    if (word === "end") depth += 1;
    if (word === "case") {
      if (depth === 0) return true;
      depth -= 1;
    }
  }
  return false;
}
