import { type Finding, lineAt } from "../finding.ts";
import type { ProjectFile } from "../project-files.ts";

const patterns: readonly (readonly [RegExp, string])[] = [
  [/\.\.\/shared\b/g, "a folder outside the project"],
  [/(?<![\w.~-])\/(?:work|root|home|Users|tmp\/team)\/[\w./-]+/g, "a path of one machine"],
  [/\b[A-Z]:\\Users\\/g, "a path of one machine"],
  [
    /\b(?:registry\.[a-z0-9.-]+\.[a-z]{2,}|(?:npm\.)?jsr\.io|esm\.sh|deno\.land|unpkg\.com|deb\.debian\.org|pypi\.org|crates\.io|npm\.pkg\.github\.com)\b/g,
    "the host of a registry or mirror",
  ],
];

/** Files that may mention such a place, each with the reason. */
const allowed: ReadonlyMap<string, string> = new Map([
  ["scripts/check/compare/mentions.ts", "defines what must not be mentioned"],
  ["scripts/check/compare/mentions.test.ts", "shows what is reported"],
]);

/** No file mentions a place that only one machine or workplace has: it would break, or mislead, everywhere else. */
export function findMentions(files: readonly ProjectFile[]): Finding[] {
  return files.flatMap(({ path, text }) => {
    if (allowed.has(path)) return [];
    return patterns.flatMap(([pattern, what]) =>
      [...text.matchAll(pattern)].map((match) => ({
        file: path,
        line: lineAt(text, match.index),
        message: `${match[0]} is ${what}. Take it out, or derive it when the program runs.`,
      })),
    );
  });
}
