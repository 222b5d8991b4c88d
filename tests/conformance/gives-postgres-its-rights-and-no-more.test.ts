import postgres from "postgres";
import { afterAll, describe, expect, inject, test } from "vitest";
import { rolledBack } from "./rolled-back.ts";

const connection = {
  host: inject("socketDirectory"),
  port: inject("databasePort"),
  database: "postgres",
  max: 1,
};
const owner = postgres({ ...connection, user: "postgres", onnotice: () => undefined });
const superuser = postgres({ ...connection, user: "supabase_admin" });

afterAll(async () => {
  await owner.end();
  await superuser.end();
});

const [server] = await superuser<{ major: number; pid: number }[]>`
  select current_setting('server_version_num')::integer / 10000 as major, pg_backend_pid() as pid`;
const serverMajor = server?.major ?? 0;

/** Runs statements as `postgres` and rolls them back; answers "done" or the SQLSTATE of the first error. */
async function attempt(...statements: string[]): Promise<string> {
  try {
    return await rolledBack(owner, async (transaction) => {
      for (const statement of statements) await transaction.unsafe(statement);
      return "done";
    });
  } catch (error) {
    if (error instanceof postgres.PostgresError) return error.code;
    throw error;
  }
}

const refused = "42501";

describe("the role postgres, no superuser,", () => {
  test.each([
    ["reads auth.users", ["select email from auth.users limit 1"]],
    // The platform grants nothing on this table, but pg_read_all_data and bypassrls do.
    ["reads auth.schema_migrations", ["select version from auth.schema_migrations limit 1"]],
    ["passes on reading of auth.users", ["create role probe", "grant select on auth.users to probe"]],
    ["changes auth tables", ["insert into auth.instances (id) values (gen_random_uuid())"]],
    [
      "adds a trigger to an auth table",
      [
        "create function public.probe() returns trigger language plpgsql as 'begin return new; end'",
        "create trigger probe after insert on auth.instances for each row execute function public.probe()",
      ],
    ],
    [
      "points a foreign key at an auth table",
      ["create table public.probe (id uuid references auth.instances (id))"],
    ],
    [
      "creates a role and takes it on",
      ["create role probe", "grant probe to postgres", "set local role probe"],
    ],
    [
      "becomes the API's roles",
      ["set local role anon", "set local role authenticated", "set local role service_role"],
    ],
    ["hands the API's roles on", ["create role probe", "grant authenticated to probe"]],
    ["hands monitoring on", ["create role probe", "grant pg_monitor to probe"]],
    ["creates a schema", ["create schema probe"]],
    ["creates a publication", ["create publication probe"]],
    [
      "adds a table to the publication of Realtime",
      [
        "create table public.probe (id int primary key)",
        "alter publication supabase_realtime add table public.probe",
      ],
    ],
    // A physical slot needs the same right as a logical one and waits for nobody's transaction.
    [
      "creates a replication slot",
      ["select pg_create_physical_replication_slot('conformance_probe', false, true)"],
    ],
    ["sets parameters of the database", ["alter database postgres set statement_timeout = '1min'"]],
    ["sets parameters of its own", ["alter role postgres set statement_timeout = '1min'"]],
    ["switches triggers off for a session", ["set local session_replication_role = replica"]],
    ["creates a trusted extension", ["create extension hstore with schema extensions"]],
    ["uses the extensions that are there", ["select extensions.crypt('a', extensions.gen_salt('bf', 4))"]],
    ["resets the statistics of statements", ["select extensions.pg_stat_statements_reset(0, 0, 1)"]],
    ["reads the subscriptions of Realtime", ["select * from realtime.subscription limit 1"]],
    [
      "broadcasts a message",
      ["select realtime.send('{}'::jsonb, 'event', 'topic')", "table realtime.messages"],
    ],
  ])("%s", async (_, statements) => {
    expect(await attempt(...statements)).toBe("done");
  });

  test.each([
    ["writes auth.schema_migrations", ["insert into auth.schema_migrations (version) values ('1')"]],
    ["writes realtime.schema_migrations", ["insert into realtime.schema_migrations (version) values (1)"]],
    ["creates a table in auth", ["create table auth.probe ()"]],
    ["creates a table in realtime", ["create table realtime.probe ()"]],
    ["creates a table in storage", ["create table storage.probe ()"]],
    ["adds an index to an auth table", ["create index probe on auth.instances (created_at)"]],
    ["alters an auth table", ["alter table auth.instances add column probe text"]],
    ["becomes the role of Auth", ["set local role supabase_auth_admin"]],
    ["becomes the role of Storage", ["set local role supabase_storage_admin"]],
    ["makes a superuser", ["create role probe superuser"]],
    ["changes the server's configuration file", ["select pg_reload_conf()"]],
    ["writes a checkpoint", ["checkpoint"]],
    ["resets the database's statistics", ["select pg_stat_reset()"]],
    ["reads files of the server", ["select pg_read_file('postgresql.conf')"]],
    ["creates an extension that is not trusted", ["create extension file_fdw with schema extensions"]],
    ["changes cron.job by hand", ["delete from cron.job where jobid = -1"]],
    ["ends a superuser's session", [`select pg_terminate_backend(${server?.pid ?? 0})`]],
    [
      "lets service_role read auth.users",
      ["set local role service_role", "select email from auth.users limit 1"],
    ],
    ["lets anon read auth.users", ["set local role anon", "select email from auth.users limit 1"]],
  ])("never %s", async (_, statements) => {
    expect(await attempt(...statements)).toBe(refused);
  });

  test("reindexes an auth table where it has MAINTAIN, which came with 17", async () => {
    expect(await attempt("reindex table auth.instances")).toBe(serverMajor >= 17 ? "done" : refused);
  });

  test("vacuums tables of others as owner of the database", async () => {
    const notices: string[] = [];
    const client = postgres({
      ...connection,
      user: "postgres",
      onnotice: (notice) => notices.push(notice["message"] ?? ""),
    });
    await client`vacuum auth.instances`;
    await client.end();
    expect(notices).toEqual([]);
  });

  test("has two minutes for a statement unless it says otherwise", async () => {
    const rows = await owner`select current_setting('statement_timeout') as timeout`;
    expect(rows).toEqual([{ timeout: "2min" }]);
  });
});

describe("the functions in auth", () => {
  test("answer from the claims of the request", async () => {
    const claims = {
      sub: "7f1ac0a4-3f39-4a1d-8f5f-2f1f3d0a9a11",
      role: "authenticated",
      email: "a@demo.example",
    };
    const rows = await owner.begin(async (transaction) => {
      await transaction`select set_config('request.jwt.claims', ${JSON.stringify(claims)}, true)`;
      return await transaction`
        select auth.uid() as sub, auth.role() as role, auth.email() as email, auth.jwt() as claims`;
    });
    expect(rows).toEqual([{ ...claims, claims }]);
  });

  test("answer null without a request", async () => {
    const rows = await owner`select auth.uid() as sub, auth.role() as role, auth.jwt() as claims`;
    expect(rows).toEqual([{ sub: null, role: null, claims: null }]);
  });
});

describe("a subscription of Realtime", () => {
  test("knows the role of its claims and sorts its filters", async () => {
    const row = await subscribe('{"(name,eq,b,)","(id,eq,1,)"}');
    expect(row).toEqual({ claims_role: "authenticated", filters: '{"(id,eq,1,)","(name,eq,b,)"}' });
  });

  test("is refused with a filter on a column that the role cannot read", async () => {
    await expect(subscribe('{"(nosuch,eq,1,)"}')).rejects.toMatchObject({ code: "P0001" });
  });

  test("is refused with a value that the column cannot hold", async () => {
    await expect(subscribe('{"(id,eq,one,)"}')).rejects.toMatchObject({ code: "22P02" });
  });
});

/** Inserts a subscription to a table of its own and rolls it back; answers the row. */
async function subscribe(filters: string): Promise<unknown> {
  return await rolledBack(superuser, async (transaction) => {
    await transaction`create table public.conformance_probe (id integer primary key, name text)`;
    await transaction`grant select on public.conformance_probe to authenticated`;
    const [row] = await transaction`
      insert into realtime.subscription (subscription_id, entity, filters, claims)
      values (
        gen_random_uuid(),
        'public.conformance_probe',
        ${filters}::text::realtime.user_defined_filter[],
        '{"role": "authenticated"}'
      )
      returning claims_role::text, filters::text`;
    return row;
  });
}
