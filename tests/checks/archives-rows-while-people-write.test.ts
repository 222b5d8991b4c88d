import postgres from "postgres";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { z } from "zod";
import { endWorker, hold } from "../http/interruptions.ts";
import { applyPlanned, bearer, call, newPerson, openDatabase, runIdOf } from "../http/runbook-client.ts";
import { tick } from "../setup/schedule.ts";

const sql = openDatabase();
const writers = postgres(inject("databaseUrl"), { max: 4, onnotice: () => {} });
const reason = "a test";
const table = `cures_test."pösts;"`;
const archive = `archive."cures_test_pösts;"`;
const json = { table, column: "at", older_than: "1 year", batch_rows: 500, reason };
let headers: Record<string, string>;
let hadArchive: boolean;

beforeAll(async () => {
  headers = bearer((await newPerson(sql, "admin")).token);
  hadArchive = (await sql`select from pg_namespace where nspname = 'archive'`).length === 1;
  await sql`create schema cures_test`;
  await sql.unsafe(`
    create table ${table} (
      id bigint generated always as identity primary key, at timestamptz not null, body text, seen integer default 0
    )`);
  // Every second row is old.
  await sql.unsafe(`
    insert into ${table} (at, body)
    select now() - case when n % 2 = 0 then interval '2 years' else interval '1 day' end, 'post ' || n
    from generate_series(1, 100000) as n`);
});

afterAll(async () => {
  await writers.end({ timeout: 1 });
  await sql`drop schema cures_test cascade`;
  await sql.unsafe(hadArchive ? `drop table if exists ${archive}` : "drop schema if exists archive cascade");
});

const count = async (relation: string): Promise<number> =>
  Number((await sql.unsafe(`select count(*) from ${relation}`))[0]?.["count"]);

async function read(id: number): Promise<Record<string, unknown>> {
  return (await call("remediation-runs", { headers, json: { id } })).body;
}

it("each row is moved once, nobody waits, a kill changes nothing, and all of it comes back", async () => {
  const before = await sql.unsafe(
    `select md5(string_agg(p::text, '' order by id)) from ${table} as p where id <= 100000`,
  );
  const plan = await call("archive-rows", { headers, json: { ...json, dry_run: true } });
  expect(plan.body["steps"]).toMatchObject([
    { kind: "batch", summary: expect.stringContaining("50000 rows") },
  ]);
  expect(await sql`select to_regclass(${archive}) as made`).toEqual([{ made: null }]);
  // The plan's own instant is sent back; the same age would be another instant by now.
  const { older_than } = z.object({ older_than: z.string() }).parse(plan.body["params"]);
  const applied = await call("archive-rows", {
    headers: { ...headers, "idempotency-key": crypto.randomUUID() },
    json: { ...json, older_than, plan_hash: plan.body["plan_hash"] },
  });
  expect(applied.status).toBe(202);
  const id = runIdOf(applied);

  // Somebody holds an old row, and a writer inserts and touches old and new rows all the time.
  const release = await hold(writers, (holder) =>
    holder.unsafe(`select from ${table} where id = 90000 for update`),
  );
  let inserted = 0;
  let isOver = false;
  const writing = (async () => {
    while (!isOver) {
      const old = 2 * Math.ceil(Math.random() * 44_000);
      await writers.begin(async (writer) => {
        // Whoever has to wait until all is moved fails, and the test with it.
        await writer`set local lock_timeout = '10s'`;
        await writer.unsafe(`insert into ${table} (at, body) values (now(), 'new')`);
        await writer.unsafe(`update ${table} set seen = seen where id in (${old}, ${old + 1})`);
      });
      inserted += 1;
    }
  })();

  await expect.poll(() => count(archive), { timeout: 120_000 }).toBeGreaterThan(2000);
  await endWorker("archive-rows");
  // The tick takes over: one batch, and the bell for a function that goes on.
  const isNearlyDone = async (): Promise<unknown> => {
    await tick(sql);
    return (await read(id))["state"] === "succeeded" || (await count(archive)) === 49_999;
  };
  await expect.poll(isNearlyDone, { timeout: 120_000, interval: 2000 }).toBe(true);
  await release();
  await expect.poll(async () => (await read(id))["state"], { timeout: 120_000 }).toBe("succeeded");
  isOver = true;
  await writing;

  const progress = (
    await sql`select progress -> 'cursor' as cursor from runbook.step where run_id = ${id}`
  )[0];
  const cursor = progress?.["cursor"];
  const archived = await count(archive);
  expect(cursor).toMatchObject({ moved: archived, archived });
  expect(archived).toBeGreaterThanOrEqual(49_999);
  expect((await count(table)) + archived).toBe(100_000 + inserted);

  const undo = await applyPlanned("undo-remediation", { headers, json: { run_id: id, reason } });
  const undoId = runIdOf(undo.applied);
  await expect.poll(async () => (await read(undoId))["state"], { timeout: 120_000 }).toBe("succeeded");
  expect(await count(archive)).toBe(0);
  expect(
    await sql.unsafe(`select md5(string_agg(p::text, '' order by id)) from ${table} as p where id <= 100000`),
  ).toEqual(before);
}, 400_000);
