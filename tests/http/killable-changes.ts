import type postgres from "postgres";
import { expect } from "vitest";
import { z } from "zod";
import { call, secretKey, supabase } from "./runbook-client.ts";

/** One change that somebody asks for. */
export interface Subject {
  endpoint: string;
  json: Record<string, unknown>;
  headers: Record<string, string>;
  /** What its run is found by. */
  remediation: string;
  /** The address or table that it is about: its subject. */
  of: string;
  /** How often the change was made: 0 is as it was. */
  changes(): Promise<number>;
}

const counted = async (rows: PromiseLike<readonly unknown[]>): Promise<number> => (await rows).length;

/** Asks for the plan, and makes the request of its hash; the key makes the request the same whenever it is sent. */
async function planned(
  endpoint: string,
  fields: Record<string, unknown>,
  headers = secretKey(),
): Promise<Pick<Subject, "endpoint" | "json" | "headers">> {
  const plan = await call(endpoint, { headers, json: { ...fields, dry_run: true } });
  expect({ status: plan.status, text: plan.text }).toMatchObject({ status: 200 });
  return {
    endpoint,
    json: { ...fields, reason: "a test", plan_hash: plan.body["plan_hash"] },
    headers: { ...headers, "idempotency-key": crypto.randomUUID() },
  };
}

/** A blocked address: a row in the transaction of the run. */
export async function rowChange(sql: postgres.Sql, headers?: Record<string, string>): Promise<Subject> {
  const email = `kill-${crypto.randomUUID()}@demo.example`;
  await sql`
    insert into public.auth_rate_limits (identifier, blocked_until) values (${email}, now() + interval '1 hour')`;
  return {
    ...(await planned("unblock-login", { email }, headers)),
    remediation: "unblock-login",
    of: email,
    changes: async () =>
      1 - (await counted(sql`select from public.auth_rate_limits where identifier = ${email}`)),
  };
}

/** An address that is not confirmed: a call to Auth after the commit. */
export async function callChange(sql: postgres.Sql): Promise<Subject> {
  const email = `kill-${crypto.randomUUID()}@demo.example`;
  const { error } = await supabase().auth.signUp({ email, password: "demo-password-1" });
  if (error !== null) throw error;
  return {
    ...(await planned("confirm-email", { email })),
    remediation: "confirm-email",
    of: email,
    changes: () =>
      counted(sql`select from auth.users where email = ${email} and email_confirmed_at is not null`),
  };
}

/** A table to be vacuumed: a statement on a session of its own after the commit. */
export async function statementChange(sql: postgres.Sql): Promise<Subject> {
  const table = `kill_test.thing_${crypto.randomUUID().replaceAll("-", "")}`;
  await sql.unsafe(`create table ${table} as select n as id from generate_series(1, 10) as n`);
  return {
    ...(await planned("remediate", { remediation: "kill-test-vacuum", params: { table } })),
    remediation: "kill-test-vacuum",
    of: table,
    changes: async () => {
      const [row] = await sql`select pg_stat_get_vacuum_count(${table}::regclass) as count`;
      return Number(row?.["count"]);
    },
  };
}

/** Makes the schema and the remediation of {@link statementChange}. */
export async function createStatementChange(sql: postgres.Sql): Promise<void> {
  await sql`create schema kill_test`;
  await sql.unsafe(`
    create function kill_test.vacuum_it(params jsonb) returns setof runbook.declared_step
    language sql stable set search_path = '' as $$
      select runbook.statement_step(
        'vacuum', jsonb_build_object('relation', params -> 'table'), 'Vacuum it.'
      )
    $$;
    insert into runbook.remediation
      (name, title, description, parameters, subject_keys, function, risk, cures, pack)
    values (
      'kill-test-vacuum', 't', 'd',
      '{"type": "object", "properties": {"table": {"type": "string"}}, "additionalProperties": false}',
      '{table}', 'kill_test.vacuum_it', 'low', '{}', 'kill-test'
    )`);
}

/** Removes what {@link createStatementChange} made. */
export async function dropStatementChange(sql: postgres.Sql): Promise<void> {
  await sql`delete from runbook.remediation where pack = 'kill-test'`;
  await sql`drop schema kill_test cascade`;
}

/** The same change asked for once more, with a plan and a key of its own. */
export async function asAnother(subject: Subject): Promise<Subject> {
  const { plan_hash: _hash, ...fields } = subject.json;
  return { ...subject, ...(await planned(subject.endpoint, fields, subject.headers)) };
}

const run = z.object({ id: z.coerce.number(), state: z.string() });
/** A run of a change. */
export type Run = z.infer<typeof run>;

/** All runs of a change, the oldest first. */
export async function runsOf(sql: postgres.Sql, subject: Subject): Promise<Run[]> {
  return z.array(run).parse([
    ...(await sql`
      select id, state from runbook.run
      where remediation = ${subject.remediation} and subject = ${subject.of}
      order by id`),
  ]);
}

/** What a minute and a half does: nobody holds a call any more, and nobody is about to report on a statement. */
export async function letTimePass(sql: postgres.Sql, { id }: Run): Promise<void> {
  await sql`
    update runbook.call set lease_until = clock_timestamp() - interval '1 second'
    where run_id = ${id} and state = 'sending'`;
  await sql`
    update runbook.step
    set progress = progress || jsonb_build_object(
      'started_at', (progress ->> 'started_at')::timestamptz - interval '2 minutes'
    )
    where run_id = ${id} and state = 'running'`;
}
