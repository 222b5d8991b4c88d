import { afterAll, describe, expect, it } from "vitest";
import { ask, connectAs } from "./laboratory.ts";

const sql = connectAs("postgres");
const admin = connectAs("supabase_admin");

async function install(schema: string, version?: string): Promise<void> {
  await admin.unsafe("drop extension if exists pg_stat_statements");
  await admin.unsafe(`create extension pg_stat_statements with schema ${schema} ${version ?? ""}`);
}

const names = [
  "slow_statements",
  "slower_statements",
  "repeated_statements",
  "missing_indexes",
  "column_statistics",
];

afterAll(async () => {
  await install("extensions");
  await admin`drop schema "we'ird ""Näme"`;
});

describe("the checks of statements", () => {
  it.each(["1.4", "1.7", "1.8", "1.9", "1.10", undefined])("read version %s", async (version) => {
    if (version === "1.4") await admin`create schema "we'ird ""Näme"`;
    await install(`"we'ird ""Näme"`, version === undefined ? "" : `version '${version}'`);
    await admin`grant usage on schema "we'ird ""Näme" to postgres`;
    // What was counted outlives the extension.
    await admin.unsafe(`select "we'ird ""Näme".pg_stat_statements_reset()`);
    await sql`select count(*) from public.levels`;
    const [figures] = await sql`
      select count(*)::integer as figures, sum(calls)::integer > 0 as have_calls, sum(total_ms) > 0 as have_time
      from runbook.statement_figures()`;
    expect(figures?.["figures"]).toBeGreaterThan(0);
    expect(figures).toMatchObject({ have_calls: true, have_time: true });
    await sql`select runbook.collect_statements('14 days')`;
    await sql`select from runbook.statements_since(now())`;
    for (const name of names) expect(["ok", "not_applicable"]).toContain((await ask(sql, name)).status);
  });

  it("do not apply without the extension, and say how to install it", async () => {
    await admin`drop extension pg_stat_statements`;
    for (const name of names) {
      const { status, reason } = await ask(sql, name);
      expect(status).toBe("not_applicable");
      expect(reason).toMatch(/create extension pg_stat_statements/);
    }
    expect(await sql`select runbook.collect_statements('14 days') as written`).toEqual([{ written: "0" }]);
    await expect(sql`select from runbook.statements_since()`).rejects.toMatchObject({ code: "55000" });
  });

  it("are skipped while nothing is recorded", async () => {
    await install("extensions");
    await admin`alter role postgres set compute_query_id = off`;
    const other = connectAs("postgres");
    const { status, reason } = await ask(other, "slow_statements");
    await admin`alter role postgres reset compute_query_id`;
    expect(status).toBe("skipped");
    expect(reason).toMatch(/compute_query_id is off/);
  });
});
