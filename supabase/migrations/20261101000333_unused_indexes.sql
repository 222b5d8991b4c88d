-- Indexes that no query has used for long enough to say so, and which index serves which foreign
-- key: one that only a foreign key needs is not unused.
-- Relies on: runbook.index_disuse, the catalogs' raw columns; no lock on any table.

create view runbook.watched_foreign_key
with (security_invoker = true)
as
select
  con.oid as id,
  con.conname as name,
  con.conrelid as relation,
  con.conkey as columns,
  con.confrelid as referenced_relation,
  wat.kind,
  wat.is_partition,
  wat.pages,
  wat.rows
from pg_catalog.pg_constraint as con
inner join runbook.watched_relation as wat on wat.relation = con.conrelid
where con.contype = 'f'
  -- Where the referenced table is partitioned, each of its parts has a copy of the constraint.
  and not exists (
    select
    from pg_catalog.pg_constraint as whole
    where whole.oid = con.conparentid
      and whole.conrelid = con.conrelid
  );

comment on view runbook.watched_foreign_key is
'One foreign key of a table of the application; of a partitioned table also of each partition.';

revoke all on table runbook.watched_foreign_key from public;

-- The indexes that serve the lookups of a foreign key: their first columns are the key's, in any
-- order. A partial one does where it leaves out nothing but nulls, which no lookup asks for.
create view runbook.foreign_key_index
with (security_invoker = true)
as
select
  con.oid as foreign_key,
  idx.indexrelid as index
from pg_catalog.pg_constraint as con
inner join pg_catalog.pg_index as idx on idx.indrelid = con.conrelid
inner join pg_catalog.pg_class as rel on rel.oid = idx.indexrelid
where con.contype = 'f'
  and idx.indisvalid
  and idx.indisready
  and idx.indislive
  and idx.indnkeyatts >= cardinality(con.conkey)
  -- btree, and hash, which has one column; both have had these numbers since ever.
  and rel.relam in (403, 405)
  -- The vector counts from 0.
  and (idx.indkey::int2[])[0:cardinality(con.conkey) - 1] @> con.conkey
  and (idx.indkey::int2[])[0:cardinality(con.conkey) - 1] <@ con.conkey
  and (
    idx.indpred is null
    or (
      cardinality(con.conkey) = 1
      and idx.indpred::text ~ format(
        '^\{NULLTEST :arg \{VAR [^{}]*:varattno %s [^{}]*\} :nulltesttype 1 [^{}]*\}$',
        con.conkey[1]
      )
    )
  );

comment on view runbook.foreign_key_index is
'One index that serves the lookups of one foreign key.';

revoke all on table runbook.foreign_key_index from public;

-- Why an index must stay although nobody reads it; null where nothing speaks for it.
create function runbook.index_kept_because(index oid)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when wat.is_of_constraint then 'A constraint or a foreign key stands on it.'
    when wat.is_unique then 'It is unique, so it forbids rows.'
    when wat.is_replica_identity then 'It is the replica identity of its table.'
    when wat.is_attached then 'It is a part of a partitioned index.'
    when wat.is_clustered then 'CLUSTER goes by it.'
    when exists (
      select
      from runbook.foreign_key_index as fki
      where fki.index = wat.index
        and not exists (
          select
          from runbook.foreign_key_index as other
          where other.foreign_key = fki.foreign_key
            and other.index <> wat.index
        )
    ) then 'A foreign key has no other index: deleting what it refers to would read the table.'
    when exists (
      select
      from pg_catalog.pg_policy as pol
      inner join pg_catalog.pg_depend as dep
        on dep.classid = 'pg_catalog.pg_policy'::regclass
        and dep.objid = pol.oid
        and dep.refclassid = 'pg_catalog.pg_class'::regclass
        and dep.refobjid = wat.relation
      where pol.polrelid = wat.relation
        and dep.refobjsubid > 0
        and dep.refobjsubid = wat.keys[0]
    ) then 'A policy of row level security reads its first column.'
  end
  from runbook.watched_index as wat
  where wat.index = index_kept_because.index;
$$;

comment on function runbook.index_kept_because(oid) is
'The reason for keeping an index that nobody reads, or null. Takes no lock on its table.';
revoke all on function runbook.index_kept_because(oid) from public;

-- Indexes that no query has used for days, though their table is used.
--
-- Just after a reset, a crash or an upgrade every index looks unused, and one of yesterday always
-- does: neither is reported before window_days have passed. As long as the counters themselves are
-- younger than that the check says that it waits.
--
-- Cost: pg_index once, the counters of the larger indexes; no lock on any table.
-- Misses: scans on read replicas, which count for themselves; use once a quarter, if the window is
-- shorter; indexes of partitioned tables; an index whose statistics the planner wants, though it
-- never reads it (one over an expression).
create function runbook.check_unused_indexes(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_window_days constant numeric := check_unused_indexes.settings ->> 'window_days';
  v_window constant interval := make_interval(secs => 86400 * v_window_days::double precision);
  v_since constant timestamptz := runbook.statistics_since();
  v_now constant timestamptz := clock_timestamp();
  v_obstacle constant runbook.finding := runbook.counters_obstacle('unused_indexes');
  v_waiting bigint;
  v_result runbook.check_result;
begin
  if v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  with disused as materialized (
    select
      dis.index,
      dis.relation,
      dis.bytes,
      dis.scans,
      dis.unused_since,
      dis.unused_since <= v_now - v_window as is_proven
    from runbook.index_disuse((check_unused_indexes.settings ->> 'min_bytes')::bigint) as dis
    -- Counters that are all zero say nothing about the index: they were reset, or nobody came.
    where (dis.unused_since is not null or dis.scans = 0)
      and (
        pg_stat_get_numscans(dis.relation) > 0
        or pg_stat_get_tuples_inserted(dis.relation) > 0
        or pg_stat_get_tuples_updated(dis.relation) > 0
        or pg_stat_get_tuples_deleted(dis.relation) > 0
        or exists (
          select
          from pg_catalog.pg_index as idx
          where idx.indrelid = dis.relation
            and pg_stat_get_numscans(idx.indexrelid) > 0
        )
      )
  ),
  found as materialized (
    select
      dis.index,
      dis.relation,
      dis.bytes,
      dis.scans,
      dis.unused_since,
      dis.is_proven,
      row_number() over (order by dis.bytes desc, dis.index) as position
    from disused as dis
    where runbook.index_kept_because(dis.index) is null
  ),
  named as (
    select
      fnd.position,
      fnd.bytes,
      fnd.scans,
      fnd.unused_since,
      runbook.relation_name(fnd.index) as name,
      runbook.relation_name(fnd.relation) as table_name,
      pg_stat_get_tuples_inserted(fnd.relation)
      + pg_stat_get_tuples_updated(fnd.relation)
      - pg_stat_get_tuples_hot_updated(fnd.relation) as writes
    from found as fnd
    where fnd.is_proven
    limit 100
  )
  select
    (select count(*) from found as fnd where not coalesce(fnd.is_proven, false)),
    (select count(*) from found as fnd where fnd.is_proven),
    coalesce(
      array_agg(
        row(
          'unused_index',
          case
            when nmd.bytes >= (check_unused_indexes.settings ->> 'warning_bytes')::bigint
              then 'warning'
            else 'info'
          end,
          nmd.name,
          left(
            format(
              '%s on %s (%s) has not been used for %s; %s row versions were written into it since '
              '%s. No constraint, foreign key or policy needs it. Read replicas are not seen from '
              'here.',
              nmd.name,
              nmd.table_name,
              pg_size_pretty(nmd.bytes),
              runbook.duration_text(v_now - nmd.unused_since),
              nmd.writes,
              to_char(v_since at time zone 'UTC', 'YYYY-MM-DD')
            ),
            300
          ),
          jsonb_build_object(
            'table', nmd.table_name,
            'bytes', nmd.bytes,
            'scans', nmd.scans,
            'unused_since', nmd.unused_since,
            'statistics_since', v_since,
            'writes', nmd.writes
          ),
          'counted by the server and watched by the runbook; size by relpages',
          'drop-index',
          jsonb_build_object('index', nmd.name)
        )::runbook.finding
        order by nmd.position
      ),
      '{}'
    )
  into v_waiting, v_result.value, v_result.findings
  from named as nmd;

  -- With nothing that could be unused there is nothing to wait for.
  if v_result.value = 0
    and v_since > v_now - v_window
    and exists (
      select
      from runbook.index_disuse((check_unused_indexes.settings ->> 'min_bytes')::bigint) as dis
      where runbook.index_kept_because(dis.index) is null
    )
  then
    v_result.value := null;
    v_result.findings := array[
      runbook.not_applicable(
        'unused_indexes',
        format(
          'The counters began at %s; an index counts as unused after %s days. So far %s would.',
          runbook.utc_text(v_since),
          v_window_days,
          v_waiting
        )
      )
    ];
  end if;

  return v_result;
end;
$$;

comment on function runbook.check_unused_indexes(jsonb) is
'Number of indexes that nothing has used for window_days: unused_index.';
revoke all on function runbook.check_unused_indexes(jsonb) from public;

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
  -- window_days: a week, so that what runs on Sundays counts. min_bytes: below 1 MB it is not worth
  -- a question. warning_bytes: published checks that look from 100 MB on hide what fills a small
  -- instance's memory.
  (
    'unused_indexes',
    'Unused indexes',
    'Indexes that no query has used for days and that nothing else needs.',
    'runbook.check_unused_indexes',
    330,
    'indexes',
    'indexes',
    '{"window_days": 7, "min_bytes": 1048576, "warning_bytes": 10485760}',
    '{"unused_index": "An index that was not used for window_days, while its table was."}'
  );
