import { readdir, readFile } from "node:fs/promises";
import type postgres from "postgres";

const sqlDirectory = new URL("./sql/", import.meta.url);

/**
 * Recreates Supabase's platform in a fresh database `postgres`: roles, schemas, grants, the auth and realtime tables.
 *
 * Runs the SQL files beside this module in name order in one transaction, so a failure leaves the database as it was.
 *
 * @param sql A client logged in as `supabase_admin`, the bootstrap superuser of the cluster.
 * @throws Error that names the file, with Postgres's error as its cause.
 */
export async function applyPlatform(sql: postgres.Sql): Promise<void> {
  const names = (await readdir(sqlDirectory)).filter((name) => name.endsWith(".sql")).sort();
  const files = await Promise.all(
    names.map(async (name) => ({ name, text: await readFile(new URL(name, sqlDirectory), "utf8") })),
  );
  await sql.begin(async (transaction) => {
    for (const { name, text } of files) {
      try {
        await transaction.unsafe(text);
      } catch (cause) {
        throw new Error(`The platform's SQL file ${name} failed.`, { cause });
      }
    }
  });
}
