-- Checks of what autovacuum should have done: dead rows past its real trigger, tables for which it
-- is switched off, and statistics that are missing or stale.
--
-- Past a trigger is no trouble when autovacuum is about to come: it looks once a naptime. So these
-- speak when it is off, when it came and could not help, or when it did not come in several rounds,
-- as the collector autovacuum_due has seen.

-- Dead rows that autovacuum should have removed and did not.
--
-- Cost: two counters a table and a TOAST table; no lock.
-- Misses: what died before a crash or a reset, from which the counters begin anew.
create function runbook.check_dead_rows(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_min_rows constant bigint := (check_dead_rows.settings ->> 'min_dead_rows')::bigint;
  v_overdue_rows constant numeric := (check_dead_rows.settings ->> 'overdue_dead_rows')::numeric;
  v_overdue_percent constant numeric := (check_dead_rows.settings ->> 'overdue_percent')::numeric;
  v_overdue_factor constant numeric := (check_dead_rows.settings ->> 'overdue_factor')::numeric;
  v_horizon_age constant interval := make_interval(
    secs => (check_dead_rows.settings ->> 'horizon_s')::double precision
  );
  v_missed_runs constant numeric := (check_dead_rows.settings ->> 'missed_runs')::numeric;
  v_naptime constant interval := current_setting('autovacuum_naptime')::interval;
  v_recently constant timestamptz := clock_timestamp()
    - v_missed_runs::double precision * v_naptime;
  v_obstacle constant runbook.finding := runbook.counters_obstacle('dead_rows');
  v_unknown constant text := runbook.autovacuum_due_unknown();
  v_busy constant text := runbook.autovacuum_is_busy();
  v_untold bigint;
  v_result runbook.check_result;
begin
  if v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  with piles as materialized (
    select
      vst.relation,
      vst.table_oid,
      vst.is_toast,
      vst.schema,
      vst.dead_rows,
      vst.dead_trigger,
      vst.autovacuum_is_on,
      round(100.0 * vst.dead_rows / (vst.live_rows + vst.dead_rows), 1) as percent,
      greatest(
        pg_stat_get_last_vacuum_time(vst.relation), pg_stat_get_last_autovacuum_time(vst.relation)
      ) as vacuumed_at
    from runbook.vacuum_state as vst
    where vst.dead_rows >= v_min_rows
      and vst.dead_rows > vst.dead_trigger
      and not exists (
        select
        from runbook.maintenance_under_way() as mnt
        where mnt.relation = vst.relation
          and mnt.command = 'vacuum'
      )
  ),
  horizons as materialized (
    select hrz.since, hrz.description
    -- When a vacuum of just now left them, whoever has been there since then is in the way.
    from runbook.oldest_horizon(
      case
        when exists (select from piles as pil where pil.vacuumed_at > v_recently) then '0'
        else v_horizon_age
      end
    ) as hrz
    where hrz.description is not null
      and exists (select from piles)
  ),
  judged as materialized (
    select
      pil.relation,
      pil.table_oid,
      pil.is_toast,
      pil.schema,
      pil.dead_rows,
      pil.dead_trigger,
      pil.percent,
      pil.vacuumed_at,
      hrz.description as holder,
      mss.since as due_since,
      case
        when not pil.autovacuum_is_on then 'off'
        -- a slot or a standby does not say since when
        when hrz.description is not null
          and pil.vacuumed_at > coalesce(hrz.since, v_recently) then 'held_back'
        when pil.dead_rows < v_overdue_rows
          or (
            pil.percent < v_overdue_percent
            and pil.dead_rows < v_overdue_factor * pil.dead_trigger
          ) then null
        when mss.since < pil.vacuumed_at then 'still_there'
        when mss.since is not null then 'overdue'
        when v_unknown is not null then 'unknown'
      end as cause
    from piles as pil
    left join horizons as hrz on true
    left join runbook.autovacuum_missed(v_missed_runs) as mss
      on mss.relation = pil.relation and mss.work = 'vacuum'
  ),
  named as (
    select
      runbook.relation_name(jdg.table_oid) as name,
      jdg.is_toast,
      jdg.dead_rows,
      jdg.dead_trigger,
      jdg.percent,
      jdg.vacuumed_at,
      jdg.holder,
      jdg.due_since,
      jdg.cause,
      runbook.is_application_schema(jdg.schema) as is_application,
      row_number() over (order by jdg.dead_rows desc, jdg.relation) as position,
      count(*) over () as total
    from judged as jdg
    where jdg.cause <> 'unknown'
    order by jdg.dead_rows desc, jdg.relation
    limit 100
  )
  select
    (select count(*) from judged as jdg where jdg.cause = 'unknown'),
    coalesce(max(nmd.total), 0),
    coalesce(
      array_agg(
        row(
          'dead_rows_pile_up',
          'warning',
          nmd.name,
          format(
            '%s%s has %s dead rows (%s %% of its rows); autovacuum is due from %s on, %s',
            nmd.name,
            case when nmd.is_toast then ' (its TOAST table)' else '' end,
            nmd.dead_rows,
            nmd.percent,
            round(nmd.dead_trigger),
            case nmd.cause
              when 'off' then 'but is switched off for it. Vacuum it, and switch autovacuum on.'
              when 'held_back' then format(
                'and cannot remove them because of %s. End that first.',
                left(nmd.holder, 120)
              )
              when 'still_there' then format(
                'and it was vacuumed at %s: they are there still, or again. Vacuum it again.',
                runbook.utc_text(nmd.vacuumed_at)
              )
              else format(
                'and has not come for %s, though it looks every %s%s. Vacuum it, and see whether '
                'autovacuum keeps up.',
                runbook.duration_text(clock_timestamp() - nmd.due_since),
                runbook.duration_text(v_naptime),
                '; ' || v_busy
              )
            end
          ),
          jsonb_build_object(
            'dead_rows', nmd.dead_rows,
            'percent', nmd.percent,
            'trigger', round(nmd.dead_trigger),
            'is_toast', nmd.is_toast,
            'cause', nmd.cause,
            'vacuumed_at', nmd.vacuumed_at,
            'due_since', nmd.due_since,
            'held_back_by', nmd.holder
          ),
          'counters of the server, against the trigger that counts for this table',
          -- Vacuum would remove nothing while somebody may still see the rows.
          case when nmd.cause <> 'held_back' and nmd.is_application then 'vacuum-table' end,
          case
            when nmd.cause <> 'held_back' and nmd.is_application
              then jsonb_build_object('table', nmd.name)
          end
        )::runbook.finding
        order by nmd.position
      ),
      '{}'
    )
  into v_untold, v_result.value, v_result.findings
  from named as nmd;

  if v_untold > 0 then
    v_result.findings := v_result.findings || runbook.skipped(
      'dead_rows',
      format(
        '%s past autovacuum''s trigger; %s', runbook.counted(v_untold, 'table'), v_unknown
      )
    );
  end if;

  return v_result;
end;
$$;

comment on function runbook.check_dead_rows(jsonb) is
'How many tables have dead rows past autovacuum''s trigger that it will not remove by itself:
dead_rows_pile_up.';
revoke all on function runbook.check_dead_rows(jsonb) from public;

-- Tables that autovacuum leaves alone, or all of them.
--
-- Cost: pg_class once; no lock.
-- Misses: thresholds so high that they amount to the same.
create function runbook.check_autovacuum_off(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  -- A TOAST table without parameters of its own follows its table, and is told with it.
  with with_parameters as materialized (
    select
      coalesce(own.relation, rel.oid) as table_oid,
      rel.relkind = 't' as is_toast,
      pg_stat_get_live_tuples(rel.oid) as live_rows,
      pg_stat_get_dead_tuples(rel.oid) as dead_rows
    from pg_catalog.pg_class as rel
    left join lateral runbook.toast_owner(case when rel.relkind = 't' then rel.oid end) as own
      on true
    where rel.relkind in ('r', 'm', 't')
      and rel.relpersistence <> 't'
      and rel.reloptions is not null
      and not runbook.storage_parameter(rel.reloptions, 'autovacuum_enabled')::boolean
  ),
  switched_off as (
    select
      'database' as name,
      format('The setting %s is off', stg.name) as what,
      format(
        'nothing is vacuumed before wraparound forces it. Switch it on in the %s',
        'platform''s Postgres settings.'
      ) as advice,
      'critical' as severity,
      jsonb_build_object('setting', stg.name) as evidence,
      9223372036854775807 as weight
    from pg_catalog.pg_settings as stg
    where stg.name in ('autovacuum', 'track_counts')
      and stg.setting = 'off'
    union all
    select
      runbook.relation_name(par.table_oid),
      format(
        'Autovacuum is switched off for %s%s',
        runbook.relation_name(par.table_oid),
        case when par.is_toast then ' (its TOAST table)' else '' end
      ),
      format(
        '%s dead rows are left. Switch it on: alter table %s reset (%s);',
        par.dead_rows,
        runbook.relation_name(par.table_oid),
        case when par.is_toast then 'toast.autovacuum_enabled' else 'autovacuum_enabled' end
      ),
      'warning',
      jsonb_build_object(
        'dead_rows', par.dead_rows,
        'live_rows', par.live_rows,
        'is_toast', par.is_toast
      ),
      par.dead_rows
    from with_parameters as par
  ),
  cut as (
    select
      off.name,
      off.what,
      off.advice,
      off.severity,
      off.evidence,
      row_number() over (order by off.weight desc, off.name, off.what) as position,
      count(*) over () as total
    from switched_off as off
    order by off.weight desc, off.name, off.what
    limit 100
  )
  select row(
    coalesce(max(cut.total), 0),
    coalesce(
      array_agg(
        row(
          'autovacuum_disabled',
          cut.severity,
          cut.name,
          format('%s: %s', cut.what, cut.advice),
          cut.evidence,
          'read from the settings and storage parameters',
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

comment on function runbook.check_autovacuum_off(jsonb) is
'How many tables autovacuum leaves alone: autovacuum_disabled.';
revoke all on function runbook.check_autovacuum_off(jsonb) from public;

-- The tables of the application whose statistics are missing or stale, which gives the planner
-- wrong ideas.
--
-- Cost: three counters a table; pg_stats for tables that were never analyzed; no lock.
-- Misses: statistics that are fresh and too coarse, and those of single columns or expressions.
create function runbook.check_table_statistics(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_min_rows constant bigint := (check_table_statistics.settings ->> 'min_rows')::bigint;
  v_overdue_rows constant numeric := (check_table_statistics.settings ->> 'overdue_rows')::numeric;
  v_overdue_factor constant numeric :=
    (check_table_statistics.settings ->> 'overdue_factor')::numeric;
  v_missed_runs constant numeric := (check_table_statistics.settings ->> 'missed_runs')::numeric;
  v_obstacle constant runbook.finding := runbook.counters_obstacle('table_statistics');
  v_unknown constant text := runbook.autovacuum_due_unknown();
  v_busy constant text := runbook.autovacuum_is_busy();
  v_untold bigint;
  v_result runbook.check_result;
begin
  if v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  with recursive parts as (
    select rel.oid as root, inh.inhrelid as part
    from pg_catalog.pg_class as rel
    inner join pg_catalog.pg_inherits as inh on inh.inhparent = rel.oid
    where rel.relkind = 'p'
      and rel.relnamespace = any (array(select aps.oid from runbook.application_schema as aps))
      and not rel.relispartition
      and rel.reltuples < 0
    union all
    select prt.root, inh.inhrelid
    from parts as prt
    inner join pg_catalog.pg_inherits as inh on inh.inhparent = prt.part
  ),
  counted as materialized (
    select
      vst.relation,
      greatest(vst.live_rows, vst.row_count) as rows,
      vst.changed_rows,
      vst.changed_trigger,
      vst.autovacuum_is_on,
      greatest(
        pg_stat_get_last_analyze_time(vst.relation),
        pg_stat_get_last_autoanalyze_time(vst.relation)
      ) as analyzed_at
    from runbook.vacuum_state as vst
    where not vst.is_toast
      and vst.schema = any (array(select aps.oid from runbook.application_schema as aps))
      and (vst.live_rows >= v_min_rows or vst.changed_rows >= v_min_rows)
      and not exists (
        select
        from runbook.maintenance_under_way() as mnt
        where mnt.relation = vst.relation
          and mnt.command = 'analyze'
      )
    union all
    -- Autovacuum never analyzes a partitioned table itself, only its partitions.
    select
      prt.root,
      sum(greatest(rel.reltuples, pg_stat_get_live_tuples(rel.oid)))::numeric,
      0,
      0,
      false,
      null
    from parts as prt
    inner join pg_catalog.pg_class as rel on rel.oid = prt.part and rel.relkind = 'r'
    group by prt.root
  ),
  suspected as (
    select
      cnt.relation,
      cnt.rows,
      cnt.changed_rows,
      cnt.changed_trigger,
      cnt.autovacuum_is_on,
      cnt.analyzed_at,
      mss.since as due_since,
      case
        when cnt.analyzed_at is null
          and cnt.rows >= case
            when cnt.autovacuum_is_on then v_overdue_rows
            else v_min_rows
          end
          and not exists (
            select
            from pg_catalog.pg_class as rel
            inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
            cross join lateral runbook.column_widths(nsp.nspname, rel.relname) as sts
            where rel.oid = cnt.relation
          ) then 'statistics_missing'
        when cnt.changed_rows > cnt.changed_trigger
          and cnt.changed_rows >= v_min_rows
          and (
            not cnt.autovacuum_is_on
            or (
              cnt.changed_rows >= v_overdue_rows
              and cnt.changed_rows >= v_overdue_factor * cnt.changed_trigger
            )
          ) then 'statistics_stale'
      end as code
    from counted as cnt
    left join runbook.autovacuum_missed(v_missed_runs) as mss
      on mss.relation = cnt.relation and mss.work = 'analyze'
  ),
  judged as materialized (
    select
      sus.relation,
      sus.rows,
      sus.changed_rows,
      sus.changed_trigger,
      sus.autovacuum_is_on,
      sus.analyzed_at,
      sus.due_since,
      sus.code,
      case
        when not sus.autovacuum_is_on then 'off'
        -- Its counters began anew, so autovacuum does not know that it should come.
        when sus.changed_rows <= sus.changed_trigger then 'not_due'
        when sus.due_since is not null then 'overdue'
        when v_unknown is not null then 'unknown'
      end as cause
    from suspected as sus
    where sus.code is not null
  ),
  named as (
    select
      runbook.relation_name(jdg.relation) as name,
      jdg.code,
      jdg.cause,
      jdg.rows,
      jdg.changed_rows,
      jdg.changed_trigger,
      jdg.autovacuum_is_on,
      jdg.analyzed_at,
      jdg.due_since,
      rel.relkind = 'p' as is_partitioned,
      row_number() over (
        order by greatest(jdg.changed_rows, jdg.rows) desc, jdg.relation
      ) as position,
      count(*) over () as total
    from judged as jdg
    inner join pg_catalog.pg_class as rel on rel.oid = jdg.relation
    where jdg.cause <> 'unknown'
    order by greatest(jdg.changed_rows, jdg.rows) desc, jdg.relation
    limit 100
  )
  select
    (select count(*) from judged as jdg where jdg.cause = 'unknown'),
    coalesce(max(nmd.total), 0),
    coalesce(
      array_agg(
        row(
          nmd.code,
          'warning',
          nmd.name,
          case nmd.code
            when 'statistics_missing' then format(
              '%s, with about %s rows, was never analyzed, so the planner guesses. %s',
              nmd.name,
              round(nmd.rows),
              case
                when nmd.is_partitioned
                  then 'Autovacuum analyzes only its partitions: analyze it, on schedule.'
                when nmd.cause = 'overdue' then format(
                  'Autovacuum has been due for %s and has not come%s. Analyze it.',
                  runbook.duration_text(clock_timestamp() - nmd.due_since),
                  '; ' || v_busy
                )
                when nmd.cause = 'not_due'
                  then 'The server''s counters began anew, so autovacuum will not come. Analyze it.'
                else 'Autovacuum is switched off for it. Analyze it.'
              end
            )
            else format(
              '%s rows of %s have changed since it was analyzed (%s); autovacuum is due from '
              '%s on%s. Analyze it.',
              nmd.changed_rows,
              nmd.name,
              coalesce(runbook.utc_text(nmd.analyzed_at), 'when is not known'),
              round(nmd.changed_trigger),
              case
                when nmd.cause = 'overdue' then format(
                  ', and has not come for %s%s',
                  runbook.duration_text(clock_timestamp() - nmd.due_since),
                  '; ' || v_busy
                )
                else ', but is switched off'
              end
            )
          end,
          jsonb_build_object(
            'rows', round(nmd.rows),
            'changed_rows', nmd.changed_rows,
            'trigger', round(nmd.changed_trigger),
            'autovacuum', nmd.autovacuum_is_on,
            'analyzed_at', nmd.analyzed_at,
            'due_since', nmd.due_since
          ),
          'counters of the server, against the trigger that counts for this table',
          'analyze-table',
          jsonb_build_object('table', nmd.name)
        )::runbook.finding
        order by nmd.position
      ),
      '{}'
    )
  into v_untold, v_result.value, v_result.findings
  from named as nmd;

  if v_untold > 0 then
    v_result.findings := v_result.findings || runbook.skipped(
      'table_statistics',
      format(
        '%s past the trigger of ANALYZE; %s', runbook.counted(v_untold, 'table'), v_unknown
      )
    );
  end if;

  return v_result;
end;
$$;

comment on function runbook.check_table_statistics(jsonb) is
'How many tables the planner knows nothing or old things about: statistics_missing,
statistics_stale.';
revoke all on function runbook.check_table_statistics(jsonb) from public;

-- Sources: none gives figures for an overdue pile. 1,000 rows are what a sequential scan reads in a
-- millisecond; a quarter dead is past the server's own 20 %, five times a trigger past
-- one that a table sets lower, and twice the trigger of ANALYZE is more than a burst within one
-- naptime leaves. In three naptimes autovacuum has looked at least twice.
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
    'autovacuum_off',
    'Autovacuum switched off',
    'Autovacuum is on, for the server and for each table.',
    'runbook.check_autovacuum_off',
    510,
    'storage',
    'tables',
    '{}',
    '{"autovacuum_disabled": "Autovacuum is switched off, for the server or for a table."}'
  ),
  (
    'dead_rows',
    'Dead rows',
    'Dead rows against the trigger that autovacuum goes by for each table and TOAST table.',
    'runbook.check_dead_rows',
    520,
    'storage',
    'tables',
    '{
      "min_dead_rows": 1000,
      "overdue_dead_rows": 10000,
      "overdue_percent": 25,
      "overdue_factor": 5,
      "horizon_s": 300,
      "missed_runs": 3
    }',
    '{"dead_rows_pile_up": "Autovacuum is due, and is off, held back or does not come."}'
  ),
  (
    'table_statistics',
    'Statistics for the planner',
    'Tables that were never analyzed, or changed a lot since.',
    'runbook.check_table_statistics',
    530,
    'storage',
    'tables',
    '{"min_rows": 1000, "overdue_rows": 10000, "overdue_factor": 2, "missed_runs": 3}',
    '{
      "statistics_missing": "The planner knows nothing about the table.",
      "statistics_stale": "The table has changed a lot since it was analyzed."
    }'
  );
