-- How a diagnosis is asked: its functions are called, and their findings become a verdict.
--
-- Three ways of not knowing are kept apart. A row of severity `skipped` says that this time we
-- could not look, and makes the verdict `unknown`; `not_applicable` says that the thing is absent
-- here; blind spots are text of the catalog. Silence is never health.

-- A row that says why something could not be looked at this time.
create function runbook.skipped(check_name text, reason text)
returns runbook.finding
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(skipped.check_name, 'skipped', null, skipped.reason, null, null, null, null)
    ::runbook.finding;
$$;

comment on function runbook.skipped(text, text) is
'A finding''s row for what could have been looked at and could not this time.';
revoke all on function runbook.skipped(text, text) from public;

-- A row that says that something is absent here.
create function runbook.not_applicable(check_name text, reason text)
returns runbook.finding
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    not_applicable.check_name, 'not_applicable', null, not_applicable.reason, null, null, null, null
  )::runbook.finding;
$$;

comment on function runbook.not_applicable(text, text) is
'A finding''s row for what does not exist in this installation.';
revoke all on function runbook.not_applicable(text, text) from public;

-- A time for people: UTC, to the second.
create function runbook.utc_text(at timestamptz)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when isfinite(utc_text.at)
      then to_char(utc_text.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
    else utc_text.at::text
  end;
$$;

comment on function runbook.utc_text(timestamptz) is 'A time in UTC, to be read by people.';
revoke all on function runbook.utc_text(timestamptz) from public;
grant execute on function runbook.utc_text(timestamptz) to runbook_viewer;

-- Milliseconds since an instant, by the real clock.
create function runbook.ms_since(started_at timestamptz)
returns numeric
language sql
volatile
security invoker
set search_path = ''
as $$
  select round(1000 * extract(epoch from clock_timestamp() - ms_since.started_at), 1);
$$;

comment on function runbook.ms_since(timestamptz) is 'Milliseconds that have passed since then.';
revoke all on function runbook.ms_since(timestamptz) from public;

-- Calls one function of a diagnosis. When it cannot finish, each finding that it could have made
-- is skipped with the cause; what the function refuses on purpose (class RB) is raised.
create function runbook.findings_of(function_name text, codes jsonb, params jsonb)
returns runbook.finding[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_findings runbook.finding[];
  v_reason text;
begin
  begin
    execute format(
      'select array_agg(found) from %s($1) as found',
      (findings_of.function_name || '(jsonb)')::regprocedure::oid::regproc
    )
    into v_findings
    using findings_of.params;

    return coalesce(v_findings, '{}');
  exception
    when lock_not_available then
      v_reason := 'A lock was not free; a change of the table may be under way.';
    when query_canceled then
      v_reason := 'It was cancelled: too slow, or on request.';
    when assert_failure or others then
      if sqlstate like 'RB%' then
        raise;
      end if;
      v_reason := format('It failed with SQLSTATE %s: %s', sqlstate, sqlerrm);
  end;

  return (
    select array_agg(runbook.skipped(missed.code, v_reason) order by missed.code)
    from (
      select code.key
      from jsonb_object_keys(findings_of.codes) as code (key)
      union all
      select findings_of.function_name
      where findings_of.codes = '{}'
    ) as missed (code)
  );
end;
$$;

comment on function runbook.findings_of(text, jsonb, jsonb) is
'The findings of one function of a diagnosis, or one skipped row for each that it could not make.';
revoke all on function runbook.findings_of(text, jsonb, jsonb) from public;

-- The verdict over findings: a problem outweighs not knowing, and not knowing is not health.
create function runbook.verdict_of(findings runbook.finding[])
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select case
    when bool_or(fnd.severity in ('warning', 'critical')) then 'problem'
    when bool_or(fnd.severity = 'skipped') then 'unknown'
    else 'ok'
  end
  from unnest(verdict_of.findings) as fnd;
$$;

comment on function runbook.verdict_of(runbook.finding[]) is 'ok, problem or unknown.';
revoke all on function runbook.verdict_of(runbook.finding[]) from public;

-- The rows that say why something was not looked at, as [{check, reason}].
create function runbook.reasons_of(findings runbook.finding[], severity text)
returns jsonb
language sql
immutable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object('check', fnd.code, 'reason', fnd.summary)
      order by fnd.position
    ),
    '[]'
  )
  from unnest(reasons_of.findings) with ordinality as fnd (
    code, severity, subject, summary, evidence, method, remediation, params, position
  )
  where fnd.severity = reasons_of.severity;
$$;

comment on function runbook.reasons_of(runbook.finding[], text) is
'The rows of severity skipped or not_applicable, as an array of {check, reason}.';
revoke all on function runbook.reasons_of(runbook.finding[], text) from public;

-- The rows that are findings, as an array, the worst first unless they have an order of their own.
create function runbook.facts_of(findings runbook.finding[], keeps_order boolean default false)
returns jsonb
language sql
immutable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      to_jsonb(fnd) - 'position'
      order by
        case
          when not facts_of.keeps_order
            then array_position(array['critical', 'warning', 'info'], fnd.severity::text)
        end,
        fnd.position
    ),
    '[]'
  )
  from unnest(facts_of.findings) with ordinality as fnd (
    code, severity, subject, summary, evidence, method, remediation, params, position
  )
  where fnd.severity in ('info', 'warning', 'critical');
$$;

comment on function runbook.facts_of(runbook.finding[], boolean) is
'The findings proper as a JSON array, the worst first, or as they come.';
revoke all on function runbook.facts_of(runbook.finding[], boolean) from public;
grant execute on function runbook.facts_of(runbook.finding[], boolean) to runbook_viewer;

-- Diagnoses an issue for a subject. Reads only, so it also answers on a read-only database.
--
-- Definer: lends a viewer the right to read what the diagnosis reads (Auth, the application).
-- Cost: what the issue's functions read; a lock that is not free within 100 ms is not waited for.
create function runbook.diagnose(issue text, params jsonb)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '100ms'
set timezone = 'UTC'
as $$
declare
  v_started_at constant timestamptz := clock_timestamp();
  v_issue runbook.issue;
  v_part record;
  v_findings runbook.finding[] := array[]::runbook.finding[];
  v_diagnosis jsonb;
begin
  perform runbook.require_role('viewer');

  select iss.*
  into v_issue
  from runbook.issue as iss
  where iss.name = diagnose.issue;

  if not found then
    raise exception 'The catalog has no issue %.', coalesce(quote_literal(diagnose.issue), 'null')
      using
        errcode = 'RB404',
        hint = (
          select 'It has ' || string_agg(iss.name, ', ' order by iss.name) || '.'
          from runbook.issue as iss
        );
  end if;

  perform runbook.refuse_problems(runbook.problems(v_issue.parameters, diagnose.params));

  for v_part in
    select fun.function, fun.codes
    from (
      select v_issue.function, v_issue.codes, 0 as position
      union all
      select prt.function, prt.codes, 1
      from runbook.issue_part as prt
      where prt.issue = v_issue.name
    ) as fun
    order by fun.position, fun.function
  loop
    v_findings := v_findings
      || runbook.findings_of(v_part.function, v_part.codes, diagnose.params);
  end loop;

  v_diagnosis := jsonb_build_object(
    'issue', v_issue.name,
    'subject', runbook.subject_of(v_issue.subject_keys, diagnose.params),
    'verdict', runbook.verdict_of(v_findings),
    'findings', runbook.facts_of(v_findings, v_issue.keeps_order),
    'skipped', runbook.reasons_of(v_findings, 'skipped'),
    'not_applicable', runbook.reasons_of(v_findings, 'not_applicable'),
    'blind_spots', to_jsonb(v_issue.blind_spots),
    'took_ms', runbook.ms_since(v_started_at)
  );

  return v_diagnosis
    || runbook.record_look(v_issue.name, diagnose.params, v_diagnosis ->> 'verdict');
end;
$$;

comment on function runbook.diagnose(text, jsonb) is
'Diagnoses an issue: {issue, subject, verdict, findings, skipped, not_applicable, blind_spots,
took_ms}, and where it reads as a person whether that is recorded. Raises RB404 for an unknown issue, RB400 for parameters that do not fit.';
revoke all on function runbook.diagnose(text, jsonb) from public;
grant execute on function runbook.diagnose(text, jsonb) to runbook_viewer;
