import type { ColumnType } from "./column-types.ts";
import { people } from "./column-types.ts";
import { quoteName } from "./quote.ts";
import type { Random } from "./random.ts";

/** A column that an expression may name. */
export interface ScopeColumn {
  readonly name: string;
  readonly type: ColumnType;
}

/** A function that an expression may call: its call over the columns, written for this scope. */
export interface ScopeFunction {
  /** With `€` where the argument of type `takes` goes. */
  readonly call: string;
  readonly takes: "integer" | "text" | "uuid" | "row" | "nothing";
  /** Calls of it may raise. */
  readonly risky: boolean;
}

/** Another table that an expression may read. */
export interface ScopeTable {
  /** Quoted and with its schema. */
  readonly name: string;
  /** Its use may raise: no grant, or its own policies read this table. */
  readonly risky: boolean;
  /** It is the policy's own table, so only what every table has may be named. */
  readonly isSelf: boolean;
}

/** What an expression may be made of. */
export interface Scope {
  /** Unquoted name of the policy's own table. */
  readonly table: string;
  readonly key: { readonly name: string; readonly sql: string };
  readonly columns: readonly ScopeColumn[];
  readonly functions: readonly ScopeFunction[];
  readonly tables: readonly ScopeTable[];
  /** The schema of the world's types, quoted. */
  readonly types: string;
  /** How many of the conditions may raise. */
  readonly risk: number;
}

const aboutTheCaller = [
  "auth.uid() is not null",
  "(select auth.uid()) is not null",
  "auth.role() = 'authenticated'",
  "(select auth.role()) in ('anon', 'authenticated')",
  "(auth.jwt() ->> 'aal') = 'aal2'",
  "auth.jwt() ->> 'team' = 'red'",
  "auth.jwt() -> 'app_metadata' ->> 'provider' = 'email'",
  "coalesce((auth.jwt() ->> 'is_anonymous')::boolean, false) is false",
  "auth.email() like '%@demo.example'",
  "(select auth.jwt() ->> 'email') = 'ok@demo.example'",
  "current_user = 'authenticated'",
  "current_role <> 'anon'",
  `auth.uid() = '${people.student.id}'`,
  "current_setting('request.jwt.claims', true)::jsonb ->> 'role' = 'authenticated'",
  "nullif(current_setting('app.unknown', true), '') is null",
  "pg_has_role(current_user, 'authenticated', 'usage')",
  "has_table_privilege('auth.users', 'select')",
] as const;

const riskyAboutTheCaller = [
  "(auth.jwt() ->> 'team')::integer > 1",
  "exists (select from auth.users as u where u.id = auth.uid())",
  "auth.uid() in (select p.id from public.profiles as p)",
  "(select u.email from auth.users as u where u.id = auth.uid()) is not null",
] as const;

/** Makes a condition at random: leaves of every kind, under `and`, `or`, `not` and their like. */
export function makeExpression(random: Random, scope: Scope, depth = random.integer(0, 3)): string {
  if (depth <= 0) return makeLeaf(random, scope);
  const inner = (): string => makeExpression(random, scope, depth - 1 - random.integer(0, 1));
  return random.weighted<() => string>([
    [5, () => `(${inner()}) and (${inner()})`],
    [6, () => `(${inner()}) or (${inner()})`],
    [2, () => `not (${inner()})`],
    [1, () => `coalesce((${inner()}), ${random.pick(["true", "false"])})`],
    [1, () => `(${inner()}) is ${random.pick(["true", "not true", "not false", "not null", "unknown"])}`],
    [1, () => `case when ${inner()} then ${inner()} else ${inner()} end`],
    [1, () => `(${inner()}) = (${inner()})`],
    [1, () => `(${inner()}) and (${inner()}) and (${inner()})`],
  ])();
}

function makeLeaf(random: Random, scope: Scope): string {
  return random.weighted<() => string>([
    [16, () => aboutColumn(random, scope)],
    [4, () => random.pick(random.chance(scope.risk) ? riskyAboutTheCaller : aboutTheCaller)],
    [4, () => aboutTable(random, scope)],
    [4, () => aboutFunction(random, scope)],
    [1, () => random.pick(["true", "false", "null", "1 = 1", "null::boolean"])],
    [1, () => aboutRow(random, scope)],
  ])();
}

function aboutColumn(random: Random, scope: Scope): string {
  const column = random.pick(scope.columns);
  const { risky, conditions } = column.type;
  const condition = random.pick(risky.length > 0 && random.chance(scope.risk) ? risky : conditions);
  return condition.replaceAll("€", quoteName(column.name)).replaceAll("%.", `${scope.types}.`);
}

/** Over the row as a whole, or over what only a stored row has. */
function aboutRow(random: Random, scope: Scope): string {
  const table = quoteName(scope.table);
  return random.pick([
    `${table} is not null`,
    `${table}.* is null`,
    `to_jsonb(${table}) ->> 'n' is null`,
    `row(${table}.*)::text like '%alpha%'`,
    `(select count(*) from jsonb_object_keys(to_jsonb(${table}))) > 1`,
    `${table}.tableoid = (select c.oid from pg_catalog.pg_class as c where c.relname = '${scope.table.replaceAll("'", "''")}' and c.oid = ${table}.tableoid)`,
  ]);
}

function aboutFunction(random: Random, scope: Scope): string {
  const risky = random.chance(scope.risk);
  const possible = scope.functions.filter(
    (candidate) => (risky || !candidate.risky) && argumentsFor(scope, candidate).length > 0,
  );
  if (possible.length === 0) return aboutColumn(random, scope);
  const chosen = random.pick(possible);
  const call = chosen.call.replaceAll("€", random.pick(argumentsFor(scope, chosen)));
  return random.chance(0.2) ? `(select ${call})` : call;
}

function argumentsFor(scope: Scope, { takes }: ScopeFunction): string[] {
  if (takes === "nothing") return [""];
  if (takes === "row") return [quoteName(scope.table)];
  return scope.columns.filter(({ type }) => type.sql === takes).map(({ name }) => quoteName(name));
}

function aboutTable(random: Random, scope: Scope): string {
  const risky = random.chance(scope.risk);
  const possible = scope.tables.filter((table) => risky || !table.risky);
  if (possible.length === 0) return aboutColumn(random, scope);
  const { name, isSelf } = random.pick(possible);
  if (isSelf) return random.pick([`exists (select from ${name})`, `(select count(*) from ${name} as s) > 1`]);
  const key = `${quoteName(scope.table)}.${quoteName(scope.key.name)}::text`;
  return random.pick([
    `exists (select 1 from ${name} as s where s.ref = ${key})`,
    `exists (select 1 from ${name} as s where s.ref = ${key} and s.who = auth.uid())`,
    `exists (select from ${name} where who = (select auth.uid()))`,
    `not exists (select 1 from ${name} as s where s.ref = ${key} and s.k > 1)`,
    `${key} in (select s.ref from ${name} as s)`,
    `${key} not in (select s.ref from ${name} as s where s.k < 3)`,
    `auth.uid() in (select s.who from ${name} as s where s.label = 'red')`,
    `(select count(*) from ${name}) > 2`,
    `(select max(s.k) from ${name} as s where s.ref = ${key}) >= 2`,
    ...(risky ? [`(select s.k from ${name} as s where s.who = auth.uid()) > 0`] : []),
  ]);
}
