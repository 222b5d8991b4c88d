import type postgres from "postgres";

/** Names of roles, schemas and tables that cases made and that are still there. */
export async function leftBehind(sql: postgres.Sql): Promise<string[]> {
  const found = await sql<{ name: string }[]>`
    select rolname::text as name from pg_catalog.pg_roles where rolname ilike 'case%'
    union all
    select nspname::text from pg_catalog.pg_namespace where nspname ilike 'case%'
    union all
    select relname::text from pg_catalog.pg_class where relname ilike 'case\\_%'`;
  return found.map(({ name }) => name);
}
