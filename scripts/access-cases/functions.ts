import type { ScopeFunction } from "./expressions.ts";
import type { Random } from "./random.ts";

/** A function that policies may call, with the statements that make it. */
export interface MadeFunction {
  readonly statements: readonly string[];
  readonly use: ScopeFunction;
}

/**
 * Makes the functions of a world.
 * @param schema quoted, where they live.
 * @param read quoted name of a table that some of them read.
 * @param isReadable whether the API's roles may read that table.
 */
export function makeFunctions(
  random: Random,
  schema: string,
  read: string,
  isReadable: boolean,
): MadeFunction[] {
  const definer = random.chance(0.5);
  const security = definer ? "security definer" : "security invoker";
  const language = random.pick(["sql", "plpgsql"]);
  const volatility = random.pick(["stable", "volatile"]);
  const body = (expression: string): string =>
    language === "sql" ? `$f$ select ${expression} $f$` : `$f$ begin return (select ${expression}); end $f$`;
  const path = random.chance(0.5) ? " set search_path = ''" : "";
  return [
    {
      statements: [
        `create function ${schema}.reads(n integer) returns boolean language ${language} ${volatility} ${security}${path} as ${body(`exists (select 1 from ${read} as x where x.k = n)`)}`,
      ],
      use: { call: `${schema}.reads(€)`, takes: "integer", risky: !definer && !isReadable },
    },
    {
      statements: [
        `create function ${schema}.is_me(person uuid) returns boolean language ${language} ${volatility} ${random.pick(["security definer", "security invoker"])} as ${body("person = auth.uid()")}`,
      ],
      use: { call: `${schema}.is_me(€)`, takes: "uuid", risky: false },
    },
    {
      statements: [
        `create function ${schema}.runs_as() returns text language sql stable ${security} as $f$ select current_user::text $f$`,
      ],
      use: {
        call: `${schema}.runs_as() = '${random.pick(["postgres", "authenticated"])}'`,
        takes: "nothing",
        risky: false,
      },
    },
    {
      statements: [
        `create function ${schema}.picky(n integer) returns boolean language plpgsql ${random.pick(["immutable", "stable", "volatile"])} as $f$ begin if n = 5 then raise exception 'five is too much'; end if; return n > 0; end $f$`,
      ],
      use: { call: `${schema}.picky(€)`, takes: "integer", risky: true },
    },
    {
      statements: [
        `create function ${schema}.closed(n integer) returns boolean language ${language} stable as ${body("n > 0")}`,
        `revoke execute on function ${schema}.closed(integer) from public, anon, authenticated, service_role`,
      ],
      use: { call: `${schema}.closed(€)`, takes: "integer", risky: true },
    },
    {
      statements: [
        `create function ${schema}.claims_team() returns text language sql stable as $f$ select current_setting('request.jwt.claims', true)::jsonb ->> 'team' $f$`,
      ],
      use: { call: `${schema}.claims_team() = €`, takes: "text", risky: false },
    },
    {
      // Strict, so null goes in and null comes out; and with a default that no call names.
      statements: [
        `create function ${schema}.longer(word text, than integer default 2) returns boolean language sql immutable strict parallel safe as $f$ select length(word) > than $f$`,
      ],
      use: { call: `${schema}.longer(€)`, takes: "text", risky: false },
    },
    {
      // Finds its table through the API's search path alone.
      statements: [
        `create function ${schema}.unqualified() returns boolean language plpgsql stable security definer as $f$ begin return exists (select from profiles where id = auth.uid() and role = 'admin'); end $f$`,
      ],
      use: { call: `${schema}.unqualified()`, takes: "nothing", risky: false },
    },
  ];
}

/** A function over the whole row of a table, made after the table. `table` is quoted and has its schema. */
export function makeRowFunction(random: Random, schema: string, table: string): MadeFunction {
  const language = random.pick(["sql", "plpgsql"]);
  const body =
    language === "sql"
      ? "$f$ select length(line::text) % 2 = 0 $f$"
      : "$f$ begin return length(line::text) % 2 = 0; end $f$";
  return {
    statements: [
      `create function ${schema}.over_row(line ${table}) returns boolean language ${language} stable as ${body}`,
    ],
    use: { call: `${schema}.over_row(€)`, takes: "row", risky: false },
  };
}
