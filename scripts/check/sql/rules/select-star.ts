import { afterParenthesis, type SqlProblem, type SqlRule, startsWith } from "../rule.ts";
import { folded, type Token } from "../scan.ts";
import { statementsOf } from "../source.ts";

const endOfFrom =
  /^(?:where|group|having|window|order|limit|offset|fetch|for|union|intersect|except|loop|into|returning|on|;|\))$/;

/**
 * `select *` and `select t.*` only over a CTE of the same statement: everything else names its columns. A star that
 * fills a variable of the relation's own row type is let be, since the two change together.
 */
export const selectStar: SqlRule = {
  name: "select-star",
  check(source) {
    return source.scopes.flatMap((scope) => {
      const rows = rowVariables(scope.tokens);
      return statementsOf(scope.tokens).flatMap((statement) => checkStatement(statement, rows));
    });
  },
};

function checkStatement(tokens: readonly Token[], rows: ReadonlyMap<string, string>): SqlProblem[] {
  const ctes = cteNames(tokens);
  const problems: SqlProblem[] = [];
  tokens.forEach((token, index) => {
    if (folded(token) !== "select") return;
    const { stars, from } = readSelectList(tokens, index + 1);
    for (const star of stars) {
      const relations = readFrom(tokens, from);
      const covered =
        star.qualifier === "" ? relations : relations.filter((one) => one.alias === star.qualifier);
      const filled = rows.get(targetOf(tokens, index));
      if (covered.length > 0 && covered.every((one) => ctes.has(one.name) || one.name === filled)) continue;
      problems.push({
        position: token.start,
        message: `select ${star.qualifier === "" ? "" : `${star.qualifier}.`}* over something that is no CTE of this statement. Name the columns.`,
      });
    }
  });
  return problems;
}

/** The variables that are declared with a qualified type, such as `v_issue runbook.issue`, with that type. */
function rowVariables(tokens: readonly Token[]): Map<string, string> {
  const found = new Map<string, string>();
  tokens.forEach((token, index) => {
    if (token.kind !== "word" || !/^(?:declare|;)$/.test(folded(tokens[index - 1]))) return;
    const at = folded(tokens[index + 1]) === "constant" ? index + 2 : index + 1;
    if (tokens[at]?.kind === "word" && tokens[at + 1]?.text === "." && tokens[at + 2]?.kind === "word") {
      found.set(folded(token), `${folded(tokens[at])}.${folded(tokens[at + 2])}`);
    }
  });
  return found;
}

/** The variable that a `select … into` fills. */
function targetOf(tokens: readonly Token[], select: number): string {
  const into = tokens.findIndex((token, index) => index > select && folded(token) === "into");
  if (into < 0) return "";
  return folded(tokens[into + (folded(tokens[into + 1]) === "strict" ? 2 : 1)]);
}

function cteNames(tokens: readonly Token[]): Set<string> {
  const names = new Set<string>();
  tokens.forEach((token, index) => {
    const before = folded(tokens[index - 1]);
    if ((token.kind !== "word" && token.kind !== "quoted") || !/^(?:with|recursive|,)$/.test(before)) return;
    let at = index + 1;
    if (tokens[at]?.text === "(") at = afterParenthesis(tokens, at);
    if (folded(tokens[at]) !== "as") return;
    at += 1;
    if (folded(tokens[at]) === "not") at += 1;
    if (folded(tokens[at]) === "materialized") at += 1;
    if (tokens[at]?.text === "(") names.add(folded(token));
  });
  return names;
}

/** The stars of a select list, and where its `from` stands (-1 without one). */
function readSelectList(
  tokens: readonly Token[],
  start: number,
): { stars: { qualifier: string }[]; from: number } {
  const stars: { qualifier: string }[] = [];
  let at = start;
  while (at < tokens.length) {
    const word = folded(tokens[at]);
    if (word === "from" && folded(tokens[at - 1]) !== "distinct") return { stars, from: at };
    if (word === ")" || word === ";" || /^(?:where|union|intersect|except|loop)$/.test(word)) break;
    if (word === "*") {
      const before = folded(tokens[at - 1]);
      if (before === "." && /^(?:word|quoted)$/.test(tokens[at - 2]?.kind ?? "")) {
        stars.push({ qualifier: folded(tokens[at - 2]) });
      }
      if (at === start || /^(?:,|all|distinct)$/.test(before)) stars.push({ qualifier: "" });
    }
    at = word === "(" || word === "[" ? afterBracket(tokens, at) : at + 1;
  }
  return { stars, from: -1 };
}

function afterBracket(tokens: readonly Token[], open: number): number {
  return tokens[open]?.text === "(" ? afterParenthesis(tokens, open) : open + 1;
}

/** What a `from` reads: the name of each plain relation with its alias; subqueries and functions have no name. */
function readFrom(tokens: readonly Token[], from: number): { name: string; alias: string }[] {
  const found: { name: string; alias: string }[] = [];
  if (from < 0) return found;
  let at = from;
  let expectsRelation = true;
  at += 1;
  while (at < tokens.length) {
    const word = folded(tokens[at]);
    if (word === "on") {
      // The condition of a join ends at the next relation or clause.
      while (at < tokens.length && !isNextRelationOrEnd(tokens, at)) at = afterGroup(tokens, at);
      continue;
    }
    if (endOfFrom.test(word)) break;
    if (word === "," || word === "join") {
      expectsRelation = true;
      at += 1;
    } else if (expectsRelation && !/^(?:only|lateral)$/.test(word)) {
      const relation = readRelation(tokens, at);
      found.push(relation);
      expectsRelation = false;
      at = relation.end;
    } else at = afterGroup(tokens, at);
  }
  return found;
}

function isNextRelationOrEnd(tokens: readonly Token[], at: number): boolean {
  const word = folded(tokens[at]);
  return word === "," || word === "join" || (word !== "on" && endOfFrom.test(word));
}

function afterGroup(tokens: readonly Token[], at: number): number {
  return tokens[at]?.text === "(" ? afterParenthesis(tokens, at) : at + 1;
}

function readRelation(tokens: readonly Token[], start: number): { name: string; alias: string; end: number } {
  let at = start;
  let name = "";
  if (tokens[at]?.text === "(") at = afterParenthesis(tokens, at);
  else {
    name = folded(tokens[at]);
    at += 1;
    while (tokens[at]?.text === ".") {
      name += `.${folded(tokens[at + 1])}`;
      at += 2;
    }
    if (tokens[at]?.text === "(") {
      name = "";
      at = afterParenthesis(tokens, at);
    }
  }
  if (startsWith(tokens, at, "with", "ordinality")) at += 2;
  if (folded(tokens[at]) === "as") at += 1;
  const next = tokens[at];
  const isAlias =
    next !== undefined &&
    (next.kind === "word" || next.kind === "quoted") &&
    !endOfFrom.test(folded(next)) &&
    !/^(?:join|inner|left|right|full|cross|natural|on|using|tablesample)$/.test(folded(next));
  return { name, alias: isAlias ? folded(next) : (name.split(".").at(-1) ?? ""), end: isAlias ? at + 1 : at };
}
