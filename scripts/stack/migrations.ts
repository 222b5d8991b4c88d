import { spawn } from "node:child_process";
import { findSupabaseCli } from "./binaries.ts";
import { messageOf, StackError } from "./stack-error.ts";

/**
 * Applies `supabase/migrations` with the real Supabase CLI, as a user of the project would.
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
  if (code !== 0)
    throw new StackError(
      `A migration failed: ${summarize(output, databaseUrl)}`,
      "Correct the file and start again.",
    );
}

/** The CLI's lines that say what went wrong, without its boxes and without the password. */
function summarize(output: string, databaseUrl: string): string {
  const password = new URL(databaseUrl).password;
  const lines = output
    .split("\n")
    .map((line) => line.replace(/[│┌└├─◇◆■▲●✗✓○]/gu, "").trim())
    .filter((line) => line !== "");
  const about = lines.filter((line) => /apply|error|failed|syntax|at statement|\.sql/i.test(line));
  const text = (about.length > 0 ? about : lines).slice(-6).join(" | ");
  return password === "" ? text : text.replaceAll(password, "…");
}
