-- Checks of statements by time: which take the most of it, which are slow each time, and which have
-- become slower than they were.
-- Relies on: runbook.statement_window and the hourly snapshots behind it.

-- The name of a role, also of one that is gone.
create function runbook.role_name(role oid)
returns text
language sql
stable
parallel safe
security invoker
set search_path = ''
as $$
  select coalesce(
    (
      select rol.rolname::text collate "default"
      from pg_catalog.pg_roles as rol
      where rol.oid = role_name.role
    ),
    'role ' || role_name.role
  );
$$;

comment on function runbook.role_name(oid) is 'The name of a role; of one that is gone its number.';
revoke all on function runbook.role_name(oid) from public;

-- Whether a statement is the platform's or the runbook's own work, which nobody in the project
-- wrote: Realtime's reading of the log, backups, metrics, pg_net's worker. Realtime's tops the list
-- of every quiet project and is no fault; the runbook's cost is told by own_cost.
--
-- Auth's and Storage's statements are not of it: triggers and policies of the application, and its
-- missing indexes, make them slow. Nor are the jobs of pg_cron, which the application wrote.
create function runbook.is_platforms_statement(role_name text, query text)
returns boolean
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select is_platforms_statement.role_name in (
    'supabase_admin',
    'supabase_etl_admin',
    'supabase_realtime_admin',
    'supabase_replication_admin',
    'pgbouncer'
  )
  or coalesce(
    is_platforms_statement.query ~ (
      '\y(pg_logical_slot_(get|peek)_(binary_)?changes|realtime\.(list_changes|apply_rls))\y'
      '|\yrunbook\.'
    ),
    false
  );
$$;

comment on function runbook.is_platforms_statement(text, text) is
'Whether a statement of this role is the platform''s or the runbook''s own work.';
revoke all on function runbook.is_platforms_statement(text, text) from public;

-- Statements that take a large part of all the time, and statements that are slow each time.
--
-- On a quiet database some statement always has the largest part: that is worth knowing and no
-- problem before it keeps a processor busy. What ran a few times only (a migration, a backup) is
-- left out, and so is what only waits as it was told to; the platform's and the runbook's own work
-- as long as it keeps nothing busy.
--
-- Cost: the counters of pg_stat_statements without texts, the snapshots of the window; texts only
-- of what it reports, and of all statements when one of those is not known yet.
-- Misses: statements that were cancelled (a timeout leaves no trace there); what runs inside
-- functions while pg_stat_statements.track is top; what the extension forgot to make room.
create function runbook.check_slow_statements(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_obstacle runbook.finding := runbook.statements_obstacle('slow_statements');
  v_min_ms constant double precision := check_slow_statements.settings ->> 'min_total_ms';
  v_slow_ms constant double precision := check_slow_statements.settings ->> 'slow_ms';
  v_share constant double precision := check_slow_statements.settings ->> 'share_percent';
  v_busy constant numeric := check_slow_statements.settings ->> 'busy_percent';
  v_result runbook.check_result;
begin
  if v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  with figures as materialized (
    select
      win.userid,
      win.dbid,
      win.queryid,
      sum(win.calls) as calls,
      sum(win.total_ms) as total_ms,
      sum(win.rows) as rows,
      sum(win.total_ms) / sum(win.calls) as mean_ms,
      100 * sum(win.total_ms) / nullif(min(win.all_ms), 0) as share,
      min(win.began_at) as began_at,
      -- In percent of one processor.
      100 * sum(win.total_ms)::numeric
      / (1000 * greatest(1, extract(epoch from clock_timestamp() - min(win.began_at)))) as busy
    from runbook.statement_window(
      clock_timestamp()
      - make_interval(hours => (check_slow_statements.settings ->> 'window_hours')::integer)
    ) as win
    group by win.userid, win.dbid, win.queryid
  ),
  candidates as materialized (
    select
      fig.userid,
      fig.dbid,
      fig.queryid,
      fig.calls,
      fig.total_ms,
      fig.rows,
      fig.mean_ms,
      fig.share,
      fig.began_at,
      fig.busy,
      fig.share >= v_share as dominates
    from figures as fig
    where fig.calls >= (check_slow_statements.settings ->> 'min_calls')::bigint
      and fig.total_ms >= v_min_ms
      and (fig.share >= v_share or fig.mean_ms >= v_slow_ms)
    order by fig.total_ms desc
    limit 200
  ),
  texts as materialized (
    select txt.dbid, txt.queryid, txt.query
    from (
      select array_agg(cnd.dbid) as dbids, array_agg(cnd.queryid) as queryids
      from candidates as cnd
    ) as asked
    cross join lateral runbook.statement_texts(asked.dbids, asked.queryids) as txt
  ),
  found as (
    select
      cnd.userid,
      cnd.dbid,
      cnd.queryid,
      cnd.calls,
      cnd.rows,
      cnd.dominates,
      cnd.began_at,
      coalesce(cnd.busy, 0) >= v_busy or cnd.mean_ms >= v_slow_ms as is_warning,
      round(cnd.total_ms::numeric) as total_ms,
      round(cnd.mean_ms::numeric, 1) as mean_ms,
      round(cnd.share::numeric) as share,
      round(cnd.busy, 1) as busy,
      txt.query,
      row_number() over (order by cnd.total_ms desc, cnd.queryid) as position
    from candidates as cnd
    left join texts as txt on txt.dbid = cnd.dbid and txt.queryid = cnd.queryid
    -- Of utility statements only procedures are the application's own work.
    where coalesce(txt.query, 'call')
      ~* '^\(*(select|insert|update|delete|merge|with|values|table|call)\y'
      and coalesce(txt.query, '') !~* (
        '^select (pg_catalog\.)?pg_(sleep(_for|_until)?|terminate_backend|cancel_backend)'
        '\([^()]*\)( as \w+)?;?$'
      )
      and (
        coalesce(cnd.busy, 0) >= v_busy
        or not runbook.is_platforms_statement(runbook.role_name(cnd.userid), txt.query)
      )
  )
  select
    (select count(*) from found),
    coalesce(
      array_agg(
        row(
          case when fnd.dominates then 'statement_dominates' else 'statement_slow' end,
          case when fnd.is_warning then 'warning' else 'info' end,
          format('%s %s', runbook.role_name(fnd.userid), fnd.queryid),
          left(
            format(
              '%s called it %s times, %s ms each: %s %% of all statements'' time since %s. See whether '
              'missing_indexes names it. %s',
              runbook.role_name(fnd.userid),
              fnd.calls,
              fnd.mean_ms,
              fnd.share,
              coalesce(runbook.utc_text(fnd.began_at), 'the counters began'),
              coalesce(fnd.query, 'Its text is not known any more.')
            ),
            300
          ),
          jsonb_build_object(
            'role', runbook.role_name(fnd.userid),
            'database', dat.datname,
            'queryid', fnd.queryid::text,
            'calls', fnd.calls,
            'mean_ms', fnd.mean_ms,
            'total_ms', fnd.total_ms,
            'rows', fnd.rows,
            'percent_of_time', fnd.share,
            'percent_of_a_processor', fnd.busy,
            'statement', left(fnd.query, 500)
          ),
          'counted by pg_stat_statements',
          null,
          null
        )::runbook.finding
        order by fnd.position
      ) filter (where fnd.position <= 100),
      '{}'
    )
  into v_result.value, v_result.findings
  from found as fnd
  left join pg_catalog.pg_database as dat on dat.oid = fnd.dbid;

  if v_result.value = 0 and v_result.findings = '{}' then
    v_obstacle := runbook.statements_too_new(
      'slow_statements', (check_slow_statements.settings ->> 'least_s')::numeric
    );

    if v_obstacle.code is not null then
      return runbook.check_answer(null, v_obstacle);
    end if;
  end if;

  return v_result;
end;
$$;

comment on function runbook.check_slow_statements(jsonb) is
'Number of statements that dominate or are slow: statement_dominates, statement_slow.';
revoke all on function runbook.check_slow_statements(jsonb) from public;

-- What statements did before and after an instant, from the snapshots. The hour of the instant
-- itself is neither, unless it is not over yet: then it is after. But what was not there when the
-- last snapshot before the instant was taken (is_new) is counted from that snapshot on: mostly it
-- came with the instant. counted_since says from when on in each case.
create function runbook.statements_compared(changed_at timestamptz, baseline interval)
returns table (
  userid oid,
  dbid oid,
  queryid bigint,
  calls_before bigint,
  ms_before double precision,
  calls_after bigint,
  ms_after double precision,
  all_ms_after double precision,
  is_new boolean,
  counted_since timestamptz
)
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with last_before as materialized (
    select max(snp.taken_at) as at
    from runbook.statement_snapshot as snp
    where snp.taken_at <= statements_compared.changed_at
  ),
  -- The hour of the instant, where its snapshot is taken.
  hour_of_change as materialized (
    select snp.id, snp.taken_at, snp.total_ms
    from runbook.statement_snapshot as snp
    where snp.taken_at > statements_compared.changed_at
    order by snp.taken_at
    limit 1
  ),
  earlier as materialized (
    select
      gns.userid,
      gns.dbid,
      gns.queryid,
      sum(gns.calls)::bigint as calls,
      sum(gns.total_ms) as ms
    from runbook.statement_snapshot as snp
    inner join runbook.statement_gain as gns on gns.snapshot_id = snp.id
    where snp.taken_at <= statements_compared.changed_at
      and snp.taken_at > statements_compared.changed_at - statements_compared.baseline
    group by gns.userid, gns.dbid, gns.queryid
  ),
  known as materialized (
    select erl.userid, erl.dbid, erl.queryid
    from earlier as erl
    union
    select mrk.userid, mrk.dbid, mrk.queryid
    from runbook.statement_mark as mrk
    where mrk.first_seen_at <= statements_compared.changed_at
  ),
  counted as (
    select
      win.userid,
      win.dbid,
      win.queryid,
      win.calls,
      win.total_ms as ms,
      win.all_ms,
      false as is_of_hour
    from runbook.statement_window(
      coalesce((select hoc.taken_at from hour_of_change as hoc), statements_compared.changed_at)
    ) as win
    union all
    select
      gns.userid,
      gns.dbid,
      gns.queryid,
      gns.calls,
      gns.total_ms,
      null,
      true
    from hour_of_change as hoc
    inner join runbook.statement_gain as gns on gns.snapshot_id = hoc.id
    where not exists (
      select
      from known as knw
      where knw.userid = gns.userid
        and knw.dbid = gns.dbid
        and knw.queryid = gns.queryid
    )
  ),
  later as (
    select
      cnt.userid,
      cnt.dbid,
      cnt.queryid,
      sum(cnt.calls)::bigint as calls,
      sum(cnt.ms) as ms
    from counted as cnt
    group by cnt.userid, cnt.dbid, cnt.queryid
  ),
  judged as (
    select
      ltr.userid,
      ltr.dbid,
      ltr.queryid,
      ltr.calls,
      ltr.ms,
      not exists (
        select
        from known as knw
        where knw.userid = ltr.userid
          and knw.dbid = ltr.dbid
          and knw.queryid = ltr.queryid
      ) as is_new
    from later as ltr
  )
  select
    jdg.userid,
    jdg.dbid,
    jdg.queryid,
    coalesce(erl.calls, 0),
    coalesce(erl.ms, 0),
    jdg.calls,
    jdg.ms,
    coalesce((select max(cnt.all_ms) from counted as cnt), 0) + case
      when jdg.is_new then coalesce((select hoc.total_ms from hour_of_change as hoc), 0)
      else 0
    end,
    jdg.is_new,
    case
      when jdg.is_new then coalesce(
        (select lst.at from last_before as lst), (select hoc.taken_at from hour_of_change as hoc)
      )
      else coalesce(
        (select hoc.taken_at from hour_of_change as hoc), (select lst.at from last_before as lst)
      )
    end
  from judged as jdg
  left join earlier as erl
    on erl.userid = jdg.userid
    and erl.dbid = jdg.dbid
    and erl.queryid = jdg.queryid;
$$;

comment on function runbook.statements_compared(timestamptz, interval) is
'Calls and time of each statement before an instant, as far as the baseline goes, and since;
counted_since is the snapshot from which on.';
revoke all on function runbook.statements_compared(timestamptz, interval) from public;

-- Statements that take longer than before an instant, such as a deployment, and new ones that take
-- a large part of the time. As findings, the worst first.
create function runbook.slower_statements(changed_at timestamptz, settings jsonb)
returns setof runbook.finding
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with compared as materialized (
    select
      cmp.userid,
      cmp.dbid,
      cmp.queryid,
      cmp.calls_before,
      cmp.calls_after,
      cmp.ms_before / nullif(cmp.calls_before, 0) as mean_before,
      cmp.ms_after / cmp.calls_after as mean_after,
      cmp.ms_after,
      100 * cmp.ms_after / nullif(cmp.all_ms_after, 0) as share,
      cmp.is_new,
      coalesce(cmp.counted_since, slower_statements.changed_at) as counted_since
    from runbook.statements_compared(
      slower_statements.changed_at,
      make_interval(days => (slower_statements.settings ->> 'baseline_days')::integer)
    ) as cmp
  ),
  judged as materialized (
    select
      cmp.userid,
      cmp.dbid,
      cmp.queryid,
      cmp.calls_before,
      cmp.calls_after,
      cmp.mean_before,
      cmp.mean_after,
      cmp.ms_after,
      cmp.share,
      cmp.is_new,
      cmp.counted_since,
      -- What it costs more than before, in all.
      (cmp.mean_after - coalesce(cmp.mean_before, 0)) * cmp.calls_after as added_ms
    from compared as cmp
    where cmp.calls_after >= (slower_statements.settings ->> 'min_calls')::bigint
      and case
        when cmp.is_new
          then cmp.share >= (slower_statements.settings ->> 'new_share_percent')::double precision
        else
          cmp.calls_before >= (slower_statements.settings ->> 'min_calls')::bigint
          and cmp.mean_after
            >= (slower_statements.settings ->> 'times')::double precision * cmp.mean_before
          and cmp.mean_after - cmp.mean_before
            >= (slower_statements.settings ->> 'min_added_ms')::double precision
      end
    order by added_ms desc
    limit 100
  ),
  costly as materialized (
    select
      jdg.userid,
      jdg.dbid,
      jdg.queryid,
      jdg.calls_before,
      jdg.calls_after,
      round(jdg.mean_before::numeric, 1) as mean_before,
      round(jdg.mean_after::numeric, 1) as mean_after,
      round(jdg.share::numeric) as share,
      round(jdg.added_ms::numeric) as added_ms,
      jdg.is_new,
      jdg.counted_since
    from judged as jdg
    where jdg.added_ms >= (slower_statements.settings ->> 'min_added_total_ms')::double precision
  ),
  texts as materialized (
    select txt.dbid, txt.queryid, txt.query
    from (
      select array_agg(cst.dbid) as dbids, array_agg(cst.queryid) as queryids
      from costly as cst
    ) as asked
    cross join lateral runbook.statement_texts(asked.dbids, asked.queryids) as txt
  )
  select
    case when cst.is_new then 'statement_is_new' else 'statement_got_slower' end,
    'warning',
    format('%s %s', runbook.role_name(cst.userid), cst.queryid),
    left(
      case
        when cst.is_new
          then format(
            '%s runs it since %s and not before: %s calls of %s ms, %s %% of all time. See what was '
            'deployed then. %s',
            runbook.role_name(cst.userid),
            runbook.utc_text(cst.counted_since),
            cst.calls_after,
            cst.mean_after,
            cst.share,
            coalesce(txt.query, 'Its text is not known any more.')
          )
        else format(
          '%s ms each since %s, %s ms in the days before; %s calls by %s. See what was deployed or '
          'grew then. %s',
          cst.mean_after,
          runbook.utc_text(cst.counted_since),
          cst.mean_before,
          cst.calls_after,
          runbook.role_name(cst.userid),
          coalesce(txt.query, 'Its text is not known any more.')
        )
      end,
      300
    ),
    jsonb_build_object(
      'role', runbook.role_name(cst.userid),
      'queryid', cst.queryid::text,
      'mean_ms_before', cst.mean_before,
      'mean_ms', cst.mean_after,
      'calls_before', cst.calls_before,
      'calls', cst.calls_after,
      'added_ms', cst.added_ms,
      'percent_of_time', cst.share,
      'counted_since', cst.counted_since,
      'statement', left(txt.query, 500)
    ),
    'compared hourly snapshots of pg_stat_statements',
    null,
    null::jsonb
  from costly as cst
  left join texts as txt on txt.dbid = cst.dbid and txt.queryid = cst.queryid
  where coalesce(txt.query, 'call')
    ~* '^\(*(select|insert|update|delete|merge|with|values|table|call)\y'
    and not runbook.is_platforms_statement(runbook.role_name(cst.userid), txt.query)
  order by cst.added_ms desc, cst.queryid;
$$;

comment on function runbook.slower_statements(timestamptz, jsonb) is
'What got slower since an instant, such as a deployment: select summary from
runbook.slower_statements(now() - interval ''3 hours'', runbook.thresholds_of(''slower_statements''));';
revoke all on function runbook.slower_statements(timestamptz, jsonb) from public;

-- Statements that got slower within the last hours, compared with the days before.
--
-- Cost: the snapshots of the baseline, the counters of pg_stat_statements.
-- Misses: a statement that a new version writes differently (it is another one, and new); one that
-- was never among the 200 busiest of an hour; slowness that came slowly, over weeks.
create function runbook.check_slower_statements(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_obstacle constant runbook.finding := runbook.statements_obstacle('slower_statements');
  v_changed_at constant timestamptz := clock_timestamp()
    - make_interval(hours => (check_slower_statements.settings ->> 'recent_hours')::integer);
  v_needed constant integer := check_slower_statements.settings ->> 'min_baseline_hours';
  v_hours integer;
  v_last_at timestamptz;
  v_findings runbook.finding[];
begin
  if v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  select
    count(snp.began_at) filter (where snp.taken_at <= v_changed_at),
    max(snp.taken_at)
  into v_hours, v_last_at
  from runbook.statement_snapshot as snp;

  if v_hours < v_needed then
    return runbook.check_answer(
      null,
      runbook.not_applicable(
        'slower_statements',
        format(
          'There are %s hourly snapshots from before %s; a comparison needs %s.',
          v_hours,
          runbook.utc_text(v_changed_at),
          v_needed
        )
      )
    );
  end if;

  -- Three intervals of the collector.
  if v_last_at < clock_timestamp() - interval '3 hours' then
    return runbook.check_answer(
      null,
      runbook.skipped(
        'slower_statements',
        format(
          'The last snapshot is of %s; one an hour is due. See the check cron_alive.',
          runbook.utc_text(v_last_at)
        )
      )
    );
  end if;

  select coalesce(array_agg(fnd), '{}')
  into v_findings
  from runbook.slower_statements(v_changed_at, check_slower_statements.settings) as fnd;

  return row(cardinality(v_findings), v_findings)::runbook.check_result;
end;
$$;

comment on function runbook.check_slower_statements(jsonb) is
'Number of statements that got slower within hours: statement_got_slower, statement_is_new.';
revoke all on function runbook.check_slower_statements(jsonb) from public;

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
  -- slow_ms: a page that waits a second for one statement is slow, whatever else it does.
  -- busy_percent: of one processor; small instances have two, and they are shared.
  (
    'slow_statements',
    'Slow statements',
    'Statements of all roles that take a large part of the time or are slow each time.',
    'runbook.check_slow_statements',
    430,
    'statements',
    'statements',
    '{
      "window_hours": 24,
      "least_s": 900,
      "min_calls": 5,
      "min_total_ms": 1000,
      "share_percent": 20,
      "busy_percent": 25,
      "slow_ms": 1000
    }',
    '{
      "statement_dominates": "A statement takes a large part of the time of all statements.",
      "statement_slow": "A statement is slow each time."
    }'
  ),
  -- times: half as fast as before is beyond what load does to a mean of many calls.
  (
    'slower_statements',
    'Statements that got slower',
    'The last hours compared with the days before, from hourly snapshots.',
    'runbook.check_slower_statements',
    440,
    'statements',
    'statements',
    '{
      "recent_hours": 3,
      "baseline_days": 7,
      "min_baseline_hours": 6,
      "min_calls": 20,
      "times": 2,
      "min_added_ms": 10,
      "min_added_total_ms": 1000,
      "new_share_percent": 20
    }',
    '{
      "statement_got_slower": "A statement takes at least twice as long as in the days before.",
      "statement_is_new": "A statement that was not there before takes a large part of the time."
    }'
  );
