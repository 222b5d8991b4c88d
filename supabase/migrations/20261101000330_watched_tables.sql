-- Which tables the checks of indexes and statements look at, and for how long the server has been
-- counting. Both are asked by many checks, so each is said once.
-- Relies on: runbook.application_schema, catalogs and statistics functions; nothing here takes a
-- lock on a user's table.

-- The platform's own schemas are left out, and tables of roles that `postgres` is not a member of:
-- what is wrong with them cannot be mended here.
create view runbook.watched_relation
with (security_invoker = true)
as
select
  rel.oid as relation,
  (
    select nsp.nspname
    from pg_catalog.pg_namespace as nsp
    where nsp.oid = rel.relnamespace
  ) as schema_name,
  rel.relname as name,
  rel.relkind as kind,
  rel.relispartition as is_partition,
  rel.relpages as pages,
  -- As ANALYZE found it. What is counted is twice as much when a table is filled and analyzed in
  -- one transaction, so it only serves where nothing was analyzed yet.
  case
    when rel.reltuples > 0 then rel.reltuples
    else pg_stat_get_live_tuples(rel.oid)
  end::bigint as rows,
  rel.relowner as owner
from pg_catalog.pg_class as rel
where rel.relkind in ('r', 'p', 'm')
  -- Arrays, so that each is found once; as joins they would be guessed to be tiny.
  and rel.relnamespace = any (array(select aps.oid from runbook.application_schema as aps))
  and rel.relowner = any (
    array(
      select rol.oid
      from pg_catalog.pg_roles as rol
      where pg_has_role(rol.oid, 'usage')
    )
  )
  -- What an extension brought, such as the list of coordinate systems of PostGIS.
  and rel.oid <> all (
    array(
      select dep.objid
      from pg_catalog.pg_depend as dep
      where dep.classid = 'pg_catalog.pg_class'::regclass
        and dep.refclassid = 'pg_catalog.pg_extension'::regclass
        and dep.deptype = 'e'
    )
  );

comment on view runbook.watched_relation is
'One table, partitioned table, partition or materialized view of the application. Rows
are as many as is known without reading it.';

revoke all on table runbook.watched_relation from public;

-- Since when the counters of this database have been counting. A crash, a restore and an upgrade
-- discard them all; that moment is the reset time of the shared statistics, which nobody resets.
create function runbook.statistics_since()
returns timestamptz
language sql
stable
security invoker
set search_path = ''
as $$
  select greatest(
    pg_stat_get_db_stat_reset_time(dat.oid),
    least(arc.stats_reset, pg_stat_get_bgwriter_stat_reset_time())
  )
  from pg_catalog.pg_database as dat
  cross join pg_stat_get_archiver() as arc
  where dat.datname = current_database();
$$;

comment on function runbook.statistics_since() is
'Since when tables and indexes of this database are counted: the last reset, crash, restore or
upgrade.';
revoke all on function runbook.statistics_since() from public;

-- Facts of an index that decide whether it can be done without, for the checks of indexes.
create view runbook.watched_index
with (security_invoker = true)
as
select
  idx.indexrelid as index,
  idx.indrelid as relation,
  idx.indnatts as columns,
  idx.indnkeyatts as key_columns,
  idx.indkey as keys,
  idx.indclass as operator_classes,
  idx.indcollation as collations,
  idx.indoption as options,
  idx.indexprs as expressions,
  idx.indpred as predicate,
  idx.indisunique as is_unique,
  idx.indnullsnotdistinct as is_nulls_not_distinct,
  idx.indimmediate as is_immediate,
  idx.indisexclusion as is_exclusion,
  idx.indisclustered as is_clustered,
  idx.indisreplident as is_replica_identity,
  idx.indisvalid and idx.indisready and idx.indislive as is_usable,
  rel.relam as access_method,
  rel.relkind as kind,
  rel.relpages as pages,
  rel.relispartition as is_attached,
  -- pg_constraint has no index by the index that it stands on; pg_depend has both ways.
  exists (
    select
    from pg_catalog.pg_depend as dep
    where dep.classid = 'pg_catalog.pg_class'::regclass
      and dep.objid = idx.indexrelid
      and dep.refclassid = 'pg_catalog.pg_constraint'::regclass
  )
  or exists (
    select
    from pg_catalog.pg_depend as dep
    where dep.refclassid = 'pg_catalog.pg_class'::regclass
      and dep.refobjid = idx.indexrelid
      and dep.classid = 'pg_catalog.pg_constraint'::regclass
  ) as is_of_constraint
from pg_catalog.pg_index as idx
inner join pg_catalog.pg_class as rel on rel.oid = idx.indexrelid
inner join runbook.watched_relation as wat on wat.relation = idx.indrelid;

comment on view runbook.watched_index is
'One index of the application, from the catalogs'' raw columns. is_of_constraint: a constraint
stands on it, or a foreign key points to it.';

revoke all on table runbook.watched_index from public;

-- Columns that more than one index of a table begins with. Only there can one index be another or
-- its beginning, so that the checks compare few indexes and not all.
create view runbook.shared_first_column
with (security_invoker = true)
as
select
  idx.indrelid as relation,
  idx.indkey[0] as column
from pg_catalog.pg_index as idx
group by idx.indrelid, idx.indkey[0]
having count(*) > 1;

comment on view runbook.shared_first_column is
'One column of one table that several indexes begin with; 0 is an expression.';

revoke all on table runbook.shared_first_column from public;
