import { type Finding, lineAt } from "../finding.ts";
import type { ProjectFile } from "../project-files.ts";

const patterns: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----/g, "a private key"],
  [/\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}/g, "a signed token"],
  [/\bsb_secret_[\w-]{16,}/g, "a secret key of Supabase"],
  [/\bsbp_[0-9a-f]{40}\b/g, "an access token of Supabase"],
  [/\b(?:ghp|gho|ghs|github_pat)_\w{30,}/g, "a token of GitHub"],
  [/\bxox[abprs]-[\w-]{20,}/g, "a token of Slack"],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, "a key of AWS"],
  [/"d"\s*:\s*"[\w-]{40,}"/g, "the private part of a JSON Web Key"],
];
/** A run of 60 or more characters as keys and tokens have them; words of prose are never that long. */
const longRun = /(?<![\w+/=-])[\w+/-]{60,}={0,2}(?![\w+/=-])/g;

/** Files in which a long run of characters is no secret, each with the reason. */
const longRunsAllowed: ReadonlyMap<string, string> = new Map([
  ["package-lock.json", "holds the packages' checksums"],
]);

/** No file holds a secret, or a line that looks like one. */
export function findSecrets(files: readonly ProjectFile[]): Finding[] {
  return files.flatMap(({ path, text }) => {
    const known = patterns.flatMap(([pattern, what]) =>
      [...text.matchAll(pattern)].map((match) => ({ index: match.index, what })),
    );
    const unknown = longRunsAllowed.has(path)
      ? []
      : [...text.matchAll(longRun)]
          .filter(
            (match) => looksRandom(match[0]) && !known.some((one) => Math.abs(one.index - match.index) < 8),
          )
          .map((match) => ({ index: match.index, what: "a long run of random characters" }));
    return [...known, ...unknown].map(({ index, what }) => ({
      file: path,
      line: lineAt(text, index),
      message: `This looks like ${what}. Make it when the program runs, or read it from the environment.`,
    }));
  });
}

/** Paths and long names have few digits and a separator often; random text mixes digits with both cases or is hex. */
function looksRandom(run: string): boolean {
  const digits = run.replace(/\D/g, "").length;
  if (digits < 6) return false;
  return /^[0-9a-f]+$/i.test(run) || (/[a-z]/.test(run) && /[A-Z]/.test(run));
}
