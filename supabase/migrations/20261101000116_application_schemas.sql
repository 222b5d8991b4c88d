-- What belongs to the application and what to the platform. Stated once: checks, remediations and
-- collectors all stand on it.
--
-- By names and not by owners: a self-hosted Studio used to create the application's schemas as
-- supabase_admin.

create view runbook.application_schema
with (security_invoker = true)
as
select
  nsp.oid,
  nsp.nspname collate "default" as name
from pg_catalog.pg_namespace as nsp
where nsp.nspname !~ '^(pg_|_timescaledb_|timescaledb_)'
  and nsp.nspname <> all (
    array[
      -- Postgres, and the runbook itself
      'information_schema', 'runbook',
      -- Supabase: services, extensions with a schema of their own, records of its tools
      '_analytics', '_realtime', '_supavisor', 'auth', 'cron', 'dbdev', 'etl', 'extensions',
      'graphql', 'graphql_public', 'net', 'pgbouncer', 'pgmq', 'pgmq_public', 'pgsodium',
      'pgsodium_masks', 'pgtle', 'realtime', 'repack', 'storage', 'supabase_functions',
      'supabase_migrations', 'vault',
      -- PostGIS
      'tiger', 'tiger_data', 'topology',
      -- the stand-ins of the runbook's local stack
      'stand_in'
    ]
  )
  -- and what any other extension brought
  and not exists (
    select
    from pg_catalog.pg_depend as dep
    where dep.classid = 'pg_catalog.pg_namespace'::regclass
      and dep.objid = nsp.oid
      and dep.deptype = 'e'
  );

comment on view runbook.application_schema is
'The schemas of the application: not of Postgres, of Supabase, of an extension or of the runbook.';

revoke all on table runbook.application_schema from public;
grant select on table runbook.application_schema to runbook_viewer;

-- Whether a schema is the application's. For one object. A check takes the view as an array,
-- `relnamespace = any (array(select …))`: joined, it would be guessed to be of one row, and
-- pg_class read once for each.
create function runbook.is_application_schema(schema oid)
returns boolean
language sql
stable
parallel safe
security invoker
set search_path = ''
as $$
  select exists (
    select
    from runbook.application_schema as aps
    where aps.oid = is_application_schema.schema
  );
$$;

comment on function runbook.is_application_schema(oid) is
'Whether a schema belongs to the application. Takes no lock.';
revoke all on function runbook.is_application_schema(oid) from public;
