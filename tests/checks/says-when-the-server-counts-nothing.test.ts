import { describe, expect, it } from "vitest";
import { entryOf } from "./findings-of.ts";
import { connectAs } from "./laboratory.ts";
import { inState, openSession } from "./second-session.ts";

// Only a superuser may switch these off; a check looks as its owner, but in the session that asks.
const platform = connectAs("supabase_admin");
const sql = connectAs("postgres");

describe("with track_counts off", () => {
  it.each([
    "cache_hit",
    "dead_rows",
    "deadlocks",
    "sequential_scans",
    "table_statistics",
    "temporary_files",
    "unused_indexes",
  ])("%s is skipped, and not silent", async (check) => {
    await platform`set track_counts = off`;
    const { status, value, reason } = await entryOf(platform, check);
    await platform`reset track_counts`;
    expect({ status, value }).toEqual({ status: "skipped", value: null });
    expect(reason).toMatch(/track_counts is off/);
    expect((await entryOf(sql, check)).reason ?? "").not.toMatch(/track_counts/);
  });
});

describe("with track_activities off for a session", () => {
  it.each(["idle_in_transaction", "long_queries", "long_transactions"])(
    "%s is skipped, and not silent",
    async (check) => {
      expect((await entryOf(sql, check)).reason ?? "").not.toMatch(/track_activities/);
      await platform.begin(async (hidden) => {
        await hidden`set local track_activities = off`;
        await hidden`select 1`;
        const [row] = await hidden<{ pid: number }[]>`select pg_backend_pid() as pid`;
        await inState(sql, row?.pid ?? 0, "disabled");
        const { status, reason } = await entryOf(sql, check);
        expect(status).toBe("skipped");
        expect(reason).toBe("What one session does cannot be seen: track_activities is off. Switch it on.");
      });
    },
  );

  it("does not hide what the others do", async () => {
    const idle = await openSession("seen");
    await idle.sql.unsafe("begin; select 1").simple();
    await platform.begin(async (hidden) => {
      await hidden`set local track_activities = off`;
      await hidden`select 1`;
      await sql`select runbook.tune_check('idle_in_transaction', '{"after_s": 0}')`;
      const { status, findings } = await entryOf(sql, "idle_in_transaction");
      await sql`select runbook.tune_check('idle_in_transaction', null)`;
      expect(status).not.toBe("skipped");
      expect(findings.map(({ subject }) => subject)).toContain(`pid ${idle.pid}`);
    });
  });
});
