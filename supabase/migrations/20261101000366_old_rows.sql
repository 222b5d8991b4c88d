-- Rows that nobody needs any more: in tables that keep growing, those older than a year.
--
-- No table is read. How old its rows are is told by the statistics of the column that says when a
-- row came: one whose default is the present, or one that is indexed and in the order of the file.

-- The share of a column's values below a bound, between 0 and 1, by the planner's statistics.
create function runbook.share_below(
  bound timestamptz,
  null_frac real,
  common_values timestamptz[],
  common_shares real[],
  histogram timestamptz[]
)
returns numeric
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  with common as (
    select
      coalesce(sum(com.share), 0) as share,
      coalesce(sum(com.share) filter (where com.value < share_below.bound), 0) as share_below
    from unnest(share_below.common_values, share_below.common_shares) as com (value, share)
  )
  select round(
    (
      com.share_below
      + (1 - coalesce(share_below.null_frac, 0) - com.share) * coalesce(
        -- A bound lies between two buckets of equal share.
        greatest(0, width_bucket(share_below.bound, share_below.histogram) - 1)::real
        / nullif(cardinality(share_below.histogram) - 1, 0),
        0
      )
    )::numeric,
    4
  )
  from common as com;
$$;

comment on function
runbook.share_below(timestamptz, real, timestamptz[], real[], timestamptz[]) is
'The share of values below a bound, from null_frac, most common values and histogram of pg_stats.';
revoke all on function
runbook.share_below(timestamptz, real, timestamptz[], real[], timestamptz[])
from public;

-- Tables that still grow and hold many rows older than some years.
--
-- Cost: pg_class once; columns, defaults and statistics of the 50 largest tables; no lock.
-- Misses: smaller tables, those never analyzed, partitions (drop or detach them whole), and
-- tables without a column that says when a row came.
create function runbook.check_old_rows(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
set timezone = 'UTC'
as $$
declare
  v_years constant integer := (check_old_rows.settings ->> 'age_years')::integer;
  v_cutoff constant timestamptz := clock_timestamp() - make_interval(years => v_years);
  v_min_rows constant real := (check_old_rows.settings ->> 'min_rows')::real;
  v_findings runbook.finding[];
begin
  with largest as materialized (
    select
      rel.oid,
      rel.relname,
      nsp.nspname,
      rel.reltuples::numeric as rows,
      current_setting('block_size')::numeric * rel.relpages as bytes
    from pg_catalog.pg_class as rel
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
    where rel.relkind = 'r'
      and rel.relnamespace = any (array(select aps.oid from runbook.application_schema as aps))
      and not rel.relispartition
      and rel.relpersistence <> 't'
      and rel.reltuples >= v_min_rows
    order by rel.relpages desc, rel.oid
    limit 50
  ),
  time_columns as (
    select
      lrg.oid,
      lrg.relname,
      lrg.nspname,
      lrg.rows,
      lrg.bytes,
      att.attname,
      exists (
        select
        from pg_catalog.pg_attrdef as def
        where def.adrelid = lrg.oid
          and def.adnum = att.attnum
          -- now() and its kin by their numbers, current_timestamp and its kin as the parser has
          -- them; pg_get_expr would lock the table
          and def.adbin::text ~ ':funcid (1299|2647|2648|2649) |SQLVALUEFUNCTION :op [0-8] '
      ) as comes_by_default,
      exists (
        select
        from pg_catalog.pg_index as idx
        where idx.indrelid = lrg.oid
          and idx.indkey[0] = att.attnum
          and idx.indisvalid
          and idx.indpred is null
      ) as is_indexed
    from largest as lrg
    inner join pg_catalog.pg_attribute as att
      on att.attrelid = lrg.oid
      and att.attnum > 0
      and not att.attisdropped
    where att.atttypid in (
      'timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype
    )
      -- not when the row came, but something else about it
      and att.attname !~* (
        'updat|modif|chang|edit|seen|last|expir|delet|due|valid|until|birth|start|end|sched|plan'
      )
  ),
  known as materialized (
    select
      tcl.oid,
      tcl.attname,
      tcl.rows,
      tcl.bytes,
      tcl.comes_by_default,
      tcl.is_indexed,
      sts.null_frac,
      sts.correlation,
      sts.common_values::timestamptz[] as common_values,
      sts.common_shares,
      sts.histogram::timestamptz[] as histogram
    from time_columns as tcl
    cross join lateral runbook.column_values(tcl.nspname, tcl.relname, tcl.attname) as sts
    where (
        tcl.comes_by_default
        or (tcl.is_indexed and sts.null_frac = 0 and sts.correlation >= 0.9)
      )
  ),
  measured as (
    select distinct on (knw.oid)
      knw.oid,
      knw.attname,
      knw.rows,
      knw.bytes,
      knw.is_indexed,
      runbook.share_below(
        v_cutoff, knw.null_frac, knw.common_values, knw.common_shares, knw.histogram
      ) as old_share,
      greatest(
        knw.histogram[cardinality(knw.histogram)],
        (select max(com.value) from unnest(knw.common_values) as com (value))
      ) as newest
    from known as knw
    order by
      knw.oid,
      knw.comes_by_default desc,
      knw.is_indexed desc,
      abs(knw.correlation) desc nulls last,
      knw.attname
  ),
  old as (
    select
      runbook.relation_name(msr.oid) as name,
      msr.attname collate "default" as column_name,
      msr.is_indexed,
      msr.newest,
      round(100 * msr.old_share, 1) as percent,
      round(msr.rows * msr.old_share) as old_rows,
      round(msr.bytes * msr.old_share) as old_bytes,
      greatest(
        pg_stat_get_last_analyze_time(msr.oid), pg_stat_get_last_autoanalyze_time(msr.oid)
      ) as analyzed_at,
      exists (
        select
        from pg_catalog.pg_constraint as con
        where con.confrelid = msr.oid
          and con.contype = 'f'
      ) as is_referenced
    from measured as msr
    where msr.rows * msr.old_share >= v_min_rows
      and 100 * msr.old_share >= (check_old_rows.settings ->> 'percent')::numeric
      -- A table that no longer grows is an archive; one that holds the future is a calendar.
      and msr.newest between clock_timestamp() - make_interval(
        days => (check_old_rows.settings ->> 'grew_within_days')::integer
      ) and clock_timestamp() + interval '1 day'
      and not runbook.is_of_extension(msr.oid)
  )
  select array_agg(
    row(
      'rows_older_than_a_year',
      case
        when old.old_bytes >= (check_old_rows.settings ->> 'warning_bytes')::numeric then 'warning'
        else 'info'
      end,
      old.name,
      format(
        'About %s rows of %s (%s %%, %s) are older than %s by %s, and it keeps growing. %s',
        old.old_rows,
        old.name,
        old.percent,
        pg_size_pretty(old.old_bytes),
        case when v_years = 1 then 'a year' else v_years || ' years' end,
        quote_ident(old.column_name),
        case
          when old.is_referenced
            then 'Foreign keys refer to it, so archive it together with what does.'
          when not old.is_indexed
            then format('Archive them; an index on %I makes that cheap.', old.column_name)
          else 'Archive them.'
        end
      ),
      jsonb_build_object(
        'column', old.column_name,
        'old_rows', old.old_rows,
        'old_bytes', old.old_bytes,
        'percent', old.percent,
        'newest', old.newest,
        'is_indexed', old.is_indexed,
        'is_referenced', old.is_referenced
      ),
      format(
        'estimated from the statistics of %I, %s',
        old.column_name,
        coalesce('taken at ' || runbook.utc_text(old.analyzed_at), 'whose age is not known')
      ),
      case when not old.is_referenced then 'archive-rows' end,
      case
        when not old.is_referenced
          then jsonb_build_object(
            'table', old.name,
            'column', old.column_name,
            'older_than', case when v_years = 1 then '1 year' else v_years || ' years' end
          )
      end
    )::runbook.finding
  )
  into v_findings
  from old;

  return runbook.weighed_result(v_findings, 'old_bytes');
end;
$$;

comment on function runbook.check_old_rows(jsonb) is
'How many tables that grow hold many rows older than a year: rows_older_than_a_year.';
revoke all on function runbook.check_old_rows(jsonb) from public;

-- Source: the handbook archives what is older than a year. 1,000 rows and a twentieth are where an
-- archive begins to be worth its trouble; 100 MB where it is felt.
insert into runbook.check (
  name,
  title,
  description,
  function,
  position,
  check_group,
  unit,
  thresholds,
  codes
)
values (
  'old_rows',
  'Old rows',
  'Rows older than a year in tables that keep growing.',
  'runbook.check_old_rows',
  550,
  'storage',
  'tables',
  '{
    "age_years": 1,
    "min_rows": 1000,
    "percent": 5,
    "grew_within_days": 30,
    "warning_bytes": 104857600
  }',
  '{"rows_older_than_a_year": "A table that grows holds many rows older than a year."}'
);
