import { fileURLToPath } from "node:url";
import { listProjectFiles, readProjectFiles } from "../../scripts/check/project-files.ts";

/** A TypeScript or JavaScript file, prepared for rules that look at code and not at words in comments. */
export interface SourceFile {
  /** Below the project's root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** The text with comments and the insides of strings and regular expressions blanked; positions stay the same. */
  readonly code: string;
  /** What the file imports or re-exports from. */
  readonly imports: readonly Import[];
}

/** One import, re-export or dynamic import. */
export interface Import {
  readonly specifier: string;
  /** Where a relative specifier leads, below the root; undefined for names of packages. */
  readonly target: string | undefined;
  readonly line: number;
}

/** Prepares one file; `path` decides where its relative imports lead. */
export function readSourceFile(path: string, text: string): SourceFile {
  const code = blankWords(text);
  return { path, text, code, imports: importsOf(path, text, code) };
}

/** All TypeScript and JavaScript files of the project. */
export function readProjectSources(): SourceFile[] {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const paths = listProjectFiles(root).filter((path) => /\.(?:ts|mts|js|mjs)$/.test(path));
  return readProjectFiles(root, paths).map((file) => readSourceFile(file.path, file.text));
}

/** `path:line`, the way the rules name a place. */
export function placeOf(file: SourceFile, position: number): string {
  return `${file.path}:${file.text.slice(0, position).split("\n").length}`;
}

/** Whether the file proves something instead of doing it, or is there (in a folder `testing`) for those that do. */
export function isTest(path: string): boolean {
  return path.startsWith("tests/") || path.endsWith(".test.ts") || path.includes("/testing/");
}

const importForms = [
  // `export const a = "…"` must not be taken for a re-export: that needs a `from`.
  /^\s*(?:import|export)\b[^;"'`]*?\bfrom\s*(["'])( *)\1/gm,
  /^\s*import\s*(["'])( *)\1/gm,
  /\bimport\s*\(\s*(["'])( *)\1/g,
];

function importsOf(path: string, text: string, code: string): Import[] {
  const found = importForms.flatMap((form) =>
    [...code.matchAll(form)].map((match) => {
      const end = match.index + match[0].length - 1;
      const specifier = text.slice(end - (match[2] ?? "").length, end);
      const target = specifier.startsWith(".") ? resolveFrom(path, specifier) : undefined;
      return { specifier, target, line: text.slice(0, end).split("\n").length };
    }),
  );
  return found.sort((a, b) => a.line - b.line);
}

function resolveFrom(path: string, specifier: string): string {
  const parts = path.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/** Blanks comments and the insides of strings, templates and regular expressions; code inside `${…}` stays. */
function blankWords(text: string): string {
  const result = [...text.split("")];
  const blank = (from: number, to: number): void => {
    for (let at = from; at < to; at += 1) if (result[at] !== "\n") result[at] = " ";
  };
  // Depth of braces inside each template's `${…}` that is open.
  const templates: number[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text[at];
    const pair = text.slice(at, at + 2);
    if (pair === "//" || pair === "/*") {
      const end = pair === "//" ? indexOrEnd(text, "\n", at) : indexOrEnd(text, "*/", at + 2) + 2;
      blank(at, Math.min(end, text.length));
      at = end;
    } else if (char === '"' || char === "'") {
      const end = endOfQuoted(text, at, char);
      blank(at + 1, end - 1);
      at = end;
    } else if (char === "`" || (char === "}" && templates.at(-1) === 0)) {
      if (char === "}") templates.pop();
      const end = endOfTemplatePart(text, at + 1);
      blank(at + 1, text[end - 1] === "{" ? end - 2 : end - 1);
      if (text[end - 1] === "{") templates.push(0);
      at = end;
    } else if (char === "/" && beginsRegularExpression(result, at)) {
      const end = endOfRegularExpression(text, at);
      blank(at + 1, end - 1);
      at = end;
    } else {
      const depth = templates.at(-1);
      if (depth !== undefined && char === "{") templates[templates.length - 1] = depth + 1;
      if (depth !== undefined && char === "}") templates[templates.length - 1] = depth - 1;
      at += 1;
    }
  }
  return result.join("");
}

function indexOrEnd(text: string, part: string, from: number): number {
  const at = text.indexOf(part, from);
  return at < 0 ? text.length : at;
}

function endOfQuoted(text: string, start: number, quote: string): number {
  let at = start + 1;
  while (at < text.length && text[at] !== quote && text[at] !== "\n") at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

/** The end of a template's literal part: behind its closing backquote or behind the `${` that begins code. */
function endOfTemplatePart(text: string, start: number): number {
  let at = start;
  while (at < text.length) {
    if (text[at] === "`") return at + 1;
    if (text.startsWith("${", at)) return at + 2;
    at += text[at] === "\\" ? 2 : 1;
  }
  return at;
}

function beginsRegularExpression(code: readonly string[], slash: number): boolean {
  let at = slash - 1;
  while (at >= 0 && /\s/.test(code[at] ?? "")) at -= 1;
  if (at < 0 || /[(,=:[!&|?{};+\-*%<>~^]/.test(code[at] ?? "")) return true;
  const word = /[\w$]+$/.exec(code.slice(Math.max(0, at - 12), at + 1).join(""))?.[0] ?? "";
  return /^(?:return|typeof|case|in|of|delete|void|throw|new|else|do|yield|await)$/.test(word);
}

function endOfRegularExpression(text: string, start: number): number {
  let inClass = false;
  let at = start + 1;
  while (at < text.length && text[at] !== "\n") {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "[") inClass = true;
    else if (text[at] === "]") inClass = false;
    else if (text[at] === "/" && !inClass) return at + 1;
    at += 1;
  }
  return at;
}
