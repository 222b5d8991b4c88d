import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

/** The content of every file that makes the database what it is: path → sha256. */
export type Fingerprint = Record<string, string>;

/** Directories (relative to the project) whose `.sql` and `.ts` files end up in the database. */
const sources = [
  "scripts/stack/platform",
  "scripts/stack/extensions",
  "supabase/migrations",
  "supabase/demo",
];

/** Takes the fingerprint of the project and of the Postgres that will run it. */
export function takeFingerprint(root: string, postgresProgram: string): Fingerprint {
  const files = sources.flatMap((source) =>
    readdirSync(join(root, source), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.sql$|(?<!\.test)\.ts$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  const hashes = files.sort().map((file) => {
    const hash = createHash("sha256").update(readFileSync(file)).digest("hex");
    return [relative(root, file), hash];
  });
  return { ...Object.fromEntries(hashes), postgres: postgresProgram };
}

/** The first difference between two fingerprints as a part of a sentence, or null when they are equal. */
export function firstDifference(applied: Fingerprint, current: Fingerprint): string | null {
  for (const name of new Set([...Object.keys(applied), ...Object.keys(current)])) {
    if (applied[name] === current[name]) continue;
    if (name === "postgres") return "another Postgres is used";
    if (applied[name] === undefined) return `${name} is new`;
    return current[name] === undefined ? `${name} is gone` : `${name} has changed`;
  }
  return null;
}
