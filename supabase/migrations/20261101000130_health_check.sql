-- The health check: the entries of all checks as one report, which is kept.
--
-- The overall status cannot hide a disaster: it is the worst that was found, and `unknown` when
-- nothing bad was found but something could not be looked at. A report is made of entries that
-- were just measured, or of those that the schedule kept; each says when it was measured.

create table runbook.report (
  id bigint generated always as identity,
  status text not null,
  checked_at timestamptz not null,
  report jsonb not null,
  recorded_by text not null,
  recorded_at timestamptz not null default clock_timestamp(),
  constraint report_pkey primary key (id),
  constraint status_is_known check (status in ('ok', 'warning', 'critical', 'unknown'))
);

create index report_recorded_at_idx on runbook.report (recorded_at);

comment on table runbook.report is
'Reports of the scheduled health check, kept for the days of the setting report_days.';
comment on column runbook.report.checked_at is 'By the runbook''s clock; recorded_at is real.';

revoke all on table runbook.report from public;
grant select on table runbook.report to runbook_viewer;

create view runbook.latest_report
with (security_invoker = true)
as
select
  rpt.id,
  rpt.status,
  rpt.checked_at,
  rpt.recorded_at,
  rpt.report
from runbook.report as rpt
order by rpt.id desc
limit 1;

comment on view runbook.latest_report is 'The newest recorded report of the health check.';

revoke all on table runbook.latest_report from public;
grant select on table runbook.latest_report to runbook_viewer;

-- The overall status of a report's entries. A critical finding that is suppressed is still one to
-- be warned of: who suppressed it may be asleep.
create function runbook.overall_status(entries jsonb)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when bool_or(ent.content ->> 'status' = 'critical') then 'critical'
    when bool_or(
      ent.content ->> 'status' = 'warning'
      or ent.content -> 'suppressed' @> '[{"severity": "critical"}]'
    ) then 'warning'
    -- Whatever is not known to be well, a status that nobody knows included.
    when count(*) = 0 or bool_or(
      coalesce(ent.content ->> 'status', '') not in ('ok', 'not_applicable')
    ) then 'unknown'
    else 'ok'
  end
  from jsonb_array_elements(overall_status.entries) as ent (content);
$$;

comment on function runbook.overall_status(jsonb) is 'ok, warning, critical or unknown.';
revoke all on function runbook.overall_status(jsonb) from public;
grant execute on function runbook.overall_status(jsonb) to runbook_viewer;

-- Shortens an entry to its first findings, and says how many there are more.
create function runbook.shortened_entry(entry jsonb, finding_limit integer, with_evidence boolean)
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select
    shortened_entry.entry
    || jsonb_build_object(
      'findings', (
        select coalesce(
          jsonb_agg(
            case
              when shortened_entry.with_evidence then fnd.content
              else fnd.content - 'evidence'
            end
            order by fnd.position
          ),
          '[]'
        )
        from jsonb_array_elements(shortened_entry.entry -> 'findings') with ordinality
          as fnd (content, position)
        where fnd.position <= shortened_entry.finding_limit
      )
    )
    || case
      when jsonb_array_length(shortened_entry.entry -> 'findings') > shortened_entry.finding_limit
        then jsonb_build_object(
          'more_findings',
          jsonb_array_length(shortened_entry.entry -> 'findings') - shortened_entry.finding_limit
          + coalesce((shortened_entry.entry ->> 'more_findings')::integer, 0)
        )
      else '{}'
    end
    || case
      when jsonb_array_length(shortened_entry.entry -> 'suppressed') > 5
        then jsonb_build_object(
          'suppressed', jsonb_path_query_array(shortened_entry.entry, '$.suppressed[0 to 4]'),
          'more_suppressed', jsonb_array_length(shortened_entry.entry -> 'suppressed') - 5
        )
      else '{}'
    end;
$$;

comment on function runbook.shortened_entry(jsonb, integer, boolean) is
'An entry with so many findings at most, and the number of the others as more_findings.';
revoke all on function runbook.shortened_entry(jsonb, integer, boolean) from public;
grant execute on function runbook.shortened_entry(jsonb, integer, boolean) to runbook_viewer;

-- The entries of a report in the catalog's order, each with its group and the time at which it was
-- measured. A check of the catalog without an entry counts as skipped, unless only some were asked
-- for: silence is never health.
create function runbook.completed_entries(entries jsonb, is_partial boolean)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  with given as (
    select ent.content, ent.position
    from jsonb_array_elements(
      case
        when jsonb_typeof(completed_entries.entries) = 'array' then completed_entries.entries
        else '[]'
      end
    ) with ordinality as ent (content, position)
  ),
  complete as (
    select
      jsonb_build_object('findings', '[]'::jsonb, 'measured_at', clock_timestamp())
      || given.content
      || jsonb_build_object('group', chk.check_group) as content,
      coalesce(chk.position, 1000000) as place,
      given.position
    from given
    left join runbook.check as chk on chk.name = given.content ->> 'check'
    union all
    select
      runbook.check_entry(chk.name, 'skipped', null, null, 0, 'The check was not run.')
      || jsonb_build_object('group', chk.check_group, 'measured_at', null),
      chk.position,
      0
    from runbook.check as chk
    where not completed_entries.is_partial
      and not exists (
        select
        from given
        where given.content ->> 'check' = chk.name
      )
  )
  select coalesce(jsonb_agg(cmp.content order by cmp.place, cmp.position), '[]')
  from complete as cmp;
$$;

comment on function runbook.completed_entries(jsonb, boolean) is
'Entries with group and measured_at, in the catalog''s order; with those that are missing, unless
the report is partial.';
revoke all on function runbook.completed_entries(jsonb, boolean) from public;
grant execute on function runbook.completed_entries(jsonb, boolean) to runbook_viewer;

-- Makes a report of entries. Without `detail` it is bounded, whatever was found: it shows as many
-- findings a check, up to five, as fit into 56 kB, and leaves the evidence out where it must.
create function runbook.compose_report(
  entries jsonb,
  detail boolean default false,
  is_partial boolean default false
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
set timezone = 'UTC'
set lock_timeout = '100ms'
as $$
declare
  v_suppressions constant jsonb := (
    select coalesce(jsonb_agg(to_jsonb(sup)), '[]')
    from runbook.suppressions_in_force() as sup
  );
  v_entries jsonb := runbook.completed_entries(
    compose_report.entries, compose_report.is_partial
  );
  v_shown jsonb;
  v_level record;
  v_suppressed integer;
  v_took_ms numeric;
  v_scheduled_cost jsonb;
begin
  if v_suppressions <> '[]' then
    select coalesce(
      jsonb_agg(
        runbook.suppressed_entry(ent.content, v_suppressions) order by ent.position
      ),
      '[]'
    )
    into v_entries
    from jsonb_array_elements(v_entries) with ordinality as ent (content, position);
  end if;

  select
    coalesce(sum(jsonb_array_length(ent.content -> 'suppressed')), 0),
    coalesce(sum((ent.content ->> 'took_ms')::numeric), 0)
  into v_suppressed, v_took_ms
  from jsonb_array_elements(v_entries) as ent (content);

  if compose_report.detail then
    v_shown := v_entries;
  else
    for v_level in
      select
        lvl.finding_limit,
        lvl.with_evidence
      from (
        values (5, true), (5, false), (3, false), (2, false), (1, false), (0, false)
      ) as lvl (finding_limit, with_evidence)
    loop
      select coalesce(
        jsonb_agg(
          runbook.shortened_entry(ent.content, v_level.finding_limit, v_level.with_evidence)
          order by ent.position
        ),
        '[]'
      )
      into v_shown
      from jsonb_array_elements(v_entries) with ordinality as ent (content, position);

      exit when octet_length(v_shown::text) <= 56000;
    end loop;
  end if;

  begin
    v_scheduled_cost := runbook.scheduled_cost();
  exception
    -- Somebody changes the table of costs; the findings matter more.
    when lock_not_available then
      v_scheduled_cost := '{"reason": "A lock was not free."}';
  end;

  return jsonb_build_object(
    'status', runbook.overall_status(v_entries),
    'checked_at', runbook.now(),
    'took_ms', v_took_ms,
    'scheduled_cost', v_scheduled_cost,
    'suppressed', v_suppressed,
    'checks', v_shown
  ) || case
    when compose_report.is_partial then '{"partial": true}'::jsonb
    else '{}'
  end || case
    when compose_report.detail then '{"detail": true}'::jsonb
    else '{}'
  end;
end;
$$;

comment on function runbook.compose_report(jsonb, boolean, boolean) is
'Entries of checks as a report: {status, checked_at, took_ms, scheduled_cost, suppressed, checks,
partial?, detail?}. Detail lifts the limit of five findings a check and of 56 kB.';
revoke all on function runbook.compose_report(jsonb, boolean, boolean) from public;
grant execute on function runbook.compose_report(jsonb, boolean, boolean) to runbook_viewer;

-- The report of what the schedule last measured, each check with its own time.
create function runbook.recorded_report(detail boolean default false)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select runbook.compose_report(runbook.recorded_entries(), recorded_report.detail);
$$;

comment on function runbook.recorded_report(boolean) is
'The report of the schedule''s latest measurements. Runs no check.';
revoke all on function runbook.recorded_report(boolean) from public;
grant execute on function runbook.recorded_report(boolean) to runbook_viewer;

-- Keeps a report, and returns its id. For the schedule, so only for the owner of the schema.
create function runbook.record_report(report jsonb)
returns bigint
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into runbook.report (status, checked_at, report, recorded_by)
  select
    record_report.report ->> 'status',
    (record_report.report ->> 'checked_at')::timestamptz,
    record_report.report,
    cal.actor
  from runbook.caller() as cal
  returning id;
$$;

comment on function runbook.record_report(jsonb) is 'Records a report and returns its id.';
revoke all on function runbook.record_report(jsonb) from public;

-- Runs checks now and returns the report; what an admin calls in psql.
create function runbook.health_check(
  detail boolean default false,
  checks text[] default null,
  groups text[] default null
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select runbook.compose_report(
    runbook.run_checks(
      names => runbook.chosen_checks(health_check.checks, health_check.groups)
    ),
    health_check.detail,
    health_check.checks is not null or health_check.groups is not null
  );
$$;

comment on function runbook.health_check(boolean, text[], text[]) is
'Runs all checks, or those of the names and groups: {status, checked_at, took_ms, checks, …}.
`select runbook.report_text(runbook.health_check())` is for people. Raises RB400 for unknown names.';
revoke all on function runbook.health_check(boolean, text[], text[]) from public;
grant execute on function runbook.health_check(boolean, text[], text[]) to runbook_viewer;
