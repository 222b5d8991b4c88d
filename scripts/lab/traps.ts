import type { Lab, Mark, Trap } from "./lab.ts";
import { runEach } from "./lab.ts";
import { leave } from "./stuck-sessions.ts";

const anyIndexAdvice = (names: RegExp): Mark[] => [
  { check: "duplicate_indexes", codes: ["duplicate_index"], names },
  { check: "redundant_indexes", codes: ["redundant_index"], names },
  { check: "unused_indexes", codes: ["unused_index"], names },
];

/** The published traps but T3 and T7, which {@link runLab} sets itself: they are about time and about an action. */
const publishedTraps: readonly Trap[] = [
  {
    id: "T1",
    title: "a partial index is no duplicate",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.parcels (id bigint primary key, state text not null, town text not null)",
        "insert into shop.parcels select n, 'state ' || n % 3, 'town ' || n % 500 from generate_series(1, 20000) as n",
        "create index parcels_town on shop.parcels (town)",
        "create index parcels_town_open on shop.parcels (town) where state = 'state 1'",
        "analyze shop.parcels",
      ]),
    alarms: anyIndexAdvice(/parcels_town/).slice(0, 2),
    peers: { advisors: { command: "performance", prints: /duplicate_index[^}]*parcels_town/i, as: "found" } },
  },
  {
    id: "T2",
    title: "a unique index that no query uses keeps its rule",
    make: ({ sql }) =>
      runEach(sql, [
        "create unique index events_token_kind on shop.events (kind, token)",
        "alter table shop.events add constraint events_id_token unique (id, token)",
      ]),
    alarms: anyIndexAdvice(/events_token_kind|events_id_token|events_pkey/),
    peers: {
      inspect: { command: "index-stats", prints: /events_id_token[^}]*"?unused"?:\s*true/i, as: "found" },
      advisors: {
        command: "performance",
        prints: /unused_index[^}]*events_(token_kind|id_token)/i,
        as: "found",
      },
    },
  },
  {
    id: "T4",
    title: "space that a fillfactor of 70 keeps free is no bloat",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.roomy (id bigint primary key, text text) with (fillfactor = 70)",
        "insert into shop.roomy select n, repeat('r', 90) from generate_series(1, 300000) as n",
        "vacuum analyze shop.roomy",
      ]),
    alarms: [{ check: "bloat", codes: ["table_bloated"], names: /shop\.roomy/ }],
    peers: {
      inspect: { command: "bloat", prints: /roomy/, as: "found" },
      check_postgres: { command: "bloat", prints: /roomy/, as: "found" },
    },
  },
  {
    id: "T5",
    title: "padding between columns is no bloat",
    make: ({ sql }) =>
      runEach(sql, [
        `create table shop.padded (${Array.from({ length: 8 }, (_, n) => `a${n} smallint, b${n} bigint, c${n} boolean`).join(", ")})`,
        `insert into shop.padded select ${Array.from({ length: 8 }, () => "1, n, true").join(", ")} from generate_series(1, 250000) as n`,
        "alter table shop.padded add column id bigint generated always as identity primary key",
        "vacuum analyze shop.padded",
      ]),
    alarms: [{ check: "bloat", codes: ["table_bloated"], names: /shop\.padded/ }],
    peers: {
      inspect: { command: "bloat", prints: /padded/, as: "found" },
      check_postgres: { command: "bloat", prints: /padded/, as: "found" },
    },
  },
  {
    id: "T6",
    title: "bloat is seen in spite of stale statistics",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.stale (id bigint primary key, text text)",
        "insert into shop.stale select n, repeat('s', 90) from generate_series(1, 800000) as n",
        "vacuum analyze shop.stale",
        "delete from shop.stale where id % 5 <> 0",
      ]),
    // The trap is missed when nothing is found; see `mustBeFound`.
    alarms: [],
    peers: {},
  },
];

const ownTraps: readonly Trap[] = [
  {
    id: "T8",
    title: "a junction table's primary key covers its first foreign key",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.tags (id bigint primary key)",
        "insert into shop.tags select n from generate_series(1, 20000) as n",
        "create table shop.customer_tags (customer_id bigint references shop.customers (id), tag_id bigint references shop.tags (id), primary key (customer_id, tag_id))",
        "create index customer_tags_tag_id on shop.customer_tags (tag_id)",
        "insert into shop.customer_tags select n, 1 + n % 20000 from generate_series(1, 50000) as n",
        "analyze shop.tags, shop.customer_tags",
      ]),
    alarms: [
      { check: "foreign_key_indexes", codes: ["foreign_key_without_index"], names: /customer_tags/ },
      ...anyIndexAdvice(/customer_tags/),
    ],
    peers: {
      advisors: { command: "performance", prints: /unindexed_foreign_keys[^}]*customer_tags/i, as: "found" },
    },
  },
  {
    id: "T9",
    title: "a foreign key's columns in another order are covered",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.lamps (id bigint primary key, house integer, room integer, foreign key (house, room) references shop.rooms (house, room))",
        "insert into shop.lamps select n, n % 200, n % 100 from generate_series(1, 40000) as n",
        "create index lamps_room_house on shop.lamps (room, house, id)",
        "analyze shop.lamps",
      ]),
    alarms: [{ check: "foreign_key_indexes", codes: ["foreign_key_without_index"], names: /shop\.lamps/ }],
    peers: { advisors: { command: "performance", prints: /unindexed_foreign_keys[^}]*lamps/i, as: "found" } },
  },
  {
    id: "T10",
    title: "a unique index is no mere beginning of a longer one",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.codes (id bigint primary key, code text not null, note text)",
        "insert into shop.codes select n, 'code ' || n, 'note' from generate_series(1, 20000) as n",
        "create unique index codes_code on shop.codes (code)",
        "create index codes_code_note on shop.codes (code, note)",
        "analyze shop.codes",
      ]),
    alarms: anyIndexAdvice(/codes_code\b/),
    peers: {},
  },
  {
    id: "T11",
    title: "another operator class, collation or direction makes another index",
    make: ({ sql }) =>
      runEach(sql, [
        "create index codes_note on shop.codes (note)",
        "create index codes_note_pattern on shop.codes (note text_pattern_ops)",
        'create index codes_note_c on shop.codes (note collate "C")',
        "create index codes_note_id on shop.codes (note desc, id)",
      ]),
    alarms: [{ check: "duplicate_indexes", codes: ["duplicate_index"], names: /codes_note/ }],
    peers: { advisors: { command: "performance", prints: /duplicate_index[^}]*codes_note/i, as: "found" } },
  },
  {
    id: "T12",
    title: "dead rows below autovacuum's trigger",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.calm (id bigint primary key, value integer)",
        "insert into shop.calm select n, 0 from generate_series(1, 100000) as n",
        "vacuum analyze shop.calm",
        "update shop.calm set value = 1 where id <= 12000",
      ]),
    alarms: [
      { check: "dead_rows", codes: ["dead_rows_pile_up"], names: /shop\.calm/ },
      { check: "table_statistics", codes: ["statistics_stale"], names: /shop\.calm/ },
      { check: "bloat", codes: ["table_bloated"], names: /shop\.calm/ },
    ],
    peers: { inspect: { command: "vacuum-stats", prints: /shop\.calm[^}]*vacuum"?:\s*"?yes/i, as: "found" } },
  },
  {
    id: "T13",
    title: "a sequence that may begin again is not used up",
    make: ({ sql }) =>
      runEach(sql, [
        "create sequence shop.round as integer maxvalue 1000 cycle",
        "create table shop.rounds (id bigint primary key, turn integer default nextval('shop.round'))",
        "alter sequence shop.round owned by shop.rounds.turn",
        "select setval('shop.round', 990)",
      ]),
    alarms: [{ check: "sequences", codes: ["sequence_nearly_exhausted"], names: /shop\.round/ }],
    peers: { check_postgres: { command: "sequence", prints: /shop\.round=9[0-9]/, as: "found" } },
  },
  {
    id: "T14",
    title: "a bigint identity at three thousand million",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.large (id bigint generated always as identity primary key)",
        "select setval('shop.large_id_seq', 3000000000)",
      ]),
    alarms: [{ check: "sequences", codes: ["sequence_nearly_exhausted"], names: /shop\.large/ }],
    peers: {},
  },
  {
    id: "T15",
    title: "an index that is being built is not broken",
    phase: "stuck",
    make: async (lab) => {
      await runEach(lab.sql, [
        "create table shop.growing (id bigint primary key, value integer)",
        "insert into shop.growing select n, n from generate_series(1, 2000) as n",
      ]);
      // The build waits for this transaction to end.
      await lab.open("postgres", "slow visitor").unsafe("begin; insert into shop.growing values (0, 0)");
      leave(lab, "postgres", "builder", "create index concurrently growing_value on shop.growing (value)");
      await new Promise((wake) => setTimeout(wake, 300));
    },
    alarms: [{ check: "invalid_indexes", codes: ["invalid_index"], names: /growing_value/ }],
    peers: {},
  },
  {
    id: "T16",
    title: "a table without row level security that the API cannot reach",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.internal (id bigint primary key)",
        "create table public.not_granted (id bigint primary key)",
        "revoke all on public.not_granted from public, anon, authenticated",
      ]),
    alarms: [
      { check: "row_security", codes: ["row_security_off"], names: /shop\.internal|public\.not_granted/ },
    ],
    peers: {
      advisors: { command: "security", prints: /rls_disabled_in_public[^}]*not_granted/i, as: "found" },
    },
  },
  {
    id: "T17",
    title: "a small table that is nearly all empty space",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.small (id bigint primary key, text text)",
        "insert into shop.small select n, repeat('t', 90) from generate_series(1, 3000) as n",
        "delete from shop.small where id % 20 <> 0",
        "vacuum analyze shop.small",
      ]),
    alarms: [{ check: "bloat", codes: ["table_bloated"], names: /shop\.small/ }],
    peers: { check_postgres: { command: "bloat", prints: /shop\.small/, as: "found" } },
  },
  {
    id: "T18",
    title: "old rows in a table that does not grow",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.countries (id integer primary key, name text, added_at timestamptz not null)",
        "insert into shop.countries select n, 'country ' || n, now() - interval '5 years' from generate_series(1, 250) as n",
        "create index countries_added_at on shop.countries (added_at)",
        "analyze shop.countries",
      ]),
    alarms: [
      { check: "old_rows", codes: ["rows_older_than_a_year"], names: /shop\.countries/ },
      { check: "unused_indexes", codes: ["unused_index"], names: /countries_added_at/ },
    ],
    peers: {},
  },
  {
    id: "T19",
    title: "an unused index that a foreign key needs",
    make: ({ sql }) => runEach(sql, ["create index orders_total on shop.orders (total) where total < 0"]),
    alarms: [
      { check: "unused_indexes", codes: ["unused_index"], names: /customer_tags_tag_id|lamps_room_house/ },
    ],
    peers: {
      inspect: { command: "index-stats", prints: /lamps_room_house[^}]*"?unused"?:\s*true/i, as: "found" },
      advisors: { command: "performance", prints: /unused_index[^}]*lamps_room_house/i, as: "found" },
    },
  },
  {
    id: "T20",
    title: "a query of one second, a transaction of one second",
    phase: "stuck",
    make: async (lab) => {
      leave(lab, "postgres", "brisk report", "select pg_sleep(1)");
    },
    alarms: [
      { check: "long_queries", codes: ["long_running_query"], names: /brisk report/ },
      { check: "long_transactions", codes: ["long_transaction"], names: /brisk report/ },
    ],
    peers: {},
  },
  {
    id: "T21",
    title: "a partition needs no key or policy of its own",
    make: ({ sql }) =>
      runEach(sql, [
        "create table public.diary (id bigint not null, day date not null, primary key (id, day)) partition by range (day)",
        "create table public.diary_2026 partition of public.diary for values from ('2026-01-01') to ('2027-01-01')",
        "alter table public.diary enable row level security",
        "create policy everyone on public.diary for select using (true)",
        "revoke all on public.diary, public.diary_2026 from anon, authenticated",
        "grant select on public.diary to authenticated",
      ]),
    alarms: [
      { check: "primary_keys", codes: ["table_without_primary_key"], names: /diary/ },
      { check: "row_security", codes: ["row_security_off", "row_security_without_policy"], names: /diary/ },
      ...anyIndexAdvice(/diary/),
    ],
    peers: {},
  },
  {
    id: "T22",
    title: "a bulk change of a moment ago, which autovacuum has had no time for",
    make: ({ sql }) =>
      runEach(sql, [
        "create table shop.just_changed (id bigint primary key, value integer)",
        "insert into shop.just_changed select n, 0 from generate_series(1, 100000) as n",
        "vacuum analyze shop.just_changed",
        "update shop.just_changed set value = 1 where id <= 50000",
      ]),
    alarms: [
      { check: "dead_rows", codes: ["dead_rows_pile_up"], names: /shop\.just_changed/ },
      { check: "table_statistics", codes: ["statistics_stale"], names: /shop\.just_changed/ },
    ],
    peers: {
      inspect: { command: "vacuum-stats", prints: /shop\.just_changed[^}]*vacuum"?:\s*"?yes/i, as: "found" },
    },
  },
];

/** All traps but T3 and T7. */
export const traps: readonly Trap[] = [...publishedTraps, ...ownTraps];

/** T6 is a trap for estimates: the bloat is there, so silence is the failure. */
export const mustBeFound: readonly { trap: string; mark: Mark }[] = [
  { trap: "T6", mark: { check: "bloat", codes: ["table_bloated"], names: /shop\.stale/ } },
];

/** Prepares what T7 needs: a table of somebody else with dead rows. */
export async function makeForeignTable({ platform }: Lab): Promise<void> {
  await platform.unsafe("create table storage.others (id bigint primary key)");
  await platform.unsafe("alter table storage.others owner to supabase_storage_admin");
  await platform.unsafe("insert into storage.others select n from generate_series(1, 1000) as n");
  await platform.unsafe("delete from storage.others where id % 2 = 0");
}
