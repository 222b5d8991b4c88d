/** What a piece of SQL text is, lexically. `dollar` is a whole dollar-quoted constant with its tags. */
export type TokenKind =
  | "space"
  | "comment"
  | "block-comment"
  | "word"
  | "quoted"
  | "string"
  | "dollar"
  | "number"
  | "param"
  | "operator"
  | "mark"
  | "meta"
  | "unknown";

/** One piece of SQL text; `start` and `end` are positions in the file, in UTF-16 units. */
export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const word = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const patterns: readonly (readonly [TokenKind, RegExp])[] = [
  ["space", /\s+/y],
  ["comment", /--[^\r\n]*/y],
  ["string", /[eE]'(?:[^'\\]|''|\\[\s\S])*'/y],
  ["string", /(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'/y],
  ["quoted", /(?:[uU]&)?"(?:[^"]|"")*"/y],
  ["word", word],
  ["param", /\$\d+/y],
  [
    "number",
    /0[xX](?:_?[\da-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+|(?:\d(?:_?\d)*(?:\.(?!\.)(?:\d(?:_?\d)*)?)?|\.\d(?:_?\d)*)(?:[eE][+-]?\d+)?/y,
  ],
  ["mark", /::|:=|\.\.|[()[\],;.:]/y],
];
const dollarTag = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const operatorRun = /[-+*/<>=~!@#%^&|`?]+/y;
const metaCommand = /\\[^\r\n]*/y;

/**
 * Splits SQL or PL/pgSQL text by Postgres's lexical rules (`standard_conforming_strings` on). The texts of all
 * tokens put together are the input again, so a formatter can change some and keep the rest byte for byte.
 * @param offset where the text begins in its file; added to every position.
 */
export function scan(text: string, offset = 0): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const [kind, end] = next(text, at);
    tokens.push({ kind, text: text.slice(at, end), start: offset + at, end: offset + end });
    at = end;
  }
  return tokens;
}

/** The tokens that mean something: without white space and comments. */
export function significant(tokens: readonly Token[]): Token[] {
  return tokens.filter(
    (token) => token.kind !== "space" && token.kind !== "comment" && token.kind !== "block-comment",
  );
}

/** What Postgres makes of a token: an unquoted word in lower case, anything else as it is. */
export function folded(token: Token | undefined): string {
  if (token === undefined) return "";
  return token.kind === "word" ? token.text.toLowerCase() : token.text;
}

/** The tag and the text between the tags of a dollar-quoted constant. */
export function dollarBody(token: Token): { tag: string; text: string; start: number } {
  const tag = token.text.slice(0, token.text.indexOf("$", 1) + 1);
  return { tag, text: token.text.slice(tag.length, -tag.length), start: token.start + tag.length };
}

function next(text: string, at: number): readonly [TokenKind, number] {
  if (text.startsWith("/*", at)) return ["block-comment", endOfBlockComment(text, at)];
  for (const [kind, pattern] of patterns) {
    const end = matchEnd(pattern, text, at);
    if (end !== undefined) return [kind, end];
  }
  const tagEnd = matchEnd(dollarTag, text, at);
  if (tagEnd !== undefined) {
    const tag = text.slice(at, tagEnd);
    const close = text.indexOf(tag, tagEnd);
    return close < 0 ? ["unknown", text.length] : ["dollar", close + tag.length];
  }
  if (matchEnd(operatorRun, text, at) !== undefined) return ["operator", endOfOperator(text, at)];
  const metaEnd = matchEnd(metaCommand, text, at);
  return metaEnd === undefined ? ["unknown", at + 1] : ["meta", metaEnd];
}

function matchEnd(pattern: RegExp, text: string, at: number): number | undefined {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : undefined;
}

/** Postgres's block comments nest. An open one ends with the text. */
function endOfBlockComment(text: string, start: number): number {
  let depth = 0;
  let at = start;
  while (at < text.length) {
    if (text.startsWith("/*", at)) {
      depth += 1;
      at += 2;
    } else if (text.startsWith("*/", at)) {
      depth -= 1;
      at += 2;
      if (depth === 0) return at;
    } else at += 1;
  }
  return text.length;
}

/** An operator ends before a comment; one of several characters ends in + or - only when it holds one of ~!@#%^&|`? */
function endOfOperator(text: string, at: number): number {
  const end = matchEnd(operatorRun, text, at) ?? at + 1;
  const comment = text.slice(at, end).search(/--|\/\*/);
  let run = text.slice(at, comment > 0 ? at + comment : end);
  while (run.length > 1 && /[+-]$/.test(run) && !/[~!@#%^&|`?]/.test(run)) run = run.slice(0, -1);
  return at + run.length;
}
