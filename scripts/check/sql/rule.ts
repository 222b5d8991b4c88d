import type { Token } from "./scan.ts";
import { folded } from "./scan.ts";
import type { Scope, SqlSource } from "./source.ts";

/** One place where a rule is broken. `position` counts UTF-16 units from the start of the file. */
export interface SqlProblem {
  readonly position: number;
  /** What is wrong and what to do, one sentence each. */
  readonly message: string;
}

/** One rule of the house over a file of SQL. Its name is what an `-- allow` comment names. */
export interface SqlRule {
  readonly name: string;
  check(source: SqlSource): SqlProblem[];
}

/** The scopes whose code is PL/pgSQL. */
export function plpgsqlScopes(source: SqlSource): readonly Scope[] {
  return source.scopes.filter((scope) => scope.language === "plpgsql");
}

/** Whether the tokens from `index` on are these words or marks, in any case. */
export function startsWith(tokens: readonly Token[], index: number, ...words: readonly string[]): boolean {
  return words.every((word, offset) => folded(tokens[index + offset]) === word);
}

/** Position of the token after the parenthesis that closes the one at `open`; the end when none does. */
export function afterParenthesis(tokens: readonly Token[], open: number): number {
  let depth = 0;
  for (let at = open; at < tokens.length; at += 1) {
    const text = tokens[at]?.text;
    if (text === "(") depth += 1;
    if (text === ")") depth -= 1;
    if (depth === 0) return at + 1;
  }
  return tokens.length;
}
