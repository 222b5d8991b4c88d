import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type postgres from "postgres";
import { messageOf, StackError } from "./stack-error.ts";

/**
 * Loads the demo school, file by file in the order of their names.
 * On a database that has people or the school's tables already, nothing is written.
 * @param sql a login as `postgres`.
 * @returns null when it was loaded, else why not, as a sentence.
 */
export async function loadDemo(sql: postgres.Sql, root: string): Promise<string | null> {
  const [found] = await sql<{ people: boolean; school: boolean }[]>`
    select
      exists (select from auth.users) as people,
      pg_catalog.to_regclass('public.klassen') is not null as school
  `;
  if (found?.people) return "auth.users has people already, so the demo school was not loaded.";
  if (found?.school) return "public.klassen exists already, so the demo school was not loaded.";
  const folder = join(root, "supabase", "demo");
  const files = readdirSync(folder)
    .filter((file) => file.endsWith(".sql"))
    .sort();
  for (const file of files) {
    try {
      await sql.unsafe(readFileSync(join(folder, file), "utf8"));
    } catch (cause) {
      throw new StackError(
        `supabase/demo/${file} failed: ${messageOf(cause)}`,
        "Correct the file and start again.",
        { cause },
      );
    }
  }
  return null;
}
