-- Writing a run and its steps down. It happens in the transaction that changed the rows, so that a
-- change and its record come and go together. Secrets are left out: tokens, passwords, keys, by the
-- names of their columns. Relies on the tables of runs.

-- Whether a name of a column or key is that of a secret: tokens, passwords and the like.
create function runbook.is_secret_column(name text)
returns boolean
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select is_secret_column.name
    ~* (
      '(passw|secret|token|otp|hash|salt|credential|jwt|cookie|web_?authn|code_challenge'
      || '|auth(orization)?_code|(recovery|backup)_code|(api|private|signing|encryption|hmac)_?key)'
    );
$$;

comment on function runbook.is_secret_column(text) is
'Whether a column or key of this name is never recorded in an image and never shown.';
revoke all on function runbook.is_secret_column(text) from public;

-- JSON to be shown: values under a secret's name are left out.
create function runbook.redacted(content jsonb)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  case jsonb_typeof(redacted.content)
    when 'object' then
      return (
        select coalesce(
          jsonb_object_agg(
            part.key,
            case
              when runbook.is_secret_column(part.key) then '"[secret]"'
              else runbook.redacted(part.value)
            end
          ),
          '{}'
        )
        from jsonb_each(redacted.content) as part (key, value)
      );
    when 'array' then
      return (
        select coalesce(jsonb_agg(runbook.redacted(part.value) order by part.position), '[]')
        from jsonb_array_elements(redacted.content) with ordinality as part (value, position)
      );
    else
      return redacted.content;
  end case;
end;
$$;

comment on function runbook.redacted(jsonb) is
'JSON in which the values of keys that name a secret are replaced by "[secret]".';
revoke all on function runbook.redacted(jsonb) from public;

-- Keeps a run with its steps, and returns its id. Rows of a run that went wrong were rolled back;
-- what a rollback does not undo is still to be done.
create function runbook.record_run(run runbook.run, steps jsonb)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run_id bigint;
begin
  insert into runbook.run (
    remediation,
    params,
    asked,
    subject,
    state,
    actor,
    role,
    reason,
    request_id,
    idempotency_key,
    plan_hash,
    undo_of,
    verification,
    error,
    started_at,
    ended_at
  )
  values (
    record_run.run.remediation,
    record_run.run.params,
    record_run.run.asked,
    record_run.run.subject,
    record_run.run.state,
    record_run.run.actor,
    record_run.run.role,
    record_run.run.reason,
    record_run.run.request_id,
    record_run.run.idempotency_key,
    record_run.run.plan_hash,
    record_run.run.undo_of,
    record_run.run.verification,
    record_run.run.error,
    record_run.run.started_at,
    record_run.run.ended_at
  )
  returning id into v_run_id;

  insert into runbook.step (
    run_id,
    position,
    kind,
    operation,
    summary,
    relation,
    key,
    before,
    after,
    statement,
    undo,
    side_effects,
    content,
    state
  )
  select
    v_run_id,
    (stp.step ->> 'position')::integer,
    stp.step ->> 'kind',
    stp.step ->> 'operation',
    stp.step ->> 'summary',
    stp.step ->> 'relation',
    nullif(stp.step -> 'key', 'null'),
    nullif(stp.step -> 'before', 'null'),
    nullif(stp.step -> 'after', 'null'),
    stp.step ->> 'statement',
    stp.step ->> 'undo',
    array(
      select eff.content
      from jsonb_array_elements_text(stp.step -> 'side_effects') as eff (content)
    ),
    coalesce(nullif(stp.step -> 'content', 'null'), '{}'),
    case
      when record_run.run.state in ('failed', 'undo_refused') then 'rolled_back'
      when stp.step ->> 'kind' = 'row' then 'done'
      else 'pending'
    end
  from jsonb_array_elements(record_run.steps) as stp (step);

  insert into runbook.call (run_id, position, service, method, path, body, idempotency_key)
  select
    stp.run_id,
    stp.position,
    stp.content ->> 'service',
    stp.content ->> 'method',
    stp.content ->> 'path',
    nullif(stp.content -> 'body', 'null'),
    gen_random_uuid()::text
  from runbook.step as stp
  where stp.run_id = v_run_id
    and stp.kind = 'call'
    and stp.state = 'pending'
  order by stp.position;

  return v_run_id;
end;
$$;

comment on function runbook.record_run(runbook.run, jsonb) is
'Records a run, its steps and its calls, and returns the id that the run was given.';
revoke all on function runbook.record_run(runbook.run, jsonb) from public;
