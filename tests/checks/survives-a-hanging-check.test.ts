import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { switchOff } from "../setup/schedule.ts";

const sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
// Hooks of the end run the last first.
afterAll(() => sql.end({ timeout: 1 }));

/** What the schedule last kept of the checks of this test, by their names. */
async function states(): Promise<Record<string, postgres.Row>> {
  const rows = await sql`
    select
      check_name,
      entry ->> 'status' as status,
      entry ->> 'reason' as reason,
      quarantined_at is not null as is_quarantined
    from runbook.check_state
    where check_name like 'hanging\_%'`;
  return Object.fromEntries(rows.map((row) => [row["check_name"], row]));
}

/** Runs the very command of the job, as pg_cron does: as one simple query on a connection of its own. */
async function runJob(): Promise<void> {
  const [job] = await sql`select command from cron.job where jobname = 'runbook-checks'`;
  const session = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
  try {
    await session.unsafe(String(job?.["command"]));
  } finally {
    await session.end({ timeout: 1 });
  }
}

async function makeDue(): Promise<void> {
  await sql`update runbook.check_state set due_at = clock_timestamp() where check_name like 'hanging\_%'`;
}

// The stack's own schedule would meet these checks and collectors, too.
switchOff(sql, "runbook-checks", "runbook-collect");

beforeAll(async () => {
  await sql`create schema hanging_test`;
  await sql`create table hanging_test.mood (seconds double precision)`;
  await sql`insert into hanging_test.mood values (60)`;
  await sql.unsafe(`
    create function hanging_test.hang(settings jsonb) returns runbook.check_result language plpgsql stable as $$
    begin
      perform pg_sleep(seconds) from hanging_test.mood;
      return runbook.check_answer(1, null);
    end $$;
    create function hanging_test.answer(settings jsonb) returns runbook.check_result language sql stable
    as 'select runbook.check_answer(1, null)';`);
  await sql`
    insert into runbook.check (name, title, description, function, position, check_group)
    values
      ('hanging_first', 'First', 'Hangs.', 'hanging_test.hang', -20, 'activity'),
      ('hanging_behind', 'Behind', 'Answers.', 'hanging_test.answer', 100000, 'activity'),
      ('hanging_elsewhere', 'Elsewhere', 'Answers.', 'hanging_test.answer', 100001, 'storage')`;
  // As if all had been measured before, the one that hangs as the cheapest.
  await sql`
    insert into runbook.check_state (check_name, entry, took_ms, measured_at, due_at)
    values
      ('hanging_first', '{}', 0, now(), now()),
      ('hanging_behind', '{}', 50000, now(), now()),
      ('hanging_elsewhere', '{}', 1, now(), now())
    on conflict do nothing`;
});

afterAll(async () => {
  await sql`delete from runbook.check where name like 'hanging\_%'`;
  await sql`drop schema hanging_test cascade`;
});

describe("the job of the checks", () => {
  it("outlives a check that hangs: it is cancelled, those behind it are skipped, other groups run", async () => {
    await runJob();
    expect(await states()).toMatchObject({
      hanging_first: { status: "error", is_quarantined: true },
      hanging_behind: { status: "skipped", reason: "budget spent", is_quarantined: false },
      hanging_elsewhere: { status: "ok" },
    });
  });

  it("leaves nothing running, and a report", async () => {
    const running = await sql`
      select pid from pg_stat_activity where query ilike '%hang%' and wait_event = 'PgSleep'`;
    expect(running).toHaveLength(0);
    const [latest] = await sql`
      select jsonb_path_query_first(report, '$.checks[*] ? (@.check == "hanging_first")') as entry
      from runbook.latest_report`;
    expect(latest?.["entry"]).toMatchObject({ status: "error", measured_at: expect.any(String) });
  });

  it("runs those that were behind before the one in quarantine, which hangs alone", async () => {
    await makeDue();
    await runJob();
    expect(await states()).toMatchObject({
      hanging_first: { status: "error", is_quarantined: true },
      hanging_behind: { status: "ok" },
    });
  });

  it("ends the quarantine when the check has passed once", async () => {
    await sql`update hanging_test.mood set seconds = 0`;
    await makeDue();
    await runJob();
    expect(await states()).toMatchObject({ hanging_first: { status: "ok", is_quarantined: false } });
  });
});

describe("the job of the collectors", () => {
  it("gives each collector its own time, and goes on behind one that hangs", async () => {
    await sql.unsafe(`
      create function hanging_test.collect(keep interval) returns bigint language plpgsql as $$
      begin
        perform pg_sleep(extract(epoch from keep));
        return 1;
      end $$;
      insert into runbook.collector (name, function, every, keep, description)
      values
        ('hanging_one', 'hanging_test.collect', '1 minute', '60 seconds', 'Hangs.'),
        ('hanging_two', 'hanging_test.collect', '2 minutes', '0 seconds', 'Answers.');`);
    try {
      const [job] = await sql`select command from cron.job where jobname = 'runbook-collect'`;
      const session = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
      await session.unsafe(String(job?.["command"]).replaceAll("'10s'", "'1s'"));
      await session.end({ timeout: 1 });
      const rows = await sql`
        select collector_name, error ->> 'sqlstate' as error, row_count
        from runbook.collector_state
        where collector_name like 'hanging\_%'
        order by 1`;
      expect([...rows]).toEqual([
        { collector_name: "hanging_one", error: "57014", row_count: null },
        { collector_name: "hanging_two", error: null, row_count: "1" },
      ]);
    } finally {
      await sql`delete from runbook.collector where name like 'hanging\_%'`;
    }
  });
});
