-- The part of "Slow database queries" that is about a moment: what took the time since yesterday,
-- and what got slower since a deployment.
-- Relies on: the hourly snapshots of pg_stat_statements, runbook.slower_statements.

-- Which statements took the time since an instant, and which of them got slower then? Asked with
-- `since`; without it nothing is told.
--
-- Cost: the snapshots of pg_stat_statements since then and of the days before.
-- Misses: statements that pg_stat_statements had dropped; what is finer than an hour.
create function runbook.diagnose_since(params jsonb)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_since timestamptz;
  v_obstacle runbook.finding;
begin
  if diagnose_since.params ->> 'since' is null then
    return;
  end if;

  v_since := runbook.resolved_params(
    '{"properties": {"since": {"format": "age"}}}', diagnose_since.params
  ) ->> 'since';

  if v_since > clock_timestamp() then
    perform runbook.refuse_problems(
      jsonb_build_array(
        jsonb_build_object(
          'path', 'since',
          'message', format(
            'must not lie in the future, as %s does', diagnose_since.params -> 'since'
          )
        )
      )
    );
  end if;

  v_obstacle := runbook.statements_obstacle('statement_since');

  if v_obstacle.code is not null then
    return next v_obstacle;
    return;
  end if;

  return query
  select
    'statement_since',
    'info'::runbook.severity,
    stm.role_name,
    left(
      format(
        '%s called it %s %s since %s, %s ms each: %s %% of all statements'' time. %s',
        stm.role_name,
        stm.calls,
        runbook.unit_text(stm.calls::text, 'times'),
        -- Not since when it was asked: the snapshot before that, or all that was ever counted.
        coalesce(runbook.utc_text(stm.counted_since), 'nobody knows when'),
        round(stm.mean_ms, 1),
        stm.percent_of_time,
        coalesce(stm.statement, 'Its text is not known any more.')
      ),
      300
    ),
    jsonb_build_object(
      'role', stm.role_name,
      'database', stm.database_name,
      'calls', stm.calls,
      'total_ms', stm.total_ms,
      'mean_ms', stm.mean_ms,
      'rows', stm.rows,
      'percent_of_time', stm.percent_of_time,
      'counted_since', stm.counted_since,
      'statement', left(stm.statement, 500)
    ),
    'hourly snapshots of pg_stat_statements',
    null,
    null::jsonb
  from runbook.statements_since(v_since, 'total_ms', 5) as stm
  union all
  select
    slw.code,
    slw.severity,
    slw.subject,
    slw.summary,
    slw.evidence,
    slw.method,
    slw.remediation,
    slw.params
  from runbook.slower_statements(v_since, runbook.thresholds_of('slower_statements')) as slw;
end;
$$;

comment on function runbook.diagnose_since(jsonb) is
'The part of slow-queries for {since}: statement_since, statement_got_slower, statement_is_new.
Raises RB400 for a time that is none or lies in the future.';
revoke all on function runbook.diagnose_since(jsonb) from public;

insert into runbook.issue_part (issue, function, codes)
values (
  'slow-queries',
  'runbook.diagnose_since',
  '{
    "statement_since": "One of the statements that took most of the time since then.",
    "statement_got_slower": "A statement takes at least twice as long as in the days before.",
    "statement_is_new": "A statement that was not there before takes a large part of the time."
  }'
);
