-- Tables that are read whole again and again, and foreign keys without an index: deleting what they
-- refer to reads the table for each row.
-- Relies on: runbook.watched_foreign_key, runbook.table_usage; catalogs and counters only, no lock
-- on any table.

-- Foreign keys whose table no index finds by their columns.
--
-- A table that is read whole in no time needs none. On a larger one each lookup by the key, and
-- each deletion of what it refers to, reads all of it.
--
-- Cost: pg_constraint, pg_index and pg_class once; no lock on any table.
-- Misses: keys of tables of other owners; a small table that is about to grow.
create function runbook.check_foreign_key_indexes(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with large as materialized (
    select
      fky.id,
      fky.name,
      fky.relation,
      fky.columns,
      fky.referenced_relation,
      fky.is_partition,
      fky.rows
    from runbook.watched_foreign_key as fky
    where fky.kind = 'r'
      and fky.rows >= (check_foreign_key_indexes.settings ->> 'min_rows')::bigint
  ),
  bare as materialized (
    select
      lrg.name,
      lrg.relation,
      lrg.columns,
      lrg.referenced_relation,
      lrg.is_partition,
      lrg.rows
    from large as lrg
    where not exists (
      select
      from runbook.foreign_key_index as fki
      where fki.foreign_key = lrg.id
    )
  ),
  -- The partitions of a table are one finding. Their columns may be numbered differently.
  described as (
    select
      bar.name,
      case when bar.is_partition then pg_partition_root(bar.relation)::oid else bar.relation end
        as relation,
      bar.is_partition,
      bar.referenced_relation,
      bar.rows,
      (
        select jsonb_agg(att.attname order by col.position)
        from unnest(bar.columns) with ordinality as col (number, position)
        inner join pg_catalog.pg_attribute as att
          on att.attrelid = bar.relation
          and att.attnum = col.number
      ) as columns
    from bare as bar
  ),
  found as (
    select
      min(dsc.name) as name,
      dsc.relation,
      dsc.columns,
      dsc.is_partition,
      dsc.referenced_relation,
      sum(dsc.rows) as rows,
      row_number() over (order by sum(dsc.rows) desc, dsc.relation, dsc.columns) as position
    from described as dsc
    group by dsc.relation, dsc.columns, dsc.is_partition, dsc.referenced_relation
  ),
  named as (
    select
      fnd.position,
      fnd.name,
      fnd.rows,
      fnd.is_partition,
      fnd.columns,
      (
        select string_agg(format('%I', col.name), ', ' order by col.position)
        from jsonb_array_elements_text(fnd.columns) with ordinality as col (name, position)
      ) as column_list,
      runbook.relation_name(fnd.relation) as table_name,
      runbook.relation_name(fnd.referenced_relation) as referenced_name,
      pg_stat_get_tuples_deleted(fnd.referenced_relation) as deletions_there
    from found as fnd
    where fnd.position <= 100
  )
  select row(
    (select count(*) from found),
    coalesce(
      array_agg(
        row(
          'foreign_key_without_index',
          case
            when nmd.rows >= (check_foreign_key_indexes.settings ->> 'warning_rows')::bigint
              then 'warning'
            else 'info'
          end,
          nmd.table_name,
          left(
            format(
              '%s (%s) refers to %s and has no index%s: each lookup by it, and each deletion there, '
              'reads all %s rows. Create one.',
              nmd.table_name,
              nmd.column_list,
              nmd.referenced_name,
              case when nmd.is_partition then ' on its partitions' else '' end,
              nmd.rows
            ),
            300
          ),
          jsonb_build_object(
            'constraint', nmd.name,
            'columns', nmd.columns,
            'refers_to', nmd.referenced_name,
            'rows', nmd.rows,
            'deletions_there', nmd.deletions_there
          ),
          'compared pg_constraint with pg_index; rows are estimated',
          -- An index of a partitioned table cannot be built concurrently.
          case when not nmd.is_partition then 'create-index' end,
          case
            when not nmd.is_partition
              then jsonb_build_object('table', nmd.table_name, 'columns', nmd.columns)
          end
        )::runbook.finding
        order by nmd.position
      ),
      '{}'
    )
  )::runbook.check_result
  from named as nmd;
$$;

comment on function runbook.check_foreign_key_indexes(jsonb) is
'Number of foreign keys of larger tables without an index: foreign_key_without_index.';
revoke all on function runbook.check_foreign_key_indexes(jsonb) from public;

-- How tables were read since an instant: what the counters have gained since the first snapshot
-- after it. Where there is none yet, all that they hold.
create function runbook.table_reads(since timestamptz)
returns table (
  relation oid,
  rows bigint,
  pages integer,
  sequential_scans bigint,
  sequential_rows bigint,
  index_scans bigint,
  counted_since timestamptz
)
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with baseline as (
    select distinct on (usg.relation)
      usg.relation,
      usg.sequential_scans,
      usg.sequential_rows,
      usg.index_scans,
      snp.taken_at
    from runbook.usage_snapshot as snp
    inner join runbook.table_usage as usg on usg.snapshot_id = snp.id
    where snp.taken_at >= table_reads.since
    order by usg.relation, snp.taken_at
  ),
  counted as (
    select
      wat.relation,
      wat.rows,
      wat.pages,
      pg_stat_get_numscans(wat.relation) as sequential_scans,
      pg_stat_get_tuples_returned(wat.relation) as sequential_rows,
      (
        select coalesce(sum(pg_stat_get_numscans(idx.indexrelid)), 0)::bigint
        from pg_catalog.pg_index as idx
        where idx.indrelid = wat.relation
      ) as index_scans
    from runbook.watched_relation as wat
    where wat.kind <> 'p'
      and wat.rows >= 5000
  )
  select
    cnt.relation,
    cnt.rows,
    cnt.pages,
    cnt.sequential_scans - coalesce(bas.sequential_scans, 0),
    cnt.sequential_rows - coalesce(bas.sequential_rows, 0),
    cnt.index_scans - coalesce(bas.index_scans, 0),
    coalesce(bas.taken_at, runbook.statistics_since())
  from counted as cnt
  left join baseline as bas
    on bas.relation = cnt.relation
    -- A counter that fell was reset in between: what it holds is what came after.
    and bas.sequential_scans <= cnt.sequential_scans
    and bas.sequential_rows <= cnt.sequential_rows
    and bas.index_scans <= cnt.index_scans;
$$;

comment on function runbook.table_reads(timestamptz) is
'How often each table of 5,000 rows and more was read whole or by an index since then.';
revoke all on function runbook.table_reads(timestamptz) from public;

-- Large tables that are read whole again and again.
--
-- A small table is best read whole, and a nightly export may read any. What counts is how many rows
-- a scan read (one with a limit stops early), how often it happened, and which share of all the
-- rows that were read so belongs to the table.
--
-- Cost: the counters of the large tables, two snapshots of the runbook; no lock on any table.
-- Misses: which statement it was (missing_indexes looks for it); tables of less than 5,000 rows;
-- the scans of read replicas.
create function runbook.check_sequential_scans(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_obstacle runbook.finding := runbook.counters_obstacle('sequential_scans');
  v_counted_since timestamptz;
  v_result runbook.check_result;
begin
  if v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  with window_start as (
    select
      clock_timestamp() - make_interval(
        hours => (check_sequential_scans.settings ->> 'window_hours')::integer
      ) as since
  ),
  read as materialized (
    select
      rds.relation,
      rds.rows,
      rds.pages,
      rds.sequential_scans,
      rds.sequential_rows,
      rds.index_scans,
      rds.counted_since,
      extract(epoch from clock_timestamp() - rds.counted_since) / 86400 as days,
      sum(rds.sequential_rows) over () as all_rows
    from window_start as win
    cross join lateral runbook.table_reads(win.since) as rds
  ),
  found as (
    select
      red.relation,
      red.rows,
      red.sequential_scans,
      red.sequential_rows,
      red.counted_since,
      round(100.0 * red.sequential_rows / red.all_rows) as share,
      round(100.0 * red.sequential_scans / (red.sequential_scans + red.index_scans), 1)
        as percent_of_scans,
      red.sequential_rows / greatest(red.days, 1) as rows_a_day,
      row_number() over (order by red.sequential_rows desc, red.relation) as position
    from read as red
    where red.rows >= (check_sequential_scans.settings ->> 'min_rows')::bigint
      and red.sequential_scans
        >= (check_sequential_scans.settings ->> 'min_scans_a_day')::numeric * greatest(red.days, 1)
      and red.sequential_rows
        >= (check_sequential_scans.settings ->> 'min_rows_a_day')::numeric * greatest(red.days, 1)
      -- Most scans read most of the table.
      and red.sequential_rows >= 0.5 * red.rows * red.sequential_scans
      -- Beside a table that is read a thousand times as much, little is not worth a look.
      and (
        100.0 * red.sequential_rows
        >= (check_sequential_scans.settings ->> 'min_share_percent')::numeric * red.all_rows
        or red.sequential_rows
        >= (check_sequential_scans.settings ->> 'warning_rows_a_day')::numeric
          * greatest(red.days, 1)
      )
  ),
  named as (
    select
      fnd.position,
      fnd.rows,
      fnd.sequential_scans,
      fnd.sequential_rows,
      fnd.counted_since,
      fnd.share,
      fnd.percent_of_scans,
      fnd.rows_a_day,
      coalesce(
        pg_stat_get_last_analyze_time(fnd.relation),
        pg_stat_get_last_autoanalyze_time(fnd.relation)
      ) is not null as was_analyzed,
      runbook.relation_name(fnd.relation) as table_name
    from found as fnd
    where fnd.position <= 100
  )
  select
    (select min(red.counted_since) from read as red),
    (select count(*) from found),
    coalesce(
      array_agg(
        row(
          'large_table_scanned',
          case
            when nmd.rows_a_day
              >= (check_sequential_scans.settings ->> 'warning_rows_a_day')::numeric
              then 'warning'
            else 'info'
          end,
          nmd.table_name,
          left(
            format(
              '%s (%s rows) was read whole %s times since %s: %s %% of its scans, and %s %% of all '
              'rows that were read so. %s',
              nmd.table_name,
              nmd.rows,
              nmd.sequential_scans,
              coalesce(runbook.utc_text(nmd.counted_since), 'the counters began'),
              nmd.percent_of_scans,
              nmd.share,
              case
                when nmd.was_analyzed
                  then 'An index for what is asked may end it; missing_indexes looks for one.'
                else 'It was never analyzed, so the planner may pass over its indexes: that comes '
                  'first.'
              end
            ),
            300
          ),
          jsonb_build_object(
            'rows', nmd.rows,
            'sequential_scans', nmd.sequential_scans,
            'sequential_rows', nmd.sequential_rows,
            'percent_of_scans', nmd.percent_of_scans,
            'percent_of_rows_read', nmd.share,
            'counted_since', nmd.counted_since
          ),
          'counted by the server; rows are estimated',
          null,
          null
        )::runbook.finding
        order by nmd.position
      ),
      '{}'
    )
  into v_counted_since, v_result.value, v_result.findings
  from named as nmd;

  -- Much in a short time is much; little says nothing yet.
  if v_result.value = 0 then
    v_obstacle := runbook.counted_too_shortly(
      'sequential_scans',
      extract(epoch from clock_timestamp() - v_counted_since),
      (check_sequential_scans.settings ->> 'least_s')::numeric
    );
  end if;

  return case
    when v_obstacle.code is not null then runbook.check_answer(null, v_obstacle)
    else v_result
  end;
end;
$$;

comment on function runbook.check_sequential_scans(jsonb) is
'Number of large tables that are read whole again and again: large_table_scanned.';
revoke all on function runbook.check_sequential_scans(jsonb) from public;

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
values
  -- min_rows: reading 1,000 rows takes less than a tenth of a millisecond, 5,000 about a quarter
  -- (measured, narrow rows in memory); wide rows, and each row of a deletion, multiply it.
  (
    'foreign_key_indexes',
    'Foreign keys without an index',
    'Foreign keys of larger tables whose columns no index begins with.',
    'runbook.check_foreign_key_indexes',
    400,
    'statements',
    'foreign keys',
    '{"min_rows": 1000, "warning_rows": 5000}',
    '{"foreign_key_without_index": "A foreign key whose columns no index begins with."}'
  ),
  -- min_scans_a_day: what a nightly export reads stays below it. min_rows_a_day: 250,000 rows
  -- are some 10 ms of work, if they are narrow and in memory (measured); from disk they are many
  -- times that. warning_rows_a_day: forty times as much.
  -- min_share_percent: ours; what a report of 0 % would round away.
  (
    'sequential_scans',
    'Large tables read whole',
    'Tables of many rows that are read from end to end again and again.',
    'runbook.check_sequential_scans',
    410,
    'statements',
    'tables',
    '{
      "window_hours": 24,
      "least_s": 900,
      "min_rows": 10000,
      "min_scans_a_day": 10,
      "min_rows_a_day": 250000,
      "min_share_percent": 0.5,
      "warning_rows_a_day": 10000000
    }',
    '{"large_table_scanned": "A large table was read whole at least min_scans_a_day times a day."}'
  );
