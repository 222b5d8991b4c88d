-- Sizes over time: how large the databases and the largest tables are, and who grows. Also TOAST,
-- where large values hide from whoever looks at rows.
--
-- Relies on: the schedule, which calls the collector.

create table runbook.database_size (
  measured_at timestamptz not null,
  bytes bigint not null,
  all_bytes bigint not null,
  wal_bytes bigint,
  constraint database_size_pkey primary key (measured_at)
);

comment on table runbook.database_size is
'Bytes of this database, of all databases of the server, and of its write-ahead log. Real clock.';

revoke all on table runbook.database_size from public;
grant select on table runbook.database_size to runbook_viewer;

create table runbook.table_size (
  measured_at timestamptz not null,
  relation oid not null,
  name text not null,
  bytes bigint not null,
  constraint table_size_pkey primary key (measured_at, relation)
);

comment on table runbook.table_size is
'Bytes of the 50 largest tables with their indexes and TOAST, at an instant. Real clock.';

revoke all on table runbook.table_size from public;
grant select on table runbook.table_size to runbook_viewer;

-- Bytes of the write-ahead log on disk; null where it may not be listed.
create function runbook.wal_bytes()
returns bigint
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (select sum(wal.size) from pg_ls_waldir() as wal);
exception
  when insufficient_privilege then
    return null;
end;
$$;

comment on function runbook.wal_bytes() is 'Bytes of the write-ahead log on disk, or null.';
revoke all on function runbook.wal_bytes() from public;

-- The size of a table with indexes and TOAST: as the file system has it, or, where the table is
-- locked, as the last VACUUM or ANALYZE left it.
create function runbook.table_bytes(relation oid, is_locked boolean)
returns bigint
language plpgsql
stable
security invoker
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  v_bytes bigint;
begin
  begin
    if not table_bytes.is_locked then
      v_bytes := pg_total_relation_size(table_bytes.relation);
    end if;
  exception
    when lock_not_available then
      v_bytes := null;
  end;

  return coalesce(v_bytes, (
    select current_setting('block_size')::bigint * sum(part.relpages)
    from pg_catalog.pg_class as rel
    inner join pg_catalog.pg_class as part
      on part.oid in (rel.oid, rel.reltoastrelid)
      or part.oid in (
        select idx.indexrelid from pg_catalog.pg_index as idx where idx.indrelid = rel.oid
      )
    where rel.oid = table_bytes.relation
  ));
end;
$$;

comment on function runbook.table_bytes(oid, boolean) is
'Bytes of a table with its indexes and TOAST. Waits for no lock of more than 100 ms.';
revoke all on function runbook.table_bytes(oid, boolean) from public;

-- Records the sizes of now.
--
-- Cost: pg_class once, the files of the 50 largest tables, and those of each database; an
-- AccessShareLock on each of the 50 for a moment.
create function runbook.collect_sizes(keep interval)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_written bigint;
begin
  delete from runbook.database_size as dsz
  where dsz.measured_at < v_now - collect_sizes.keep;

  delete from runbook.table_size as tsz
  where tsz.measured_at < v_now - collect_sizes.keep;

  insert into runbook.database_size (measured_at, bytes, all_bytes, wal_bytes)
  select
    v_now,
    pg_database_size(current_database()),
    sum(pg_database_size(dat.oid)),
    runbook.wal_bytes()
  from pg_catalog.pg_database as dat
  where has_database_privilege(dat.oid, 'connect')
    or pg_has_role('pg_read_all_stats', 'usage');

  with locks as materialized (
    select lck.relation from runbook.exclusive_locks() as lck
  ),
  largest as (
    select
      rel.oid,
      greatest(
        rel.relpages::numeric,
        -- without a count yet: some 80 rows a page
        (pg_stat_get_live_tuples(rel.oid) + pg_stat_get_dead_tuples(rel.oid)) / 80.0
      ) + coalesce(tst.relpages, 0) as pages
    from pg_catalog.pg_class as rel
    left join pg_catalog.pg_class as tst on tst.oid = nullif(rel.reltoastrelid, 0)
    where rel.relkind in ('r', 'm')
      and rel.relpersistence <> 't'
    order by pages desc, rel.oid
    limit 50
  )
  insert into runbook.table_size (measured_at, relation, name, bytes)
  select
    v_now,
    szd.oid,
    szd.name,
    szd.bytes
  from (
    select
      lrg.oid,
      runbook.relation_name(lrg.oid) as name,
      runbook.table_bytes(
        lrg.oid,
        exists (select from locks as lck where lck.relation = lrg.oid)
      ) as bytes
    from largest as lrg
  ) as szd
  where szd.bytes is not null
    and szd.name is not null;

  get diagnostics v_written = row_count;

  return v_written + 1;
end;
$$;

comment on function runbook.collect_sizes(interval) is
'Records the sizes of databases and of the 50 largest tables; returns how many rows.';
revoke all on function runbook.collect_sizes(interval) from public;

insert into runbook.collector (name, function, every, keep, description)
values (
  'sizes',
  'runbook.collect_sizes',
  '1 hour',
  '30 days',
  'Keeps the sizes of the databases, of the write-ahead log and of the 50 largest tables.'
);

-- Which of the largest tables grow fast, by what the collector kept.
--
-- Cost: a hundred rows.
-- Misses: tables that are not among the 50 largest.
create function runbook.check_table_growth(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_last timestamptz;
  v_first timestamptz;
  v_result runbook.check_result;
begin
  select max(tsz.measured_at), min(tsz.measured_at)
  into v_last, v_first
  from runbook.table_size as tsz
  where tsz.measured_at > clock_timestamp() - make_interval(
    days => (check_table_growth.settings ->> 'window_days')::integer
  );

  if v_last < clock_timestamp() - interval '3 hours' then
    return row(
      null,
      array[
        runbook.skipped(
          'table_growth',
          format(
            'The collector of sizes has not run since %s. See the check cron_alive.',
            runbook.utc_text(v_last)
          )
        )
      ]
    )::runbook.check_result;
  end if;

  if v_last is null or v_last - v_first < interval '20 hours' then
    return row(
      null,
      array[
        runbook.not_applicable(
          'table_growth',
          coalesce(
            'There are no sizes of a day ago yet; the first are of '
            || runbook.utc_text(v_first) || '.',
            'There are no sizes yet; the collector keeps them hourly.'
          )
        )
      ]
    )::runbook.check_result;
  end if;

  with earlier as (
    select tsz.relation, tsz.bytes, count(*) over () as tables, min(tsz.bytes) over () as least
    from runbook.table_size as tsz
    where tsz.measured_at = v_first
  ),
  grown as (
    select
      tsz.relation,
      tsz.name,
      tsz.bytes,
      -- Who was not among the largest then was no larger than the last of them.
      tsz.bytes - coalesce(
        ear.bytes,
        (select case when max(old.tables) < 50 then 0 else min(old.least) end from earlier as old)
      ) as grown_bytes,
      extract(epoch from v_last - v_first) / 86400 as days
    from runbook.table_size as tsz
    left join earlier as ear on ear.relation = tsz.relation
    where tsz.measured_at = v_last
  ),
  fast as (
    select
      grw.name,
      grw.bytes,
      grw.grown_bytes,
      round(grw.days, 1) as days,
      round(100.0 * grw.grown_bytes / nullif(grw.bytes - grw.grown_bytes, 0)) as percent,
      round(grw.grown_bytes / grw.days) as bytes_per_day,
      row_number() over (order by grw.grown_bytes desc, grw.relation) as position
    from grown as grw
    where grw.grown_bytes >= (check_table_growth.settings ->> 'grown_bytes')::numeric
      and 100.0 * grw.grown_bytes
        >= (check_table_growth.settings ->> 'percent')::numeric * (grw.bytes - grw.grown_bytes)
  )
  select
    count(*),
    coalesce(
      array_agg(
        row(
          'table_grows_fast',
          'warning',
          fst.name,
          format(
            '%s grew by %s in %s days%s, %s a day, and is %s now. Old rows can be archived; see '
            'what writes to it.',
            fst.name,
            pg_size_pretty(fst.grown_bytes),
            fst.days,
            coalesce(' (' || fst.percent || ' %)', ''),
            pg_size_pretty(fst.bytes_per_day),
            pg_size_pretty(fst.bytes)
          ),
          jsonb_build_object(
            'bytes', fst.bytes,
            'grown_bytes', fst.grown_bytes,
            'percent', fst.percent,
            'bytes_per_day', fst.bytes_per_day,
            'since', v_first
          ),
          'sizes with indexes and TOAST that the collector kept',
          null,
          null
        )::runbook.finding
        order by fst.position
      ),
      '{}'
    )
  into v_result.value, v_result.findings
  from fast as fst;

  return v_result;
end;
$$;

comment on function runbook.check_table_growth(jsonb) is
'How many of the largest tables grow fast: table_grows_fast.';
revoke all on function runbook.check_table_growth(jsonb) from public;

-- Tables whose large values, stored out of line, outweigh their rows.
--
-- Cost: pg_class once; no lock.
-- Misses: what TOAST grew to since the last VACUUM.
create function runbook.check_toast(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with large as materialized (
    select tst.oid, tst.relpages
    from pg_catalog.pg_class as tst
    where tst.relkind = 't'
      and tst.relpersistence <> 't'
      and tst.relpages >= (
        select (check_toast.settings ->> 'toast_bytes')::bigint
          / current_setting('block_size')::bigint
      )
  ),
  heavy as (
    select
      rel.oid,
      current_setting('block_size')::bigint * rel.relpages as bytes,
      current_setting('block_size')::bigint * lrg.relpages as toast_bytes,
      greatest(rel.reltuples, 0)::bigint as rows
    from large as lrg
    cross join lateral runbook.toast_owner(lrg.oid) as own
    inner join pg_catalog.pg_class as rel on rel.oid = own.relation
    where rel.relnamespace <> 'pg_catalog'::regnamespace
      and lrg.relpages >= (check_toast.settings ->> 'ratio')::numeric * rel.relpages
  ),
  cut as (
    select
      runbook.relation_name(hvy.oid) as name,
      hvy.bytes,
      hvy.toast_bytes,
      hvy.rows,
      row_number() over (order by hvy.toast_bytes desc, hvy.oid) as position,
      count(*) over () as total
    from heavy as hvy
    order by hvy.toast_bytes desc, hvy.oid
    limit 100
  )
  select row(
    coalesce(max(cut.total), 0),
    coalesce(
      array_agg(
        row(
          'toast_large',
          'info',
          cut.name,
          format(
            '%s keeps %s of large values beside %s of rows. Files and images are cheaper in Storage; '
            'a query that selects all columns reads them too.',
            cut.name,
            pg_size_pretty(cut.toast_bytes),
            pg_size_pretty(cut.bytes)
          ),
          jsonb_build_object(
            'toast_bytes', cut.toast_bytes,
            'bytes', cut.bytes,
            'rows', cut.rows
          ),
          'pages as of the last VACUUM or ANALYZE',
          null,
          null
        )::runbook.finding
        order by cut.position
      ),
      '{}'
    )
  )::runbook.check_result
  from cut;
$$;

comment on function runbook.check_toast(jsonb) is
'How many tables consist of large values mostly: toast_large.';
revoke all on function runbook.check_toast(jsonb) from public;

-- Growth of 500 MB a week fills the 8 GB that a project begins with in a season. TOAST of a
-- gigabyte is more than the smallest instance has memory.
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
  (
    'table_growth',
    'Growth of tables',
    'How much the largest tables grew within the last days.',
    'runbook.check_table_growth',
    505,
    'storage',
    'tables',
    '{"window_days": 7, "grown_bytes": 524288000, "percent": 20}',
    '{"table_grows_fast": "A table has grown a lot within days."}'
  ),
  (
    'toast',
    'Large values (TOAST)',
    'Tables of which most is large values, stored out of line.',
    'runbook.check_toast',
    515,
    'storage',
    'tables',
    '{"toast_bytes": 1073741824, "ratio": 4}',
    '{"toast_large": "Large values outweigh the rows by far."}'
  );
