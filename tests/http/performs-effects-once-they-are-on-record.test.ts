import { afterAll, beforeAll, expect, it } from "vitest";
import { serveRemediate } from "../../supabase/functions/_shared/serve-remediation.ts";
import { tick } from "../setup/schedule.ts";
import { terminate, waitingFor } from "./interruptions.ts";
import { bearer, call, newPerson, openDatabase } from "./runbook-client.ts";
import { stoppingAt } from "./stopping-worker.ts";
import { requestTo } from "./worker-on.ts";

const sql = openDatabase();
const reason = "a test";
let headers: Record<string, string>;

// An effect that no rollback undoes: it counts how often it happened, and can be made to wait.
beforeAll(async () => {
  headers = bearer((await newPerson(sql, "operator")).token);
  await sql.unsafe(`
    create schema effect_test;
    create sequence effect_test.trace;
    create table effect_test.lock (id integer primary key);
    insert into effect_test.lock values (1);
    create function effect_test.happen(args jsonb) returns jsonb
    language plpgsql set search_path = '' as $$
    begin
      perform nextval('effect_test.trace');
      perform from effect_test.lock for update;
      return '{"happened": true}';
    end $$;
    create function effect_test.has_happened(args jsonb) returns text
    language sql stable set search_path = '' as $$
      select 'It has happened.' from effect_test.trace as trc where trc.is_called
    $$;
    create function effect_test.declare(params jsonb) returns setof runbook.declared_step
    language sql stable set search_path = '' as $$
      select runbook.effect_step('effect_test', '{}', 'Let it happen.')
    $$;
    insert into runbook.effect (name, function, refusal_function, description, undo)
    values ('effect_test', 'effect_test.happen', 'effect_test.has_happened', 'Test.', 'none: a test.');
    insert into runbook.remediation
      (name, title, description, parameters, subject_keys, function, risk, cures, pack)
    values (
      'effect-test', 't', 'd', '{"type": "object", "properties": {}, "additionalProperties": false}',
      '{}', 'effect_test.declare', 'low', '{}', 'effect-test'
    )`);
});

afterAll(async () => {
  await sql`delete from runbook.remediation where pack = 'effect-test'`;
  await sql`delete from runbook.effect where name = 'effect_test'`;
  await sql`drop schema effect_test cascade`;
});

const json = { remediation: "effect-test", params: {}, reason };

async function lastRun(): Promise<{ id: number; state: string }> {
  const [row] =
    await sql`select id, state from runbook.run where remediation = 'effect-test' order by id desc limit 1`;
  return { id: Number(row?.["id"]), state: String(row?.["state"]) };
}

const times = async (): Promise<number> =>
  Number(
    (await sql`select case when is_called then last_value else 0 end as n from effect_test.trace`)[0]?.["n"],
  );

/** What half a minute does: whoever applied the run is not about to perform its effects any more. */
async function letTimePass(): Promise<void> {
  await sql`alter table runbook.run disable trigger run_moves_forwards`;
  await sql`
    update runbook.run set started_at = started_at - interval '1 minute'
    where remediation = 'effect-test' and state = 'applying'`;
  await sql`alter table runbook.run enable trigger run_moves_forwards`;
}

it("they are done when the request answers", async () => {
  await sql`select setval('effect_test.trace', 1, false)`;
  const applied = await call("remediate", { headers, json });
  expect(applied).toMatchObject({ status: 200, body: { state: "succeeded", steps: [{ state: "done" }] } });
  expect(await times()).toBe(1);
});

it("a function that is killed before them leaves them to the tick", async () => {
  await sql`select setval('effect_test.trace', 1, false)`;
  const worker = stoppingAt("before the effects");
  void serveRemediate(worker.parts).fetch(requestTo("remediate", json));
  await worker.reached;
  await worker.end();
  expect(await lastRun()).toMatchObject({ state: "applying" });
  expect(await times()).toBe(0);
  await tick(sql);
  expect(await times()).toBe(0);

  await letTimePass();
  await tick(sql);
  expect(await lastRun()).toMatchObject({ state: "succeeded" });
  expect(await times()).toBe(1);
});

it("a session that is killed in the middle of one leaves the record, and it happens once", async () => {
  await sql`select setval('effect_test.trace', 1, false)`;
  await sql.begin(async (holder) => {
    await holder`select from effect_test.lock for update`;
    const answered = call("remediate", { headers, json });
    await terminate(sql, await waitingFor(sql, "runbook remediate"));
    expect((await answered).status).toBe(503);
  });
  // It has happened, and its transaction is gone; that it was to happen is on record.
  expect(await times()).toBe(1);
  const run = await lastRun();
  expect(run).toMatchObject({ state: "applying" });

  await letTimePass();
  await tick(sql);
  expect(await times()).toBe(1);
  const read = await call("remediation-runs", { headers, json: { id: run.id } });
  expect(read.body).toMatchObject({
    state: "succeeded",
    steps: [{ state: "not_done", progress: { refusal: "It has happened." } }],
  });
});

it("the tick does not perform what the request is at", async () => {
  await sql`select setval('effect_test.trace', 1, false)`;
  let answered: ReturnType<typeof call> | undefined;
  await sql.begin(async (holder) => {
    await holder`select from effect_test.lock for update`;
    answered = call("remediate", { headers, json });
    await waitingFor(sql, "runbook remediate");
    await sql`select runbook.advance_runs()`;
    expect(await times()).toBe(1);
  });
  expect(await answered).toMatchObject({ status: 200, body: { state: "succeeded" } });
  expect(await times()).toBe(1);
});
