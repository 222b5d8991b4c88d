import postgres from "postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { z } from "zod";
import { serveSchema } from "./serve-schema.ts";

const sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
const watcher = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
const heard: string[] = [];

const answerShape = z.object({
  rows: z.array(
    z.object({
      visible: z.boolean().nullish(),
      allowed: z.boolean().nullish(),
      policies: z.array(z.object({ verdict: z.string(), message: z.string().nullish() })),
    }),
  ),
  proof: z.object({ tried: z.boolean(), agrees: z.boolean().nullish() }).nullish(),
});

beforeAll(async () => {
  await watcher.listen("evil", (payload) => heard.push(payload));
  await removeEvil();
  await serveSchema(sql, "evil");
  await sql.unsafe(`
    create schema evil;
    grant usage on schema evil to anon, authenticated;
    create table evil.lines (id integer primary key, words text);
    create table evil.others (id integer generated always as identity primary key, words text);
    create sequence evil.numbers;
    insert into evil.lines values (1, 'one'), (2, 'two');
    insert into evil.others (words) values ('kept');
    grant all on all tables in schema evil to anon, authenticated;
    grant all on all sequences in schema evil to anon, authenticated;
    alter table evil.lines enable row level security;
    create function evil.act() returns boolean language sql as 'select true';
    create policy "evil" on evil.lines for all to public using (evil.act()) with check (evil.act());
  `);
});

beforeEach(() => {
  heard.length = 0;
});

afterAll(async () => {
  await removeEvil();
  await Promise.all([sql.end({ timeout: 2 }), watcher.end({ timeout: 2 })]);
});

/** What a policy's function does, in PL/pgSQL. */
const deeds: [what: string, deed: string][] = [
  ["inserts a row", "insert into evil.others (words) values ('evil');"],
  ["inserts into its own table", "insert into evil.lines values (99, 'evil') on conflict do nothing;"],
  ["updates rows", "update evil.others set words = 'evil' where true;"],
  ["deletes rows", "delete from evil.others where true;"],
  ["empties a table", "truncate evil.others;"],
  ["drops a table", "drop table if exists evil.others;"],
  ["makes a table", "create table evil.made (id integer);"],
  ["makes a temporary table", "create temporary table evil_made (id integer);"],
  ["makes a large object", "perform lo_create(0);"],
  ["locks a table", "lock table evil.others in access exclusive mode;"],
  ["locks a row", "perform from evil.others for update;"],
  ["takes an advisory lock of the transaction", "perform pg_advisory_xact_lock(4711);"],
  ["takes an advisory lock of the session", "perform pg_advisory_lock(4711);"],
  ["takes an advisory lock of the session, shared and twice", sharedTwice()],
  ["calls an address", "perform net.http_post('http://127.0.0.1:9/evil', '{}');"],
  ["notifies", "perform pg_notify('evil', 'heard');"],
  ["listens", "listen evil_too;"],
  ["changes the role", "set local role postgres;"],
  ["changes the role for the session", "perform set_config('role', 'service_role', false);"],
  ["resets the role", "reset role;"],
  ["changes the session's user", "set session authorization postgres;"],
  ["changes the claims", "perform set_config('request.jwt.claims', '{\"sub\": \"x\"}', true);"],
  ["changes the claims for the session", "perform set_config('request.jwt.claims', '{}', false);"],
  ["leaves a setting", "perform set_config('app.evil', 'left', false);"],
  ["switches off timeouts", "perform set_config('statement_timeout', '0', false);"],
  ["makes the transaction writable", "perform set_config('transaction_read_only', 'off', true);"],
  ["raises", "raise exception 'evil';"],
  ["raises what no handler of others catches", "assert false, 'evil';"],
  ["raises a cancellation", "raise exception 'evil' using errcode = 'query_canceled';"],
  ["raises the runbook's own code", "raise exception 'evil' using errcode = 'RB000';"],
  ["commits", "commit;"],
  ["asks the runbook", 'perform runbook.explain_access(\'{"role": "anon"}\');'],
];

describe.each(["security invoker", "security definer"])("a policy's function with %s", (security) => {
  it.each(deeds)("that %s changes nothing", async (_, deed) => {
    await sql.unsafe(
      `create or replace function evil.act() returns boolean language plpgsql ${security} as $f$ begin ${deed} return true; end $f$`,
    );
    const before = await stateOf();
    for (const command of ["select", "delete", "update", "insert"]) {
      for (const proof of [false, true]) {
        const params = {
          user: "ok@demo.example",
          table: "evil.lines",
          command,
          proof,
          ...(command === "update" ? { row: { words: "new" } } : {}),
          ...(command === "insert" ? { row: { id: 50, words: "new" } } : {}),
        };
        const answer = await ask(params);
        expect(answer.rows.length).toBeGreaterThan(0);
        expect(await stateOf()).toEqual(before);
      }
    }
    // What was sent is heard by now.
    await watcher`select pg_notify('evil', 'end')`;
    await expect.poll(() => heard).toEqual(["end"]);
  });
});

describe("what a rollback does not undo", () => {
  it("is the number that a sequence gave", async () => {
    await sql.unsafe(
      "create or replace function evil.act() returns boolean language plpgsql as $f$ begin return nextval('evil.numbers') > 0; end $f$",
    );
    await ask({ user: "ok@demo.example", table: "evil.lines", command: "update", row: { words: "new" } });
    const [row] = await sql`select is_called from evil.numbers`;
    expect(row?.["is_called"]).toBe(true);
  });
});

async function ask(params: postgres.JSONValue): Promise<z.infer<typeof answerShape>> {
  const [row] = await sql`select runbook.explain_access(${sql.json(params)}) as answer`;
  return answerShape.parse(row?.["answer"]);
}

/** Everything that a policy's function could have changed, except what runbook itself keeps. */
async function stateOf(): Promise<unknown> {
  const [state] = await sql`
    select
      (select jsonb_agg(line order by line.id) from evil.lines as line) as lines,
      (select jsonb_agg(line order by line.id) from evil.others as line) as others,
      (select count(*) from pg_catalog.pg_class where relname in ('made', 'evil_made')) as made,
      (select count(*) from pg_catalog.pg_largeobject_metadata) as objects,
      (select count(*) from net.http_request_queue where url like '%evil%') as calls,
      (
        select count(*) from pg_catalog.pg_locks
        where pid = pg_backend_pid()
          -- this statement's own locks come and go with its plan
          and mode <> 'AccessShareLock'
          and (locktype = 'advisory' or relation::regclass::text like 'evil.%')
      ) as locks,
      (select count(*) from pg_listening_channels()) as channels,
      current_user as role,
      session_user as login,
      -- a setting that was never made is null, and empty once it was taken back
      coalesce(current_setting('request.jwt.claims', true), '') as claims,
      coalesce(current_setting('app.evil', true), '') as setting,
      current_setting('statement_timeout') as timeout,
      current_setting('search_path') as path`;
  return state;
}

async function removeEvil(): Promise<void> {
  await sql.unsafe("drop schema if exists evil cascade");
}

function sharedTwice(): string {
  return "perform pg_advisory_lock_shared(4711); perform pg_try_advisory_lock(1, 2);";
}
