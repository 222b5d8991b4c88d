import type { SqlProblem, SqlRule } from "../rule.ts";
import { dollarBody, scan, type Token } from "../scan.ts";
import { findBodies } from "../source.ts";

const limit = 100;

/**
 * Lines of more than 100 characters. Silent where the line cannot be broken: a string that begins its line or
 * follows the `is` of a comment, the inside of a string over several lines, an address in a comment.
 */
export const lineLength: SqlRule = {
  name: "line-length",
  check(source) {
    const pieces = flatten(source.tokens);
    const problems: SqlProblem[] = [];
    let start = 0;
    for (const line of source.text.split("\n")) {
      if ([...line].length > limit) {
        const over = pieces.find((piece) => piece.end > start + limit && piece.start < start + line.length);
        if (over === undefined || !isUnbreakable(over, pieces, source.text, start)) {
          problems.push({
            position: start,
            message: `The line has more than ${limit} characters. Break it.`,
          });
        }
      }
      start += line.length + 1;
    }
    return problems;
  },
};

function flatten(tokens: readonly Token[]): Token[] {
  const bodies = new Set(findBodies(tokens).map((body) => body.token));
  return tokens.flatMap((token) => {
    if (!bodies.has(token)) return [token];
    const { text, start } = dollarBody(token);
    return flatten(scan(text, start));
  });
}

function isUnbreakable(token: Token, pieces: readonly Token[], text: string, lineStart: number): boolean {
  if (token.kind === "comment") return /\S{60,}/.test(token.text);
  // The mark behind a long string is over the limit only because of the string.
  const string = token.kind === "mark" ? pieces[pieces.indexOf(token) - 1] : token;
  if (string?.kind !== "string") return false;
  if (string.start < lineStart) return true;
  const before = text.slice(lineStart, string.start);
  if (before.trim() === "") return true;
  return /^\s*comment\s+on\b.*\bis\s+$/i.test(before) && string.text.length >= limit;
}
