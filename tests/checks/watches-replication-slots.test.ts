import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { collect } from "../setup/schedule.ts";
import { asker, openSession, pause, runCheck } from "./sessions.ts";

const at_once = { inactive_after_s: 0 };

async function dropSlots(): Promise<void> {
  await asker`
    select pg_drop_replication_slot(slt.slot_name)
    from pg_catalog.pg_replication_slots as slt
    where slt.slot_name like 'checks\\_test%' and not slt.active`;
}

beforeAll(async () => {
  await collect(asker, "database_counters");
  await asker`delete from runbook.counter_snapshot where true`;
});
afterEach(dropSlots);
afterAll(() => asker`delete from runbook.counter_snapshot where true`);

it("is silent without slots, about one that keeps nothing, and about a temporary one", async () => {
  expect(await runCheck("replication_slots", at_once)).toMatchObject({ status: "ok", value: 0 });
  await asker`select pg_create_physical_replication_slot('checks_test_nothing')`;
  const session = await openSession("postgres", "realtime_rls");
  await session.sql`select pg_create_logical_replication_slot('checks_test_temporary', 'pgoutput', true)`;
  await pause(50);
  expect(await runCheck("replication_slots", at_once)).toMatchObject({ status: "ok", findings: [] });
});

it("finds one that nobody reads, and is silent when it is gone", async () => {
  await asker`select pg_create_logical_replication_slot('checks_test', 'pgoutput')`;
  await pause(50);
  const { findings } = await runCheck("replication_slots", at_once);
  expect(findings).toMatchObject([
    {
      code: "slot_inactive",
      severity: "warning",
      subject: "slot checks_test",
      evidence: { active: false, limit_mb: 4096 },
      remediation: null,
    },
  ]);
  await dropSlots();
  expect(await runCheck("replication_slots", at_once)).toMatchObject({ status: "ok", findings: [] });
});

it("gives a consumer that had just been reading time to come back", async () => {
  await asker`select pg_create_logical_replication_slot('checks_test', 'pgoutput')`;
  await asker`select runbook.collect_database_counters('8 days')`;
  // As if somebody had been reading at that look.
  await asker`
    update runbook.counter_snapshot
    set active_slots = '{checks_test}', inactive_slots = '{}', taken_at = taken_at - interval '10 minutes'
    where true`;
  expect(await runCheck("replication_slots")).toMatchObject({ status: "ok", findings: [] });
});

it("tells how much is kept, and the days that are left from the growth of the log", async () => {
  await asker`select pg_create_logical_replication_slot('checks_test', 'pgoutput')`;
  await asker`delete from runbook.counter_snapshot where true`;
  await asker`select runbook.collect_database_counters('8 days')`;
  // 4 GB a day, so that the 4 GB that the slot may keep last for a day.
  await asker`
    update runbook.counter_snapshot
    set taken_at = taken_at - interval '1 day', wal_bytes = wal_bytes - 4294967296
    where true`;
  const { findings } = await runCheck("replication_slots", { warning: 0, inactive_after_s: 0 });
  expect(findings).toMatchObject([
    { code: "slot_retains_wal", subject: "slot checks_test", evidence: { days_left: 1 } },
  ]);
  expect(findings[0]?.summary).toMatch(/at this rate it is lost in 1\.\d days/);
});
