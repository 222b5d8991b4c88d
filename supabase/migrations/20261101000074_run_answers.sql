-- How a run is told to whoever asks: its steps, its calls, how far it has come, and whether it can
-- be undone. The same shape answers a plan, an apply and a later look.
-- Relies on the tables of runs.

-- A step as the answer shows it. A step that takes its time also says how far it has come, and a
-- call what will be sent.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.step_answer(step jsonb, state text)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'position', step_answer.step -> 'position',
    'kind', step_answer.step -> 'kind',
    'operation', step_answer.step -> 'operation',
    'summary', step_answer.step -> 'summary',
    'relation', step_answer.step -> 'relation',
    'key', step_answer.step -> 'key',
    'before', step_answer.step -> 'before',
    'after', step_answer.step -> 'after',
    'statement', step_answer.step -> 'statement',
    'undo', step_answer.step -> 'undo',
    'side_effects', step_answer.step -> 'side_effects',
    'state', step_answer.state
  ) || case
    when step_answer.step ->> 'kind' = 'row' then '{}'
    else jsonb_build_object('progress', step_answer.step -> 'progress') || case
      when step_answer.step ->> 'kind' = 'call' then jsonb_build_object(
        'body', runbook.redacted(step_answer.step #> '{content,body}')
      )
      else '{}'
    end
  end;
end;
$$;

comment on function runbook.step_answer(jsonb, text) is 'A step in the shape of the HTTP answer.';
revoke all on function runbook.step_answer(jsonb, text) from public;

-- Steps as the answer of a plan shows them.
create function runbook.step_answers(steps jsonb, state text)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select coalesce(
      jsonb_agg(runbook.step_answer(stp.content, step_answers.state) order by stp.position),
      '[]'
    )
    from jsonb_array_elements(step_answers.steps) with ordinality as stp (content, position)
  );
end;
$$;

comment on function runbook.step_answers(jsonb, text) is 'Steps in the shape of the HTTP answer.';
revoke all on function runbook.step_answers(jsonb, text) from public;

-- Whether something of a step can be taken back: it was done, or as far as it was done. An index
-- that was not finished is left behind invalid.
create function runbook.can_be_undone(step jsonb)
returns boolean
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return can_be_undone.step ->> 'undo' not like 'none: %' and (
    coalesce(can_be_undone.step ->> 'state', 'planned') in ('done', 'planned')
    or can_be_undone.step ->> 'kind' = 'batch'
    and coalesce((can_be_undone.step #>> '{progress,batches}')::bigint, 0) > 0
    or can_be_undone.step ->> 'kind' = 'statement'
    and can_be_undone.step ->> 'state' in ('failed', 'abandoned')
    and can_be_undone.step ->> 'undo' like 'drop index concurrently if exists %'
    and can_be_undone.step #>> '{progress,cleanup}' is distinct from 'done'
  );
end;
$$;

comment on function runbook.can_be_undone(jsonb) is
'Whether a step, as JSON, left something that can be taken back.';
revoke all on function runbook.can_be_undone(jsonb) from public;

-- Whether steps can be undone, from what each says about itself, and what an undo would leave.
create function runbook.undo_answer(steps jsonb, why_not text)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_undoable bigint;
  v_reason text;
begin
  select
    count(*) filter (where runbook.can_be_undone(stp.content)),
    string_agg(
      distinct case
        when stp.content ->> 'undo' like 'none: %' then substr(stp.content ->> 'undo', 7)
        else stp.content #>> '{content,incomplete}'
      end,
      ' '
    ) filter (
      where stp.content ->> 'undo' like 'none: %'
        or stp.content #>> '{content,incomplete}' is not null
    )
  into v_undoable, v_reason
  from jsonb_array_elements(undo_answer.steps) as stp (content)
  where coalesce(stp.content ->> 'state', 'planned') not in ('rolled_back', 'not_done');

  if undo_answer.why_not is not null or v_undoable = 0 then
    return jsonb_build_object(
      'available', false,
      'complete', false,
      'reason', coalesce(undo_answer.why_not, v_reason, 'There is nothing to take back.')
    );
  end if;

  return jsonb_strip_nulls(
    jsonb_build_object('available', true, 'complete', v_reason is null, 'reason', v_reason)
  );
end;
$$;

comment on function runbook.undo_answer(jsonb, text) is
'What the answer says about undoing a run: {available, complete, reason}.';
revoke all on function runbook.undo_answer(jsonb, text) from public;

-- Why the state of a run alone rules an undo out; null when it does not.
create function runbook.why_no_undo(run runbook.run)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return case why_no_undo.run.state
    when 'applying' then 'The run is still under way.'
    when 'no_op' then 'The run changed nothing.'
    when 'undo_refused' then 'The run changed nothing.'
    when 'undone' then 'The run has been undone.'
  end;
end;
$$;

comment on function runbook.why_no_undo(runbook.run) is
'A sentence on why a run in its state cannot be undone, or null.';
revoke all on function runbook.why_no_undo(runbook.run) from public;

-- A run without its steps, as lists and answers show it.
create function runbook.run_summary(run runbook.run)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return jsonb_strip_nulls(
    jsonb_build_object(
      'id', run_summary.run.id,
      'remediation', run_summary.run.remediation,
      'undo_of', run_summary.run.undo_of,
      'subject', run_summary.run.subject,
      'state', run_summary.run.state,
      'actor', run_summary.run.actor,
      'reason', run_summary.run.reason,
      'idempotency_key', run_summary.run.idempotency_key,
      'started_at', run_summary.run.started_at,
      'ended_at', run_summary.run.ended_at
    )
  ) || case
    when run_summary.run.error is null then '{}'
    else jsonb_build_object('error', run_summary.run.error)
  end;
end;
$$;

comment on function runbook.run_summary(runbook.run) is
'A run without its steps: {id, remediation, undo_of, subject, state, actor, reason,
idempotency_key, started_at, ended_at, error}.';
revoke all on function runbook.run_summary(runbook.run) from public;

-- How far a call has come.
create function runbook.call_progress(run_id bigint, "position" integer)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'state', cll.state,
      'attempts', cll.attempts,
      'next_attempt_at', case when cll.state in ('pending', 'failed') then cll.next_attempt_at end,
      'response_status', cll.response_status,
      'error_class', cll.error_class,
      'error', cll.error
    )
    from runbook.call as cll
    where cll.run_id = call_progress.run_id
      and cll.position = call_progress.position
  );
end;
$$;

comment on function runbook.call_progress(bigint, integer) is
'{state, attempts, next_attempt_at, response_status, error_class, error} of a step''s call.';
revoke all on function runbook.call_progress(bigint, integer) from public;

-- A run as the answer of a remediation: the same for the first request and for its repetition.
create function runbook.run_answer(run_id bigint)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_run runbook.run;
  v_steps jsonb;
  v_answers jsonb;
begin
  select run.*
  into v_run
  from runbook.run as run
  where run.id = run_answer.run_id;

  select
    coalesce(jsonb_agg(shown.step order by shown.position), '[]'),
    coalesce(
      jsonb_agg(runbook.step_answer(shown.step, shown.step ->> 'state') order by shown.position),
      '[]'
    )
  into v_steps, v_answers
  from (
    select
      stp.position,
      to_jsonb(stp) || case
        when stp.kind = 'call'
          then jsonb_build_object('progress', runbook.call_progress(stp.run_id, stp.position))
        else '{}'
      end as step
    from runbook.step as stp
    where stp.run_id = v_run.id
  ) as shown;

  return jsonb_build_object(
    'run', runbook.run_summary(v_run),
    'state', v_run.state,
    'plan_hash', v_run.plan_hash,
    'params', v_run.params,
    'steps', v_answers,
    'verification', v_run.verification,
    'undo', runbook.undo_answer(v_steps, runbook.why_no_undo(v_run))
  );
end;
$$;

comment on function runbook.run_answer(bigint) is 'A recorded run in the shape of the HTTP answer.';
revoke all on function runbook.run_answer(bigint) from public;
