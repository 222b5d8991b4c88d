-- Measuring bloat: what of a table's file is neither rows nor the room that fillfactor asks for.
--
-- Formulas over statistics are wrong by up to 73 points on tables with stale statistics and by 27
-- where rows are padded, so they only choose whom to measure; pgstattuple_approx measures. It skips
-- pages that are all visible, which makes a vacuumed table of any size cheap and a freshly deleted
-- one as dear as reading it. So a collector measures in the background and keeps what it saw.

create table runbook.bloat_measurement (
  relation oid not null,
  filenode oid not null,
  measured_at timestamptz not null,
  bytes bigint not null,
  live_bytes bigint not null,
  dead_bytes bigint not null,
  free_bytes bigint not null,
  wasted_bytes bigint not null,
  took_ms numeric not null,
  constraint bloat_measurement_pkey primary key (relation, measured_at)
);

comment on table runbook.bloat_measurement is
'What a table, TOAST table or index was made of at an instant. Real clock.';
comment on column runbook.bloat_measurement.filenode is
'The file that was measured; a rewritten table has another one.';
comment on column runbook.bloat_measurement.live_bytes is
'Rows and the pages'' own overhead; with dead_bytes and free_bytes it makes up bytes.';
comment on column runbook.bloat_measurement.wasted_bytes is
'What a rewrite would give back: bytes less the live ones at the relation''s fillfactor.';

revoke all on table runbook.bloat_measurement from public;
grant select on table runbook.bloat_measurement to runbook_viewer;

-- Measures one relation now: a table, a TOAST table or a btree index. Null where that cannot be
-- done: without pgstattuple, or when a lock is not free within 100 ms.
--
-- Cost: an AccessShareLock while it reads, which a waiting ALTER TABLE would make everyone wait
-- for; so the caller looks for exclusive locks first and measures what is small enough.
create function runbook.measure_bloat(relation oid)
returns runbook.bloat_measurement
language plpgsql
volatile
security invoker
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  v_started_at constant timestamptz := clock_timestamp();
  v_schema constant text := runbook.extension_schema('pgstattuple');
  v_measured runbook.bloat_measurement;
  v_is_index boolean;
  v_fillfactor numeric;
begin
  select
    rel.relkind = 'i',
    coalesce(
      runbook.storage_parameter(rel.reloptions, 'fillfactor')::numeric,
      -- the server's default for a btree; tables are filled up
      case when rel.relkind = 'i' then 90 else 100 end
    )
  into v_is_index, v_fillfactor
  from pg_catalog.pg_class as rel
  where rel.oid = measure_bloat.relation;

  if v_schema is null or not found then
    return null;
  end if;

  begin
    if v_is_index then
      -- An empty index has the density NaN. The rest of the pages is meta, internal or unused.
      execute format(
        'select
          stx.index_size,
          coalesce(
            round(
              nullif(stx.avg_leaf_density, ''NaN'')::numeric / 100 * stx.leaf_pages
              * current_setting(''block_size'')::integer
            ),
            0
          ),
          0
        from %I.pgstatindex($1) as stx',
        v_schema
      )
      into v_measured.bytes, v_measured.live_bytes, v_measured.dead_bytes
      using measure_bloat.relation::regclass;
    else
      execute format(
        'select
          apx.table_len,
          apx.table_len - apx.dead_tuple_len - apx.approx_free_space,
          apx.dead_tuple_len
        from %I.pgstattuple_approx($1) as apx',
        v_schema
      )
      into v_measured.bytes, v_measured.live_bytes, v_measured.dead_bytes
      using measure_bloat.relation::regclass;
    end if;
  exception
    when
      lock_not_available
      or insufficient_privilege
      or undefined_table
      or undefined_object
      or undefined_function
      or wrong_object_type
      or feature_not_supported
      or object_not_in_prerequisite_state
    then
      return null;
  end;

  v_measured.relation := measure_bloat.relation;
  v_measured.filenode := coalesce(pg_relation_filenode(measure_bloat.relation::regclass), 0);
  v_measured.measured_at := v_started_at;
  v_measured.free_bytes := v_measured.bytes - v_measured.live_bytes - v_measured.dead_bytes;
  v_measured.wasted_bytes := greatest(
    0,
    v_measured.bytes - ceil(v_measured.live_bytes * 100 / v_fillfactor)
  );
  v_measured.took_ms := runbook.ms_since(v_started_at);

  return v_measured;
end;
$$;

comment on function runbook.measure_bloat(oid) is
'What a table, TOAST table or btree index is made of now, by pgstattuple; null when it could not be
measured.';
revoke all on function runbook.measure_bloat(oid) from public;

-- How many bytes a row takes by the statistics of its columns; null without statistics.
create function runbook.estimated_row_bytes(relation oid)
returns numeric
language sql
stable
security invoker
set search_path = ''
as $$
  -- header and line pointer, and half of what alignment takes on average
  select 24 + 4 + 4 + sum((1 - sts.null_frac) * sts.avg_width)::numeric
  from pg_catalog.pg_class as rel
  inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
  cross join lateral runbook.column_widths(nsp.nspname, rel.relname) as sts
  where rel.oid = estimated_row_bytes.relation;
$$;

comment on function runbook.estimated_row_bytes(oid) is
'Bytes of a row by its columns'' average widths, or null. A rough figure.';
revoke all on function runbook.estimated_row_bytes(oid) from public;

-- The tables and TOAST tables that may waste more than so many bytes, the most suspicious first, at
-- most 50: by pages, by dead rows, and by what the statistics say that the rows need. Who has
-- no figures is suspicious.
--
-- Cost: two counters a table and a TOAST table, pg_stats for 50 of them; no lock.
create function runbook.bloat_candidates(of_catalogs boolean, min_bytes numeric)
returns table (
  relation oid,
  table_oid oid,
  is_toast boolean,
  schema oid,
  bytes numeric,
  pages_to_read numeric,
  suspected_bytes numeric
)
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_block constant bigint := current_setting('block_size')::bigint;
  v_min_pages constant bigint := ceil(bloat_candidates.min_bytes / v_block);
begin
  return query
  with counted as (
    select
      vst.relation,
      vst.table_oid,
      vst.is_toast,
      vst.schema,
      vst.pages,
      vst.visible_pages,
      vst.row_count,
      vst.live_rows,
      vst.dead_rows
    from runbook.vacuum_state as vst
    where not bloat_candidates.of_catalogs
      -- a row takes a page at most, but for what is in TOAST
      and (
        vst.pages >= v_min_pages
        or vst.changed_rows >= v_min_pages
      )
    union all
    select
      rel.oid,
      rel.oid,
      false,
      rel.relnamespace,
      rel.relpages,
      rel.relallvisible,
      greatest(rel.reltuples, 0)::numeric,
      pg_stat_get_live_tuples(rel.oid),
      pg_stat_get_dead_tuples(rel.oid)
    from pg_catalog.pg_class as rel
    where bloat_candidates.of_catalogs
      and rel.relnamespace = 'pg_catalog'::regnamespace
      and rel.relkind = 'r'
      and not rel.relisshared
  ),
  -- Pages are as old as the last VACUUM or ANALYZE; the counters tell what came since.
  sized as (
    select
      cnt.relation,
      cnt.table_oid,
      cnt.is_toast,
      cnt.schema,
      cnt.pages,
      cnt.visible_pages,
      cnt.row_count,
      cnt.live_rows,
      cnt.dead_rows,
      greatest(
        cnt.pages::numeric,
        ceil(
          (cnt.live_rows + cnt.dead_rows) * case
            when cnt.pages >= 10 and cnt.row_count > 0 then cnt.pages / cnt.row_count
            -- without a count: a chunk of TOAST takes a quarter of a page, a row 100 bytes
            when cnt.is_toast then 0.25
            else 0.0125
          end
        )
      ) as likely_pages
    from counted as cnt
  ),
  largest as materialized (
    select
      szd.relation,
      szd.table_oid,
      szd.is_toast,
      szd.schema,
      szd.pages,
      szd.visible_pages,
      szd.row_count,
      szd.live_rows,
      szd.dead_rows,
      szd.likely_pages,
      v_block * szd.likely_pages as bytes
    from sized as szd
    where szd.likely_pages >= v_min_pages
    order by szd.dead_rows * szd.likely_pages / (szd.live_rows + szd.dead_rows + 1.0) desc,
      szd.likely_pages desc
    limit 50
  )
  select
    lrg.relation,
    lrg.table_oid,
    lrg.is_toast,
    lrg.schema,
    lrg.bytes,
    least(
      lrg.likely_pages,
      lrg.likely_pages - least(lrg.visible_pages, lrg.pages) + lrg.dead_rows
    ),
    greatest(
      0,
      lrg.bytes - coalesce(
        case
          -- what a chunk of TOAST takes at most
          when lrg.is_toast then 2050 * coalesce(nullif(lrg.live_rows, 0), lrg.row_count)
          else runbook.estimated_row_bytes(lrg.relation)
            * coalesce(nullif(lrg.live_rows, 0), lrg.row_count)
        end,
        0
      )
    ) as suspected_bytes
  from largest as lrg
  order by suspected_bytes desc, lrg.relation;
end;
$$;

comment on function runbook.bloat_candidates(boolean, numeric) is
'At most 50 tables and TOAST tables that may waste so many bytes, the most suspicious first, with
their size and how many pages a measurement reads. Of the catalogs, or of all others.';
revoke all on function runbook.bloat_candidates(boolean, numeric) from public;

-- The largest btree indexes, by pages as of the last VACUUM.
create function runbook.index_candidates(min_bytes numeric)
returns table (relation oid, bytes numeric)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_block constant bigint := current_setting('block_size')::bigint;
  v_min_pages constant bigint := ceil(index_candidates.min_bytes / v_block);
begin
  return query
  select rel.oid, (v_block * rel.relpages)::numeric
  from pg_catalog.pg_class as rel
  inner join pg_catalog.pg_am as acm on acm.oid = rel.relam and acm.amname = 'btree'
  where rel.relkind = 'i'
    and rel.relpersistence <> 't'
    and rel.relpages >= v_min_pages
  order by rel.relpages desc
  limit 50;
end;
$$;

comment on function runbook.index_candidates(numeric) is
'At most 50 btree indexes of so many bytes, the largest first. Takes no lock.';
revoke all on function runbook.index_candidates(numeric) from public;

-- The measurement that still counts for a relation: of the file that it has now, and young enough.
create function runbook.fresh_bloat(relation oid, max_age interval)
returns runbook.bloat_measurement
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select msr
    from runbook.bloat_measurement as msr
    where msr.relation = fresh_bloat.relation
      and msr.measured_at > clock_timestamp() - fresh_bloat.max_age
      and msr.filenode
        = coalesce(pg_relation_filenode(fresh_bloat.relation::regclass), 0)
    order by msr.measured_at desc
    limit 1
  );
end;
$$;

comment on function runbook.fresh_bloat(oid, interval) is
'The newest measurement of a relation within the interval and of its present file, or null.';
revoke all on function runbook.fresh_bloat(oid, interval) from public;

-- Measures what may be bloated and has not been measured for most of a day, until it has read two
-- gigabytes or spent ten seconds; the next hour goes on. An index is read whole, so weekly.
--
-- Cost: each relation is locked (AccessShareLock) only while it is read; one that somebody holds or
-- awaits exclusively is left out.
create function runbook.collect_bloat(keep interval)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_started_at constant timestamptz := clock_timestamp();
  v_pages_left numeric := 262144;
  v_written bigint := 0;
  v_candidate record;
  v_measured runbook.bloat_measurement;
begin
  delete from runbook.bloat_measurement as msr
  where msr.measured_at < clock_timestamp() - collect_bloat.keep;

  if runbook.extension_schema('pgstattuple') is null then
    return v_written;
  end if;

  for v_candidate in
    with candidates as (
      select
        cnd.relation,
        cnd.table_oid,
        cnd.pages_to_read,
        cnd.suspected_bytes as weight,
        interval '20 hours' as every
      from runbook.bloat_candidates(
        false,
        (runbook.thresholds_of('bloat') ->> 'wasted_bytes')::numeric
      ) as cnd
      union all
      select cnd.relation, cnd.table_oid, cnd.pages_to_read, cnd.suspected_bytes, '20 hours'
      from runbook.bloat_candidates(
        true,
        (runbook.thresholds_of('catalog_bloat') ->> 'wasted_bytes')::numeric
      ) as cnd
      union all
      select
        cnd.relation,
        cnd.relation,
        cnd.bytes / current_setting('block_size')::numeric,
        0,
        '7 days'
      from runbook.index_candidates(
        (runbook.thresholds_of('bloat') ->> 'wasted_bytes')::numeric
      ) as cnd
    )
    select cnd.relation, cnd.pages_to_read
    from candidates as cnd
    where runbook.fresh_bloat(cnd.relation, cnd.every) is null
      and not exists (
        select
        from runbook.exclusive_locks() as lck
        where lck.relation in (cnd.relation, cnd.table_oid)
      )
    order by cnd.weight desc, cnd.pages_to_read
  loop
    exit when clock_timestamp() > v_started_at + interval '10 seconds';
    continue when v_candidate.pages_to_read > v_pages_left;

    v_pages_left := v_pages_left - v_candidate.pages_to_read;
    v_measured := runbook.measure_bloat(v_candidate.relation);

    if v_measured.bytes is not null then
      insert into runbook.bloat_measurement (
        relation,
        filenode,
        measured_at,
        bytes,
        live_bytes,
        dead_bytes,
        free_bytes,
        wasted_bytes,
        took_ms
      )
      values (
        v_measured.relation,
        v_measured.filenode,
        v_measured.measured_at,
        v_measured.bytes,
        v_measured.live_bytes,
        v_measured.dead_bytes,
        v_measured.free_bytes,
        v_measured.wasted_bytes,
        v_measured.took_ms
      );
      v_written := v_written + 1;
    end if;
  end loop;

  return v_written;
end;
$$;

comment on function runbook.collect_bloat(interval) is
'Measures what may be bloated and was not measured lately; returns how many relations.';
revoke all on function runbook.collect_bloat(interval) from public;

insert into runbook.collector (name, function, every, keep, description)
values (
  'bloat',
  'runbook.collect_bloat',
  '1 hour',
  '30 days',
  'Measures the bloat of large tables, TOAST tables, catalogs and indexes, a few of them an hour.'
);
