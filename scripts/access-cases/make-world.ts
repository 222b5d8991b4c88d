import type { Scope, ScopeTable } from "./expressions.ts";
import { makeFunctions, makeRowFunction } from "./functions.ts";
import { makePolicies } from "./policies.ts";
import { makeQuestions } from "./questions.ts";
import { quoteName } from "./quote.ts";
import { createRandom, type Random } from "./random.ts";
import { makeRoles, type Roles } from "./roles.ts";
import { makeReadTable, makeTable, relationName } from "./tables.ts";
import type { Subject, World } from "./world.ts";

/** Makes the world of a seed. `version` is the server's major version. */
export function makeWorld(seed: number, version: number): World {
  const random = createRandom(seed);
  const roles = makeRoles(random, version);
  const home = random.chance(0.7) ? "public" : random.pick(["case_school", 'Case "Schema"']);
  const inner = random.pick(["case_private", "case's private"]);
  const types = quoteName(inner);
  const risk = random.weighted([
    [6, 0],
    [3, 0.15],
    [2, 0.5],
  ]);
  const { subject: table, keyType, statements: tableStatements } = makeTable(random, home, types);
  const name = relationName(table);
  const read = `${types}."read by policies"`;
  const second = `${quoteName(home)}.case_second`;
  const isReadable = random.chance(0.9);
  const functions = makeFunctions(random, types, read, isReadable);
  const overRow = makeRowFunction(random, types, name);
  const refersBack = random.chance(0.05);
  const readTables: ScopeTable[] = [
    { name: read, risky: !isReadable, isSelf: false },
    { name: second, risky: refersBack, isSelf: false },
    ...(risk > 0 ? [{ name, risky: true, isSelf: true }] : []),
  ];
  const scope: Scope = {
    table: table.name,
    key: { name: table.key.name, sql: keyType },
    columns: table.columns,
    functions: [...functions, overRow].map(({ use }) => use),
    tables: readTables,
    types,
    risk,
  };
  const isView = random.chance(0.05);
  const view: Subject = {
    ...table,
    name: `${table.name} seen`,
    kind: "view",
    key: { ...table.key, further: [] },
  };
  // A partition asked for by its own name has policies of its own: none.
  const isPartition = table.kind === "partitioned" && random.chance(0.25);
  const subject = isView ? view : isPartition ? { ...table, name: `${table.name}_0` } : table;
  return {
    seed,
    statements: [
      ...roles.statements,
      ...(home === "public" ? [] : [`create schema ${quoteName(home)}`]),
      `create schema ${types}`,
      `create type ${types}.mood as enum ('sad', 'so-so "q"', 'happy')`,
      `create domain ${types}.tag as text check (value <> '')`,
      `create type ${types}.pair as (a integer, b text)`,
      ...tableStatements,
      ...makeReadTable(random, read, table.key.values),
      ...makeReadTable(random, second, table.key.values),
      ...[...functions, overRow].flatMap(({ statements }) => statements),
      ...readPolicies(random, read, undefined),
      ...readPolicies(random, second, refersBack ? name : undefined),
      ...(isReadable ? [`grant select on ${read} to anon, authenticated, case_own`] : []),
      `grant select on ${second} to public`,
      ...rowSecurity(random, name),
      ...makePolicies(random, name, scope, roles.targets),
      ...makeTrigger(random, types, table),
      ...(isView ? makeView(random, view, name) : []),
      ...grants(random, subject, home, roles),
      ...((isView || isPartition) && random.chance(0.7)
        ? [`grant all on ${name} to anon, authenticated`]
        : []),
      // Last, since it ends postgres's own right to the rest.
      ...owner(random, name, home, roles),
    ],
    subject,
    questions: makeQuestions(random, subject, roles),
  };
}

function rowSecurity(random: Random, table: string): string[] {
  const on = `alter table ${table} enable row level security`;
  const forced = `alter table ${table} force row level security`;
  return random.weighted([
    [1, []],
    [6, [on]],
    [2, [on, forced]],
    [0.3, [forced]],
  ]);
}

/** Policies of a table that other policies read. `back` is the table that they read in turn: an endless recursion. */
function readPolicies(random: Random, table: string, back: string | undefined): string[] {
  if (back === undefined && random.chance(0.4)) return [];
  const condition =
    back === undefined
      ? random.pick(["true", "who = auth.uid()", "k > 1", "label = 'red'", "auth.uid() is not null", "false"])
      : `exists (select from ${back})`;
  return [
    `alter table ${table} enable row level security`,
    `create policy "for reading" on ${table} for select to ${random.pick(["public", "authenticated"])} using (${condition})`,
  ];
}

/** What an application does to a row before its policies see it. */
function makeTrigger(random: Random, types: string, table: Subject): string[] {
  if (!random.chance(0.1)) return [];
  const person = table.columns.find(({ type }) => type.sql === "uuid");
  const number = table.columns.find(({ type }) => type.sql === "integer");
  // None throws a row away: that is no question of access.
  const name = relationName(table);
  const changes = [
    ...(person === undefined ? [] : [`${quoteName(person.name)} := auth.uid();`]),
    ...(number === undefined ? [] : [`${quoteName(number.name)} := 2;`]),
  ];
  const deed = random.pick([
    ...changes.map((change) => `new.${change} return new;`),
    "raise debug 'seen'; return new;",
    ...(changes.length === 0 ? [] : [`return ${types}.changed(new);`]),
  ]);
  return [
    `create function ${types}.changed(line ${name}) returns ${name} language plpgsql as $f$ begin ${changes.map((change) => `line.${change}`).join(" ")} return line; end $f$`,
    `create function ${types}.before_writing() returns trigger language plpgsql as $f$ begin ${deed} end $f$`,
    `create trigger before_writing before ${random.pick(["insert", "update", "insert or update"])} on ${relationName(table)} for each row execute function ${types}.before_writing()`,
  ];
}

function makeView(random: Random, view: Subject, table: string): string[] {
  const option = random.pick([
    "",
    " with (security_invoker = true)",
    " with (security_invoker = true)",
    " with (security_barrier = true)",
  ]);
  const columns = [view.key.name, ...view.columns.map(({ name }) => name)].map(quoteName);
  return [`create view ${relationName(view)}${option} as select ${columns.join(", ")} from ${table}`];
}

function grants(random: Random, subject: Subject, home: string, roles: Roles): string[] {
  const relation = relationName(subject);
  const usage =
    home === "public"
      ? []
      : random.weighted([
          [14, [`grant usage on schema ${quoteName(home)} to anon, authenticated, service_role, case_own`]],
          [1, []],
          [1, [`grant usage on schema ${quoteName(home)} to ${granteeName(random, roles)}`]],
        ]);
  // What new tables get by themselves differs between projects.
  const none = `revoke all on ${relation} from anon, authenticated, service_role`;
  const columns = [subject.key.name, ...subject.key.further, ...subject.columns.map(({ name }) => name)];
  const columnList = (share: number): string => {
    const some = random.some(columns, share);
    return (some.length === 0 ? columns.slice(0, 1) : some).map(quoteName).join(", ");
  };
  const some = random.weighted<() => string[]>([
    [24, () => [`grant all on ${relation} to anon, authenticated, service_role, case_own`]],
    [2, () => [`grant select, insert, update, delete on ${relation} to ${granteeName(random, roles)}`]],
    [2, () => [`grant select on ${relation} to anon, authenticated, case_own`]],
    [
      3,
      () => [
        `grant select (${columnList(0.7)}) on ${relation} to anon, authenticated, case_own`,
        `grant update (${columnList(0.6)}), insert (${columnList(0.8)}) on ${relation} to authenticated`,
        ...(random.chance(0.5) ? [`grant delete on ${relation} to authenticated`] : []),
      ],
    ],
    [1, () => [`grant insert, update, delete on ${relation} to anon, authenticated`]],
    [0.5, () => []],
  ])();
  return [...usage, none, ...some];
}

function granteeName(random: Random, roles: Roles): string {
  const chosen = random.pick(roles.grantees);
  return chosen === null ? "public" : quoteName(chosen);
}

function owner(random: Random, table: string, home: string, roles: Roles): string[] {
  if (random.chance(0.75)) return [];
  const chosen = quoteName(random.pick(roles.owners));
  return [
    `grant create on schema ${quoteName(home)} to ${chosen}`,
    `alter table ${table} owner to ${chosen}`,
    `revoke create on schema ${quoteName(home)} from ${chosen}`,
  ];
}
