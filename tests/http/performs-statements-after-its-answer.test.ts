import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { openDatabase as openForFunctions } from "../../supabase/functions/_shared/database.ts";
import { applyPlanned, bearer, call, newPerson, openDatabase, runIdOf } from "./runbook-client.ts";

const sql = openDatabase();
let headers: Record<string, string>;

beforeAll(async () => {
  headers = bearer((await newPerson(sql, "admin")).token);
  await sql`create schema http_test`;
  await sql`create table http_test.thing (id integer primary key, "odd name" text)`;
  await sql`insert into http_test.thing select n, 'same' from generate_series(1, 10) as n`;
  await sql.unsafe(`
    create function http_test.nothing_found(params jsonb) returns setof runbook.finding
    language sql stable set search_path = '' as 'select null::runbook.finding where false';
    create function http_test.index_it(params jsonb) returns setof runbook.declared_step
    language sql stable set search_path = '' as $$
      select runbook.statement_step(
        'create_index',
        jsonb_build_object(
          'relation', 'http_test.thing', 'name', 'thing "odd"', 'columns', '["odd name"]'::jsonb,
          'unique', params -> 'unique'
        ),
        'Make an index.'
      )
    $$;
    insert into runbook.issue (name, title, description, parameters, subject_keys, function, pack)
    values (
      'http-test', 't', 'd',
      '{"type": "object", "properties": {"unique": {"type": "boolean"}}, "additionalProperties": false}',
      '{}', 'http_test.nothing_found', 'http-test'
    );
    insert into runbook.remediation
      (name, title, description, parameters, subject_keys, function, risk, issue, cures, pack)
    values (
      'http-test-index', 't', 'd',
      '{"type": "object", "properties": {"unique": {"type": "boolean"}}, "additionalProperties": false}',
      '{}', 'http_test.index_it', 'high', 'http-test', '{}', 'http-test'
    )`);
});

afterAll(async () => {
  await sql`delete from runbook.remediation where pack = 'http-test'`;
  await sql`delete from runbook.issue where pack = 'http-test'`;
  await sql`drop schema http_test cascade`;
});

/** The run, once it has ended. */
async function ended(id: number): Promise<Record<string, unknown>> {
  const read = async (): Promise<Record<string, unknown>> =>
    (await call("remediation-runs", { headers, json: { id } })).body;
  await expect.poll(async () => (await read())["state"], { timeout: 60_000 }).not.toBe("applying");
  return await read();
}

const isThere = async (): Promise<boolean> => {
  const rows = await sql`
    select from pg_index where indexrelid = to_regclass('http_test."thing ""odd"""') and indisvalid`;
  return rows.length === 1;
};

it("on a session of its own, and undoes them by their opposite", async () => {
  const json = { remediation: "http-test-index", params: { unique: false }, reason: "a test" };
  const { plan, applied } = await applyPlanned("remediate", { headers, json });
  expect(plan.body).toMatchObject({
    steps: [{ kind: "statement", statement: expect.stringContaining("index concurrently") }],
  });
  expect(applied.status).toBe(202);
  expect(applied.headers.get("retry-after")).toBe("2");
  expect(applied.body).toMatchObject({ state: "applying", steps: [{ kind: "statement" }] });
  expect(await ended(runIdOf(applied))).toMatchObject({ state: "succeeded", steps: [{ state: "done" }] });
  expect(await isThere()).toBe(true);

  const undo = await applyPlanned("undo-remediation", {
    headers,
    json: { run_id: runIdOf(applied), reason: "a test" },
  });
  expect(undo.applied.status).toBe(202);
  expect(await ended(runIdOf(undo.applied))).toMatchObject({ state: "succeeded" });
  expect(await isThere()).toBe(false);
});

it("and says by its SQLSTATE why one failed, without the values", async () => {
  const json = { remediation: "http-test-index", params: { unique: true }, reason: "a test" };
  const { applied } = await applyPlanned("remediate", { headers, json });
  const run = await ended(runIdOf(applied));
  expect(run).toMatchObject({ state: "failed", steps: [{ state: "failed" }] });
  expect(JSON.stringify(run)).toContain("23505");
  expect(JSON.stringify(run)).not.toContain("same");
});

it("without the limit of time that its login has", async () => {
  const [own] = await sql`select pg_catalog.current_setting('statement_timeout') as statements`;
  expect(own).not.toEqual({ statements: "0" });
  const session = openForFunctions(inject("databaseUrl"), "http test", {
    statementTimeoutMs: 0,
    lockTimeoutMs: 600_000,
  });
  const [limits] = await session`
    select
      pg_catalog.current_setting('statement_timeout') as statements,
      pg_catalog.current_setting('lock_timeout') as locks`;
  await session.end();
  expect(limits).toEqual({ statements: "0", locks: "10min" });
});
