import { parseSync } from "libpg-query";
import { dollarBody, folded, scan, significant, type Token } from "./scan.ts";
import { child, isTree, type Tree } from "./tree.ts";

/** One piece of code: the file itself, or the body of a function or a DO block in it. */
export interface Scope {
  readonly language: "sql" | "plpgsql";
  /** Without white space and comments. A body is one `dollar` token in the scope around it. */
  readonly tokens: readonly Token[];
  /** Name of the function whose body this is, as written; empty for the file and for DO blocks. */
  readonly functionName: string;
}

/** One statement of the file as Postgres's parser sees it. */
export interface Statement {
  /** The parser's name of the node, for example `CreateFunctionStmt`. */
  readonly kind: string;
  readonly node: Tree;
  /** Where its first word stands, in UTF-16 units. */
  readonly start: number;
}

/** A file of SQL, taken apart once for all rules. */
export interface SqlSource {
  readonly path: string;
  readonly text: string;
  /** Everything, white space and comments included; bodies are single `dollar` tokens. */
  readonly tokens: readonly Token[];
  readonly scopes: readonly Scope[];
  readonly statements: readonly Statement[];
}

/** A `dollar` token that holds code, and in which language. */
export interface Body {
  readonly token: Token;
  readonly language: "sql" | "plpgsql";
  readonly functionName: string;
}

/** The text is not SQL that Postgres's parser takes. `position` counts UTF-16 units. */
export class SqlSyntaxError extends Error {
  override readonly name = "SqlSyntaxError";
  readonly position: number;

  constructor(message: string, position: number) {
    super(message);
    this.position = position;
  }
}

/**
 * Takes a file apart. libpg-query's `loadModule()` must have resolved before.
 * @throws SqlSyntaxError when Postgres's parser refuses the text.
 */
export function readSource(path: string, text: string): SqlSource {
  const tokens = scan(text);
  const bodies = findBodies(tokens);
  const scopes: Scope[] = [{ language: "sql", tokens: significant(tokens), functionName: "" }];
  for (const body of bodies) {
    const { text: code, start } = dollarBody(body.token);
    scopes.push({
      language: body.language,
      tokens: significant(scan(code, start)),
      functionName: body.functionName,
    });
  }
  return { path, text, tokens, scopes, statements: parseStatements(text, tokens) };
}

/** The dollar-quoted constants that are code: bodies of functions in SQL or PL/pgSQL, and DO blocks. */
export function findBodies(tokens: readonly Token[]): Body[] {
  const bodies: Body[] = [];
  for (const statement of statementsOf(significant(tokens))) {
    const words = statement.map(folded);
    const name = functionNameOf(words);
    if (name === undefined && words[0] !== "do") continue;
    const language = languageOf(words) ?? (words[0] === "do" ? "plpgsql" : undefined);
    if (language !== "sql" && language !== "plpgsql") continue;
    statement.forEach((token, index) => {
      if (token.kind !== "dollar") return;
      if (name === undefined || words[index - 1] === "as") {
        bodies.push({ token, language, functionName: name ?? "" });
      }
    });
  }
  return bodies;
}

/** Splits significant tokens at the semicolons that end statements; the semicolon belongs to its statement. */
export function statementsOf(tokens: readonly Token[]): Token[][] {
  const statements: Token[][] = [];
  let current: Token[] = [];
  let depth = 0;
  for (const token of tokens) {
    current.push(token);
    if (token.text === "(") depth += 1;
    if (token.text === ")") depth -= 1;
    if (token.text === ";" && depth <= 0) {
      statements.push(current);
      current = [];
      depth = 0;
    }
  }
  if (current.length > 0) statements.push(current);
  return statements;
}

function functionNameOf(words: readonly string[]): string | undefined {
  if (words[0] !== "create") return undefined;
  const at = words[1] === "or" && words[2] === "replace" ? 3 : 1;
  if (words[at] !== "function" && words[at] !== "procedure") return undefined;
  const open = words.indexOf("(", at);
  return words.slice(at + 1, open < 0 ? at + 2 : open).join("");
}

/** The language clause, which stands outside parentheses: a parameter may have that name too. */
function languageOf(words: readonly string[]): string | undefined {
  let depth = 0;
  for (const [at, word] of words.entries()) {
    if (word === "(") depth += 1;
    else if (word === ")") depth -= 1;
    else if (word === "language" && depth === 0) return words[at + 1]?.replaceAll("'", "").toLowerCase();
  }
  return undefined;
}

function parseStatements(text: string, tokens: readonly Token[]): Statement[] {
  if (significant(tokens).length === 0) return [];
  const bytes = Buffer.from(text, "utf8");
  const toIndex = (byte: number): number =>
    bytes.length === text.length ? byte : bytes.subarray(0, byte).toString("utf8").length;
  const code = significant(tokens);
  const parsed = child(parse(text, toIndex), "stmts");
  if (!Array.isArray(parsed)) return [];
  return parsed.flatMap((entry: unknown): Statement[] => {
    const wrapper = child(entry, "stmt");
    const from = toIndex(Number(child(entry, "stmt_location") ?? 0));
    const start = code.find((token) => token.start >= from)?.start ?? from;
    if (!isTree(wrapper)) return [];
    return Object.entries(wrapper).flatMap(([kind, node]) => (isTree(node) ? [{ kind, node, start }] : []));
  });
}

function parse(text: string, toIndex: (byte: number) => number): unknown {
  try {
    return parseSync(text);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const position = child(error, "sqlDetails", "cursorPosition");
    throw new SqlSyntaxError(error.message, typeof position === "number" ? toIndex(position) : 0);
  }
}
