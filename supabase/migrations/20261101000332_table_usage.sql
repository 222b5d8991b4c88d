-- How tables and indexes are used over time, hour by hour. The server's counters begin anew with
-- each reset, and say neither when something happened nor since when there is an index at all.
-- Relies on: runbook.watched_relation, runbook.statistics_since, the collectors.

create table runbook.usage_snapshot (
  id bigint generated always as identity,
  taken_at timestamptz not null default clock_timestamp(),
  statistics_since timestamptz,
  constraint usage_snapshot_pkey primary key (id)
);

create index usage_snapshot_taken_at_idx on runbook.usage_snapshot (taken_at);

comment on table runbook.usage_snapshot is
'One reading of the counters of tables and indexes. Real clock.';

revoke all on table runbook.usage_snapshot from public;
grant select on table runbook.usage_snapshot to runbook_viewer;

create table runbook.table_usage (
  snapshot_id bigint not null,
  relation oid not null,
  sequential_scans bigint not null,
  sequential_rows bigint not null,
  index_scans bigint not null,
  constraint table_usage_pkey primary key (snapshot_id, relation),
  constraint table_usage_snapshot_fkey foreign key (snapshot_id)
    references runbook.usage_snapshot (id) on delete cascade
);

comment on table runbook.table_usage is
'The counters of one large table at a snapshot, as they stood: not a difference.';
comment on column runbook.table_usage.index_scans is 'Scans of all indexes of the table.';

revoke all on table runbook.table_usage from public;
grant select on table runbook.table_usage to runbook_viewer;

create table runbook.index_usage (
  index oid not null,
  scans bigint not null,
  is_older_than_watch boolean not null,
  unused_since timestamptz not null,
  constraint index_usage_pkey primary key (index)
);

comment on table runbook.index_usage is
'One index that is being watched: since when no scan of it has been seen.';
comment on column runbook.index_usage.is_older_than_watch is
'The index was there when the runbook began to watch; how old it is, nobody knows.';
comment on column runbook.index_usage.unused_since is
'When the runbook last saw the number of scans rise, or first saw the index.';

revoke all on table runbook.index_usage from public;
grant select on table runbook.index_usage to runbook_viewer;

-- Reads the counters. Tables of 5,000 rows and more, the 300 most read; indexes of 256 kB and more,
-- the 2,000 largest: below that no check speaks of them.
--
-- A fall of an index's counter is a reset, and no use; only what is above zero after it is one.
create function runbook.collect_usage(keep interval)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_snapshot bigint;
  v_is_first boolean;
  v_tables bigint;
  v_indexes bigint;
begin
  -- Two at once would take each other's reading for their own.
  lock table runbook.usage_snapshot in share row exclusive mode;

  v_is_first := not exists (select from runbook.usage_snapshot);

  insert into runbook.usage_snapshot (statistics_since)
  values (runbook.statistics_since())
  returning id into v_snapshot;

  insert into runbook.table_usage (
    snapshot_id, relation, sequential_scans, sequential_rows, index_scans
  )
  select
    v_snapshot,
    wat.relation,
    pg_stat_get_numscans(wat.relation),
    pg_stat_get_tuples_returned(wat.relation),
    coalesce(
      (
        select sum(pg_stat_get_numscans(idx.indexrelid))
        from pg_catalog.pg_index as idx
        where idx.indrelid = wat.relation
      ),
      0
    )
  from runbook.watched_relation as wat
  where wat.kind <> 'p'
    and wat.rows >= 5000
  order by pg_stat_get_tuples_returned(wat.relation) desc, wat.relation
  limit 300;

  get diagnostics v_tables = row_count;

  delete from runbook.index_usage as usg
  where not exists (
    select
    from pg_catalog.pg_index as idx
    where idx.indexrelid = usg.index
  );

  with large as materialized (
    select rel.oid as index
    from pg_catalog.pg_class as rel
    where rel.relkind = 'i'
      and rel.relpages >= 32
  ),
  watched as (
    select
      wat.index,
      pg_stat_get_numscans(wat.index) as scans
    from large as lrg
    inner join runbook.watched_index as wat on wat.index = lrg.index
    where wat.is_usable
      and not wat.is_unique
    order by wat.pages desc, wat.index
    limit 2000
  )
  insert into runbook.index_usage as usg (index, scans, is_older_than_watch, unused_since)
  select
    wat.index,
    wat.scans,
    v_is_first,
    clock_timestamp()
  from watched as wat
  on conflict on constraint index_usage_pkey do update
  set
    scans = excluded.scans,
    unused_since = case
      when excluded.scans > usg.scans or excluded.scans > 0 then excluded.unused_since
      else usg.unused_since
    end
  where usg.scans <> excluded.scans;

  get diagnostics v_indexes = row_count;

  delete from runbook.usage_snapshot as snp
  where snp.taken_at < clock_timestamp() - collect_usage.keep;

  return 1 + v_tables + v_indexes;
end;
$$;

comment on function runbook.collect_usage(interval) is
'Takes a snapshot of how tables and indexes are used and returns how many rows it wrote.';
revoke all on function runbook.collect_usage(interval) from public;

insert into runbook.collector (name, function, every, keep, description)
values (
  'usage',
  'runbook.collect_usage',
  '1 hour',
  '14 days',
  'Scans of large tables and of their indexes: what is read whole, and what is not used.'
);

-- When an index was last scanned, where the server says so: from Postgres 16 on.
create function runbook.last_index_scan(index oid)
returns timestamptz
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_last_scan timestamptz;
begin
  if current_setting('server_version_num')::integer >= 160000 then
    execute 'select pg_stat_get_lastscan($1)' into v_last_scan using last_index_scan.index;
  end if;

  return v_last_scan;
end;
$$;

comment on function runbook.last_index_scan(oid) is
'The last scan of an index that the server counted, or null. Null before Postgres 16.';
revoke all on function runbook.last_index_scan(oid) from public;

-- Since when each index has not been used, from three sources: the server's counter and its start,
-- the time of the last scan (Postgres 16), and what the runbook saw itself. One that appeared while
-- the runbook was watching is as old as its first sight; one that it has not seen yet is new.
-- Null: it is used, or too new to say.
create function runbook.index_disuse(min_bytes bigint)
returns table (
  index oid,
  relation oid,
  bytes bigint,
  scans bigint,
  unused_since timestamptz,
  is_watched boolean
)
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  -- A variable, so that the planner knows how few indexes are as large.
  v_min_pages constant bigint :=
    index_disuse.min_bytes / current_setting('block_size')::bigint;
begin
  return query
  with large as materialized (
    select rel.oid as index
    from pg_catalog.pg_class as rel
    where rel.relkind = 'i'
      and rel.relpages >= v_min_pages
  ),
  counted as materialized (
    select
      wat.index,
      wat.relation,
      wat.pages * current_setting('block_size')::bigint as bytes,
      pg_stat_get_numscans(wat.index) as scans,
      usg.scans as scans_seen,
      usg.unused_since as seen_unused_since,
      usg.index is not null as is_watched,
      coalesce(usg.is_older_than_watch, not exists (select from runbook.usage_snapshot))
        as is_of_unknown_age
    from large as lrg
    inner join runbook.watched_index as wat on wat.index = lrg.index
    left join runbook.index_usage as usg on usg.index = wat.index
  ),
  bounds as materialized (
    select runbook.statistics_since() as statistics_since
  )
  select
    cnt.index,
    cnt.relation,
    cnt.bytes,
    cnt.scans,
    case
      -- Used since the runbook last looked, or within the day.
      when cnt.is_watched and cnt.scans > 0 and cnt.scans <> cnt.scans_seen then null
      when cnt.scans > 0
        and least(cnt.seen_unused_since, runbook.last_index_scan(cnt.index))
          > clock_timestamp() - interval '1 day'
        then null
      -- greatest and least pass over a null.
      when cnt.scans = 0 and cnt.is_of_unknown_age
        then least(cnt.seen_unused_since, bnd.statistics_since)
      when cnt.scans = 0 then cnt.seen_unused_since
      else least(cnt.seen_unused_since, runbook.last_index_scan(cnt.index))
    end,
    cnt.is_watched
  from counted as cnt
  cross join bounds as bnd;
end;
$$;

comment on function runbook.index_disuse(bigint) is
'Of each index of at least so many bytes: how often it was scanned and since when not.';
revoke all on function runbook.index_disuse(bigint) from public;
