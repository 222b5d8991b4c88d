import type postgres from "postgres";
import { type Fact, type FactsByTopic, type Topic, topics } from "./read-facts.ts";

/** What part of the database the facts speak about; the rest belongs to the application. */
interface Scope {
  roles: string[];
  schemas: string[];
  relations: string[];
  /** Schemas of which the platform owns every object, so one that the facts do not name is a difference. */
  closedSchemas: string[];
}

/**
 * Reads from the catalogs what the facts state, topic by topic and in the facts' spelling.
 *
 * Grants to roles that the facts do not know are left out: they are the application's. Needs no rights but to read
 * the catalogs. Sets the transaction's search_path.
 */
export async function readCatalog(sql: postgres.TransactionSql, facts: FactsByTopic): Promise<FactsByTopic> {
  const names = (topic: Topic) => (facts.get(topic) ?? []).map((fact) => fact.name);
  const scope: Scope = {
    roles: [...names("roles"), "pg_database_owner"],
    schemas: names("schemas"),
    relations: names("platform-relations"),
    closedSchemas: ["cron", "net", "vault"],
  };
  // The facts spell what lives in auth without its schema.
  await sql`set local search_path = auth`;
  const rows: Record<Topic, Fact[]> = {
    roles: await readRoles(sql, scope),
    "role-settings": await readRoleSettings(sql, scope),
    memberships: await readMemberships(sql, scope),
    schemas: await readSchemas(sql, scope),
    "schema-acls": await readSchemaAcls(sql, scope),
    "default-privileges": await readDefaultPrivileges(sql, scope),
    extensions: await readExtensions(sql, names("extensions")),
    publications: await readPublications(sql, names("publications")),
    "auth-enums": await readAuthEnums(sql),
    "auth-tables": await readAuthTables(sql),
    "auth-table-acls": await readAuthTableAcls(sql, scope),
    "auth-columns": await readAuthColumns(sql),
    "auth-indexes": await readAuthIndexes(sql),
    "auth-functions": await readAuthFunctions(sql),
    "auth-function-acls": await readAuthFunctionAcls(sql, scope),
    "platform-relations": await readRelations(sql, scope),
    "platform-relation-acls": await readRelationAcls(sql, scope),
    "platform-columns": await readColumns(sql, scope),
    "platform-functions": await readFunctions(sql, scope),
    "platform-function-acls": await readFunctionAcls(sql, scope),
  };
  return new Map(topics.map((topic) => [topic, rows[topic]]));
}

async function readRoles(sql: postgres.TransactionSql, scope: Scope): Promise<Fact[]> {
  return await sql<Fact[]>`
    select
      rol.rolname::text as name,
      concat_ws(
        ' ',
        case when rol.rolsuper then 'superuser' end,
        case when rol.rolcanlogin then 'login' end,
        case when rol.rolinherit then 'inherit' end,
        case when rol.rolcreaterole then 'createrole' end,
        case when rol.rolcreatedb then 'createdb' end,
        case when rol.rolreplication then 'replication' end,
        case when rol.rolbypassrls then 'bypassrls' end
      ) as value
    from pg_catalog.pg_roles as rol
    where
      rol.rolname = any(${scope.roles})
      and rol.rolname <> 'pg_database_owner'`;
}

async function readRoleSettings(sql: postgres.TransactionSql, scope: Scope): Promise<Fact[]> {
  return await sql<Fact[]>`
    select
      rol.rolname || ' ' || split_part(setting, '=', 1) as name,
      substr(setting, position('=' in setting) + 1) as value
    from pg_catalog.pg_roles as rol
    cross join lateral unnest(rol.rolconfig) as setting
    where rol.rolname = any(${scope.roles})`;
}

async function readMemberships(sql: postgres.TransactionSql, scope: Scope): Promise<Fact[]> {
  return await sql<Fact[]>`
    select
      member.rolname || ' in ' || granted.rolname as name,
      'member' || case when bool_or(mem.admin_option) then ' with admin option' else '' end as value
    from pg_catalog.pg_auth_members as mem
    inner join pg_catalog.pg_roles as member on member.oid = mem.member
    inner join pg_catalog.pg_roles as granted on granted.oid = mem.roleid
    where
      member.rolname = any(${scope.roles})
      and (granted.rolname = any(${scope.roles}) or granted.rolname like 'pg\\_%')
    group by member.rolname, granted.rolname`;
}

async function readSchemas(sql: postgres.TransactionSql, scope: Scope): Promise<Fact[]> {
  return await sql<Fact[]>`
    select
      nsp.nspname::text as name,
      nsp.nspowner::regrole::text as value
    from pg_catalog.pg_namespace as nsp
    where nsp.nspname = any(${scope.schemas})`;
}

async function readSchemaAcls(sql: postgres.TransactionSql, scope: Scope): Promise<Fact[]> {
  return await readAcls(
    sql,
    scope,
    sql`
      select
        nsp.nspname::text as name,
        coalesce(nsp.nspacl, acldefault('n', nsp.nspowner)) as acl
      from pg_catalog.pg_namespace as nsp
      where nsp.nspname = any(${scope.schemas})`,
  );
}

async function readDefaultPrivileges(sql: postgres.TransactionSql, scope: Scope): Promise<Fact[]> {
  return await readAcls(
    sql,
    scope,
    sql`
      select
        concat(
          rol.rolname,
          ' in ',
          coalesce(nsp.nspname::text, 'every schema'),
          ': ',
          case def.defaclobjtype
            when 'r' then 'tables'
            when 'S' then 'sequences'
            when 'f' then 'functions'
            when 'T' then 'types'
            when 'n' then 'schemas'
          end,
          ' to'
        ) as name,
        def.defaclacl as acl
      from pg_catalog.pg_default_acl as def
      inner join pg_catalog.pg_roles as rol on rol.oid = def.defaclrole
      left join pg_catalog.pg_namespace as nsp on nsp.oid = def.defaclnamespace
      where
        rol.rolname = any(${scope.roles})
        and (nsp.oid is null or nsp.nspname = any(${scope.schemas}))`,
  );
}

async function readExtensions(sql: postgres.TransactionSql, extensions: string[]): Promise<Fact[]> {
  return await sql<Fact[]>`
    select
      ext.extname::text as name,
      ext.extnamespace::regnamespace::text as value
    from pg_catalog.pg_extension as ext
    where ext.extname = any(${extensions})`;
}

async function readPublications(sql: postgres.TransactionSql, publications: string[]): Promise<Fact[]> {
  return await sql<Fact[]>`
    select
      pub.pubname::text as name,
      concat(
        'owner ',
        pub.pubowner::regrole,
        case when pub.puballtables then ', all tables' end
      ) as value
    from pg_catalog.pg_publication as pub
    where pub.pubname = any(${publications})`;
}

async function readAuthEnums(sql: postgres.TransactionSql): Promise<Fact[]> {
  return await sql<Fact[]>`
    select
      typ.typname::text as name,
      string_agg(lab.enumlabel::text, ', ' order by lab.enumsortorder) as value
    from pg_catalog.pg_type as typ
    inner join pg_catalog.pg_enum as lab on lab.enumtypid = typ.oid
    where typ.typnamespace = 'auth'::regnamespace
    group by typ.typname`;
}

async function readAuthTables(sql: postgres.TransactionSql): Promise<Fact[]> {
  return await sql<Fact[]>`
    select
      rel.relname::text as name,
      concat(
        'owner ',
        rel.relowner::regrole,
        ', row level security ',
        case when rel.relrowsecurity then 'on' else 'off' end
      ) as value
    from pg_catalog.pg_class as rel
    where
      rel.relnamespace = 'auth'::regnamespace
      and rel.relkind in ('r', 'p', 'v', 'm', 'f')`;
}

async function readAuthTableAcls(sql: postgres.TransactionSql, scope: Scope): Promise<Fact[]> {
  return await readAcls(
    sql,
    scope,
    sql`
      select
        rel.relname::text as name,
        coalesce(rel.relacl, acldefault('r', rel.relowner)) as acl
      from pg_catalog.pg_class as rel
      where
        rel.relnamespace = 'auth'::regnamespace
        and rel.relkind in ('r', 'p', 'v', 'm', 'f')`,
  );
}

async function readAuthColumns(sql: postgres.TransactionSql): Promise<Fact[]> {
  return await sql<Fact[]>`
    select
      rel.relname || '.' || att.attname as name,
      concat(
        att.attnum,
        ': ',
        format_type(att.atttypid, att.atttypmod),
        case when att.attnotnull then ' not null' end,
        case when att.attgenerated = 's' then ' generated always as ' when def.oid is not null then ' default ' end,
        pg_get_expr(def.adbin, def.adrelid),
        case when att.attgenerated = 's' then ' stored' end
      ) as value
    from pg_catalog.pg_class as rel
    inner join pg_catalog.pg_attribute as att on att.attrelid = rel.oid
    left join pg_catalog.pg_attrdef as def on def.adrelid = rel.oid and def.adnum = att.attnum
    where
      rel.relnamespace = 'auth'::regnamespace
      and rel.relkind in ('r', 'p', 'v', 'm', 'f')
      and att.attnum > 0
      and not att.attisdropped`;
}

async function readAuthIndexes(sql: postgres.TransactionSql): Promise<Fact[]> {
  return await sql<Fact[]>`
    select
      rel.relname::text as name,
      pg_get_indexdef(rel.oid) as value
    from pg_catalog.pg_class as rel
    where
      rel.relnamespace = 'auth'::regnamespace
      and rel.relkind in ('i', 'I')`;
}

async function readAuthFunctions(sql: postgres.TransactionSql): Promise<Fact[]> {
  return await sql<Fact[]>`
    select
      concat(pro.proname, '(', oidvectortypes(pro.proargtypes), ')') as name,
      concat(
        'returns ',
        pg_get_function_result(pro.oid),
        ', ',
        case pro.provolatile when 's' then 'stable' when 'i' then 'immutable' else 'volatile' end,
        ', security ',
        case when pro.prosecdef then 'definer' else 'invoker' end,
        ', owner ',
        pro.proowner::regrole
      ) as value
    from pg_catalog.pg_proc as pro
    where pro.pronamespace = 'auth'::regnamespace`;
}

async function readAuthFunctionAcls(sql: postgres.TransactionSql, scope: Scope): Promise<Fact[]> {
  return await readAcls(
    sql,
    scope,
    sql`
      select
        concat(pro.proname, '(', oidvectortypes(pro.proargtypes), ')') as name,
        coalesce(pro.proacl, acldefault('f', pro.proowner)) as acl
      from pg_catalog.pg_proc as pro
      where pro.pronamespace = 'auth'::regnamespace`,
  );
}

async function readRelations(sql: postgres.TransactionSql, scope: Scope): Promise<Fact[]> {
  return await sql<Fact[]>`
    select
      nsp.nspname || '.' || rel.relname as name,
      concat(
        case rel.relpersistence when 'u' then 'unlogged ' end,
        case rel.relkind
          when 'r' then 'table'
          when 'p' then 'partitioned table'
          when 'v' then 'view'
          when 'm' then 'materialized view'
          when 'f' then 'foreign table'
        end,
        ', owner ',
        rel.relowner::regrole,
        ', row level security ',
        case when rel.relrowsecurity then 'on' else 'off' end
      ) as value
    from pg_catalog.pg_class as rel
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
    where ${isPlatformRelation(sql, scope)}`;
}

async function readRelationAcls(sql: postgres.TransactionSql, scope: Scope): Promise<Fact[]> {
  return await readAcls(
    sql,
    scope,
    sql`
      select
        nsp.nspname || '.' || rel.relname as name,
        coalesce(rel.relacl, acldefault('r', rel.relowner)) as acl
      from pg_catalog.pg_class as rel
      inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
      where ${isPlatformRelation(sql, scope)}`,
  );
}

async function readColumns(sql: postgres.TransactionSql, scope: Scope): Promise<Fact[]> {
  return await sql<Fact[]>`
    select
      concat(nsp.nspname, '.', rel.relname, '.', att.attname) as name,
      format_type(att.atttypid, att.atttypmod) as value
    from pg_catalog.pg_class as rel
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
    inner join pg_catalog.pg_attribute as att on att.attrelid = rel.oid
    where
      ${isPlatformRelation(sql, scope)}
      and att.attnum > 0
      and not att.attisdropped`;
}

async function readFunctions(sql: postgres.TransactionSql, scope: Scope): Promise<Fact[]> {
  return await sql<Fact[]>`
    select
      concat(nsp.nspname, '.', pro.proname, '(', oidvectortypes(pro.proargtypes), ')') as name,
      concat(
        '(',
        pg_get_function_arguments(pro.oid),
        ') returns ',
        pg_get_function_result(pro.oid),
        ', security ',
        case when pro.prosecdef then 'definer' else 'invoker' end,
        ', owner ',
        pro.proowner::regrole
      ) as value
    from pg_catalog.pg_proc as pro
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = pro.pronamespace
    where nsp.nspname = any(${scope.closedSchemas})`;
}

async function readFunctionAcls(sql: postgres.TransactionSql, scope: Scope): Promise<Fact[]> {
  return await readAcls(
    sql,
    scope,
    sql`
      select
        concat(nsp.nspname, '.', pro.proname, '(', oidvectortypes(pro.proargtypes), ')') as name,
        coalesce(pro.proacl, acldefault('f', pro.proowner)) as acl
      from pg_catalog.pg_proc as pro
      inner join pg_catalog.pg_namespace as nsp on nsp.oid = pro.pronamespace
      where nsp.nspname = any(${scope.closedSchemas})`,
  );
}

function isPlatformRelation(sql: postgres.TransactionSql, scope: Scope) {
  return sql`
    rel.relkind in ('r', 'p', 'v', 'm', 'f')
    and (
      nsp.nspname = any(${scope.closedSchemas})
      or nsp.nspname || '.' || rel.relname = any(${scope.relations})
    )`;
}

/** Turns rows of name and acl into one row for each object and grantee: its privileges and who granted them. */
async function readAcls(
  sql: postgres.TransactionSql,
  scope: Scope,
  objects: postgres.PendingQuery<postgres.Row[]>,
) {
  return await sql<Fact[]>`
    select
      concat(object.name, ' ', coalesce(nullif(item.grantee, ''), 'PUBLIC')) as name,
      string_agg(item.privileges, ' ' order by item.privileges collate "C") as value
    from (${objects}) as object
    cross join lateral unnest(object.acl) as entry
    cross join lateral (
      select
        split_part(entry::text, '=', 1) as grantee,
        split_part(entry::text, '=', 2) as privileges
    ) as item
    where item.grantee = '' or item.grantee = any(${scope.roles})
    group by object.name, item.grantee`;
}
