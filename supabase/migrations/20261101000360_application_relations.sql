-- Where an extension is installed, which relations it brought, and what the planner's statistics
-- say of a table's columns. Checks of storage and platform stand on these.
-- Relies on: catalogs only; nothing here takes a lock on a user's table.

-- Where an extension is installed. A function, so that tests can say otherwise.
create function runbook.extension_schema(name text)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select nsp.nspname collate "default"
  from pg_catalog.pg_extension as ext
  inner join pg_catalog.pg_namespace as nsp on nsp.oid = ext.extnamespace
  where ext.extname = extension_schema.name;
$$;

comment on function runbook.extension_schema(text) is
'The schema of an installed extension, unquoted, or null.';
revoke all on function runbook.extension_schema(text) from public;

-- Whether a table, view or other relation came with an extension, like PostGIS's spatial_ref_sys.
-- One index lookup; call it for candidates only.
create function runbook.is_of_extension(relation oid)
returns boolean
language sql
stable
parallel safe
security invoker
set search_path = ''
as $$
  select exists (
    select
    from pg_catalog.pg_depend as dep
    where dep.classid = 'pg_catalog.pg_class'::regclass
      and dep.objid = is_of_extension.relation
      and dep.objsubid = 0
      and dep.deptype = 'e'
  );
$$;

comment on function runbook.is_of_extension(oid) is
'Whether a relation is a member of an extension. Takes no lock.';
revoke all on function runbook.is_of_extension(oid) from public;

-- How wide a table's columns are, by the planner's statistics.
--
-- By names and as arguments: pg_stats is a security barrier, so joined to another relation it is
-- computed whole, which takes seconds where there are many tables. In plpgsql, which keeps the
-- plan.
create function runbook.column_widths(schema_name name, table_name name)
returns table (column_name name, null_frac real, avg_width integer)
language plpgsql
stable
rows 10
security invoker
set search_path = ''
as $$
begin
  return query
  select sts.attname, sts.null_frac, sts.avg_width
  from pg_catalog.pg_stats as sts
  where sts.schemaname = column_widths.schema_name
    and sts.tablename = column_widths.table_name
    and not sts.inherited;
end;
$$;

comment on function runbook.column_widths(name, name) is
'One row a column that was analyzed: null_frac and avg_width. Takes no lock.';
revoke all on function runbook.column_widths(name, name) from public;

-- What the planner's statistics say about the values of a column; no row where it was not analyzed.
-- Values come as text, to be cast by who knows the type. By names, as column_widths.
create function runbook.column_values(schema_name name, table_name name, column_name name)
returns table (
  null_frac real,
  correlation real,
  common_values text,
  common_shares real[],
  histogram text
)
language plpgsql
stable
rows 1
security invoker
set search_path = ''
as $$
begin
  return query
  select
    sts.null_frac,
    sts.correlation,
    sts.most_common_vals::text,
    sts.most_common_freqs,
    sts.histogram_bounds::text
  from pg_catalog.pg_stats as sts
  where sts.schemaname = column_values.schema_name
    and sts.tablename = column_values.table_name
    and sts.attname = column_values.column_name
    and not sts.inherited;
end;
$$;

comment on function runbook.column_values(name, name, name) is
'A column''s null_frac and correlation, and as text its most common values and its histogram. Takes
no lock.';
revoke all on function runbook.column_values(name, name, name) from public;
