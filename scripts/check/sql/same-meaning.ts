import { parseSync } from "libpg-query";
import { dollarBody, folded, scan, significant, type Token } from "./scan.ts";
import { findBodies } from "./source.ts";
import { isTree } from "./tree.ts";

/**
 * Whether two texts of SQL mean the same to Postgres. Two proofs that do not lean on each other must agree:
 * Postgres's own parser gives the same trees (bodies of functions left out, since it sees those as strings; bodies
 * in SQL are parsed on their own), and all tokens, those in bodies included, are the same but for the case
 * of unquoted words. White space and comments may differ. `loadModule()` of libpg-query must have resolved before.
 */
export function meansTheSame(before: string, after: string): boolean {
  return fingerprint(before) === fingerprint(after);
}

function fingerprint(text: string): string {
  const tokens = scan(text);
  const bodies = findBodies(tokens);
  const trees = [withoutBodies(tokens, new Set(bodies.map((body) => body.token)))];
  const words = [wordsOf(tokens)];
  for (const body of bodies) {
    const code = dollarBody(body.token).text;
    words.push(wordsOf(scan(code)));
    if (body.language === "sql") trees.push(code);
  }
  return JSON.stringify({ trees: trees.map(treeOf), words });
}

function wordsOf(tokens: readonly Token[]): string[] {
  const bodies = new Set(findBodies(tokens).map((body) => body.token));
  return significant(tokens).map((token) => (bodies.has(token) ? dollarBody(token).tag : folded(token)));
}

function withoutBodies(tokens: readonly Token[], bodies: ReadonlySet<Token>): string {
  return tokens.map((token) => (bodies.has(token) ? "'body'" : token.text)).join("");
}

function treeOf(text: string): unknown {
  return text.trim() === "" ? null : withoutPositions(parseSync(text));
}

const positions = new Set([
  "location",
  "stmt_location",
  "stmt_len",
  "name_location",
  "list_start",
  "list_end",
]);

function withoutPositions(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPositions);
  if (!isTree(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, part]) =>
      positions.has(key) ? [] : [[key, withoutPositions(part)]],
    ),
  );
}
