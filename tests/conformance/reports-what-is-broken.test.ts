import postgres from "postgres";
import { afterAll, describe, expect, inject, test } from "vitest";
import {
  type Difference,
  findDifferences,
  judgeDifferences,
  readEnvironment,
} from "../../scripts/stack/platform/compare-facts.ts";
import { readCatalog } from "../../scripts/stack/platform/read-catalog.ts";
import { readFacts, type Topic } from "../../scripts/stack/platform/read-facts.ts";
import { rolledBack } from "./rolled-back.ts";

const sql = postgres({
  host: inject("socketDirectory"),
  port: inject("databasePort"),
  user: "supabase_admin",
  database: "postgres",
  max: 1,
  onnotice: () => undefined,
});

afterAll(async () => await sql.end());

const environment = await readEnvironment(sql);
const facts = await readFacts(environment.serverMajor);

/**
 * What breaking a topic looks like: statements, and the names that must then differ in it.
 * The objects are chosen where other tests, which run at the same time, do not wait for their locks.
 */
const breakages: [Topic, string, string[]][] = [
  ["roles", "alter role pgbouncer createdb", ["pgbouncer"]],
  ["role-settings", "alter role pgbouncer set work_mem = '1GB'", ["pgbouncer work_mem"]],
  ["memberships", "grant supabase_storage_admin to postgres", ["postgres in supabase_storage_admin"]],
  ["schemas", "alter schema graphql_public owner to postgres", ["graphql_public"]],
  ["schema-acls", "grant create on schema graphql_public to anon", ["graphql_public anon"]],
  [
    "default-privileges",
    "alter default privileges for role postgres in schema storage revoke all on tables from anon",
    ["postgres in storage: tables to anon"],
  ],
  [
    "default-privileges",
    "alter default privileges for role postgres revoke execute on functions from public",
    ["postgres in every schema: functions to postgres"],
  ],
  ["extensions", 'alter extension "uuid-ossp" set schema graphql_public', ["uuid-ossp"]],
  ["publications", "alter publication supabase_realtime owner to supabase_admin", ["supabase_realtime"]],
  ["auth-enums", "alter type auth.oauth_response_type add value 'token'", ["oauth_response_type"]],
  ["auth-tables", "alter table auth.instances disable row level security", ["instances"]],
  ["auth-tables", "create table auth.surplus ()", ["surplus"]],
  ["auth-table-acls", "grant select on auth.schema_migrations to postgres", ["schema_migrations postgres"]],
  [
    "auth-columns",
    "alter table auth.instances alter column raw_base_config set not null",
    ["instances.raw_base_config"],
  ],
  [
    "auth-columns",
    "alter table auth.instances alter column created_at set default now()",
    ["instances.created_at"],
  ],
  ["auth-columns", "alter table auth.instances drop column uuid", ["instances.uuid"]],
  ["auth-indexes", "create index surplus on auth.instances (created_at)", ["surplus"]],
  ["auth-indexes", "drop index auth.sso_domains_domain_idx", ["sso_domains_domain_idx"]],
  ["auth-functions", "alter function auth.email() security definer", ["email()"]],
  ["auth-function-acls", "revoke execute on function auth.email() from public", ["email() PUBLIC"]],
  ["platform-relations", "alter table realtime.messages disable row level security", ["realtime.messages"]],
  ["platform-relations", "create table vault.surplus ()", ["vault.surplus"]],
  ["platform-relation-acls", "grant insert on cron.job to postgres", ["cron.job postgres"]],
  [
    "platform-relation-acls",
    "revoke select on extensions.pg_stat_statements_info from public",
    ["extensions.pg_stat_statements_info PUBLIC"],
  ],
  [
    "platform-columns",
    "alter table realtime.messages add column surplus text",
    ["realtime.messages.surplus"],
  ],
  ["platform-functions", "alter function net.worker_restart() security definer", ["net.worker_restart()"]],
  [
    "platform-functions",
    "create function vault.surplus() returns void language sql as 'select'",
    ["vault.surplus()"],
  ],
  ["platform-function-acls", "grant execute on function net.wake() to anon", ["net.wake() anon"]],
];

describe("a comparison with the facts", () => {
  test.each(breakages)("reports %s after: %s", async (topic, statement, names) => {
    const before = await differencesAfter([]);
    const after = await differencesAfter([statement]);
    const reported = after.filter((difference) => !before.some((other) => sameDifference(difference, other)));
    expect(reported.filter((difference) => difference.topic === topic).map(({ name }) => name)).toEqual(
      expect.arrayContaining(names),
    );
  });

  test("leaves the application's own roles and grants alone", async () => {
    const before = await differencesAfter([]);
    const after = await differencesAfter([
      "create role conformance_probe",
      "grant conformance_probe to postgres",
      "grant usage on schema graphql_public to conformance_probe",
      "grant select on auth.instances to conformance_probe",
    ]);
    expect(after).toEqual(before);
  });
});

describe("the judgement of differences", () => {
  const difference: Difference = { topic: "roles", name: "anon", expected: "inherit", actual: null };
  const allowance = {
    reason: "for this test",
    applies: () => true,
    parts: [{ description: "anon", covers: ({ name }: Difference) => name === "anon" }],
  };

  test("lets an allowed difference pass", () => {
    expect(judgeDifferences([difference], [allowance], environment)).toEqual({ unexpected: [], stale: [] });
  });

  test("reports an allowance that covers nothing", () => {
    expect(judgeDifferences([], [allowance], environment)).toEqual({ unexpected: [], stale: ["anon"] });
  });

  test("does not ask for an allowance of another environment", () => {
    const elsewhere = { ...allowance, applies: () => false };
    expect(judgeDifferences([difference], [elsewhere], environment)).toEqual({
      unexpected: [difference],
      stale: [],
    });
  });
});

/** The differences from the facts while the statements are in force. */
async function differencesAfter(statements: string[]): Promise<Difference[]> {
  return await rolledBack(sql, async (transaction) => {
    for (const statement of statements) await transaction.unsafe(statement);
    return findDifferences(facts, await readCatalog(transaction, facts));
  });
}

function sameDifference(one: Difference, other: Difference): boolean {
  return one.topic === other.topic && one.name === other.name && one.actual === other.actual;
}
