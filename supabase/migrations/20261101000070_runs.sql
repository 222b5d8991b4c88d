-- Runs: every execution of a remediation is kept, step by step, with who did it and why.
--
-- Both tables are append-only for everyone. A run is recorded in the transaction that changed the
-- rows, so there is no change without its record and no record without its change.

create table runbook.run (
  id bigint generated always as identity,
  remediation text not null,
  params jsonb not null,
  subject text,
  state text not null,
  actor text not null,
  role text not null,
  reason text not null,
  request_id text,
  idempotency_key text,
  plan_hash text not null,
  verification jsonb,
  error jsonb,
  started_at timestamptz not null,
  ended_at timestamptz,
  constraint run_pkey primary key (id),
  constraint run_actor_idempotency_key_key unique (actor, idempotency_key),
  constraint state_is_known check (
    state in (
      'applying', 'succeeded', 'no_op', 'failed', 'undone', 'undo_refused', 'abandoned'
    )
  ),
  constraint failed_has_an_error check ((state = 'failed') = (error is not null)),
  constraint ended_at_is_after_started_at check (ended_at >= started_at)
);

comment on table runbook.run is
'One execution of a remediation by an actor for a reason. Append-only.';
comment on column runbook.run.idempotency_key is 'The actor''s name for this change, used once.';
comment on column runbook.run.error is '{sqlstate, message} of a run that failed.';

revoke all on table runbook.run from public;

create table runbook.step (
  run_id bigint not null,
  position integer not null,
  kind text not null,
  operation text not null,
  summary text not null,
  relation text,
  key jsonb,
  before jsonb,
  after jsonb,
  statement text,
  undo text,
  side_effects text[] not null default '{}',
  state text not null,
  constraint step_pkey primary key (run_id, position),
  constraint step_run_fkey foreign key (run_id) references runbook.run (id),
  constraint kind_is_known check (kind in ('row', 'effect', 'statement', 'batch', 'call')),
  constraint state_is_known check (state in ('done', 'rolled_back'))
);

comment on table runbook.step is 'One effect of a run, with the row before and after. Append-only.';
comment on column runbook.step.before is
'The key and the changed columns; never a generated column, never a secret.';
comment on column runbook.step.undo is 'What takes the step back, or `none: <reason>`.';
comment on column runbook.step.side_effects is 'Triggers that fire with it.';

revoke all on table runbook.step from public;

-- Refuses what would change the record of a run, for everyone.
create function runbook.refuse_change()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  raise exception 'runbook.% is append-only.', tg_table_name
    using errcode = '55000', hint = 'What happened stays on record.';
end;
$$;

comment on function runbook.refuse_change() is 'Keeps the tables of runs and steps append-only.';
revoke all on function runbook.refuse_change() from public;

create trigger run_is_append_only
before update or delete or truncate on runbook.run
for each statement execute function runbook.refuse_change();

create trigger step_is_append_only
before update or delete or truncate on runbook.step
for each statement execute function runbook.refuse_change();

-- Keeps a run with its steps, and returns its id. The steps of a failed run were rolled back.
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
    subject,
    state,
    actor,
    role,
    reason,
    request_id,
    idempotency_key,
    plan_hash,
    verification,
    error,
    started_at,
    ended_at
  )
  values (
    record_run.run.remediation,
    record_run.run.params,
    record_run.run.subject,
    record_run.run.state,
    record_run.run.actor,
    record_run.run.role,
    record_run.run.reason,
    record_run.run.request_id,
    record_run.run.idempotency_key,
    record_run.run.plan_hash,
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
    undo,
    side_effects,
    state
  )
  select
    v_run_id,
    (stp.content ->> 'position')::integer,
    stp.content ->> 'kind',
    stp.content ->> 'operation',
    stp.content ->> 'summary',
    stp.content ->> 'relation',
    stp.content -> 'key',
    nullif(stp.content -> 'before', 'null'),
    nullif(stp.content -> 'after', 'null'),
    stp.content ->> 'undo',
    array(
      select eff.content
      from jsonb_array_elements_text(stp.content -> 'side_effects') as eff (content)
    ),
    case when record_run.run.state = 'failed' then 'rolled_back' else 'done' end
  from jsonb_array_elements(record_run.steps) as stp (content);

  return v_run_id;
end;
$$;

comment on function runbook.record_run(runbook.run, jsonb) is
'Records a run and its steps, and returns the id that the run was given.';
revoke all on function runbook.record_run(runbook.run, jsonb) from public;

-- A step as the answer shows it.
create function runbook.step_answer(step jsonb, state text)
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'position', step_answer.step -> 'position',
    'kind', step_answer.step -> 'kind',
    'summary', step_answer.step -> 'summary',
    'relation', step_answer.step -> 'relation',
    'key', step_answer.step -> 'key',
    'before', step_answer.step -> 'before',
    'after', step_answer.step -> 'after',
    'statement', step_answer.step -> 'statement',
    'undo', step_answer.step -> 'undo',
    'side_effects', step_answer.step -> 'side_effects',
    'state', step_answer.state
  );
$$;

comment on function runbook.step_answer(jsonb, text) is 'A step in the shape of the HTTP answer.';
revoke all on function runbook.step_answer(jsonb, text) from public;

-- Steps as the answer of a plan shows them.
create function runbook.step_answers(steps jsonb, state text)
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(runbook.step_answer(stp.content, step_answers.state) order by stp.position),
    '[]'
  )
  from jsonb_array_elements(step_answers.steps) with ordinality as stp (content, position);
$$;

comment on function runbook.step_answers(jsonb, text) is 'Steps in the shape of the HTTP answer.';
revoke all on function runbook.step_answers(jsonb, text) from public;

-- Whether a run can be undone.
create function runbook.undo_answer()
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'available', false,
    'complete', false,
    'reason', 'This version records what an undo needs and cannot undo yet.'
  );
$$;

comment on function runbook.undo_answer() is 'What the answer says about undoing a run.';
revoke all on function runbook.undo_answer() from public;

-- A run as the answer of a remediation: the same for the first request and for its repetition.
create function runbook.run_answer(run_id bigint)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'run', jsonb_strip_nulls(
      jsonb_build_object(
        'id', run.id,
        'remediation', run.remediation,
        'state', run.state,
        'actor', run.actor,
        'reason', run.reason,
        'started_at', run.started_at,
        'ended_at', run.ended_at,
        'error', run.error
      )
    ),
    'state', run.state,
    'plan_hash', run.plan_hash,
    'params', run.params,
    'steps', coalesce(
      (
        select jsonb_agg(
          runbook.step_answer(to_jsonb(stp), stp.state)
          order by stp.position
        )
        from runbook.step as stp
        where stp.run_id = run.id
      ),
      '[]'
    ),
    'verification', run.verification,
    'undo', runbook.undo_answer()
  )
  from runbook.run as run
  where run.id = run_answer.run_id;
$$;

comment on function runbook.run_answer(bigint) is 'A recorded run in the shape of the HTTP answer.';
revoke all on function runbook.run_answer(bigint) from public;
