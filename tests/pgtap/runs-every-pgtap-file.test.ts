import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import postgres from "postgres";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { readTap } from "./tap.ts";

const folder = join(import.meta.dirname, "..", "..", "supabase", "tests");
const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".test.sql"))
  .sort();

// What `supabase test db` does with pg_prove: each file on a connection of its own, as postgres.
describe("pgTAP", () => {
  // The schedule looks outside within the first minute. What a file does not say about it must not matter to it.
  beforeAll(async () => {
    const sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
    await sql`select runbook.record_probe('data_api', true, '{"schemas": ["public", "graphql_public"]}')`;
    await sql.end({ timeout: 2 });
  });

  it.each(files)("%s", async (file) => {
    const sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
    try {
      const results: unknown = await sql.unsafe(readFileSync(join(folder, file), "utf8"));
      const { failures } = readTap(linesOf(results));
      expect(failures.join("\n")).toBe("");
    } finally {
      await sql.end({ timeout: 2 });
    }
  });
});

/** The first column of every row of every statement, as pg_prove would read it from psql. */
function linesOf(results: unknown): string[] {
  if (!Array.isArray(results)) return [];
  return results.flatMap((result: unknown) => {
    if (Array.isArray(result)) return linesOf(result);
    if (typeof result !== "object" || result === null) return [];
    const first: unknown = Object.values(result)[0];
    return typeof first === "string" ? first.split("\n") : [];
  });
}
