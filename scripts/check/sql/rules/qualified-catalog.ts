import { type SqlProblem, type SqlRule, startsWith } from "../rule.ts";
import { folded, type Token } from "../scan.ts";
import { statementsOf } from "../source.ts";

/** Relations of the system catalog are written `pg_catalog.pg_class`; a table of that name elsewhere cannot come in between. */
export const qualifiedCatalog: SqlRule = {
  name: "qualified-catalog",
  check(source) {
    return source.scopes.flatMap((scope) => statementsOf(scope.tokens).flatMap(checkStatement));
  },
};

function checkStatement(tokens: readonly Token[]): SqlProblem[] {
  // `grant … to pg_monitor` and `revoke … from pg_monitor` name roles.
  if (startsWith(tokens, 0, "grant") || startsWith(tokens, 0, "revoke")) return [];
  return tokens.flatMap((token, index) => {
    const name = folded(token);
    if (token.kind !== "word" || !name.startsWith("pg_") || !isRelation(tokens, index)) return [];
    const message = `${name} is not qualified. Write pg_catalog.${name}, or its schema if it belongs to an extension.`;
    return [{ position: token.start, message }];
  });
}

function isRelation(tokens: readonly Token[], index: number): boolean {
  const after = tokens[index + 1]?.text;
  if (after === "." || after === "(") return false;
  const before = folded(tokens[index - 1]);
  if (/^(?:join|only|update)$/.test(before)) return true;
  if (before === "from") return folded(tokens[index - 2]) !== "distinct";
  return before === "," && isInFrom(tokens, index - 1);
}

/** Whether a comma separates relations: going back, `from` comes before any other clause. */
function isInFrom(tokens: readonly Token[], comma: number): boolean {
  let depth = 0;
  for (let at = comma - 1; at >= 0; at -= 1) {
    const word = folded(tokens[at]);
    if (word === ")") depth += 1;
    else if (word === "(") {
      if (depth === 0) return false;
      depth -= 1;
    } else if (depth === 0) {
      if (word === "from") return true;
      if (/^(?:select|where|set|values|group|order|by|returning|in|;)$/.test(word)) return false;
    }
  }
  return false;
}
