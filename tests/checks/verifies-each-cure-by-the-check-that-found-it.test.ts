import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { untilNobodySeesTheDead } from "../../scripts/lab/until-nobody-sees-the-dead.ts";
import { applyPlanned, bearer, call, newPerson, openDatabase, runIdOf } from "../http/runbook-client.ts";
import { begin, inState, openSession } from "./second-session.ts";

const sql = openDatabase();
let headers: Record<string, string>;

/** Thresholds that a small table and a short moment pass. */
const tuned = {
  idle_in_transaction: { after_s: 0 },
  long_queries: { after_s: 0, job_after_s: 0 },
  dead_rows: { min_dead_rows: 100, horizon_s: 3600 },
};

beforeAll(async () => {
  headers = bearer((await newPerson(sql, "admin")).token);
  for (const [name, thresholds] of Object.entries(tuned)) {
    await sql`
      insert into runbook.check_tuning (check_name, thresholds, tuned_by)
      values (${name}, ${sql.json(thresholds)}, 'verify-test')`;
  }
  await sql`create schema verify_test`;
});

afterAll(async () => {
  await sql`delete from runbook.check_tuning where tuned_by = 'verify-test'`;
  await sql`drop schema verify_test cascade`;
  await sql.unsafe("drop table if exists archive.verify_test_old");
});

const finding = z.looseObject({
  code: z.string(),
  remediation: z.string().nullish(),
  params: z.record(z.string(), z.unknown()).nullish(),
});

/** What a check finds under a code and says how to cure, about what the test made. */
async function curable(check: string, code: string, about: string): Promise<z.infer<typeof finding>[]> {
  const [row] = await sql`select runbook.run_check(${check}) -> 'findings' as findings`;
  return z
    .array(finding)
    .parse(row?.["findings"])
    .filter(
      (found) => found.code === code && found.remediation && JSON.stringify(found.params).includes(about),
    );
}

/** Sends the remediation of the one finding as it is, and expects that the same check verifies the run. */
async function cure(check: string, code: string, about: string): Promise<void> {
  await expect.poll(async () => (await curable(check, code, about)).length).toBe(1);
  const [found] = await curable(check, code, about);
  const { plan, applied } = await planAndApply({
    remediation: found?.remediation,
    params: found?.params ?? {},
    reason: `${code} was found`,
  });
  expect(plan.status).toBe(200);
  const id = runIdOf(applied);
  const read = async (): Promise<Record<string, unknown>> =>
    (await call("remediation-runs", { headers, json: { id } })).body;
  await expect.poll(async () => (await read())["state"], { timeout: 60_000 }).not.toBe("applying");
  expect(await read()).toMatchObject({
    state: "succeeded",
    verification: { status: "verified", still_there: [], skipped: [] },
  });
  expect(await curable(check, code, about)).toEqual([]);
}

/** The plan, then the same with its own parameters: an age is another instant by then. */
async function planAndApply(json: Record<string, unknown>): ReturnType<typeof applyPlanned> {
  const plan = await call("remediate", { headers, json: { ...json, dry_run: true } });
  return await applyPlanned("remediate", { headers, json: { ...json, params: plan.body["params"] } });
}

it("a duplicate index that is dropped", async () => {
  await sql`create table verify_test.twice (id integer primary key, a integer)`;
  await sql`create index one on verify_test.twice (a)`;
  await sql`create index two on verify_test.twice (a)`;
  await cure("duplicate_indexes", "duplicate_index", "verify_test");
});

it("a foreign key whose index is built", async () => {
  await sql`create table verify_test.parent (id integer primary key)`;
  await sql`
    create table verify_test.child (
      id integer primary key, parent_id integer references verify_test.parent
    )`;
  await sql`insert into verify_test.parent values (1)`;
  await sql`insert into verify_test.child select n, 1 from generate_series(1, 6000) as n`;
  await sql`analyze verify_test.child`;
  await cure("foreign_key_indexes", "foreign_key_without_index", "verify_test");
});

it("statistics that are renewed", async () => {
  await sql`create table verify_test.unknown (id integer) with (autovacuum_enabled = false)`;
  await sql`insert into verify_test.unknown select n from generate_series(1, 50000) as n`;
  await cure("table_statistics", "statistics_missing", "verify_test.unknown");
});

it("dead rows that are removed", async () => {
  await sql`create table verify_test.dead (id integer, x text) with (autovacuum_enabled = false)`;
  await sql`insert into verify_test.dead select n, 'x' from generate_series(1, 20000) as n`;
  await sql`analyze verify_test.dead`;
  await sql`delete from verify_test.dead where id > 5000`;
  await untilNobodySeesTheDead(sql);
  await cure("dead_rows", "dead_rows_pile_up", "verify_test.dead");
});

it("old rows that are archived", async () => {
  await sql`create table verify_test.old (id integer primary key, created_at timestamptz default now())`;
  await sql`
    insert into verify_test.old
    select n, now() - n * interval '2 hours' from generate_series(1, 10000) as n`;
  await sql`analyze verify_test.old`;
  await cure("old_rows", "rows_older_than_a_year", "verify_test.old");
});

it("a session that is ended", async () => {
  const session = await openSession("verify idle");
  await session.sql.unsafe("begin; select 1").simple();
  await inState(sql, session.pid, "idle in transaction");
  await cure("idle_in_transaction", "idle_in_transaction", String(session.pid));
});

it("a statement that is cancelled", async () => {
  const session = await openSession("verify long");
  const ended = begin(session.sql`select pg_sleep(60)`);
  await inState(sql, session.pid, "active");
  await cure("long_queries", "long_running_query", String(session.pid));
  expect(await ended).toBe("57014");
});
