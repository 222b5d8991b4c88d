-- The engine of the remediations: plans, applies, verifies.
--
-- A remediation's function declares; the engine acts in a subtransaction and asks the diagnosis. A
-- dry run is the same, rolled back. What no rollback undoes is only planned there, and begins after
-- the commit. Only in psql, where nobody comes after it, an effect comes last before it.

-- Refuses a change for a reason that the caller is to read. No run is opened.
--
-- The SQLSTATE says of which kind it is: P0002 what is not there, 42501 what belongs to somebody
-- else or to the platform, 22023 what does not fit, 55000 what cannot be now, 0A000 what cannot be.
create function runbook.refuse_change_of(sqlstate text, message text, hint text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  raise exception '%', refuse_change_of.message
    using
      errcode = refuse_change_of.sqlstate,
      detail = '{"refused": true}',
      hint = refuse_change_of.hint;
end;
$$;

comment on function runbook.refuse_change_of(text, text, text) is
'Raises a refusal with detail {"refused": true}, by which it is known to be meant for the caller.';
revoke all on function runbook.refuse_change_of(text, text, text) from public;

-- One at a time: waits for whoever holds this name, until the end of the transaction.
create function runbook.lock_for_transaction(name text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_key constant bigint := hashtextextended('runbook ' || lock_for_transaction.name, 0);
begin
  begin
    perform pg_advisory_xact_lock(v_key);
  exception
    when lock_not_available then
      perform runbook.raise_blocked(
        'The ' || lock_for_transaction.name,
        (
          select array_agg(lck.pid)
          from pg_catalog.pg_locks as lck
          where lck.locktype = 'advisory'
            and lck.granted
            and lck.objsubid = 1
            and (lck.classid::bigint << 32) | lck.objid::bigint = v_key
        )
      );
  end;
end;
$$;

comment on function runbook.lock_for_transaction(text) is
'Takes the lock of a name for the rest of the transaction. Raises 55P03 with its holder.';
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
      using
        errcode = 'RB404',
        hint = (
          select 'It has ' || string_agg(rem.name, ', ' order by rem.name) || '.'
          from runbook.remediation as rem
        );
  end if;

  perform runbook.require_role(case v_remediation.risk when 'low' then 'operator' else 'admin' end);

  return v_remediation;
end;
$$;

comment on function runbook.remediation_for_caller(text) is
'The catalog''s row, if the caller''s role is enough for its risk. Raises RB404 and RB405.';
revoke all on function runbook.remediation_for_caller(text) from public;
grant execute on function runbook.remediation_for_caller(text) to runbook_viewer;

-- What a remediation's function declares for parameters. A volatile function is refused: it could
-- write past the engine.
create function runbook.declared_by(function_name text, params jsonb)
returns runbook.declared_step[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_function constant regprocedure := (declared_by.function_name || '(jsonb)')::regprocedure;
  v_declared runbook.declared_step[];
begin
  if exists (
    select
    from pg_catalog.pg_proc as fun
    where fun.oid = v_function
      and fun.provolatile = 'v'
  ) then
    raise exception 'The function % may write: it is volatile.', v_function
      using errcode = '55000', hint = 'A remediation declares. Make its function stable.';
  end if;

  execute format('select array_agg(declared) from %s($1) as declared', v_function::oid::regproc)
  into v_declared
  using declared_by.params;

  return coalesce(v_declared, '{}');
end;
$$;

comment on function runbook.declared_by(text, jsonb) is
'The steps that a remediation''s function declares.';
revoke all on function runbook.declared_by(text, jsonb) from public;

-- A declared step of a kind that a rollback does not undo, as it is planned and recorded; null
-- when there is nothing to do. An undo that finds something else than the run left is refused.
create function runbook.planned_step(declared runbook.declared_step, undoing boolean)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_planned jsonb;
begin
  case planned_step.declared.kind
    when 'call' then
      v_planned := runbook.planned_call(planned_step.declared.call);
    when 'effect' then
      v_planned := runbook.planned_effect(
        planned_step.declared.operation, planned_step.declared.effect
      );
    when 'statement' then
      v_planned := runbook.planned_statement(
        planned_step.declared.operation, planned_step.declared.statement, planned_step.undoing
      );
    when 'batch' then
      v_planned := runbook.planned_batch(
        planned_step.declared.operation, planned_step.declared.batch, planned_step.undoing
      );
    else
      raise exception 'There is no step of kind %.',
        coalesce(quote_literal(planned_step.declared.kind), 'null')
        using errcode = '22023', hint = 'The kinds are row, effect, statement, batch and call.';
  end case;

  return jsonb_build_object(
    'kind', planned_step.declared.kind,
    'operation', planned_step.declared.operation,
    'summary', planned_step.declared.summary,
    'side_effects', '[]'::jsonb
  ) || v_planned;
end;
$$;

comment on function runbook.planned_step(runbook.declared_step, boolean) is
'A declared effect, statement, batch or call as a step: {…, content, statement, undo}, or null.';
revoke all on function runbook.planned_step(runbook.declared_step, boolean) from public;

-- Carries out what a rollback undoes and plans the rest: the rows first, then the others in order.
create function runbook.perform_steps(
  declared runbook.declared_step[],
  undoing boolean,
  deadline timestamptz
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_declared runbook.declared_step;
  v_rows runbook.declared_step[] := array[]::runbook.declared_step[];
  v_planned jsonb;
  v_later jsonb[] := '{}';
  v_steps jsonb[];
begin
  foreach v_declared in array perform_steps.declared loop
    if v_declared.kind = 'row' then
      v_rows := v_rows || v_declared;
    else
      v_planned := runbook.planned_step(v_declared, perform_steps.undoing);

      if v_planned is not null then
        v_later := v_later || v_planned;
      end if;
    end if;
  end loop;

  v_steps := runbook.perform_rows(v_rows, perform_steps.undoing, perform_steps.deadline);

  foreach v_planned in array v_later loop
    v_steps := v_steps
      || (v_planned || jsonb_build_object('position', cardinality(v_steps) + 1));
  end loop;

  return to_jsonb(v_steps);
end;
$$;

comment on function runbook.perform_steps(runbook.declared_step[], boolean, timestamptz) is
'Carries out declared rows, plans the rest, and returns all of it as steps.';
revoke all on function runbook.perform_steps(runbook.declared_step[], boolean, timestamptz)
from public;

-- Ends a run whose steps are all over, with its verification; the run that it takes back becomes
-- undone. A run with open steps is left alone.
create function runbook.close_run(run_id bigint)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run runbook.run;
  v_remediation runbook.remediation;
  v_trouble record;
begin
  select run.*
  into v_run
  from runbook.run as run
  where run.id = close_run.run_id
    and run.state = 'applying'
  for update;

  if not found or exists (
    select
    from runbook.step as stp
    where stp.run_id = v_run.id
      and stp.state in ('pending', 'running')
  ) then
    return;
  end if;

  select rem.*
  into v_remediation
  from runbook.remediation as rem
  where rem.name = v_run.remediation;

  select stp.state, stp.position, stp.progress
  into v_trouble
  from runbook.step as stp
  where stp.run_id = v_run.id
    and stp.state in ('failed', 'abandoned')
  order by stp.position
  limit 1;

  if v_trouble.state is null then
    v_run.state := 'succeeded';

    -- What was done is done: a diagnosis that fails must not take the record of it back.
    begin
      v_run.verification := runbook.verification_of(
        v_remediation, v_run.params, v_run.undo_of is not null
      );
    exception
      when query_canceled or assert_failure or others then
        v_run.verification := runbook.verification_to_come(v_remediation) || jsonb_build_object(
          'status', 'unknown',
          'skipped', jsonb_build_array(
            jsonb_build_object(
              'check', coalesce(v_remediation.issue, v_remediation.name),
              'reason', format('The verification failed with SQLSTATE %s: %s', sqlstate, sqlerrm)
            )
          )
        );
    end;

    if v_run.verification ->> 'status' = 'not_cured' then
      v_run.state := 'failed';
      v_run.error := jsonb_build_object(
        'sqlstate', 'RBNOC',
        'message', 'All steps are done, and the trouble is still there.' || coalesce(
          ' ' || left(v_run.verification #>> '{still_there,0,summary}', 400), ''
        )
      );
    end if;
  else
    v_run.state := v_trouble.state;
    v_run.error := jsonb_build_object('position', v_trouble.position)
      || coalesce(v_trouble.progress -> 'error', '{}');
  end if;

  update runbook.run as run
  set
    state = v_run.state,
    verification = v_run.verification,
    error = v_run.error,
    ended_at = greatest(clock_timestamp(), run.started_at)
  where run.id = v_run.id;

  if v_run.state = 'succeeded' and v_run.undo_of is not null then
    perform runbook.mark_undone(v_run.undo_of);
  end if;
end;
$$;

comment on function runbook.close_run(bigint) is
'Ends a run all of whose steps are over: succeeded, failed or abandoned.';
revoke all on function runbook.close_run(bigint) from public;

-- Applies or plans a remediation, or an undo. It raises before a run is opened; afterwards it
-- returns the run with its state and error, so that nothing vanishes. What only says "not now" (a
-- lock, a read-only database, a cancelled statement) is raised as well: nothing was done.
--
-- Definer: lends an operator the right to change what the remediation declares, and to record it.
-- Cost: locks the remediation for this subject, then the rows that it changes, for 2 s in all at
-- most.
create function runbook.run_remediation(
  name text,
  params jsonb,
  dry_run boolean,
  reason text,
  idempotency_key text,
  plan_hash text,
  undo_of bigint default null
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
  v_deadline constant timestamptz := clock_timestamp() + interval '2 seconds';
  v_dry_run constant boolean := coalesce(run_remediation.dry_run, false);
  v_remediation runbook.remediation;
  v_run runbook.run;
  v_undone runbook.run;
  v_known runbook.run;
  v_declared runbook.declared_step[];
  v_steps jsonb := '[]'::jsonb;
  v_is_declared boolean := false;
  v_has_more boolean := false;
  v_detail text;
begin
  if run_remediation.undo_of is not null then
    v_undone := runbook.run_to_undo(run_remediation.undo_of);
  end if;

  v_remediation := runbook.remediation_for_caller(
    coalesce(v_undone.remediation, run_remediation.name)
  );

  select cal.actor, cal.role, cal.request_id
  into v_run.actor, v_run.role, v_run.request_id
  from runbook.caller() as cal;

  v_run.started_at := clock_timestamp();
  v_run.remediation := v_remediation.name;
  v_run.undo_of := v_undone.id;
  v_run.asked := coalesce(v_undone.asked, run_remediation.params);
  v_run.reason := btrim(run_remediation.reason);
  v_run.idempotency_key := run_remediation.idempotency_key;

  perform runbook.refuse_problems(
    case
      when v_undone.id is null then runbook.problems(v_remediation.parameters, v_run.asked)
      else '[]'
    end
    || runbook.request_problems(
      -- A run is taken back for any reason.
      case
        when v_undone.id is null then v_remediation.reason
        else '{"type": "string", "minLength": 1, "maxLength": 1000}'
      end,
      v_remediation.risk,
      v_dry_run,
      v_run.reason,
      v_run.idempotency_key,
      run_remediation.plan_hash
    )
  );

  if not v_dry_run then
    if v_run.idempotency_key is not null then
      perform runbook.lock_for_transaction(
        format('key %s of %s', v_run.idempotency_key, v_run.actor)
      );

      select run.*
      into v_known
      from runbook.run as run
      where run.actor = v_run.actor
        and run.idempotency_key = v_run.idempotency_key;

      if found then
        if v_known.remediation <> v_run.remediation
          or v_known.asked <> v_run.asked
          or v_known.undo_of is distinct from v_run.undo_of
        then
          raise exception 'This idempotency key was used for another request, run %.', v_known.id
            using errcode = 'RB419', hint = 'Take a new key for a new change.';
        end if;

        return runbook.run_answer(v_known.id);
      end if;
    end if;

    v_run.idempotency_key := coalesce(v_run.idempotency_key, gen_random_uuid()::text);
    perform runbook.refuse_when_frozen();
  end if;

  -- Not before the key was looked up: what the first request was about may be gone.
  v_run.params := coalesce(
    v_undone.params, runbook.resolved_params(v_remediation.parameters, v_run.asked)
  );
  v_run.subject := coalesce(
    v_undone.subject, runbook.subject_of(v_remediation.subject_keys, v_run.params)
  );

  perform runbook.lock_until(v_deadline);
  perform runbook.lock_for_transaction(
    format('remediation %s of %s', v_run.remediation, lower(btrim(v_run.subject)))
  );

  if not v_dry_run then
    perform runbook.refuse_second_run(v_run.remediation, v_run.subject);
  end if;

  if v_undone.id is not null then
    -- Again, now that nobody else is undoing it.
    v_undone := runbook.run_to_undo(v_undone.id);
  end if;

  begin
    v_declared := case
      when v_undone.id is null then runbook.declared_by(v_remediation.function, v_run.params)
      else runbook.undo_steps(v_undone)
    end;
    v_is_declared := true;
    v_steps := runbook.perform_steps(v_declared, v_undone.id is not null, v_deadline);
    v_has_more := v_steps @? '$[*] ? (@.kind != "row")';
    v_run.plan_hash := runbook.plan_hash_of(
      v_run.remediation, v_run.params, v_steps, v_run.undo_of
    );

    if run_remediation.plan_hash <> v_run.plan_hash then
      raise exception 'The plan has changed since it was made.'
        using
          errcode = 'RB409',
          detail = jsonb_build_object(
            'plan_hash', v_run.plan_hash,
            'params', v_run.params,
            'steps', runbook.step_answers(v_steps, 'planned')
          )::text,
          hint = 'Look at the new plan, and send its plan_hash.';
    end if;

    v_run.verification := case
      when v_has_more then runbook.verification_to_come(v_remediation)
      else runbook.verification_of(v_remediation, v_run.params, v_undone.id is not null)
    end;

    if v_dry_run then
      raise exception 'A dry run is rolled back.'
        using errcode = 'RBDRY', hint = 'Nobody sees this: it is caught below.';
    end if;

    if v_run.verification ->> 'status' = 'not_cured' then
      raise exception 'The trouble is still there, so nothing was kept.'
        using
          errcode = 'RBNOC',
          hint = 'Something in the application, such as a trigger, brings it back.';
    end if;

    v_run.state := case
      when v_has_more then 'applying'
      when v_steps = '[]' then 'no_op'
      else 'succeeded'
    end;
  exception
    when sqlstate 'RBDRY' then
      return jsonb_build_object(
        'run', null,
        'state', case when v_steps = '[]' then 'no_op' else 'planned' end,
        'plan_hash', v_run.plan_hash,
        'params', v_run.params,
        'steps', runbook.step_answers(v_steps, 'planned'),
        'verification', v_run.verification,
        'undo', runbook.undo_answer(v_steps, null)
      );
    when lock_not_available then
      get stacked diagnostics v_detail = pg_exception_detail;
      -- Without one it comes from the application's or the remediation's own statements.
      if v_detail = '' then
        perform runbook.raise_table_locked();
      end if;
      raise;
    when read_only_sql_transaction or deadlock_detected or serialization_failure
      or sqlstate 'RB409'
    then
      raise;
    when assert_failure or others then
      -- What the remediation's own function refuses on purpose opens no run.
      get stacked diagnostics v_detail = pg_exception_detail;

      if v_dry_run or v_detail = '{"refused": true}' or not v_is_declared and (
        sqlstate like 'RB%' or sqlstate = 'P0002'
      ) then
        raise;
      end if;

      v_run.state := case sqlstate when 'RB408' then 'undo_refused' else 'failed' end;
      v_run.error := jsonb_build_object('sqlstate', sqlstate, 'message', sqlerrm) || case
        when sqlstate = 'RB408' then v_detail::jsonb
        else '{}'
      end;
      v_run.plan_hash := runbook.plan_hash_of(
        v_run.remediation, v_run.params, v_steps, v_run.undo_of
      );
  end;

  if v_run.state <> 'applying' then
    v_run.ended_at := clock_timestamp();
  end if;

  -- In a statement of its own, or the answer would not see the run.
  v_run.id := runbook.record_run(v_run, v_steps);

  if v_run.state = 'succeeded' and v_undone.id is not null then
    perform runbook.mark_undone(v_undone.id);
  elsif v_run.state = 'applying' and not runbook.effects_come_later() then
    perform runbook.perform_effects(v_run.id);
    perform runbook.close_run(v_run.id);
  end if;

  return runbook.run_answer(v_run.id);
end;
$$;

comment on function runbook.run_remediation(text, jsonb, boolean, text, text, text, bigint) is
'The engine behind runbook.remediate and runbook.undo; checks the caller''s role again.';
revoke all on function runbook.run_remediation(text, jsonb, boolean, text, text, text, bigint)
from public;
grant execute on function runbook.run_remediation(text, jsonb, boolean, text, text, text, bigint)
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
undo}. Raises RB404, RB405, RB400, RB409 when the plan changed, RB410 when a run for this
subject is under way, RB419 when the key names another request, RB423 while frozen, 55P03 when
someone else holds the lock.';
revoke all on function runbook.remediate(text, jsonb, boolean, text, text, text) from public;
grant execute on function runbook.remediate(text, jsonb, boolean, text, text, text)
to runbook_viewer;
