-- The engine of the remediations: plans, applies, verifies.
--
-- A remediation's function declares, only the engine acts. The function is stable and so cannot
-- write; the engine has its declarations carried out inside a subtransaction, asks the diagnosis
-- whether the trouble is gone, and then either keeps everything with its record or rolls everything
-- back. A dry run is the same run, rolled back.

-- What identifies a plan: when any of it differs, the world moved. What a change generates (the
-- image after it) is no part.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.plan_hash_of(name text, params jsonb, steps jsonb)
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select encode(
      sha256(
        convert_to(
          jsonb_build_object(
            'remediation', plan_hash_of.name,
            'params', plan_hash_of.params,
            'steps', coalesce(
              jsonb_agg(
                jsonb_build_object(
                  'kind', stp.content -> 'kind',
                  'operation', stp.content -> 'operation',
                  'relation', stp.content -> 'relation',
                  'key', stp.content -> 'key',
                  'before', stp.content -> 'before'
                )
                order by stp.position
              ),
              '[]'
            )
          )::text,
          'UTF8'
        )
      ),
      'hex'
    )
    from jsonb_array_elements(plan_hash_of.steps) with ordinality as stp (content, position)
  );
end;
$$;

comment on function runbook.plan_hash_of(text, jsonb, jsonb) is
'A fingerprint of a plan: name, parameters and each step''s target and row before.';
revoke all on function runbook.plan_hash_of(text, jsonb, jsonb) from public;

-- Asks the diagnosis whether the codes that a remediation cures are gone for its subject.
create function runbook.verification_of(remediation runbook.remediation, params jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_diagnosis jsonb := runbook.diagnose(verification_of.remediation.issue, verification_of.params);
  v_cures text[] := verification_of.remediation.cures;
  v_still jsonb;
  v_other jsonb;
  v_unseen jsonb;
begin
  select
    coalesce(jsonb_agg(fnd.content) filter (where fnd.content ->> 'code' = any (v_cures)), '[]'),
    coalesce(
      jsonb_agg(fnd.content) filter (where not fnd.content ->> 'code' = any (v_cures)),
      '[]'
    )
  into v_still, v_other
  from jsonb_array_elements(v_diagnosis -> 'findings') as fnd (content);

  select coalesce(jsonb_agg(skp.content), '[]')
  into v_unseen
  from jsonb_array_elements(v_diagnosis -> 'skipped') as skp (content)
  where skp.content ->> 'check' = any (v_cures);

  return jsonb_build_object(
    'status', case
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

comment on function runbook.verification_of(runbook.remediation, jsonb) is
'Whether the trouble is gone: {status: verified, not_cured or unknown, cures, still_there,
other_findings, skipped}.';
revoke all on function runbook.verification_of(runbook.remediation, jsonb) from public;

-- What is wrong with a request beside the remediation's own parameters.
create function runbook.request_problems(
  dry_run boolean,
  reason text,
  idempotency_key text,
  plan_hash text
)
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select runbook.problems(
    '{
      "properties": {
        "reason": {"type": "string", "minLength": 1, "maxLength": 1000},
        "idempotency_key": {"type": "string", "minLength": 1, "maxLength": 255},
        "plan_hash": {"type": "string", "minLength": 64, "maxLength": 64}
      }
    }'::jsonb || case
      when coalesce(request_problems.dry_run, false) then '{}'::jsonb
      else '{"required": ["reason"]}'::jsonb
    end,
    jsonb_strip_nulls(
      jsonb_build_object(
        'reason', btrim(request_problems.reason),
        'idempotency_key', request_problems.idempotency_key,
        'plan_hash', request_problems.plan_hash
      )
    )
  );
$$;

comment on function runbook.request_problems(boolean, text, text, text) is
'Problems of a request to remediate, as an array of {path, message}: applying needs a reason.';
revoke all on function runbook.request_problems(boolean, text, text, text) from public;

-- One at a time: waits for whoever holds this name, until the end of the transaction.
create function runbook.lock_for_transaction(name text)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select pg_advisory_xact_lock(hashtextextended('runbook ' || lock_for_transaction.name, 0));
$$;

comment on function runbook.lock_for_transaction(text) is
'Takes the lock of a name for the rest of the transaction.';
revoke all on function runbook.lock_for_transaction(text) from public;

-- A remediation that the caller may run: low risk needs an operator, high risk an admin.
create function runbook.remediation_for_caller(name text)
returns runbook.remediation
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_remediation runbook.remediation;
begin
  select rem.*
  into v_remediation
  from runbook.remediation as rem
  where rem.name = remediation_for_caller.name;

  if not found then
    raise exception 'The catalog has no remediation %.',
      coalesce(quote_literal(remediation_for_caller.name), 'null')
      using errcode = 'RB404', hint = 'select name, title from runbook.remediation;';
  end if;

  perform runbook.require_role(case v_remediation.risk when 'low' then 'operator' else 'admin' end);

  return v_remediation;
end;
$$;

comment on function runbook.remediation_for_caller(text) is
'The catalog''s row, if the caller''s role is enough for its risk. Raises RB404 and RB405.';
revoke all on function runbook.remediation_for_caller(text) from public;
grant execute on function runbook.remediation_for_caller(text) to runbook_viewer;

-- Applies or plans a remediation. It raises before a run is opened; afterwards it returns the run
-- with its state and error, so that nothing vanishes. What only says "not now" (a lock, a
-- read-only database, a cancelled statement) is raised as well: nothing was done.
--
-- Definer: lends an operator the right to change what the remediation declares, and to record it.
-- Cost: locks the remediation for this subject, then the rows that it changes, each for 2 s at
-- most.
create function runbook.run_remediation(
  name text,
  params jsonb,
  dry_run boolean,
  reason text,
  idempotency_key text,
  plan_hash text
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '2s'
set timezone = 'UTC'
set datestyle = 'ISO, YMD'
set intervalstyle = 'postgres'
set bytea_output = 'hex'
set extra_float_digits = 1
as $$
declare
  v_remediation runbook.remediation;
  v_run runbook.run;
  v_known runbook.run;
  v_declared runbook.declared_step[];
  v_steps jsonb := '[]'::jsonb;
begin
  v_remediation := runbook.remediation_for_caller(run_remediation.name);

  select cal.actor, cal.role, cal.request_id
  into v_run.actor, v_run.role, v_run.request_id
  from runbook.caller() as cal;

  v_run.started_at := clock_timestamp();
  v_run.remediation := v_remediation.name;
  v_run.params := run_remediation.params;
  v_run.subject := runbook.subject_of(v_remediation.subject_keys, run_remediation.params);
  v_run.reason := btrim(run_remediation.reason);
  v_run.idempotency_key := run_remediation.idempotency_key;

  perform runbook.refuse_problems(
    runbook.problems(v_remediation.parameters, v_run.params)
    || runbook.request_problems(
      run_remediation.dry_run,
      v_run.reason,
      v_run.idempotency_key,
      run_remediation.plan_hash
    )
  );

  if v_run.idempotency_key is not null and not run_remediation.dry_run then
    perform runbook.lock_for_transaction(
      format('key %s of %s', v_run.idempotency_key, v_run.actor)
    );

    select run.*
    into v_known
    from runbook.run as run
    where run.actor = v_run.actor
      and run.idempotency_key = v_run.idempotency_key;

    if found then
      if v_known.remediation <> v_run.remediation or v_known.params <> v_run.params then
        raise exception 'This idempotency key was used for another request, run %.', v_known.id
          using errcode = 'RB419', hint = 'Take a new key for a new change.';
      end if;

      return runbook.run_answer(v_known.id);
    end if;
  end if;

  perform runbook.lock_for_transaction(
    format('remediation %s of %s', v_run.remediation, lower(btrim(v_run.subject)))
  );

  begin
    execute format(
      'select array_agg(declared) from %s($1) as declared',
      (v_remediation.function || '(jsonb)')::regprocedure::oid::regproc
    )
    into v_declared
    using v_run.params;

    v_steps := runbook.perform_steps(coalesce(v_declared, '{}'));
    v_run.plan_hash := runbook.plan_hash_of(v_run.remediation, v_run.params, v_steps);

    if run_remediation.plan_hash <> v_run.plan_hash then
      raise exception 'The plan has changed since it was made.'
        using
          errcode = 'RB409',
          detail = jsonb_build_object(
            'plan_hash', v_run.plan_hash,
            'steps', runbook.step_answers(v_steps, 'planned')
          )::text,
          hint = 'Look at the new plan, and send its plan_hash.';
    end if;

    v_run.verification := runbook.verification_of(v_remediation, v_run.params);

    if run_remediation.dry_run then
      raise exception 'A dry run is rolled back.'
        using errcode = 'RBDRY', hint = 'Nobody sees this: it is caught below.';
    end if;

    if v_run.verification ->> 'status' = 'not_cured' then
      raise exception 'The trouble is still there, so nothing was kept.'
        using
          errcode = 'RBNOC',
          hint = 'Something in the application, such as a trigger, brings it back.';
    end if;

    v_run.state := case when v_steps = '[]' then 'no_op' else 'succeeded' end;
  exception
    when sqlstate 'RBDRY' then
      return jsonb_build_object(
        'run', null,
        'state', case when v_steps = '[]' then 'no_op' else 'planned' end,
        'plan_hash', v_run.plan_hash,
        'params', v_run.params,
        'steps', runbook.step_answers(v_steps, 'planned'),
        'verification', v_run.verification,
        'undo', runbook.undo_answer()
      );
    when lock_not_available or read_only_sql_transaction or deadlock_detected
      or serialization_failure or sqlstate 'RB409'
    then
      raise;
    when assert_failure or others then
      if run_remediation.dry_run then
        raise;
      end if;
      v_run.state := 'failed';
      v_run.error := jsonb_build_object('sqlstate', sqlstate, 'message', sqlerrm);
      v_run.plan_hash := runbook.plan_hash_of(v_run.remediation, v_run.params, v_steps);
  end;

  v_run.ended_at := clock_timestamp();

  -- In a statement of its own, or the answer would not see the run.
  v_run.id := runbook.record_run(v_run, v_steps);

  return runbook.run_answer(v_run.id);
end;
$$;

comment on function runbook.run_remediation(text, jsonb, boolean, text, text, text) is
'The engine behind runbook.remediate; checks the caller''s role again.';
revoke all on function runbook.run_remediation(text, jsonb, boolean, text, text, text) from public;
grant execute on function runbook.run_remediation(text, jsonb, boolean, text, text, text)
to runbook_operator;

-- Plans or applies a remediation. Invoker: whoever has no right to run the engine cannot run it
-- through here either, but gets a clear refusal.
create function runbook.remediate(
  name text,
  params jsonb,
  dry_run boolean default false,
  reason text default null,
  idempotency_key text default null,
  plan_hash text default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform runbook.remediation_for_caller(remediate.name);

  return runbook.run_remediation(
    remediate.name,
    remediate.params,
    coalesce(remediate.dry_run, false),
    remediate.reason,
    remediate.idempotency_key,
    remediate.plan_hash
  );
end;
$$;

comment on function runbook.remediate(text, jsonb, boolean, text, text, text) is
'Plans (dry_run) or applies a remediation: {run, state, plan_hash, params, steps, verification,
undo}. Raises RB404, RB405, RB400, RB409 when the plan changed, RB419 when the key names another
request, 55P03 when someone else holds the lock.';
revoke all on function runbook.remediate(text, jsonb, boolean, text, text, text) from public;
grant execute on function runbook.remediate(text, jsonb, boolean, text, text, text)
to runbook_viewer;
