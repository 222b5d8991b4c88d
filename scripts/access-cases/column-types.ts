import type { Json } from "./quote.ts";

/** One value of a column. */
export interface Value {
  /** As SQL writes it, without a cast. */
  readonly sql: string;
  /** As a caller of the Data API sends it. */
  readonly json: Json;
}

/** What columns of one type look like in the cases. */
export interface ColumnType {
  readonly sql: string;
  /** Names for a column of this type: plain ones, reserved words, ugly ones, and words that the explainer itself may use. */
  readonly names: readonly string[];
  readonly values: readonly Value[];
  /** Conditions over the column `€`. */
  readonly conditions: readonly string[];
  /** Conditions that raise for some of the values. */
  readonly risky: readonly string[];
}

/** People of the demo whom the values name, so that policies have somebody to let in. */
export const people = {
  student: { email: "ok@demo.example", id: "10000000-0000-4000-8000-000000000010" },
  admin: { email: "admin@demo.example", id: "10000000-0000-4000-8000-000000000001" },
  teacher: { email: "viewer@demo.example", id: "10000000-0000-4000-8000-000000000003" },
} as const;

const nothing: Value = { sql: "null", json: null };

function texts(...list: string[]): Value[] {
  return list.map((text) => ({ sql: `'${text.replaceAll("'", "''")}'`, json: text }));
}

function numbers(...list: number[]): Value[] {
  return list.map((number) => ({ sql: String(number), json: number }));
}

/** The type of a table's own key. */
export const keyTypes: readonly { readonly sql: string; readonly values: readonly Value[] }[] = [
  { sql: "integer", values: numbers(1, 2, 3, 4, 5, 6, 7, 8, 9) },
  {
    sql: "uuid",
    values: texts(...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => `abcdef00-0000-4000-8000-00000000000${n}`)),
  },
  { sql: "text", values: texts("one", "two", "thr'ee", 'fo"ur', "fi\\ve", "Six", "séven", "eight ", "n") },
  {
    sql: "bigint",
    values: texts("9007199254740993", "9007199254740995", "1", "2", "3", "-4", "5", "6", "7"),
  },
];

/** The type of the column that says whom a row belongs to. */
export const personType: ColumnType = {
  sql: "uuid",
  names: ["owner_id", "user_id", "Author", "created by"],
  values: [
    ...texts(people.student.id, people.student.id, people.admin.id, people.teacher.id),
    ...texts("20000000-0000-4000-8000-000000000099"),
    nothing,
  ],
  conditions: [
    "€ = auth.uid()",
    "€ = (select auth.uid())",
    "auth.uid() = €",
    "(select auth.uid() as uid) = €",
    "€ is null",
    "€ is not null",
    "€ is distinct from auth.uid()",
    "€::text = auth.jwt() ->> 'sub'",
    "€ = any (array[auth.uid()])",
    "auth.uid() is not null and € = auth.uid()",
    `€ = '${people.student.id}'`,
  ],
  risky: ["€ = (auth.jwt() ->> 'email')::uuid"],
};

/** The types of a table's other columns; enum and domain are made in each world, in the schema `%`. */
export const columnTypes: readonly ColumnType[] = [
  {
    sql: "integer",
    names: ["n", "level", "order", "key", 'wei"rd', "r"],
    values: [...numbers(0, 1, 2, 5, -3), nothing],
    conditions: [
      "€ > 1",
      "€ = 2",
      "€ in (1, 2, 5)",
      "€ not in (1, null)",
      "€ is null",
      "€ between 0 and 2",
      "€ % 2 = 0",
      "coalesce(€, 0) < 3",
      "case when € > 1 then true when € < 0 then null else false end",
    ],
    risky: ["10 / € > 3", "sqrt(€) < 2"],
  },
  {
    sql: "text",
    names: ["name", "title", "user", "role", "Naam van de les", "we'ird", "claims"],
    values: [...texts("alpha", "a", "7", "", 'it\'s "odd" \\', "red", "authenticated"), nothing],
    conditions: [
      "€ = 'alpha'",
      "€ like 'a%'",
      "€ <> ''",
      "€ ~ '^[a-z]+$'",
      "€ is distinct from 'alpha'",
      "length(€) > 3",
      "€ = auth.jwt() ->> 'team'",
      "€ = auth.role()",
      "€ = current_user",
      "€ = any (string_to_array('a,red,7', ','))",
      "€ is not null",
      '€ = $q$it\'s "odd" \\$q$',
    ],
    risky: ["€::integer > 3", "(€ || '-01-01')::date < now()"],
  },
  {
    sql: "boolean",
    names: ["published", "flag", "rows", "select"],
    values: [
      { sql: "true", json: true },
      { sql: "false", json: false },
      { sql: "true", json: true },
      nothing,
    ],
    conditions: ["€", "not €", "€ is true", "€ is not false", "€ is null", "coalesce(€, true)"],
    risky: [],
  },
  {
    sql: "numeric",
    names: ["price", "amount"],
    values: [...numbers(0, 10.5, 99.99), ...texts("12345678901234567890.123456789", "NaN"), nothing],
    conditions: ["€ >= 10.5", "€ * 2 < 100", "€ = 12345678901234567890.123456789", "€ <> 'NaN'"],
    risky: ["1 / € < 1"],
  },
  {
    sql: "numeric(6, 1)",
    names: ["score"],
    values: [...numbers(1.25, 9.95, 0), nothing],
    conditions: ["€ = 1.3", "€ > 9.9", "€ <= 9.95"],
    risky: [],
  },
  {
    sql: "timestamptz",
    names: ["starts_at", "at", "time"],
    values: [...texts("2020-01-01T00:00:00.123456+00:00", "2099-12-31T23:59:59Z", "infinity"), nothing],
    conditions: [
      "€ < now()",
      "€ > '2021-06-01 12:00+02'",
      "€ = '2020-01-01 00:00:00.123456+00'",
      "€ - interval '1 day' < current_timestamp",
      "extract(year from €) = 2020",
    ],
    risky: [],
  },
  {
    sql: "text[]",
    names: ["tags", "labels"],
    values: [
      { sql: "'{}'", json: [] },
      { sql: `'{a,"b c"}'`, json: ["a", "b c"] },
      { sql: "'{a,null}'", json: ["a", null] },
      nothing,
    ],
    conditions: ["'a' = any (€)", "€ @> array['b c']", "cardinality(€) > 1", "€[1] = 'a'", "€ = '{}'"],
    risky: [],
  },
  {
    sql: "jsonb",
    names: ["data", "params", "settings"],
    values: [
      { sql: `'{"k": "v", "n": "12"}'`, json: { k: "v", n: "12" } },
      { sql: `'{"k": "w", "n": "oops"}'`, json: { k: "w", n: "oops" } },
      { sql: "'[1, 2]'", json: [1, 2] },
      { sql: "'null'", json: null },
      { sql: "null", json: null },
    ],
    conditions: [
      "€ ->> 'k' = 'v'",
      `€ @> '{"k": "v"}'`,
      "€ ? 'k'",
      "jsonb_typeof(€) = 'array'",
      "€ -> 'k' is null",
      "€ is null",
      "€ = 'null'",
      "€ ->> 'k' = auth.jwt() -> 'app_metadata' ->> 'provider'",
    ],
    risky: ["(€ ->> 'n')::integer > 3"],
  },
  {
    sql: "%.mood",
    names: ["mood", "Mood"],
    values: [...texts("sad", 'so-so "q"', "happy"), nothing],
    conditions: ["€ = 'happy'", "€ > 'sad'", "€::text like 'h%'", "€ in ('sad', 'happy')"],
    risky: [],
  },
  {
    sql: "%.tag",
    names: ["tag"],
    values: [...texts("ok", "fine"), nothing],
    conditions: ["€ = 'ok'", "€ like '%n%'", "€ is null"],
    risky: [],
  },
  {
    sql: "bytea",
    names: ["content"],
    values: [...texts("\\x00ff", "\\x"), nothing],
    conditions: ["length(€) > 1", "€ = '\\x00ff'"],
    risky: [],
  },
  {
    sql: "char(6)",
    names: ["code"],
    values: [...texts("ab", "abcdef"), nothing],
    conditions: ["€ = 'ab'", "length(€) = 2", "€ like 'ab%'", "€::text = 'ab'"],
    risky: [],
  },
  {
    sql: "date",
    names: ["day", "day off"],
    values: [...texts("2020-02-29", "2098-01-01"), nothing],
    conditions: ["€ < current_date", "€ = '2020-02-29'"],
    risky: [],
  },
  {
    sql: "int4range",
    names: ["range"],
    values: [...texts("[1,5)", "empty", "(,3)"), nothing],
    conditions: ["€ @> 2", "not isempty(€)"],
    risky: [],
  },
  {
    sql: "%.pair",
    names: ["pair"],
    values: [{ sql: `'(1,"x y")'`, json: { a: 1, b: "x y" } }, nothing],
    conditions: ["(€).a = 1", "(€).b = 'x y'", "€ is not null"],
    risky: [],
  },
];
