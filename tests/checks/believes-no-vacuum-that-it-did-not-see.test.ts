import postgres from "postgres";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { untilNobodySeesTheDead } from "../../scripts/lab/until-nobody-sees-the-dead.ts";
import { hold } from "../http/interruptions.ts";
import { createStatementChange, dropStatementChange } from "../http/killable-changes.ts";
import { bearer, call, newPerson, openDatabase, runIdOf } from "../http/runbook-client.ts";
import { tick } from "../setup/schedule.ts";

const sql = openDatabase();
const holders = postgres(inject("databaseUrl"), { max: 4, onnotice: () => {} });
const reason = "a test";
let headers: Record<string, string>;

beforeAll(async () => {
  headers = bearer((await newPerson(sql, "operator")).token);
  await createStatementChange(sql);
  await sql`create table kill_test."bïg;" (id integer primary key, note text)`;
  await sql`alter table kill_test."bïg;" set (autovacuum_enabled = false)`;
  await sql`insert into kill_test."bïg;" select n, 'x' from generate_series(1, 5000) as n`;
});

afterAll(async () => {
  await holders.end({ timeout: 1 });
  await dropStatementChange(sql);
});

const table = `kill_test."bïg;"`;

/** The run, once it has ended. */
async function ended(id: number): Promise<Record<string, unknown>> {
  const read = async (): Promise<Record<string, unknown>> =>
    (await call("remediation-runs", { headers, json: { id } })).body;
  await expect.poll(async () => (await read())["state"], { timeout: 60_000 }).not.toBe("applying");
  return await read();
}

it("one that was done is seen by its counters", async () => {
  await sql.unsafe(`delete from ${table} where id % 2 = 0`);
  await untilNobodySeesTheDead(sql);
  const [before] = await sql`select pg_stat_get_vacuum_count(to_regclass(${table})) as count`;
  const plan = await call("vacuum-table", { headers, json: { table, dry_run: true } });
  expect(plan).toMatchObject({ status: 200, body: { state: "planned", undo: { available: false } } });
  expect(await sql`select pg_stat_get_vacuum_count(to_regclass(${table})) as count`).toEqual([before]);

  const applied = await call("vacuum-table", { headers, json: { table, reason } });
  expect(applied.status).toBe(202);
  expect(await ended(runIdOf(applied))).toMatchObject({
    state: "succeeded",
    steps: [{ state: "done", progress: { before: { vacuums: 0 }, after: { vacuums: 1, dead_rows: 0 } } }],
  });
});

it("one that left rows says who may still see them", async () => {
  const release = await hold(holders, (holder) =>
    holder`set transaction isolation level repeatable read`.then(() => holder`select 1`),
  );
  await sql.unsafe(`update ${table} set note = 'y' where true`);
  // Else that is what the check would name.
  await sql.unsafe(`alter table ${table} reset (autovacuum_enabled)`);
  await sql`select runbook.tune_check('dead_rows', '{"min_dead_rows": 1}')`;
  const applied = await call("vacuum-table", { headers, json: { table, reason } });
  const run = await ended(runIdOf(applied));
  await release();
  await sql`select runbook.tune_check('dead_rows', null)`;
  await sql.unsafe(`alter table ${table} set (autovacuum_enabled = false)`);
  expect(run).toMatchObject({
    state: "failed",
    run: { error: { message: expect.stringMatching(/still there\. .* cannot remove them because of /) } },
    verification: { status: "not_cured", still_there: [{ evidence: { cause: "held_back" } }] },
    steps: [
      { state: "done", progress: { note: expect.stringMatching(/could not be removed: session \d+/) } },
    ],
  });
});

it("an analyze is seen, too", async () => {
  const applied = await call("analyze-table", { headers, json: { table, reason } });
  expect(await ended(runIdOf(applied))).toMatchObject({
    state: "succeeded",
    steps: [{ state: "done", progress: { after: { analyzes: 1 } } }],
  });
});

it("one that Postgres skipped has failed, though it reported no error", async () => {
  // Shared by all databases, so their owner may not vacuum it: a warning is all that comes of it.
  const json = { remediation: "kill-test-vacuum", params: { table: "pg_catalog.pg_database" }, reason };
  const applied = await call("remediate", { headers, json });
  expect(applied.status).toBe(202);
  const run = await ended(runIdOf(applied));
  expect(run).toMatchObject({ state: "failed", steps: [{ state: "failed" }] });
  expect(JSON.stringify(run)).toMatch(/was not done: it skips/);
});

it("one that was asked for in psql is done by the function that the tick rings", async () => {
  const name = `kill_test.psql_${crypto.randomUUID().slice(0, 8)}`;
  await sql.unsafe(`create table ${name} (id integer)`);
  const [row] = await sql`
    select runbook.remediate('analyze-table', ${sql.json({ table: name })}, reason => 'a test') #>> '{run,id}' as id`;
  const id = Number(row?.["id"]);
  const stateAfterTick = async (): Promise<unknown> => {
    await tick(sql);
    return (await sql`select state from runbook.run where id = ${id}`)[0]?.["state"];
  };
  await expect.poll(stateAfterTick, { timeout: 60_000, interval: 2000 }).toBe("succeeded");
}, 120_000);

it("one that waits for a lock gives up, and says so", async () => {
  const release = await hold(holders, (holder) => holder.unsafe(`lock table ${table}`));
  const applied = await call("vacuum-table", { headers, json: { table, reason } });
  const run = await ended(runIdOf(applied));
  await release();
  expect(run).toMatchObject({ state: "failed", steps: [{ state: "failed" }] });
  expect(JSON.stringify(run)).toMatch(/55P03: .* is in use by session \d+ .* terminate-connection/);
});
