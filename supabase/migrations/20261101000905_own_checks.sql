-- Checks of the runbook itself: do its collectors work, and what does its own schedule cost?
--
-- A tool that watches a database must not be what slows it down, so it measures itself as well.
-- Relies on: what the schedule keeps of each check and collector.

-- Do the collectors keep their figures? How many of them do not.
--
-- Cost: one row of runbook.collector_state each.
-- Misses: figures that are kept and wrong.
create function runbook.check_collectors(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
as $$
  with judged as (
    select
      col.name,
      col.every,
      stt.tried_at,
      stt.succeeded_at,
      stt.error
    from runbook.collector as col
    left join runbook.collector_state as stt on stt.collector_name = col.name
  ),
  findings as (
    select
      row(
        'collector_failed',
        'warning',
        jdg.name,
        format(
          'The collector %s failed with SQLSTATE %s: %s It last succeeded at %s. Try it: select '
          'runbook.collect(%L);',
          jdg.name,
          jdg.error ->> 'sqlstate',
          rtrim(left(jdg.error ->> 'message', 120), '.') || '.',
          coalesce(runbook.utc_text(jdg.succeeded_at), 'no time'),
          jdg.name
        ),
        jdg.error || jsonb_build_object('tried_at', jdg.tried_at),
        'read from runbook.collector_state',
        null,
        null
      )::runbook.finding as found
    from judged as jdg
    where jdg.error is not null
    union all
    select
      row(
        'collector_late',
        'warning',
        jdg.name,
        format(
          'The collector %s last ran at %s and is due every %s. See the job runbook-collect in '
          'cron.job_run_details.',
          jdg.name,
          coalesce(runbook.utc_text(jdg.tried_at), 'no time'),
          runbook.duration_text(jdg.every)
        ),
        jsonb_build_object('tried_at', jdg.tried_at),
        'read from runbook.collector_state',
        null,
        null
      )::runbook.finding
    from judged as jdg
    cross join runbook.heartbeat as hbt
    where jdg.error is null
      -- After an installation or a pause of the server it has not had its turn yet.
      and greatest(jdg.tried_at, hbt.scheduled_at, runbook.server_started_at())
        < clock_timestamp() - jdg.every - make_interval(
          secs => (check_collectors.settings ->> 'late_after_s')::double precision
        )
  )
  select row(
    (select count(*) from findings),
    (select array_agg(fnd.found order by (fnd.found).subject) from findings as fnd)
  )::runbook.check_result;
$$;

comment on function runbook.check_collectors(jsonb) is
'How many collectors do not keep their figures: collector_failed, collector_late.';
revoke all on function runbook.check_collectors(jsonb) from public;

-- What does the schedule cost? Percent of the time for which it runs, from what each check and
-- collector last took and how often it is due. SQL sees no processor time: on a server that is busy
-- this is more than they use of one core.
--
-- Cost: one row of runbook.check_state and runbook.collector_state each.
-- Misses: the tick itself and what answers requests; what the checks cost other sessions; which
-- part of the time a busy server let them wait.
create function runbook.check_own_cost(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
as $$
  with cost as (
    select (runbook.scheduled_cost() ->> 'percent_of_one_core')::numeric as percent
  ),
  dearest as (
    select string_agg(format('%s %s ms', top.name, top.took_ms), ', ') as names
    from (
      select
        stt.check_name as name,
        stt.took_ms
      from runbook.check_state as stt
      where stt.took_ms is not null
      order by stt.took_ms desc
      limit 3
    ) as top
  ),
  findings as (
    select
      0 as position,
      row(
        'schedule_expensive',
        'warning',
        'runbook',
        format(
          'The checks and collectors of the runbook run for %s %% of the time, by the clock (waiting '
          'for a busy server counts). The dearest checks: %s. Their groups'' cadence is in '
          'runbook.check_group.',
          cost.percent,
          dearest.names
        ),
        runbook.scheduled_cost(),
        'measured by the schedule, by the clock',
        null,
        null
      )::runbook.finding as found
    from cost
    cross join dearest
    where cost.percent >= (check_own_cost.settings ->> 'warning_percent')::numeric
    union all
    select
      1,
      row(
        'check_quarantined',
        'warning',
        stt.check_name,
        format(
          'The check %s is too slow: it was cancelled after %s, and runs behind the others since %s. '
          'It is tried again at %s.',
          stt.check_name,
          runbook.duration_text(make_interval(secs => (stt.took_ms / 1000)::double precision)),
          runbook.utc_text(stt.quarantined_at),
          runbook.utc_text(stt.due_at)
        ),
        jsonb_build_object(
          'took_ms', stt.took_ms,
          'quarantined_at', stt.quarantined_at,
          'due_at', stt.due_at
        ),
        'measured by the schedule',
        null,
        null
      )::runbook.finding
    from runbook.check_state as stt
    where stt.quarantined_at is not null
  )
  select row(
    (select cost.percent from cost),
    coalesce(
      (
        select array_agg(fnd.found order by fnd.position, (fnd.found).subject)
        from findings as fnd
      ),
      (
        select array[
          runbook.not_applicable(
            'own_cost', 'The schedule has not measured any check or collector yet.'
          )
        ]
        from cost
        where cost.percent is null
      )
    )
  )::runbook.check_result;
$$;

comment on function runbook.check_own_cost(jsonb) is
'Percent of the time for which the schedule runs: schedule_expensive, check_quarantined.';
revoke all on function runbook.check_own_cost(jsonb) from public;

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
    'collectors',
    'Collectors',
    'The functions that keep figures over time ran when they were due, with success.',
    'runbook.check_collectors',
    70,
    'runbook',
    'in trouble',
    '{"late_after_s": 600}',
    '{
      "collector_failed": "The last run of a collector failed.",
      "collector_late": "A collector is overdue by more than late_after_s."
    }'
  ),
  (
    'own_cost',
    'Cost of the runbook',
    'How much of the time the scheduled checks and collectors run, by the clock.',
    'runbook.check_own_cost',
    80,
    'runbook',
    '% of the time',
    '{"warning_percent": 1}',
    '{
      "schedule_expensive": "The schedule runs for warning_percent of the time or more.",
      "check_quarantined": "A check was cancelled for being too slow and has not passed since."
    }'
  );
