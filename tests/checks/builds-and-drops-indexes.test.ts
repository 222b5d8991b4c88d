import postgres from "postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { endWorker, hold, waitingFor } from "../http/interruptions.ts";
import { letTimePass } from "../http/killable-changes.ts";
import {
  applyPlanned,
  bearer,
  call,
  expectRefusal,
  newPerson,
  openDatabase,
  runIdOf,
} from "../http/runbook-client.ts";
import { collect, tick } from "../setup/schedule.ts";

const sql = openDatabase();
const holders = postgres(inject("databaseUrl"), { max: 4, onnotice: () => {} });
const table = `"we'ird ""Näme"""."Tä;ble"`;
const reason = "a test";
let headers: Record<string, string>;

beforeAll(async () => {
  headers = bearer((await newPerson(sql, "admin")).token);
  await sql.unsafe(`create schema "we'ird ""Näme"""`);
  // What counts as unused is not waited for.
  await sql`
    insert into runbook.check_tuning (check_name, thresholds, tuned_by)
    values ('unused_indexes', '{"window_days": 0}', 'test')`;
});

beforeEach(async () => {
  await sql.unsafe(`drop table if exists ${table}`);
  await sql.unsafe(`create table ${table} (id integer primary key, "Spälte ""x""" text, tags text[])`);
  await sql.unsafe(`insert into ${table} select n, 'same' from generate_series(1, 1000) as n`);
});

afterAll(async () => {
  await holders.end({ timeout: 1 });
  await sql`delete from runbook.check_tuning where check_name = 'unused_indexes'`;
  await sql.unsafe(`drop schema "we'ird ""Näme""" cascade`);
});

/** The indexes of the table but its primary key: whether each is valid, by name. */
async function indexes(): Promise<Record<string, boolean>> {
  const rows = await sql`
    select rel.relname, idx.indisvalid
    from pg_index as idx
    inner join pg_class as rel on rel.oid = idx.indexrelid
    where idx.indrelid = to_regclass(${table}) and not idx.indisprimary`;
  return Object.fromEntries(rows.map((row) => [row["relname"], row["indisvalid"]]));
}

/** The run, once it has ended. */
async function ended(id: number): Promise<Record<string, unknown>> {
  const read = async (): Promise<Record<string, unknown>> =>
    (await call("remediation-runs", { headers, json: { id } })).body;
  await expect.poll(async () => (await read())["state"], { timeout: 60_000 }).not.toBe("applying");
  return await read();
}

const name = `Tä;ble_Spälte "x"_idx`;
const build = { table, columns: [`Spälte "x"`], reason };

describe("create-index", () => {
  it("builds as planned, once, and its undo drops it", async () => {
    const plan = await call("create-index", { headers, json: { ...build, dry_run: true } });
    expect(plan).toMatchObject({ status: 200, body: { state: "planned", steps: [{ kind: "statement" }] } });
    expect(await indexes()).toEqual({});

    const { applied } = await applyPlanned("create-index", { headers, json: build });
    expect(applied.status).toBe(202);
    expect(await ended(runIdOf(applied))).toMatchObject({ state: "succeeded", steps: [{ state: "done" }] });
    expect(await indexes()).toEqual({ [name]: true });
    const second = await call("create-index", { headers, json: { ...build, dry_run: true } });
    expect(second.body).toMatchObject({ state: "no_op" });

    const undo = await applyPlanned("undo-remediation", {
      headers,
      json: { run_id: runIdOf(applied), reason },
    });
    expect(await ended(runIdOf(undo.applied))).toMatchObject({ state: "succeeded" });
    expect(await indexes()).toEqual({});
  });

  it("is not undone when somebody put another index in its place", async () => {
    const { applied } = await applyPlanned("create-index", { headers, json: build });
    await ended(runIdOf(applied));
    await sql.unsafe(`drop index "we'ird ""Näme"""."${name.replaceAll('"', '""')}"`);
    await sql.unsafe(`create index "${name.replaceAll('"', '""')}" on ${table} (id)`);
    const undo = await call("undo-remediation", {
      headers,
      json: { run_id: runIdOf(applied), reason, dry_run: true },
    });
    expect(undo).toMatchObject({ status: 409, body: { code: "UNDO_REFUSED" } });
    expect(await indexes()).toEqual({ [name]: true });
  });

  it("takes an admin, and a table of the project", async () => {
    const operator = bearer((await newPerson(sql, "operator")).token);
    expectRefusal(
      await call("create-index", { headers: operator, json: { ...build, dry_run: true } }),
      403,
      "ROLE_REQUIRED",
    );
    const users = { table: "auth.users", columns: ["email"], dry_run: true };
    expectRefusal(await call("create-index", { headers, json: users }), 409, "REFUSED");
    const method = await call("create-index", { headers, json: { ...build, method: "x", dry_run: true } });
    expect(method.body["details"]).toEqual([
      {
        path: "method",
        message: expect.stringMatching(/^must be one of btree, hash, gin, gist, spgist, brin, not /),
      },
    ]);
  });

  it("builds one at a time on a table", async () => {
    const release = await hold(holders, (holder) => holder.unsafe(`delete from ${table} where id = 1`));
    const { applied } = await applyPlanned("create-index", { headers, json: build });
    await waitingFor(sql, `runbook run ${runIdOf(applied)}`);
    const other = { table, columns: ["tags"], method: "gin", reason };
    const second = await applyPlanned("create-index", { headers, json: other });
    expect(second.applied).toMatchObject({ status: 409, body: { code: "RUN_IN_PROGRESS" } });
    await release();
    expect(await ended(runIdOf(applied))).toMatchObject({ state: "succeeded" });
  });

  it("cleans up after a build that is cancelled, and says so", async () => {
    const release = await hold(holders, (holder) => holder.unsafe(`delete from ${table} where id = 1`));
    const { applied } = await applyPlanned("create-index", { headers, json: build });
    const pid = await waitingFor(sql, `runbook run ${runIdOf(applied)}`);
    expect(await indexes()).toEqual({ [name]: false });
    await sql`select pg_cancel_backend(${pid})`;
    await release();
    const run = await ended(runIdOf(applied));
    expect(run).toMatchObject({ state: "failed", steps: [{ state: "failed" }] });
    expect(JSON.stringify(run)).toMatch(
      /57014: it was cancelled, by somebody or by a statement_timeout\. The invalid index that it left was dropped/,
    );
    expect(run).toMatchObject({ undo: { available: false } });
    expect(await indexes()).toEqual({});
  });

  it("cleans up after the function and the build were both killed", async () => {
    const release = await hold(holders, (holder) => holder.unsafe(`delete from ${table} where id = 1`));
    const { applied } = await applyPlanned("create-index", { headers, json: build });
    const id = runIdOf(applied);
    const pid = await waitingFor(sql, `runbook run ${id}`);
    await endWorker("create-index");
    await sql`select pg_terminate_backend(${pid})`;
    await release();
    await expect.poll(indexes).toEqual({ [name]: false });

    await letTimePass(sql, { id, state: "applying" });
    const stateAfterTick = async (): Promise<unknown> => {
      await tick(sql);
      return (await call("remediation-runs", { headers, json: { id } })).body["state"];
    };
    await expect.poll(stateAfterTick, { timeout: 60_000, interval: 1000 }).toBe("abandoned");
    expect(await indexes()).toEqual({});
    const run = await ended(id);
    expect(JSON.stringify(run)).toMatch(/was dropped/);
  });

  it("leaves an index alone that somebody else is building", async () => {
    const release = await hold(holders, (holder) => holder.unsafe(`delete from ${table} where id = 1`));
    const building = holders
      .unsafe(`create index concurrently "by hand" on ${table} ("Spälte ""x""")`)
      .execute();
    await expect.poll(indexes).toEqual({ "by hand": false });
    for (const [endpoint, json] of [
      ["create-index", build],
      ["drop-index", { index: `"we'ird ""Näme"""."by hand"` }],
    ] as const) {
      const plan = await call(endpoint, { headers, json: { ...json, dry_run: true } });
      expectRefusal(plan, 409, "REFUSED");
      expect(plan.body["message"]).toMatch(/"by hand" is being built\.$/);
    }
    await release();
    await building;
    expect(await indexes()).toEqual({ "by hand": true });
    const needless = await call("create-index", { headers, json: { ...build, dry_run: true } });
    expect(needless.body).toMatchObject({ state: "no_op" });
  });

  it("drops what an earlier build left behind before it builds", async () => {
    const release = await hold(holders, (holder) => holder.unsafe(`delete from ${table} where id = 1`));
    const broken = holders.unsafe(`create index concurrently "left behind" on ${table} ("Spälte ""x""")`);
    broken.catch(() => {});
    await expect.poll(indexes).toEqual({ "left behind": false });
    await sql`
      select pg_cancel_backend(pid) from pg_stat_activity
      where query like 'create index concurrently "left behind"%'`;
    await expect(broken).rejects.toThrow();
    await release();

    const { plan, applied } = await applyPlanned("create-index", { headers, json: build });
    expect(plan.body).toMatchObject({ steps: [{ operation: "drop_index" }, { operation: "create_index" }] });
    expect(await ended(runIdOf(applied))).toMatchObject({ state: "succeeded" });
    expect(await indexes()).toEqual({ [name]: true });
  });
});

describe("drop-index", () => {
  const index = `"we'ird ""Näme"""."ünused;"`;

  beforeEach(async () => {
    // As before the first hourly look, from which on a new index is known to be new; the next is an hour away.
    await collect(sql, "usage");
    await sql`delete from runbook.usage_snapshot where true`;
    await sql.unsafe(`create index "ünused;" on ${table} ("Spälte ""x""") where id > 5`);
  });

  it("drops as planned, once, and its undo brings the index back", async () => {
    const [before] = await sql`select pg_get_indexdef(to_regclass(${index})) as definition`;
    const { plan, applied } = await applyPlanned("drop-index", { headers, json: { index, reason } });
    expect(plan.body).toMatchObject({ state: "planned", undo: { available: true, complete: true } });
    expect(await ended(runIdOf(applied))).toMatchObject({ state: "succeeded" });
    expect(await indexes()).toEqual({});
    const gone = await call("drop-index", { headers, json: { index, reason, dry_run: true } });
    expectRefusal(gone, 404, "NOT_FOUND");
    expect(gone.body["message"]).toBe(`There is no table or index ${index}.`);

    const undo = await applyPlanned("undo-remediation", {
      headers,
      json: { run_id: runIdOf(applied), reason },
    });
    expect(await ended(runIdOf(undo.applied))).toMatchObject({ state: "succeeded" });
    expect(await sql`select pg_get_indexdef(to_regclass(${index})) as definition`).toEqual([before]);
  });

  it("gives the first answer to its key, though the index is gone", async () => {
    const { plan, applied } = await applyPlanned("drop-index", { headers, json: { index, reason } });
    await ended(runIdOf(applied));
    const again = await call("drop-index", {
      headers: { ...headers, "idempotency-key": applied.headers.get("idempotency-key") ?? "" },
      json: { index, reason, plan_hash: plan.body["plan_hash"] },
    });
    expect(runIdOf(again)).toBe(runIdOf(applied));
  });

  it("is not undone when its name is taken", async () => {
    const { applied } = await applyPlanned("drop-index", { headers, json: { index, reason } });
    await ended(runIdOf(applied));
    await sql.unsafe(`create index "ünused;" on ${table} (tags)`);
    const undo = await call("undo-remediation", {
      headers,
      json: { run_id: runIdOf(applied), reason, dry_run: true },
    });
    expect(undo).toMatchObject({ status: 409, body: { code: "UNDO_REFUSED" } });
  });

  it("refuses an index that is in use", async () => {
    await sql.unsafe(`analyze ${table}`);
    await holders.begin(async (reader) => {
      await reader`set local enable_seqscan = off`;
      await reader`set local enable_bitmapscan = off`;
      await reader.unsafe(`select count(*) from ${table} where "Spälte ""x""" = 'same' and id > 5`);
    });
    const refusal = async (): Promise<unknown> => {
      const { status, body } = await call("drop-index", { headers, json: { index, dry_run: true } });
      return [status, body["message"]];
    };
    // Without a window, from Postgres 16 on, even a use of just now is long ago.
    await sql`
      update runbook.check_tuning set thresholds = '{"window_days": 1}' where check_name = 'unused_indexes'`;
    // The scan is counted a moment later.
    await expect.poll(refusal).toEqual([409, expect.stringContaining("is in use")]);
    await sql`
      update runbook.check_tuning set thresholds = '{"window_days": 0}' where check_name = 'unused_indexes'`;
  });
});
