import type { Fault } from "./lab.ts";
import { mustFail, runEach } from "./lab.ts";
import { queueBehindDdl, rowLockChain } from "./stuck-sessions.ts";

/** The twenty faults with which the field's tools were compared before; the first twelve need no session that stays. */
export const publishedFaults: readonly Fault[] = [
  {
    id: "F1",
    title: "foreign key without an index",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.customers (id bigint generated always as identity primary key, email text not null, country text not null, city text not null)",
        "insert into shop.customers (email, country, city) select 'c' || n || '@shop.example', 'c' || n % 40, 'city ' || n % 900 from generate_series(1, 60000) as n",
        "create table shop.orders (id bigint generated always as identity primary key, customer_id bigint not null references shop.customers (id), total numeric not null)",
        "insert into shop.orders (customer_id, total) select 1 + n % 60000, n from generate_series(1, 120000) as n",
        "analyze shop.customers, shop.orders",
      ]),
    marks: [
      {
        check: "foreign_key_indexes",
        codes: ["foreign_key_without_index"],
        names: /shop\.orders\b.*customer_id/,
      },
    ],
    peers: {
      advisors: { command: "performance", prints: /unindexed_foreign_keys[^}]*orders/i, as: "found" },
    },
  },
  {
    id: "F2",
    title: "exact duplicate of an index",
    make: ({ sql }) =>
      runEach(sql, [
        "create index customers_email_one on shop.customers (email)",
        "create index customers_email_two on shop.customers (email)",
      ]),
    marks: [{ check: "duplicate_indexes", codes: ["duplicate_index"], names: /customers_email_(one|two)/ }],
    peers: {
      advisors: { command: "performance", prints: /duplicate_index[^}]*customers_email/i, as: "found" },
    },
  },
  {
    id: "F3",
    title: "index that is the beginning of another",
    make: ({ sql }) =>
      runEach(sql, [
        "create index customers_country on shop.customers (country)",
        "create index customers_country_city on shop.customers (country, city)",
      ]),
    marks: [{ check: "redundant_indexes", codes: ["redundant_index"], names: /customers_country\b/ }],
    peers: {},
  },
  {
    id: "F4",
    title: "index of 13 MB that no query uses",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.events (id bigint generated always as identity primary key, token text not null, kind integer not null)",
        "insert into shop.events (token, kind) select md5(n::text), n % 7 from generate_series(1, 230000) as n",
        "create index events_token on shop.events (token)",
        "vacuum analyze shop.events",
        // The table is used, and so could the index have been.
        ...Array.from({ length: 20 }, (_, turn) => `select kind from shop.events where id = ${turn}`),
      ]),
    marks: [{ check: "unused_indexes", codes: ["unused_index"], names: /events_token/ }],
    peers: {
      inspect: { command: "index-stats", prints: /events_token[^}]*"?unused"?:\s*true/i, as: "found" },
      advisors: { command: "performance", prints: /unused_index[^}]*events_token/i, as: "found" },
    },
  },
  {
    id: "F5",
    title: "invalid index that a failed build left",
    make: async ({ sql }) => {
      await runEach(sql, [
        "create table shop.coupons (id bigint primary key, code text not null)",
        "insert into shop.coupons select n, 'code ' || n % 400 from generate_series(1, 20000) as n",
        "analyze shop.coupons",
      ]);
      await mustFail(sql, "create unique index concurrently coupons_code on shop.coupons (code)");
    },
    marks: [{ check: "invalid_indexes", codes: ["invalid_index"], names: /coupons_code/ }],
    peers: {},
  },
  {
    id: "F6",
    title: "table of 98 MB, nine tenths of it empty",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.visits (id bigint primary key, page text not null)",
        "insert into shop.visits select n, repeat('x', 90) || n from generate_series(1, 700000) as n",
        "delete from shop.visits where id % 10 <> 0",
        "vacuum analyze shop.visits",
      ]),
    marks: [{ check: "bloat", codes: ["table_bloated"], names: /shop\.visits/ }],
    peers: {
      inspect: { command: "bloat", prints: /visits/, as: "found" },
      check_postgres: { command: "bloat", prints: /visits/, as: "found" },
    },
  },
  {
    id: "F7",
    title: "autovacuum switched off for a table",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.carts (id bigint primary key, content text) with (autovacuum_enabled = false)",
        "insert into shop.carts select n, repeat('y', 100) from generate_series(1, 30000) as n",
        "analyze shop.carts",
      ]),
    marks: [{ check: "autovacuum_off", codes: ["autovacuum_disabled"], names: /shop\.carts/ }],
    peers: {},
  },
  {
    id: "F8",
    title: "identity column at 95 % of integer",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.tickets (id integer generated by default as identity primary key)",
        "select setval('shop.tickets_id_seq', 2040109465)",
      ]),
    marks: [{ check: "sequences", codes: ["sequence_nearly_exhausted"], names: /shop\.tickets/ }],
    peers: { check_postgres: { command: "sequence", prints: /tickets_id_seq=9[0-9]/, as: "found" } },
  },
  {
    id: "F9",
    title: "integer column fed by a bigint sequence at 95 %",
    make: ({ sql }) =>
      runEach(sql, [
        "create sequence shop.legacy_seq as bigint",
        "create table shop.legacy (id integer primary key default nextval('shop.legacy_seq'))",
        "alter sequence shop.legacy_seq owned by shop.legacy.id",
        "select setval('shop.legacy_seq', 2040109465)",
      ]),
    marks: [{ check: "sequences", codes: ["sequence_nearly_exhausted"], names: /shop\.legacy/ }],
    peers: { check_postgres: { command: "sequence", prints: /legacy_seq=9[0-9]/, as: "found" } },
  },
  {
    id: "F10",
    title: "replication slot that nobody reads",
    make: async ({ sql }) => {
      await sql`select pg_create_logical_replication_slot('forgotten', 'pgoutput')`;
    },
    marks: [
      {
        check: "replication_slots",
        codes: ["slot_inactive", "slot_retains_wal", "slot_lost"],
        names: /forgotten/,
      },
    ],
    peers: {
      inspect: { command: "replication-slots", prints: /forgotten/, as: "found" },
      check_postgres: { command: "replication_slots", prints: /forgotten/, as: "found" },
      exporter: {
        command: "metrics",
        prints: /pg_replication_slots_active\{[^}]*forgotten[^}]*\} 0/,
        as: "found",
      },
    },
  },
  {
    id: "F11",
    title: "prepared transaction that nobody ends",
    phase: "stuck",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.transfers (id bigint primary key)",
        "begin; insert into shop.transfers values (1); prepare transaction 'orphan of the lab'",
      ]),
    marks: [
      {
        check: "prepared_transactions",
        codes: ["prepared_transaction_orphaned"],
        names: /orphan of the lab/,
      },
    ],
    peers: { check_postgres: { command: "prepared_txns", prints: /CRITICAL|WARNING/, as: "found" } },
  },
  {
    id: "F12",
    title: "session idle in a transaction",
    phase: "stuck",
    make: async ({ open, sql }) => {
      await sql.unsafe("create table shop.idle (id bigint primary key)");
      await open("postgres", "forgetful app").unsafe("begin; insert into shop.idle values (1)");
    },
    marks: [{ check: "idle_in_transaction", codes: ["idle_in_transaction"], names: /forgetful app/ }],
    peers: {
      inspect: { command: "long-running-queries", prints: /shop\.idle/, as: "partly" },
      check_postgres: { command: "txn_idle", prints: /CRITICAL|WARNING/, as: "found" },
      exporter: {
        command: "metrics",
        prints: /pg_stat_activity_count\{[^}]*idle in transaction"[^}]*\} [1-9]/,
        as: "partly",
      },
    },
  },
  {
    id: "F13",
    title: "queue behind a waiting ALTER TABLE: who began it",
    phase: "stuck",
    make: queueBehindDdl,
    marks: [{ check: "blocking", codes: ["root_blocker"], names: /quiet reader/ }],
    peers: {},
  },
  {
    id: "F14",
    title: "chain of three row locks: who began it",
    phase: "stuck",
    make: rowLockChain,
    marks: [{ check: "blocking", codes: ["root_blocker"], names: /first writer/ }],
    peers: { inspect: { command: "blocking", prints: /first writer|shop\.seats/, as: "partly" } },
  },
  {
    id: "F15",
    title: "the dearest statement is one of the API's role",
    phase: "traffic",
    make: async ({ sql, open }) => {
      await runEach(sql, [
        "create table public.catalogue (id integer, words text)",
        "alter table public.catalogue enable row level security",
        "create policy everyone on public.catalogue for select using (true)",
        "grant select on public.catalogue to anon",
        "insert into public.catalogue select n, md5(n::text) from generate_series(1, 150000) as n",
        "alter table public.catalogue add primary key (id)",
        "analyze public.catalogue",
      ]);
      const api = open("authenticator", "postgrest");
      for (let turn = 0; turn < 100; turn += 1) {
        await api.unsafe(
          "begin; set local role anon; select count(*) from public.catalogue where words like '%ab%cd%ef%'; commit",
        );
      }
    },
    marks: [
      { check: "slow_statements", codes: ["statement_dominates", "statement_slow"], names: /catalogue/ },
    ],
    peers: { inspect: { command: "outliers", prints: /public\.catalogue where words like/, as: "found" } },
  },
  {
    id: "F16",
    title: "missing index on a large table",
    phase: "traffic",
    make: async ({ sql, open }) => {
      await runEach(sql, [
        "create table shop.messages (id bigint primary key, room_id integer not null, sent_at timestamptz not null, body text)",
        "insert into shop.messages select n, n % 4000, now() - n * interval '1 second', repeat('m', 60) from generate_series(1, 250000) as n",
        "vacuum analyze shop.messages",
        "grant usage on schema shop to authenticated",
        "grant select on shop.messages to authenticated",
      ]);
      const api = open("authenticator", "postgrest");
      for (let turn = 0; turn < 40; turn += 1) {
        await api.unsafe(
          `begin; set local role authenticated; select id, body from shop.messages where room_id = ${turn} order by sent_at desc limit 20; commit`,
        );
      }
    },
    marks: [
      { check: "missing_indexes", codes: ["index_would_help"], names: /shop\.messages/ },
      { check: "sequential_scans", codes: ["large_table_scanned"], names: /shop\.messages/ },
      { check: "column_statistics", codes: ["column_worth_an_index"], names: /shop\.messages/ },
    ],
    peers: { inspect: { command: "table-stats", prints: /shop\.messages/, as: "partly" } },
  },
  {
    id: "F17",
    title: "table without a primary key",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.imports (line text)",
        "insert into shop.imports select 'line ' || n from generate_series(1, 5000) as n",
      ]),
    marks: [{ check: "primary_keys", codes: ["table_without_primary_key"], names: /shop\.imports/ }],
    peers: { advisors: { command: "performance", prints: /no_primary_key[^}]*imports/i, as: "found" } },
  },
  {
    id: "F18",
    title: "row level security without any policy",
    make: ({ sql }) =>
      runEach(sql, [
        "create table public.notes (id bigint primary key)",
        "alter table public.notes enable row level security",
        "grant select on public.notes to authenticated",
      ]),
    marks: [{ check: "row_security", codes: ["row_security_without_policy"], names: /public\.notes/ }],
    peers: { advisors: { command: "security", prints: /rls_enabled_no_policy[^}]*notes/i, as: "found" } },
  },
  {
    id: "F19",
    title: "a third of the rows dead, past autovacuum's trigger",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.stock (id bigint primary key, amount integer not null)",
        "insert into shop.stock select n, 0 from generate_series(1, 90000) as n",
        "analyze shop.stock",
        "update shop.stock set amount = 1 where id <= 45000",
        "analyze shop.stock",
      ]),
    marks: [{ check: "dead_rows", codes: ["dead_rows_pile_up"], names: /shop\.stock/ }],
    peers: { inspect: { command: "vacuum-stats", prints: /shop\.stock[^}]*yes/i, as: "found" } },
  },
  {
    id: "F20",
    title: "300,000 changes since the last ANALYZE",
    make: async ({ sql, platform }) => {
      await runEach(sql, [
        "create table shop.readings (id bigint primary key, value integer)",
        "insert into shop.readings select n, 0 from generate_series(1, 100000) as n",
        "vacuum analyze shop.readings",
      ]);
      // As if that had been long ago: what autovacuum may still do within minutes is no fault.
      await platform`select pg_stat_reset_single_table_counters('shop.readings'::regclass)`;
      await runEach(sql, ["insert into shop.readings select n, 0 from generate_series(100001, 400000) as n"]);
    },
    marks: [{ check: "table_statistics", codes: ["statistics_stale"], names: /shop\.readings/ }],
    peers: {
      inspect: { command: "vacuum-stats", prints: /shop\.readings[^}]*analy[sz]e[^}]*yes/i, as: "found" },
    },
  },
];
