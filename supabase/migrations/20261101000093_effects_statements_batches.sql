-- Effects, statements and batches: what cannot be done in the transaction of the run, or not be
-- rolled back with it.
--
-- An effect is a function from a closed list, called once the run is on record. A statement has one
-- of a few shapes; an edge function runs it on a session that outlives the request. A batch is a
-- function from a closed list that the tick calls until it is done.

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
  description text not null,
  constraint batch_function_pkey primary key (name),
  constraint undo_is_told check ((undo_function is null) <> (undo_reason is null))
);

comment on table runbook.batch_function is
'The closed list of batches that a remediation may declare.';
comment on column runbook.batch_function.function is
'Qualified name of a function (args jsonb, cursor jsonb) returning jsonb {done, cursor, rows}, which
does one batch from the cursor on.';
comment on column runbook.batch_function.undo_function is
'The same, taking batches back; its args have `undoes`, how far the run had come.';

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
        perform runbook.settle_step(
          v_step.run_id,
          v_step.position,
          'failed',
          jsonb_build_object(
            'error', jsonb_build_object('sqlstate', sqlstate, 'message', sqlerrm)
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

-- Why a session must not be signalled any more: it has ended, another has its number, it is our
-- own, or it belongs to the server.
create function runbook.backend_refusal(args jsonb)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when (backend_refusal.args ->> 'pid')::integer = pg_backend_pid() then 'It is our own session.'
    when not exists (
      select
      from pg_catalog.pg_stat_activity as act
      where act.pid = (backend_refusal.args ->> 'pid')::integer
        and act.backend_start = (backend_refusal.args ->> 'backend_start')::timestamptz
        and act.backend_type = 'client backend'
    ) then 'The session has ended.'
  end;
$$;

comment on function runbook.backend_refusal(jsonb) is
'Why the session {pid, backend_start} must not be signalled, or null.';
revoke all on function runbook.backend_refusal(jsonb) from public;

-- Cancels what a session is running.
create function runbook.cancel_backend(args jsonb)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'signalled', pg_cancel_backend((cancel_backend.args ->> 'pid')::integer)
  );
$$;

comment on function runbook.cancel_backend(jsonb) is
'The effect cancel_backend, for {pid, backend_start}.';
revoke all on function runbook.cancel_backend(jsonb) from public;

-- Ends a session.
create function runbook.terminate_backend(args jsonb)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'signalled', pg_terminate_backend((terminate_backend.args ->> 'pid')::integer)
  );
$$;

comment on function runbook.terminate_backend(jsonb) is
'The effect terminate_backend, for {pid, backend_start}.';
revoke all on function runbook.terminate_backend(jsonb) from public;

-- Forgets the statistics of statements.
create function runbook.reset_statement_statistics(args jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_schema text := (
    select nsp.nspname
    from pg_catalog.pg_extension as ext
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = ext.extnamespace
    where ext.extname = 'pg_stat_statements'
  );
begin
  if v_schema is null then
    raise exception 'pg_stat_statements is not installed here.'
      using errcode = '55000', hint = 'There is nothing to reset.';
  end if;

  execute format('select %I.pg_stat_statements_reset()', v_schema);

  return jsonb_build_object('reset', true, 'run_id', reset_statement_statistics.args -> 'run_id');
end;
$$;

comment on function runbook.reset_statement_statistics(jsonb) is
'The effect reset_statement_statistics.';
revoke all on function runbook.reset_statement_statistics(jsonb) from public;

insert into runbook.effect (name, function, refusal_function, description, undo)
values
  (
    'cancel_backend',
    'runbook.cancel_backend',
    'runbook.backend_refusal',
    'Cancels what a session is running, if it is still the same session.',
    'none: what was cancelled must be asked again.'
  ),
  (
    'terminate_backend',
    'runbook.terminate_backend',
    'runbook.backend_refusal',
    'Ends a session, if it is still the same.',
    'none: a session that was ended does not come back.'
  ),
  (
    'reset_statement_statistics',
    'runbook.reset_statement_statistics',
    null,
    'Forgets what pg_stat_statements has counted.',
    'none: counts that were forgotten do not come back.'
  );

-- A declared statement as a step, written from its parts: nothing of it is taken as SQL.
--
-- Shapes: vacuum {relation, analyze}, analyze {relation}, create_index {relation, name, columns,
-- unique}, drop_index {index}. The opposite of a recorded statement comes as written before.
create function runbook.planned_statement(shape text, args jsonb, undoing boolean)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_content jsonb;
  v_relation regclass;
  v_index regclass;
  v_exists constant text := 'select exists (select from pg_catalog.pg_index as idx '
    || 'where idx.indexrelid = pg_catalog.to_regclass(%L) and idx.indisvalid)';
  v_absent constant text := 'select pg_catalog.to_regclass(%L) is null';
  v_name text;
begin
  if planned_statement.undoing then
    v_content := planned_statement.args;
  else
    v_relation := (planned_statement.args ->> 'relation')::regclass;

    if (planned_statement.shape <> 'drop_index' and v_relation is null)
      or (
        planned_statement.shape = 'create_index'
        and (
          coalesce(planned_statement.args ->> 'name', '') = ''
          or coalesce(planned_statement.args -> 'columns', '[]') = '[]'
        )
      )
      or (planned_statement.shape = 'drop_index' and not planned_statement.args ? 'index')
    then
      raise exception 'The declared statement is not complete.'
        using
          errcode = '22023',
          hint = 'relation; name and columns for create_index; index for drop_index.';
    end if;

    case planned_statement.shape
      when 'vacuum', 'analyze' then
        v_content := jsonb_build_object(
          'sql', case
            when planned_statement.shape = 'analyze' then format('analyze %s', v_relation)
            when (planned_statement.args -> 'analyze')::boolean
              then format('vacuum (analyze) %s', v_relation)
            else format('vacuum %s', v_relation)
          end,
          'done_when', format(
            'select greatest(sta.last_%1$s, sta.last_auto%1$s) >= $1 '
            || 'from pg_catalog.pg_stat_all_tables as sta where sta.relid = %2$s',
            planned_statement.shape,
            v_relation::oid
          ),
          'undo_sql', null,
          'undone_when', null
        );
      when 'create_index' then
        v_name := (
          select format('%I.%I', nsp.nspname, planned_statement.args ->> 'name')
          from pg_catalog.pg_class as cls
          inner join pg_catalog.pg_namespace as nsp on nsp.oid = cls.relnamespace
          where cls.oid = v_relation
        );
        v_content := jsonb_build_object(
          'sql', format(
            'create %sindex concurrently %I on %s (%s)',
            case when (planned_statement.args -> 'unique')::boolean then 'unique ' else '' end,
            planned_statement.args ->> 'name',
            v_relation,
            (
              select string_agg(quote_ident(named.name), ', ' order by named.position)
              from jsonb_array_elements_text(planned_statement.args -> 'columns')
                with ordinality as named (name, position)
            )
          ),
          'done_when', format(v_exists, v_name),
          'undo_sql', format('drop index concurrently if exists %s', v_name),
          'undone_when', format(v_absent, v_name)
        );
      when 'drop_index' then
        v_index := (planned_statement.args ->> 'index')::regclass;
        v_name := v_index::text;

        if exists (
          select from pg_catalog.pg_constraint as con where con.conindid = v_index
        ) then
          raise exception 'Index % holds a constraint.', v_name
            using errcode = '0A000', hint = 'Drop the constraint by hand, if it must go.';
        end if;

        v_content := jsonb_build_object(
          'sql', format('drop index concurrently %s', v_name),
          'done_when', format(v_absent, v_name),
          'undo_sql', regexp_replace(
            pg_get_indexdef(v_index),
            '^CREATE (UNIQUE )?INDEX ',
            'create \1index concurrently '
          ),
          'undone_when', format(v_exists, v_name)
        );
      else
        raise exception 'There is no statement of shape %.',
          coalesce(quote_literal(planned_statement.shape), 'null')
          using errcode = '22023', hint = 'vacuum, analyze, create_index or drop_index.';
    end case;
  end if;

  return jsonb_build_object(
    'statement', v_content ->> 'sql',
    'undo', coalesce(
      v_content ->> 'undo_sql',
      'none: ' || planned_statement.shape || ' changes no row.'
    ),
    'content', v_content
  );
end;
$$;

comment on function runbook.planned_statement(text, jsonb, boolean) is
'A declared statement as a step. Raises 22023 for another shape, 0A000 for an index that holds a
constraint.';
revoke all on function runbook.planned_statement(text, jsonb, boolean) from public;

-- What takes a recorded statement back.
create function runbook.opposite_statement(content jsonb)
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'sql', opposite_statement.content -> 'undo_sql',
    'done_when', opposite_statement.content -> 'undone_when',
    'undo_sql', opposite_statement.content -> 'sql',
    'undone_when', opposite_statement.content -> 'done_when'
  );
$$;

comment on function runbook.opposite_statement(jsonb) is 'A statement with its undo, exchanged.';
revoke all on function runbook.opposite_statement(jsonb) from public;

-- Hands out the next statement of a run, and notes that it is under way. Null when there is none,
-- or when one is under way. Only the owner of the schema may.
create function runbook.next_statement(run_id bigint)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_step runbook.step;
begin
  select stp.*
  into v_step
  from runbook.step as stp
  where stp.run_id = next_statement.run_id
    and stp.state in ('pending', 'running')
  order by stp.position
  limit 1
  for update;

  if not found or v_step.kind <> 'statement' or v_step.state = 'running' then
    return null;
  end if;

  perform runbook.settle_step(
    v_step.run_id,
    v_step.position,
    'running',
    jsonb_build_object('started_at', clock_timestamp())
  );

  return jsonb_build_object(
    'position', v_step.position,
    'statement', v_step.statement,
    'application_name', format('runbook run %s', v_step.run_id)
  );
end;
$$;

comment on function runbook.next_statement(bigint) is
'The next step of a run if it is a statement, to be executed outside a transaction by a session of
this name: {position, statement, application_name}, or null.';
revoke all on function runbook.next_statement(bigint) from public;

-- Records how a statement went, and ends the run when it was the last step.
create function runbook.settle_statement(run_id bigint, "position" integer, ok boolean, error text)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if exists (
    select
    from runbook.step as stp
    where stp.run_id = settle_statement.run_id
      and stp.position = settle_statement.position
      and stp.kind = 'statement'
      and stp.state = 'running'
    for update
  ) then
    perform runbook.settle_step(
      settle_statement.run_id,
      settle_statement.position,
      case when settle_statement.ok then 'done' else 'failed' end,
      jsonb_build_object('ended_at', clock_timestamp()) || case
        when settle_statement.ok then '{}'
        else jsonb_build_object(
          'error', jsonb_build_object(
            'sqlstate', 'RBSTM', 'message', left(settle_statement.error, 500)
          )
        )
      end
    );
    perform runbook.close_run(settle_statement.run_id);
  end if;

  return runbook.run_answer(settle_statement.run_id);
end;
$$;

comment on function runbook.settle_statement(bigint, integer, boolean, text) is
'Records how the statement that runbook.next_statement handed out went; returns the run.';
revoke all on function runbook.settle_statement(bigint, integer, boolean, text) from public;

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

  return jsonb_build_object(
    'statement', format(
      '%s %s',
      case when v_back then v_batch.undo_function else v_batch.function end,
      case when planned_batch.undoing then planned_batch.args -> 'args' else planned_batch.args end
    ),
    'undo', case
      when v_batch.undo_function is null then 'none: ' || v_batch.undo_reason
      when v_back then 'the batches again'
      else 'batches back'
    end,
    'content', case
      when planned_batch.undoing then planned_batch.args
      else jsonb_build_object('args', planned_batch.args, 'back', false)
    end
  );
end;
$$;

comment on function runbook.planned_batch(text, jsonb, boolean) is
'A declared batch as a step. Raises 22023 for one that is not on the list.';
revoke all on function runbook.planned_batch(text, jsonb, boolean) from public;

-- Does one batch of a step. A batch that fails is tried again by the next tick; after the third
-- time the run has failed.
create function runbook.advance_batch(step runbook.step)
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
        jsonb_build_object('undoes', advance_batch.step.content -> 'undoes')
      ),
      nullif(v_progress -> 'cursor', 'null');

    v_progress := (v_progress - 'error' - 'failures') || jsonb_build_object(
      'batches', (v_progress ->> 'batches')::bigint + 1,
      'rows', (v_progress ->> 'rows')::bigint + coalesce((v_result ->> 'rows')::bigint, 0),
      'cursor', v_result -> 'cursor',
      'at', clock_timestamp()
    );
  exception
    when query_canceled or assert_failure or others then
      v_failures := coalesce((v_progress ->> 'failures')::integer, 0) + 1;
      v_progress := v_progress || jsonb_build_object(
        'failures', v_failures,
        'error', jsonb_build_object('sqlstate', sqlstate, 'message', sqlerrm)
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

comment on function runbook.advance_batch(runbook.step) is
'Calls the function of a batch once, and records how far it has come.';
revoke all on function runbook.advance_batch(runbook.step) from public;

-- What became of a statement that its edge function no longer reports on: it is under way while a
-- session has the run's name; else the catalog tells whether it was done.
create function runbook.follow_statement(step runbook.step)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  v_since constant timestamptz := coalesce(
    (follow_statement.step.progress ->> 'started_at')::timestamptz,
    -- not begun: since the one before it ended
    (
      select max((stp.progress ->> 'ended_at')::timestamptz)
      from runbook.step as stp
      where stp.run_id = follow_statement.step.run_id
    ),
    (
      select run.started_at from runbook.run as run where run.id = follow_statement.step.run_id
    )
  );
  v_done boolean;
begin
  perform pg_stat_clear_snapshot();

  if exists (
    select
    from pg_catalog.pg_stat_activity as act
    where act.application_name = format('runbook run %s', follow_statement.step.run_id)
      and act.state is distinct from 'idle'
  )
    -- Whoever took it may be about to begin, or to report.
    or v_since > clock_timestamp() - interval '90 seconds'
  then
    return;
  end if;

  begin
    if follow_statement.step.state = 'running' then
      execute follow_statement.step.content ->> 'done_when'
      into v_done
      using v_since;
    end if;
  exception
    when lock_not_available then
      return;
  end;

  perform runbook.settle_step(
    follow_statement.step.run_id,
    follow_statement.step.position,
    case when v_done then 'done' else 'abandoned' end,
    case
      when v_done is not true then jsonb_build_object(
        'error', jsonb_build_object(
          'sqlstate', 'RBSTM',
          'message', 'Nobody carries the statement out any more, and it was not done.'
        )
      )
    end
  );

  -- What comes behind it has nobody to carry it out either.
  if v_done then
    update runbook.step as stp
    set
      state = 'abandoned',
      progress = jsonb_build_object(
        'error', jsonb_build_object(
          'sqlstate', 'RBSTM', 'message', 'Nobody carries the statement out.'
        )
      )
    where stp.run_id = follow_statement.step.run_id
      and stp.kind = 'statement'
      and stp.state = 'pending';
  end if;

  perform runbook.close_run(follow_statement.step.run_id);
end;
$$;

comment on function runbook.follow_statement(runbook.step) is
'Ends a statement''s step that nobody works on: done if the catalog shows it, else abandoned.';
revoke all on function runbook.follow_statement(runbook.step) from public;

-- The tick's part in runs that take their time: one batch of each step, and a look at statements
-- whose edge function was interrupted. One run that goes wrong does not stop the others.
--
-- Cost: the index of open steps; one batch of each run that has one.
create function runbook.advance_runs()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run_id bigint;
  v_step runbook.step;
begin
  perform runbook.bury_calls();

  for v_run_id in
    select distinct stp.run_id
    from runbook.step as stp
    where stp.state in ('pending', 'running')
    order by stp.run_id
  loop
    begin
      -- Steps of a run are worked on one after the other.
      select stp.*
      into v_step
      from runbook.step as stp
      where stp.run_id = v_run_id
        and stp.state in ('pending', 'running')
      order by stp.position
      limit 1
      for update;

      if v_step.kind = 'statement' then
        perform runbook.follow_statement(v_step);
      elsif v_step.kind = 'batch' and not (runbook.freeze_state() -> 'frozen')::boolean then
        perform runbook.advance_batch(v_step);
      end if;
    exception
      when query_canceled or assert_failure or others then
        raise warning 'Run % could not be advanced: % %', v_run_id, sqlstate, sqlerrm;
    end;
  end loop;
end;
$$;

comment on function runbook.advance_runs() is
'Does one batch of each run that has one, and ends statements that nobody works on.';
revoke all on function runbook.advance_runs() from public;
