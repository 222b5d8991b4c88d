import { dollarBody, scan, significant, type Token } from "./scan.ts";
import { findBodies } from "./source.ts";
import { isPlpgsqlWord, isSqlWord, reservedWords } from "./words.ts";

/**
 * How much the formatter changes. `house` is the style of our own SQL; `safe` is for SQL that is written as an
 * application writes it: only keyword case, trailing white space and the end of the file.
 */
export type FormatLevel = "house" | "safe";

/**
 * Formats a file of SQL without breaking or joining lines, so the author's layout stays. Keywords and names of
 * built-in types become lower case, white space at the end of lines goes, the file ends with one newline; `house`
 * also turns tabs into two spaces, leaves one empty line at most and puts `;` directly behind its statement.
 * Bodies of functions in SQL and PL/pgSQL and of DO blocks are formatted too; comments, strings, other
 * dollar-quoted text and names are left as they are.
 */
export function formatSql(text: string, level: FormatLevel): string {
  const formatted = formatTokens(scan(text), "sql", level);
  const body = formatted.replace(/^\s+/, "").replace(/\s+$/, "");
  return body === "" ? "" : `${body}\n`;
}

function formatTokens(tokens: readonly Token[], language: "sql" | "plpgsql", level: FormatLevel): string {
  const bodies = new Map(findBodies(tokens).map((body) => [body.token, body.language]));
  const cased = caseOfWords(tokens, language);
  let result = "";
  tokens.forEach((token, index) => {
    const bodyLanguage = bodies.get(token);
    if (bodyLanguage !== undefined) {
      const { tag, text, start } = dollarBody(token);
      result += tag + formatTokens(scan(text, start), bodyLanguage, level) + tag;
    } else if (token.kind === "space") result += formatSpace(tokens, index, level);
    else if (token.kind === "comment") result += token.text.trimEnd();
    else if (token.kind === "block-comment") result += token.text.replace(/[ \t]+(?=\r?\n)/g, "");
    else result += cased.get(token) ?? token.text;
  });
  return result;
}

function formatSpace(tokens: readonly Token[], index: number, level: FormatLevel): string {
  const before = tokens[index - 1];
  const after = tokens[index + 1];
  const lines = (tokens[index]?.text ?? "").replaceAll("\r\n", "\n").split("\n");
  const indent = lines.pop() ?? "";
  const breaks = "\n".repeat(level === "house" ? Math.min(lines.length, 2) : lines.length);
  if (level === "safe") return after === undefined ? breaks : breaks + indent;
  const followsCode = before !== undefined && before.kind !== "comment" && before.kind !== "meta";
  if (after?.text === ";" && followsCode && before.text !== ";") return "";
  return breaks + indent.replaceAll("\t", "  ");
}

/** The new text of each word that is a keyword or a type. A word beside a dot is part of a name, save for new and old. */
function caseOfWords(tokens: readonly Token[], language: "sql" | "plpgsql"): Map<Token, string> {
  const isKeyword = language === "plpgsql" ? isPlpgsqlWord : isSqlWord;
  const code = significant(tokens);
  const cased = new Map<Token, string>();
  code.forEach((token, index) => {
    if (token.kind !== "word") return;
    const lower = token.text.toLowerCase();
    if (lower === token.text || !isKeyword(lower)) return;
    if (code[index - 1]?.text === ".") return;
    if (code[index + 1]?.text === "." && lower !== "new" && lower !== "old") return;
    // `Name` may be a column that somebody wrote so; `NAME` and `Select` are not.
    if (token.text !== token.text.toUpperCase() && !reservedWords.has(lower)) return;
    cased.set(token, lower);
  });
  return cased;
}
