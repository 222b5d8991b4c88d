-- Suppressions: a finding that a team knows and lives with is counted instead of shown, for a time.
--
-- It is never silently gone: a report says how many findings are suppressed, until when and why.
-- Nor does it hide what is worse than what was looked at when it was made. The reason and the name
-- are those of the run of `suppress-finding` that made it, so they are kept once.

create table runbook.suppression (
  id bigint generated always as identity,
  check_name text not null,
  code text not null,
  subject text,
  severity text not null,
  until timestamptz not null,
  constraint suppression_pkey primary key (id),
  constraint suppression_is_unique unique nulls not distinct (check_name, code, subject),
  constraint severity_can_be_suppressed check (severity in ('info', 'warning', 'critical'))
);

comment on table runbook.suppression is
'A finding that reports count instead of showing it. No foreign key: an upgrade may replace a check.';
comment on column runbook.suppression.subject is 'Null for all subjects of the code.';
comment on column runbook.suppression.severity is
'The severity that was seen when it was made; a greater one is shown all the same.';
comment on column runbook.suppression.until is 'By the runbook''s clock; from then on it is shown.';

revoke all on table runbook.suppression from public;
grant select on table runbook.suppression to runbook_viewer;

create index step_suppression_idx on runbook.step (key) where relation = 'runbook.suppression';

-- The suppressions that have not expired, with who made each and why.
--
-- Definer: lends a viewer the right to read reason and actor of those runs.
create function runbook.suppressions_in_force()
returns table (
  check_name text,
  code text,
  subject text,
  severity text,
  until timestamptz,
  reason text,
  actor text
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform runbook.require_role('viewer');

  return query
  select
    sup.check_name,
    sup.code,
    sup.subject,
    sup.severity,
    sup.until,
    made.reason,
    made.actor
  from runbook.suppression as sup
  left join lateral (
    select
      run.reason,
      run.actor
    from runbook.step as stp
    inner join runbook.run as run on run.id = stp.run_id
    where stp.relation = 'runbook.suppression'
      and stp.key = jsonb_build_object('id', sup.id)
      and run.state = 'succeeded'
    order by run.id desc
    limit 1
  ) as made on true
  where sup.until > (select runbook.now());
end;
$$;

comment on function runbook.suppressions_in_force() is
'Suppressions that have not expired: check_name, code, subject, severity, until, reason, actor.';
revoke all on function runbook.suppressions_in_force() from public;
grant execute on function runbook.suppressions_in_force() to runbook_viewer;

-- How bad a severity is, as a number; null for what is no severity of a finding.
create function runbook.severity_rank(severity text)
returns integer
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select array_position(array['info', 'warning', 'critical'], severity_rank.severity);
$$;

comment on function runbook.severity_rank(text) is '1 for info, 2 for warning, 3 for critical.';
revoke all on function runbook.severity_rank(text) from public;
grant execute on function runbook.severity_rank(text) to runbook_viewer;

-- An entry of a report without the findings that are suppressed; those are listed shortly under
-- `suppressed`. Its status is that of the findings that are left.
create function runbook.suppressed_entry(entry jsonb, suppressions jsonb)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  with findings as (
    select
      fnd.content,
      fnd.position,
      (
        select sup.content
        from jsonb_array_elements(suppressed_entry.suppressions) as sup (content)
        where sup.content ->> 'check_name' = suppressed_entry.entry ->> 'check'
          and sup.content ->> 'code' = fnd.content ->> 'code'
          and (
            sup.content ->> 'subject' is null
            or sup.content ->> 'subject' = fnd.content ->> 'subject'
          )
          and runbook.severity_rank(fnd.content ->> 'severity')
            <= runbook.severity_rank(sup.content ->> 'severity')
        order by sup.content ->> 'subject' nulls last
        limit 1
      ) as suppression
    from jsonb_array_elements(suppressed_entry.entry -> 'findings') with ordinality
      as fnd (content, position)
  ),
  split as (
    select
      coalesce(
        jsonb_agg(fnd.content order by fnd.position) filter (where fnd.suppression is null), '[]'
      ) as shown,
      jsonb_agg(
        jsonb_strip_nulls(
          jsonb_build_object(
            'code', fnd.content -> 'code',
            'subject', fnd.content -> 'subject',
            'severity', fnd.content -> 'severity',
            'until', fnd.suppression -> 'until',
            'reason', fnd.suppression -> 'reason',
            'actor', fnd.suppression -> 'actor'
          )
        )
        order by fnd.position
      ) filter (where fnd.suppression is not null) as suppressed,
      max(runbook.severity_rank(fnd.content ->> 'severity'))
        filter (where fnd.suppression is null) as worst
    from findings as fnd
  )
  select case
    when split.suppressed is null then suppressed_entry.entry
    else suppressed_entry.entry || jsonb_build_object(
      'status', case
        -- A status that does not come from findings stays, and so does one of findings unseen.
        when suppressed_entry.entry ->> 'status' not in ('warning', 'critical')
          or suppressed_entry.entry ? 'more_findings' then suppressed_entry.entry ->> 'status'
        when split.worst = 3 then 'critical'
        when split.worst = 2 then 'warning'
        when suppressed_entry.entry ? 'reason' then 'skipped'
        else 'ok'
      end,
      'findings', split.shown,
      'suppressed', split.suppressed
    )
  end
  from split;
$$;

comment on function runbook.suppressed_entry(jsonb, jsonb) is
'An entry without its suppressed findings, which it lists shortly under `suppressed`.';
revoke all on function runbook.suppressed_entry(jsonb, jsonb) from public;
grant execute on function runbook.suppressed_entry(jsonb, jsonb) to runbook_viewer;

-- The remediation `suppress-finding`: counts a finding instead of showing it, until a time.
--
-- The check is asked now, so that nothing is suppressed that is not there, and nothing worse than
-- what is there.
create function runbook.suppress_finding(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_check constant text := suppress_finding.params ->> 'check';
  v_code constant text := suppress_finding.params ->> 'code';
  v_subject constant text := suppress_finding.params ->> 'subject';
  v_codes jsonb;
  v_until timestamptz;
  v_entry jsonb;
  v_severity text;
  v_known runbook.suppression;
  v_summary text;
begin
  select chk.codes
  into v_codes
  from runbook.check as chk
  where chk.name = v_check;

  begin
    v_until := (suppress_finding.params ->> 'until')::timestamptz;
  exception
    when data_exception then
      v_until := null;
  end;

  perform runbook.refuse_problems(
    (
      select coalesce(jsonb_agg(prb.content), '[]')
      from (
        select jsonb_build_object(
          'path', 'check',
          'message', format('is not a known check: %s', suppress_finding.params -> 'check')
        )
        where v_codes is null
        union all
        select jsonb_build_object(
          'path', 'code',
          'message', format(
            'must be one of %s, not %s',
            (
              select string_agg(known.code, ', ' order by known.code)
              from jsonb_object_keys(v_codes) as known (code)
            ),
            suppress_finding.params -> 'code'
          )
        )
        where not v_codes ? v_code
        union all
        select jsonb_build_object(
          'path', 'until',
          'message', format(
            'must be a time within a year from now, not %s',
            suppress_finding.params -> 'until'
          )
        )
        where v_until is null
          or v_until <= (select runbook.now())
          or v_until > (select runbook.now()) + interval '1 year'
      ) as prb (content)
    )
  );

  v_entry := runbook.run_check(v_check, scheduled => true);

  select fnd.content ->> 'severity'
  into v_severity
  from jsonb_array_elements(v_entry -> 'findings') as fnd (content)
  where fnd.content ->> 'code' = v_code
    and (v_subject is null or fnd.content ->> 'subject' = v_subject)
  order by runbook.severity_rank(fnd.content ->> 'severity') desc
  limit 1;

  if not found and v_entry ->> 'status' in ('error', 'skipped') then
    perform runbook.refuse_change_of(
      '55000',
      format('The check %s could not look: %s', v_check, v_entry ->> 'reason'),
      'Only what is found can be suppressed. Try again.'
    );
  elsif not found then
    perform runbook.refuse_change_of(
      'P0002',
      format(
        'The check %s does not find %s now.', v_check, v_code || coalesce(' for ' || v_subject, '')
      ),
      'Only what is found can be suppressed. The health check says what there is.'
    );
  end if;

  v_summary := format(
    'Count %s of the check %s instead of showing it, until %s, as long as it is no worse than %s.',
    v_code || coalesce(' for ' || v_subject, ''),
    v_check,
    runbook.utc_text(v_until),
    v_severity
  );

  select sup.*
  into v_known
  from runbook.suppression as sup
  where sup.check_name = v_check
    and sup.code = v_code
    and sup.subject is not distinct from v_subject;

  if found then
    return next runbook.update_step(
      'runbook.suppression',
      jsonb_build_object('id', v_known.id),
      jsonb_build_object('severity', v_severity, 'until', v_until),
      v_summary
    );
  else
    return next runbook.insert_step(
      'runbook.suppression',
      jsonb_build_object(
        'check_name', v_check,
        'code', v_code,
        'subject', v_subject,
        'severity', v_severity,
        'until', v_until
      ),
      v_summary
    );
  end if;
end;
$$;

comment on function runbook.suppress_finding(jsonb) is
'Declares a suppression for {check, code, subject?, until}. Raises P0002 when there is no such
finding, RB400 for an unknown check or code or a time that is no expiry.';
revoke all on function runbook.suppress_finding(jsonb) from public;

insert into runbook.remediation (
  name, title, description, parameters, subject_keys, function, risk, cures
)
values (
  'suppress-finding',
  'Suppress a finding for a time',
  'Counts a finding that is known and accepted instead of showing it, until it expires. A worse '
  'one is shown all the same.',
  '{
    "type": "object",
    "properties": {
      "check": {"type": "string", "minLength": 1, "maxLength": 63},
      "code": {"type": "string", "minLength": 1, "maxLength": 63},
      "subject": {
        "type": "string",
        "minLength": 1,
        "maxLength": 200,
        "description": "The subject as the finding has it; without one all subjects of the code."
      },
      "until": {
        "type": "string",
        "minLength": 1,
        "maxLength": 40,
        "description": "When it is shown again, within a year from now, as 2027-01-31T12:00:00Z."
      }
    },
    "required": ["check", "code", "until"],
    "additionalProperties": false
  }',
  array['check', 'code', 'subject'],
  'runbook.suppress_finding',
  'low',
  '{}'
);
