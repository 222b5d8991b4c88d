-- Verification: whether the trouble that a remediation cures is gone, asked of whoever finds it.
--
-- A remediation that belongs to an issue is verified by its diagnosis; one that cures what checks
-- find, by these checks. Whatever could not be looked at makes the answer unknown.

-- Whether a finding of a check is about what a run was for: it names the remediation, and its
-- parameters are those of the run as far as both have them. One that names no remediation, since
-- something else must come first, is about the run when it has the run's subject. An age counts as
-- the same within a day: that of the run was resolved when its plan was made.
create function runbook.is_about_run(
  finding jsonb,
  remediation runbook.remediation,
  params jsonb
)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_params jsonb := coalesce(nullif(is_about_run.finding -> 'params', 'null'), '{}');
begin
  if is_about_run.finding ->> 'remediation' is null then
    return exists (
      select
      from unnest(is_about_run.remediation.subject_keys) as key (name)
      where is_about_run.params ->> key.name = is_about_run.finding ->> 'subject'
    );
  elsif is_about_run.finding ->> 'remediation' <> is_about_run.remediation.name then
    return false;
  end if;

  begin
    v_params := runbook.resolved_params(is_about_run.remediation.parameters, v_params);
  exception
    when no_data_found or sqlstate 'RB400' then
      -- What it names is gone, or it names nothing: it is compared as it is written.
      raise debug 'The parameters of a finding do not resolve: %', v_params;
  end;

  return not exists (
    select
    from jsonb_each(v_params) as part (key, value)
    where is_about_run.params ? part.key
      and case
        when is_about_run.remediation.parameters #>> array['properties', part.key, 'format'] = 'age'
          then (is_about_run.params ->> part.key)::timestamptz
            not between (part.value #>> '{}')::timestamptz - interval '1 day'
            and (part.value #>> '{}')::timestamptz + interval '1 day'
        else is_about_run.params -> part.key <> part.value
      end
  );
end;
$$;

comment on function runbook.is_about_run(jsonb, runbook.remediation, jsonb) is
'Whether a finding of a check names this remediation with the parameters of a run, or none and its
subject.';
revoke all on function runbook.is_about_run(jsonb, runbook.remediation, jsonb) from public;

-- What the checks that verify a remediation find: {still_there, skipped}. A check that could not
-- look, or that is not there, is skipped; so is one whose list was cut.
create function runbook.checked_findings(remediation runbook.remediation, params jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_check text;
  v_entry jsonb;
  v_found jsonb;
  v_still jsonb := '[]';
  v_skipped jsonb := '[]';
begin
  -- Else a check would see the statistics and sessions of before the change.
  perform pg_stat_clear_snapshot();

  foreach v_check in array checked_findings.remediation.checks loop
    v_entry := runbook.run_check(v_check);

    select coalesce(jsonb_agg(fnd.content), '[]')
    into v_found
    from jsonb_array_elements(v_entry -> 'findings') as fnd (content)
    where fnd.content ->> 'code' = any (checked_findings.remediation.cures)
      and runbook.is_about_run(
        fnd.content, checked_findings.remediation, checked_findings.params
      );

    if v_entry ->> 'status' in ('skipped', 'error')
      or v_found = '[]' and v_entry ? 'more_findings'
    then
      v_skipped := v_skipped || jsonb_build_object(
        'check', v_check,
        'reason', coalesce(v_entry ->> 'reason', 'It found more than it lists.')
      );
    end if;

    v_still := v_still || v_found;
  end loop;

  return jsonb_build_object('still_there', v_still, 'skipped', v_skipped);
end;
$$;

comment on function runbook.checked_findings(runbook.remediation, jsonb) is
'What the checks of a remediation still find of what a run was for: {still_there, skipped}.';
revoke all on function runbook.checked_findings(runbook.remediation, jsonb) from public;

-- Asks the diagnosis, the checks, or both, whether the codes that a remediation cures are gone for
-- its subject. An undo cures nothing: what it brings back is among the other findings.
create function runbook.verification_of(
  remediation runbook.remediation,
  params jsonb,
  undoing boolean
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_diagnosis jsonb := '{}';
  v_checked jsonb := '{"still_there": [], "skipped": []}';
  v_cures constant text[] := case
    when verification_of.undoing then '{}'
    else verification_of.remediation.cures
  end;
  v_still jsonb;
  v_other jsonb;
  v_unseen jsonb;
begin
  if verification_of.remediation.issue is not null then
    v_diagnosis := runbook.diagnose(
      verification_of.remediation.issue,
      (
        select coalesce(jsonb_object_agg(param.key, param.value), '{}')
        from jsonb_each(verification_of.params) as param (key, value)
        inner join runbook.issue as iss on iss.name = verification_of.remediation.issue
          and iss.parameters -> 'properties' ? param.key
      )
    );
  end if;

  if not verification_of.undoing then
    v_checked := runbook.checked_findings(verification_of.remediation, verification_of.params);
  end if;

  select
    coalesce(jsonb_agg(fnd.content) filter (where fnd.content ->> 'code' = any (v_cures)), '[]')
    || (v_checked -> 'still_there'),
    coalesce(
      jsonb_agg(fnd.content) filter (where not fnd.content ->> 'code' = any (v_cures)),
      '[]'
    )
  into v_still, v_other
  from jsonb_array_elements(v_diagnosis -> 'findings') as fnd (content);

  select coalesce(jsonb_agg(skp.content), '[]') || (v_checked -> 'skipped')
  into v_unseen
  from jsonb_array_elements(v_diagnosis -> 'skipped') as skp (content)
  where skp.content ->> 'check' = any (v_cures);

  return jsonb_build_object(
    'status', case
      when verification_of.remediation.issue is null
        and (verification_of.undoing or verification_of.remediation.checks = '{}')
        then 'not_applicable'
      when v_still <> '[]' then 'not_cured'
      when v_unseen <> '[]' then 'unknown'
      else 'verified'
    end,
    'cures', to_jsonb(v_cures),
    'still_there', v_still,
    'other_findings', v_other,
    'skipped', v_unseen
  );
end;
$$;

comment on function runbook.verification_of(runbook.remediation, jsonb, boolean) is
'Whether the trouble is gone: {status: verified, not_cured, unknown or not_applicable, cures,
still_there, other_findings, skipped}.';
revoke all on function runbook.verification_of(runbook.remediation, jsonb, boolean)
from public;

-- The verification of a run that has not ended.
create function runbook.verification_to_come(remediation runbook.remediation)
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'status', 'pending',
    'cures', to_jsonb(verification_to_come.remediation.cures),
    'still_there', '[]'::jsonb,
    'other_findings', '[]'::jsonb,
    'skipped', '[]'::jsonb
  );
$$;

comment on function runbook.verification_to_come(runbook.remediation) is
'What the answer says of the verification before all steps are done.';
revoke all on function runbook.verification_to_come(runbook.remediation) from public;
