import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findSupabaseCli } from "./binaries.ts";
import { messageOf, StackError } from "./stack-error.ts";

/**
 * Applies the runbook's migrations to a database whose project has migrations of its own.
 * @param recorded the versions that the database has on record.
 * @throws StackError as `applyMigrations` does.
 */
export async function applyMigrationsBeside(
  recorded: readonly string[],
  root: string,
  databaseUrl: string,
): Promise<void> {
  const ours = join("supabase", "migrations");
  const files = readdirSync(join(root, ours));
  const others = recorded.filter((version) => !files.some((file) => file.startsWith(`${version}_`)));
  if (others.length === 0) return await applyMigrations(root, databaseUrl);
  // The CLI refuses a database with a version that has no file: the project's own get one without content.
  const beside = mkdtempSync(join(tmpdir(), "supabase-runbook-migrations-"));
  try {
    mkdirSync(join(beside, "supabase"));
    writeFileSync(join(beside, "supabase", "config.toml"), 'project_id = "supabase-runbook"\n');
    cpSync(join(root, ours), join(beside, ours), { recursive: true });
    for (const version of others) writeFileSync(join(beside, ours, `${version}_of_the_project.sql`), "");
    await applyMigrations(beside, databaseUrl);
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
}

/**
 * Applies `supabase/migrations` with the real Supabase CLI, as a user of the project would.
 * @param root the folder that holds `supabase`.
 * @param databaseUrl a login as `postgres`.
 * @throws StackError with the failing file and Postgres' own message.
 */
export async function applyMigrations(root: string, databaseUrl: string): Promise<void> {
  const child = spawn(
    process.execPath,
    [findSupabaseCli(), "migration", "up", `--remote=${databaseUrl}`, "--yes", "--include-all"],
    {
      cwd: root,
      env: { ...process.env, SUPABASE_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", NO_COLOR: "1", CI: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let output = "";
  const collect = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", (cause) =>
      reject(
        new StackError(`The Supabase CLI could not be started: ${messageOf(cause)}`, undefined, { cause }),
      ),
    );
    child.once("close", resolve);
  });
  if (code !== 0) throw new StackError(explain(output, databaseUrl), "Correct the cause and start again.");
}

/** One sentence out of what the CLI printed: the file that it was applying and Postgres' message, without the password. */
function explain(output: string, databaseUrl: string): string {
  const file = [...output.matchAll(/Applying migration (\S+\.sql)/g)].at(-1)?.[1];
  const lines = output
    .split("\n")
    .map((line) => line.replace(/[│┌└├─◇◆■▲●✗✓○]/gu, "").trim())
    .filter((line) => line !== "" && !/rerunning the command with --debug/i.test(line));
  const cause = lines.findLast((line) => /error|failed/i.test(line)) ?? lines.slice(-3).join(" ");
  const sentence =
    file === undefined ? `The migrations failed: ${cause}` : `The migration ${file} failed: ${cause}`;
  const { password } = new URL(databaseUrl);
  return password === "" || password === "postgres"
    ? sentence
    : sentence.replaceAll(decodeURIComponent(password), "…");
}
