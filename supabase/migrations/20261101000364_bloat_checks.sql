-- Checks of bloat: in the tables of the database and in its catalogs, as measured.
--
-- A finding needs size and percent at once: a large part of a small table and a small part of a
-- large one are nobody's trouble.

-- What a measurement, or for want of one a guess, says about a relation; null when all is well.
-- Confidence is low where nothing was measured, and then the finding is no warning.
create function runbook.bloat_finding(
  code text,
  name text,
  what text,
  bytes numeric,
  wasted_bytes numeric,
  dead_bytes numeric,
  measured_at timestamptz,
  is_of_platform boolean,
  settings jsonb
)
returns runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_percent constant numeric := round(
    100 * bloat_finding.wasted_bytes / nullif(bloat_finding.bytes, 0), 1
  );
  v_is_measured constant boolean := bloat_finding.measured_at is not null;
  -- Vacuum turns dead space into room for new rows; room it cannot give back.
  v_is_dead constant boolean := coalesce(
    2 * bloat_finding.dead_bytes >= bloat_finding.wasted_bytes, false
  );
  v_is_curable constant boolean := v_is_measured
    and v_is_dead
    and bloat_finding.code = 'table_bloated'
    and not bloat_finding.is_of_platform;
begin
  if v_percent is null
    or v_percent < (bloat_finding.settings ->> 'percent')::numeric
    or bloat_finding.wasted_bytes < (bloat_finding.settings ->> 'wasted_bytes')::numeric
  then
    return null;
  end if;

  return row(
    bloat_finding.code,
    case when v_is_measured then 'warning' else 'info' end,
    bloat_finding.name,
    format(
      '%s%s of the %s of %s%s is waste. %s',
      case when v_is_measured then '' else 'Probably ' end,
      format('%s (%s %%)', pg_size_pretty(bloat_finding.wasted_bytes), v_percent),
      pg_size_pretty(bloat_finding.bytes),
      bloat_finding.name,
      coalesce(' (' || bloat_finding.what || ')', ''),
      case
        when not v_is_measured and runbook.extension_schema('pgstattuple') is null
          then 'To measure it: create extension pgstattuple with schema extensions;'
        when not v_is_measured then 'It will be measured in the background.'
        when bloat_finding.code = 'index_bloated'
          then format(
            'Rebuild it while it is used: reindex index concurrently %s;', bloat_finding.name
          )
        when bloat_finding.code = 'catalog_bloated' then
          'It slows each plan, and the schema cache of the Data API. Vacuum it as the owner of the '
          'database, and find what makes and drops so many objects.'
        when v_is_dead then 'Most of it are dead rows: vacuum makes room of them.'
        else
          'New rows will use it. To give it back: pg_repack, or VACUUM FULL, which locks the table.'
      end
    ),
    jsonb_build_object(
      'bytes', bloat_finding.bytes,
      'wasted_bytes', bloat_finding.wasted_bytes,
      'dead_bytes', bloat_finding.dead_bytes,
      'percent', v_percent,
      'what', bloat_finding.what,
      'measured_at', bloat_finding.measured_at,
      'confidence', case when v_is_measured then 'high' else 'low' end
    ),
    case
      when not v_is_measured
        then 'estimated from column widths and counters: low confidence'
      when bloat_finding.code = 'index_bloated'
        then format(
          'measured by pgstatindex at %s, fillfactor counted',
          runbook.utc_text(bloat_finding.measured_at)
        )
      else format(
        'measured by pgstattuple_approx at %s, fillfactor counted; whether the space lies at the end '
        'of the file is not known',
        runbook.utc_text(bloat_finding.measured_at)
      )
    end,
    case when v_is_curable then 'vacuum-table' end,
    case when v_is_curable then jsonb_build_object('table', bloat_finding.name) end
  )::runbook.finding;
end;
$$;

comment on function
runbook.bloat_finding(text, text, text, numeric, numeric, numeric, timestamptz, boolean, jsonb) is
'A finding about the bloat of a relation, or null below the thresholds of size and percent.';
revoke all on function
runbook.bloat_finding(text, text, text, numeric, numeric, numeric, timestamptz, boolean, jsonb)
from public;

-- The findings about tables: by measurements that are fresh, and some made now.
create function runbook.bloat_of_tables(of_catalogs boolean, code text, settings jsonb)
returns runbook.finding[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_started_at constant timestamptz := clock_timestamp();
  v_max_age constant interval := make_interval(
    hours => (bloat_of_tables.settings ->> 'max_age_h')::integer
  );
  v_is_installed constant boolean := runbook.extension_schema('pgstattuple') is not null;
  v_max_pages constant numeric := (bloat_of_tables.settings ->> 'pages_at_once')::numeric;
  v_findings runbook.finding[] := array[]::runbook.finding[];
  v_candidate record;
  v_measured runbook.bloat_measurement;
  v_now runbook.bloat_measurement;
  v_finding runbook.finding;
  v_unmeasured bigint := 0;
begin
  for v_candidate in
    with locks as materialized (
      select lck.relation, min(lck.description) as description
      from runbook.exclusive_locks() as lck
      group by lck.relation
    )
    select
      cnd.relation,
      cnd.is_toast,
      runbook.is_application_schema(cnd.schema) as is_application,
      cnd.bytes,
      cnd.pages_to_read,
      cnd.suspected_bytes,
      greatest(
        pg_stat_get_last_vacuum_time(cnd.relation), pg_stat_get_last_autovacuum_time(cnd.relation)
      ) as vacuumed_at,
      runbook.relation_name(cnd.table_oid) as name,
      (
        select lck.description
        from locks as lck
        where lck.relation in (cnd.relation, cnd.table_oid)
        limit 1
      ) as locked_by
    from runbook.bloat_candidates(
      bloat_of_tables.of_catalogs,
      (bloat_of_tables.settings ->> 'wasted_bytes')::numeric
    ) as cnd
    order by cnd.suspected_bytes desc, cnd.relation
  loop
    v_measured := runbook.fresh_bloat(v_candidate.relation, v_max_age);

    if v_measured.bytes is null and v_candidate.locked_by is not null then
      v_findings := v_findings || runbook.skipped(
        bloat_of_tables.code,
        format('%s was not measured: %s.', v_candidate.name, v_candidate.locked_by)
      );
      continue;
    end if;

    -- What was dead before a vacuum is free now.
    if v_candidate.vacuumed_at > v_measured.measured_at then
      v_measured.free_bytes := v_measured.free_bytes + v_measured.dead_bytes;
      v_measured.dead_bytes := 0;
    end if;

    if v_is_installed
      and (v_measured.bytes is null or v_candidate.vacuumed_at > v_measured.measured_at)
      and v_candidate.locked_by is null
      and v_candidate.pages_to_read <= v_max_pages
      and clock_timestamp() < v_started_at + interval '150 milliseconds'
    then
      v_now := runbook.measure_bloat(v_candidate.relation);
      v_measured := case when v_now.bytes is null then v_measured else v_now end;
    end if;

    v_finding := runbook.bloat_finding(
      bloat_of_tables.code,
      v_candidate.name,
      case when v_candidate.is_toast then 'its TOAST table' end,
      coalesce(v_measured.bytes, v_candidate.bytes),
      coalesce(v_measured.wasted_bytes, v_candidate.suspected_bytes),
      v_measured.dead_bytes,
      v_measured.measured_at,
      not v_candidate.is_application,
      bloat_of_tables.settings
    );

    if v_finding.code is not null then
      v_findings := v_findings || v_finding;
    elsif v_measured.bytes is null then
      v_unmeasured := v_unmeasured + 1;
    end if;
  end loop;

  -- Estimates miss much, so what they find in order is not known to be.
  if v_unmeasured > 0 then
    v_findings := v_findings || runbook.not_applicable(
      bloat_of_tables.code,
      format(
        '%s not measured %s; by their statistics they are in order.',
        case v_unmeasured
          when 1 then 'One large table is'
          else v_unmeasured || ' large tables are'
        end,
        case
          when v_is_installed then 'yet: the collector bloat does it hour by hour'
          else 'here: create extension pgstattuple with schema extensions'
        end
      )
    );
  end if;

  return v_findings;
end;
$$;

comment on function runbook.bloat_of_tables(boolean, text, jsonb) is
'The findings about bloat in tables, of the catalogs or of all others.';
revoke all on function runbook.bloat_of_tables(boolean, text, jsonb) from public;

-- The findings of a list as a check's result: their number, and the hundred of most weight.
create function runbook.weighed_result(findings runbook.finding[], weight text)
returns runbook.check_result
language sql
immutable
security invoker
set search_path = ''
as $$
  with given as (
    select
      fnd.severity in ('info', 'warning', 'critical') as is_fact,
      (fnd.evidence ->> weighed_result.weight)::numeric as weight,
      fnd as finding
    from unnest(weighed_result.findings) as fnd
    where fnd.code is not null
  ),
  ranked as (
    select
      gvn.finding,
      gvn.is_fact,
      row_number() over (order by gvn.is_fact desc, gvn.weight desc nulls last) as position
    from given as gvn
  )
  select row(
    count(*) filter (where rnk.is_fact),
    coalesce(
      array_agg(rnk.finding order by rnk.position) filter (where rnk.position <= 100),
      '{}'
    )
  )::runbook.check_result
  from ranked as rnk;
$$;

comment on function runbook.weighed_result(runbook.finding[], text) is
'A check''s result from findings: how many facts, and the hundred with the most of an evidence.';
revoke all on function runbook.weighed_result(runbook.finding[], text) from public;

-- Tables and indexes of which a large part is waste.
--
-- Cost: two counters a table. What the collector has not measured yet is measured here if it takes
-- no more than pages_at_once pages, one table after the other until 150 ms are spent, each below
-- an AccessShareLock that is waited for 100 ms at most.
-- Misses: which part of the free space VACUUM could give back; indexes that are not btrees.
create function runbook.check_bloat(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_findings runbook.finding[] := runbook.bloat_of_tables(
    false, 'table_bloated', check_bloat.settings
  );
  v_of_indexes runbook.finding[];
begin
  select array_agg(
    runbook.bloat_finding(
      'index_bloated',
      runbook.relation_name(cnd.relation),
      null,
      msr.bytes,
      msr.wasted_bytes,
      0,
      msr.measured_at,
      true,
      check_bloat.settings
    )
  )
  into v_of_indexes
  from runbook.index_candidates(
    (check_bloat.settings ->> 'wasted_bytes')::numeric
  ) as cnd
  -- Measured weekly.
  cross join lateral runbook.fresh_bloat(cnd.relation, interval '8 days') as msr
  where msr.bytes is not null;

  return runbook.weighed_result(v_findings || v_of_indexes, 'wasted_bytes');
end;
$$;

comment on function runbook.check_bloat(jsonb) is
'How many tables and indexes waste much of their size: table_bloated, index_bloated.';
revoke all on function runbook.check_bloat(jsonb) from public;

-- Catalogs of which a large part is waste: each plan reads them, and PostgREST's schema cache reads
-- them whole, so that bloat shows as its timeouts.
--
-- Cost: as check_bloat, for the catalogs.
-- Misses: catalogs that all databases share, and the catalogs' indexes.
create function runbook.check_catalog_bloat(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  select runbook.weighed_result(
    runbook.bloat_of_tables(true, 'catalog_bloated', check_catalog_bloat.settings),
    'wasted_bytes'
  );
$$;

comment on function runbook.check_catalog_bloat(jsonb) is
'How many catalogs waste much of their size: catalog_bloated.';
revoke all on function runbook.check_catalog_bloat(jsonb) from public;

-- Sources: bucardo/check_postgres#147 for size and percent together; nobody gives the figures. Half
-- of the file is what a table that is emptied and filled in turns needs; 50 MB is a second of
-- reading on the smallest instances' disk. Catalogs are read whole, so 20 MB there.
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
    'catalog_bloat',
    'Bloat of the catalogs',
    'Waste in Postgres''s own catalogs, as measured.',
    'runbook.check_catalog_bloat',
    540,
    'storage',
    'catalogs',
    '{"wasted_bytes": 20971520, "percent": 50, "max_age_h": 26, "pages_at_once": 8000}',
    '{"catalog_bloated": "Much of a catalog is waste."}'
  ),
  (
    'bloat',
    'Bloat',
    'Waste in tables, TOAST tables and btree indexes, as measured by pgstattuple.',
    'runbook.check_bloat',
    590,
    'storage',
    'tables and indexes',
    '{"wasted_bytes": 52428800, "percent": 50, "max_age_h": 26, "pages_at_once": 16000}',
    '{
      "table_bloated": "Much of a table or its TOAST table is waste.",
      "index_bloated": "Much of an index is waste."
    }'
  );
