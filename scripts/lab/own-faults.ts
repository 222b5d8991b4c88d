import type { Fault } from "./lab.ts";
import { runEach } from "./lab.ts";
import { leave } from "./stuck-sessions.ts";

/** Faults of our own, which the published comparison does not have. */
export const ownFaults: readonly Fault[] = [
  {
    id: "F21",
    title: "table that the API may read and write, without row level security",
    make: ({ sql }) =>
      runEach(sql, [
        "create table public.wide_open (id bigint primary key, secret text)",
        "grant select, insert, update, delete on public.wide_open to anon, authenticated",
      ]),
    marks: [{ check: "row_security", codes: ["row_security_off"], names: /public\.wide_open/ }],
    peers: {
      advisors: { command: "security", prints: /rls_disabled_in_public[^}]*wide_open/i, as: "found" },
    },
  },
  {
    id: "F22",
    title: "two thirds of a growing table older than a year",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.audit (id bigint generated always as identity primary key, created_at timestamptz not null default now(), line text)",
        "insert into shop.audit (created_at, line) select now() - interval '3 years' + n * interval '8 minutes', 'line ' || n from generate_series(1, 197000) as n",
        "create index audit_created_at on shop.audit (created_at)",
        "vacuum analyze shop.audit",
      ]),
    marks: [{ check: "old_rows", codes: ["rows_older_than_a_year"], names: /shop\.audit/ }],
    peers: {},
  },
  {
    id: "F23",
    title: "table of 100,000 rows that was never analyzed",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.never_analyzed (id bigint primary key, value integer)",
        "insert into shop.never_analyzed select n, n % 9 from generate_series(1, 100000) as n",
      ]),
    marks: [
      {
        check: "table_statistics",
        codes: ["statistics_missing", "statistics_stale"],
        names: /shop\.never_analyzed/,
      },
    ],
    peers: { inspect: { command: "vacuum-stats", prints: /never_analyzed[^}]*yes/i, as: "partly" } },
  },
  {
    id: "F24",
    title: "smallint identity at 95 %",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.tiny (id smallint generated always as identity primary key)",
        "select setval('shop.tiny_id_seq', 31130)",
      ]),
    marks: [{ check: "sequences", codes: ["sequence_nearly_exhausted"], names: /shop\.tiny/ }],
    peers: { check_postgres: { command: "sequence", prints: /tiny_id_seq=9[0-9]/, as: "found" } },
  },
  {
    id: "F25",
    title: "statements of signed-in users without a time limit",
    make: async ({ platform }) => {
      await platform.unsafe("alter role authenticated set statement_timeout = 0");
    },
    marks: [{ check: "statement_timeouts", codes: ["statement_timeout_missing"], names: /authenticated/ }],
    peers: {},
  },
  {
    id: "F26",
    title: "an old snapshot that holds vacuum back",
    phase: "stuck",
    make: async ({ sql, open }) => {
      await open("postgres", "old report").unsafe(
        "begin isolation level repeatable read; select count(*) from pg_catalog.pg_class",
      );
      // What happens afterwards cannot be removed while that snapshot lives.
      await runEach(sql, [
        "create table shop.turnover (id bigint primary key)",
        ...Array.from({ length: 50 }, (_, turn) => `insert into shop.turnover values (${turn})`),
      ]);
    },
    marks: [{ check: "vacuum_horizon", codes: ["vacuum_held_back"], names: /old report/ }],
    peers: { check_postgres: { command: "txn_time", prints: /CRITICAL|WARNING/, as: "partly" } },
  },
  {
    id: "F27",
    title: "one query for each row of another (N+1)",
    phase: "traffic",
    make: async ({ sql, open }) => {
      await runEach(sql, [
        "grant usage on schema shop to authenticated",
        "grant select on shop.orders, shop.customers to authenticated",
      ]);
      const api = open("authenticator", "postgrest");
      await api.unsafe("set role authenticated");
      for (let page = 0; page < 30; page += 1) {
        await api`select id, customer_id from shop.orders order by id limit 200`;
        for (let row = 1; row <= 200; row += 1) await api`select email from shop.customers where id = ${row}`;
      }
    },
    marks: [{ check: "repeated_statements", codes: ["statement_repeated"], names: /customers/ }],
    peers: { inspect: { command: "calls", prints: /shop\.customers where id/, as: "partly" } },
  },
  {
    id: "F28",
    title: "query that runs for longer than five seconds",
    phase: "stuck",
    make: async (lab) => {
      leave(lab, "postgres", "endless report", "select pg_sleep(600)");
    },
    marks: [{ check: "long_queries", codes: ["long_running_query"], names: /endless report/ }],
    peers: {
      inspect: { command: "long-running-queries", prints: /pg_sleep/, as: "partly" },
      check_postgres: { command: "query_time", prints: /CRITICAL|WARNING/, as: "found" },
    },
  },
  {
    id: "F29",
    title: "pg_cron job that fails every time",
    make: async ({ sql, platform }) => {
      const [job] = await sql<{ id: number }[]>`
        select cron.schedule('nightly bill', '0 3 * * *', 'select bill_everyone()') as id`;
      await platform`
        insert into cron.job_run_details (jobid, runid, job_pid, database, username, command, status, return_message, start_time, end_time)
        select
          ${job?.id ?? 0}, 900000 + n, null, 'postgres', 'postgres', 'select bill_everyone()', 'failed',
          'ERROR:  function bill_everyone() does not exist', now() - n * interval '1 day', now() - n * interval '1 day'
        from generate_series(0, 2) as n`;
    },
    marks: [{ check: "cron_jobs", codes: ["cron_job_failing"], names: /nightly bill/ }],
    peers: {},
  },
  {
    id: "F30",
    title: "two-column foreign key whose index begins with another column",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.rooms (house integer, room integer, primary key (house, room))",
        "insert into shop.rooms select n / 100, n % 100 from generate_series(0, 19999) as n",
        "create table shop.beds (id bigint primary key, colour integer, house integer, room integer, foreign key (house, room) references shop.rooms (house, room))",
        "insert into shop.beds select n, n % 5, n % 200, n % 100 from generate_series(1, 60000) as n",
        "create index beds_colour_house on shop.beds (colour, house, room)",
        "analyze shop.rooms, shop.beds",
      ]),
    marks: [{ check: "foreign_key_indexes", codes: ["foreign_key_without_index"], names: /shop\.beds/ }],
    peers: { advisors: { command: "performance", prints: /unindexed_foreign_keys[^}]*beds/i, as: "found" } },
  },
  {
    id: "F31",
    title: "plain index that repeats the primary key",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.badges (id bigint primary key, name text)",
        "insert into shop.badges select n, 'badge' from generate_series(1, 20000) as n",
        "create index badges_id on shop.badges (id)",
        "analyze shop.badges",
      ]),
    marks: [
      { check: "duplicate_indexes", codes: ["duplicate_index"], names: /badges_id\b/ },
      { check: "redundant_indexes", codes: ["redundant_index"], names: /badges_id\b/ },
    ],
    peers: {},
  },
  {
    id: "F32",
    title: "two equal indexes on an expression",
    make: ({ sql }) =>
      runEach(sql, [
        "create index customers_lower_one on shop.customers (lower(email))",
        "create index customers_lower_two on shop.customers (lower(email))",
      ]),
    marks: [{ check: "duplicate_indexes", codes: ["duplicate_index"], names: /customers_lower_(one|two)/ }],
    peers: {
      advisors: { command: "performance", prints: /duplicate_index[^}]*customers_lower/i, as: "found" },
    },
  },
  {
    id: "F33",
    title: "dead rows past a trigger that the table itself sets lower",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.sessions (id bigint primary key, seen integer) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 100)",
        "insert into shop.sessions select n, 0 from generate_series(1, 100000) as n",
        "update shop.sessions set seen = 1 where id <= 15000",
        "analyze shop.sessions",
      ]),
    marks: [{ check: "dead_rows", codes: ["dead_rows_pile_up"], names: /shop\.sessions/ }],
    peers: { inspect: { command: "vacuum-stats", prints: /shop\.sessions[^}]*yes/i, as: "found" } },
  },
];
