-- Effects and batches: what cannot be done in the transaction of the run, or not be rolled back
-- with it.
--
-- An effect is a function from a closed list, called once the run is on record. A batch is a
-- function from a closed list that is called until it is done, each time in a transaction of its
-- own: by an edge function, or by the tick where none is at it.

create table runbook.effect (
  name text not null,
  function text not null,
  refusal_function text,
  description text not null,
  undo text not null,
  constraint effect_pkey primary key (name),
  constraint undo_says_why_there_is_none check (undo like 'none: %')
);

comment on table runbook.effect is 'The closed list of effects that a remediation may declare.';
comment on column runbook.effect.function is
'Qualified name of a function (args jsonb) returning jsonb, called once when applying.';
comment on column runbook.effect.refusal_function is
'Qualified name of a function (args jsonb) returning text: why it must not be called any more, or
null. Asked when planning and right before the call.';

revoke all on table runbook.effect from public;
grant select on table runbook.effect to runbook_viewer;

create table runbook.batch_function (
  name text not null,
  function text not null,
  undo_function text,
  undo_reason text,
  undo_check text,
  only_looks boolean not null default false,
  description text not null,
  constraint batch_function_pkey primary key (name),
  constraint undo_is_told check ((undo_function is null) <> (undo_reason is null)),
  constraint undo_check_is_of_an_undo check (undo_check is null or undo_function is not null)
);

comment on table runbook.batch_function is
'The closed list of batches that a remediation may declare.';
comment on column runbook.batch_function.function is
'Qualified name of a function (args jsonb, cursor jsonb) returning jsonb {done, cursor, rows}, which
does one batch from the cursor on; its args have `run_id`.';
comment on column runbook.batch_function.undo_function is
'The same, taking batches back; its args have `undoes`, how far the run had come, and `undoes_run`.';
comment on column runbook.batch_function.undo_check is
'Qualified name of a function (args jsonb) returning jsonb, asked before batches are taken back: the
differences that speak against it, as a refused undo tells them, or an empty array.';

comment on column runbook.batch_function.only_looks is
'It waits for something and looks now and then: the tick calls it, once a minute, and nobody else.';

revoke all on table runbook.batch_function from public;
grant select on table runbook.batch_function to runbook_viewer;

-- Asks whether an effect must not happen any more. Null when it may.
create function runbook.effect_refusal(effect runbook.effect, args jsonb)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_refusal text;
begin
  if effect_refusal.effect.refusal_function is not null then
    -- Else the sessions would be those that were there when the plan was made.
    perform pg_stat_clear_snapshot();
    execute format(
      'select %s($1)',
      (effect_refusal.effect.refusal_function || '(jsonb)')::regprocedure::oid::regproc
    )
    into v_refusal
    using effect_refusal.args;
  end if;

  return v_refusal;
end;
$$;

comment on function runbook.effect_refusal(runbook.effect, jsonb) is
'Why an effect must not happen any more, or null.';
revoke all on function runbook.effect_refusal(runbook.effect, jsonb) from public;

-- A declared effect as a step; null when there is no need of it any more.
create function runbook.planned_effect(name text, args jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_effect runbook.effect;
begin
  select eff.*
  into v_effect
  from runbook.effect as eff
  where eff.name = planned_effect.name;

  if not found then
    raise exception 'There is no effect %.', coalesce(quote_literal(planned_effect.name), 'null')
      using errcode = '22023', hint = 'select name from runbook.effect;';
  end if;

  if runbook.effect_refusal(v_effect, planned_effect.args) is not null then
    return null;
  end if;

  return jsonb_build_object(
    'statement', format('%s %s', v_effect.name, planned_effect.args),
    'undo', v_effect.undo,
    'content', jsonb_build_object('args', planned_effect.args)
  );
end;
$$;

comment on function runbook.planned_effect(text, jsonb) is
'A declared effect as a step, or null. Raises 22023 for one that is not on the list.';
revoke all on function runbook.planned_effect(text, jsonb) from public;

-- What went wrong with a step, as a run keeps it.
create function runbook.error_of(sqlstate text, message text, hint text)
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select jsonb_strip_nulls(
    jsonb_build_object(
      'sqlstate', error_of.sqlstate,
      'message', error_of.message,
      'hint', nullif(error_of.hint, '')
    )
  );
$$;

comment on function runbook.error_of(text, text, text) is 'A failure as {sqlstate, message, hint}.';
revoke all on function runbook.error_of(text, text, text) from public;

-- Performs the effects of a run, in order, up to the first that fails.
create function runbook.perform_effects(run_id bigint)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_position integer;
  v_step runbook.step;
  v_effect runbook.effect;
  v_refusal text;
  v_result jsonb;
  v_hint text;
begin
  for v_position in
    select stp.position
    from runbook.step as stp
    where stp.run_id = perform_effects.run_id
      and stp.kind = 'effect'
      and stp.state = 'pending'
    order by stp.position
  loop
    select stp.*
    into v_step
    from runbook.step as stp
    where stp.run_id = perform_effects.run_id
      and stp.position = v_position
      and stp.state = 'pending';

    -- An effect that failed has ended those behind it.
    exit when not found;

    select eff.*
    into v_effect
    from runbook.effect as eff
    where eff.name = v_step.operation;

    begin
      v_refusal := runbook.effect_refusal(v_effect, v_step.content -> 'args');

      if v_refusal is null then
        execute format(
          'select %s($1)', (v_effect.function || '(jsonb)')::regprocedure::oid::regproc
        )
        into v_result
        using v_step.content -> 'args' || jsonb_build_object('run_id', v_step.run_id);
      end if;
    exception
      when assert_failure or others then
        get stacked diagnostics v_hint = pg_exception_hint;
        perform runbook.settle_step(
          v_step.run_id,
          v_step.position,
          'failed',
          jsonb_build_object(
            'error', runbook.error_of(sqlstate, sqlerrm, v_hint)
          )
        );
        return;
    end;

    perform runbook.settle_step(
      v_step.run_id,
      v_step.position,
      case when v_refusal is null then 'done' else 'not_done' end,
      jsonb_strip_nulls(jsonb_build_object('result', v_result, 'refusal', v_refusal))
    );
  end loop;
end;
$$;

comment on function runbook.perform_effects(bigint) is
'Calls the functions of a run''s effects. One that fails stops the run.';
revoke all on function runbook.perform_effects(bigint) from public;

-- Whether the caller comes back for the effects of a run once its record is committed.
create function runbook.effects_come_later()
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(current_setting('runbook.effects_come_later', true), '') = 'on';
$$;

comment on function runbook.effects_come_later() is
'Whether effects are performed after the commit, as an edge function does, and not with it.';
revoke all on function runbook.effects_come_later() from public;

-- Performs the effects of a run that is on record, in a transaction of their own: a session that is
-- killed in it leaves a run whose effects are still due. The request calls it, and the tick where
-- the request could not; never both at once. An effect that happened and was not recorded is met
-- again by its own refusal.
create function runbook.finish_effects(run_id bigint)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform
  from runbook.run as run
  where run.id = finish_effects.run_id
    and run.state = 'applying'
  for update skip locked;

  if found then
    perform runbook.perform_effects(finish_effects.run_id);
    perform runbook.close_run(finish_effects.run_id);
  end if;
end;
$$;

comment on function runbook.finish_effects(bigint) is
'Performs what is left of a run''s effects, unless somebody else is at it.';
revoke all on function runbook.finish_effects(bigint) from public;

-- A declared batch as a step.
create function runbook.planned_batch(name text, args jsonb, undoing boolean)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_batch runbook.batch_function;
  v_back boolean := false;
  v_differences jsonb := '[]';
begin
  select bat.*
  into v_batch
  from runbook.batch_function as bat
  where bat.name = planned_batch.name;

  if not found then
    raise exception 'There is no batch %.', coalesce(quote_literal(planned_batch.name), 'null')
      using errcode = '22023', hint = 'select name from runbook.batch_function;';
  end if;

  if planned_batch.undoing then
    v_back := (planned_batch.args -> 'back')::boolean;
  end if;

  if v_back and v_batch.undo_check is not null then
    execute format('select %s($1)', (v_batch.undo_check || '(jsonb)')::regprocedure::oid::regproc)
    into v_differences
    using (planned_batch.args -> 'args') || (planned_batch.args - 'args' - 'back');
  end if;

  if v_differences <> '[]' then
    raise exception 'The rows are no longer what the run left.'
      using
        errcode = 'RB408',
        detail = jsonb_build_object('differences', v_differences)::text,
        hint = 'Someone changed them since. Decide by hand.';
  end if;

  return jsonb_build_object(
    'statement', format(
      '%s %s',
      case when v_back then v_batch.undo_function else v_batch.function end,
      case
        when planned_batch.undoing then planned_batch.args -> 'args'
        else planned_batch.args - 'side_effects'
      end
    ),
    'undo', case
      when v_batch.undo_function is null then 'none: ' || v_batch.undo_reason
      when v_back then 'the batches again'
      else 'batches back'
    end,
    'side_effects', coalesce(nullif(planned_batch.args -> 'side_effects', 'null'), '[]'),
    'content', case
      when planned_batch.undoing then planned_batch.args
      else jsonb_strip_nulls(
        jsonb_build_object(
          'args', planned_batch.args - 'side_effects',
          'back', false,
          'side_effects', planned_batch.args -> 'side_effects'
        )
      )
    end
  );
end;
$$;

comment on function runbook.planned_batch(text, jsonb, boolean) is
'A declared batch as a step. Raises 22023 for one that is not on the list.';
revoke all on function runbook.planned_batch(text, jsonb, boolean) from public;

-- Does one batch of a step. A batch that fails is tried again by the next tick; after the third
-- time on end the run has failed.
create function runbook.advance_batch(step runbook.step, by text default 'tick')
returns void
language plpgsql
volatile
security invoker
set search_path = ''
set lock_timeout = '2s'
as $$
declare
  v_batch runbook.batch_function;
  v_back constant boolean := coalesce((advance_batch.step.content -> 'back')::boolean, false);
  v_progress jsonb := coalesce(advance_batch.step.progress, '{"batches": 0, "rows": 0}');
  v_result jsonb;
  v_failures integer := 0;
  v_hint text;
begin
  select bat.*
  into v_batch
  from runbook.batch_function as bat
  where bat.name = advance_batch.step.operation;

  begin
    execute format(
      'select %s($1, $2)',
      (
        case when v_back then v_batch.undo_function else v_batch.function end || '(jsonb, jsonb)'
      )::regprocedure::oid::regproc
    )
    into v_result
    using
      (advance_batch.step.content -> 'args') || jsonb_strip_nulls(
        jsonb_build_object(
          'run_id', advance_batch.step.run_id,
          'undoes', advance_batch.step.content -> 'undoes',
          'undoes_run', advance_batch.step.content -> 'undoes_run'
        )
      ),
      nullif(v_progress -> 'cursor', 'null');

    v_progress := v_progress || jsonb_build_object(
      'batches', (v_progress ->> 'batches')::bigint + 1,
      'rows', (v_progress ->> 'rows')::bigint + coalesce((v_result ->> 'rows')::bigint, 0),
      'cursor', v_result -> 'cursor',
      'at', clock_timestamp()
    ) || case
      -- Progress only grows, so a failure that is over is overwritten.
      when v_progress ? 'failures' then '{"failures": 0, "error": null}'::jsonb
      else '{}'
    end || case
      when advance_batch.by <> 'tick' or v_progress ? 'by' then jsonb_build_object(
        'by',
        case
          -- One that found nothing to do waits for something: the tick looks again.
          when coalesce((v_result ->> 'rows')::bigint, 0) = 0
            and not (v_result -> 'done')::boolean
            then 'tick'
          else advance_batch.by
        end
      )
      else '{}'
    end;
  exception
    when query_canceled or assert_failure or others then
      get stacked diagnostics v_hint = pg_exception_hint;
      v_failures := coalesce((v_progress ->> 'failures')::integer, 0) + 1;
      v_progress := v_progress || jsonb_build_object(
        'failures', v_failures,
        'error', runbook.error_of(sqlstate, sqlerrm, v_hint)
      );
  end;

  perform runbook.settle_step(
    advance_batch.step.run_id,
    advance_batch.step.position,
    case
      when v_failures >= 3 then 'failed'
      when v_failures = 0 and (v_result -> 'done')::boolean then 'done'
      else 'running'
    end,
    v_progress
  );
  perform runbook.close_run(advance_batch.step.run_id);
end;
$$;

comment on function runbook.advance_batch(runbook.step, text) is
'Calls the function of a batch once, and records how far it has come.';
revoke all on function runbook.advance_batch(runbook.step, text) from public;
