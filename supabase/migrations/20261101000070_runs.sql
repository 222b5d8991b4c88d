-- Runs: every execution of a remediation is kept, step by step, with who did it and why.
--
-- The tables are append-only for everyone. A run is recorded in the transaction that changed the
-- rows, so there is no change without its record and no record without its change. What moves on
-- is the state, and only forwards: a trigger looks at which columns changed, and from what to what.

create table runbook.run (
  id bigint generated always as identity,
  remediation text not null,
  params jsonb not null,
  asked jsonb not null,
  subject text,
  state text not null,
  actor text not null,
  role text not null,
  reason text not null,
  request_id text,
  idempotency_key text,
  plan_hash text not null,
  undo_of bigint,
  verification jsonb,
  error jsonb,
  started_at timestamptz not null,
  ended_at timestamptz,
  constraint run_pkey primary key (id),
  constraint run_actor_idempotency_key_key unique (actor, idempotency_key),
  constraint run_undo_of_fkey foreign key (undo_of) references runbook.run (id),
  constraint state_is_known check (
    state in (
      'applying', 'succeeded', 'no_op', 'failed', 'undone', 'undo_refused', 'abandoned'
    )
  ),
  constraint error_is_of_a_run_that_went_wrong check (
    case state
      when 'undone' then true
      else (state in ('failed', 'undo_refused', 'abandoned')) = (error is not null)
    end
  ),
  constraint ended_at_is_of_a_run_that_ended check ((state = 'applying') = (ended_at is null)),
  constraint ended_at_is_after_started_at check (ended_at >= started_at)
);

create index run_undo_of_idx on runbook.run (undo_of);
create index run_applying_idx on runbook.run (remediation, subject) where state = 'applying';

comment on table runbook.run is
'One execution of a remediation by an actor for a reason. Append-only; its state moves forwards.';
comment on column runbook.run.params is 'The parameters, relative ages resolved to instants.';
comment on column runbook.run.asked is 'The parameters as they were sent.';
comment on column runbook.run.idempotency_key is 'The actor''s name for this change, used once.';
comment on column runbook.run.undo_of is 'The run that this one takes back.';
comment on column runbook.run.error is '{sqlstate, message} of a run that went wrong, and more.';

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
  content jsonb not null default '{}',
  state text not null,
  progress jsonb,
  constraint step_pkey primary key (run_id, position),
  constraint step_run_fkey foreign key (run_id) references runbook.run (id),
  constraint kind_is_known check (kind in ('row', 'effect', 'statement', 'batch', 'call')),
  constraint state_is_known check (
    state in ('pending', 'running', 'done', 'failed', 'abandoned', 'not_done', 'rolled_back')
  )
);

create index step_open_idx on runbook.step (kind, run_id) where state in ('pending', 'running');

comment on table runbook.step is
'One effect of a run, with the row before and after. Append-only; its state moves forwards.';
comment on column runbook.step.before is
'The key and the changed columns; never a generated column, never a secret.';
comment on column runbook.step.undo is 'What takes the step back, or `none: <reason>`.';
comment on column runbook.step.side_effects is 'Triggers that fire with it.';
comment on column runbook.step.content is
'What doing it, and taking it back, needs beside the images: the call, the statement, the batch.';
comment on column runbook.step.progress is 'How far a step has come that takes its time.';

revoke all on table runbook.step from public;

create table runbook.call (
  id bigint generated always as identity,
  run_id bigint not null,
  position integer not null,
  service text not null,
  method text not null,
  path text not null,
  body jsonb,
  idempotency_key text not null,
  state text not null default 'pending',
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default clock_timestamp(),
  lease_until timestamptz,
  lease_token uuid,
  response_status integer,
  error_class text,
  error text,
  created_at timestamptz not null default clock_timestamp(),
  sent_at timestamptz,
  constraint call_pkey primary key (id),
  constraint call_run_id_position_key unique (run_id, position),
  constraint call_step_fkey foreign key (run_id, position)
    references runbook.step (run_id, position),
  constraint state_is_known check (state in ('pending', 'sending', 'sent', 'failed', 'dead')),
  constraint sent_has_a_good_answer check (
    (state = 'sent') = (sent_at is not null)
    and (state <> 'sent' or response_status between 200 and 299)
  ),
  constraint sending_has_a_lease check (
    (state = 'sending') = (lease_until is not null)
    and (state = 'sending') = (lease_token is not null)
  )
);

create index call_due_idx on runbook.call (next_attempt_at)
where state in ('pending', 'sending', 'failed');

comment on table runbook.call is
'A request to the outside world, decided by a run and sent by an edge function: the outbox.';
comment on column runbook.call.path is
'Below the service''s base: /admin/users/…, without /auth/v1.';
comment on column runbook.call.state is
'pending, sending (leased), failed (tried, due again), sent (answered with 2xx), dead (given up).';
comment on column runbook.call.lease_until is
'Until then the request belongs to whoever holds the token; real clock.';

revoke all on table runbook.call from public;

create table runbook.refusal (
  id bigint generated always as identity,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  name text not null,
  params jsonb not null default '{}',
  code text not null,
  reason text,
  constraint refusal_pkey primary key (id)
);

create index refusal_at_idx on runbook.refusal (at);

comment on table runbook.refusal is
'One request to change something that was refused, kept by the edge function. Append-only.';
comment on column runbook.refusal.code is 'The code of the answer, such as ROLE_REQUIRED.';

revoke all on table runbook.refusal from public;

create table runbook.forgetting (
  identifiers text[] not null,
  pseudonym text not null,
  constraint forgetting_pkey primary key (pseudonym)
);

comment on table runbook.forgetting is
'The person that the transaction is replacing in the record. Emptied before it commits.';

revoke all on table runbook.forgetting from public;

-- A text of the record without a person: each identifier, as a whole word in either case, replaced
-- by the pseudonym.
create function runbook.without_person(content text, identifiers text[], pseudonym text)
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_content text := without_person.content;
  v_identifier text;
begin
  foreach v_identifier in array without_person.identifiers loop
    v_content := regexp_replace(
      v_content,
      '(?<![[:alnum:]._%+-])'
      || regexp_replace(v_identifier, '([^[:alnum:]@-])', '\\\1', 'g')
      || '(?![[:alnum:]_%+-]|\.[[:alnum:]])',
      without_person.pseudonym,
      'gi'
    );
  end loop;

  return v_content;
end;
$$;

comment on function runbook.without_person(text, text[], text) is
'A text in which a person''s identifiers are replaced by a pseudonym.';
revoke all on function runbook.without_person(text, text[], text) from public;

-- A row of the record without a person. Images of rows that name the person lose all that they say
-- (a name, a telephone, an address of the internet): the numbers stay, and the columns' names.
-- Such a step cannot be taken back any more.
create function runbook.forgotten_row(content jsonb, identifiers text[], pseudonym text)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_old constant jsonb := forgotten_row.content;
  v_new jsonb := runbook.without_person(
    v_old::text, forgotten_row.identifiers, forgotten_row.pseudonym
  )::jsonb;
  v_image text;
begin
  foreach v_image in array array['before', 'after'] loop
    if v_old -> v_image <> v_new -> v_image then
      v_new := jsonb_set(
        v_new,
        array[v_image],
        (
          select jsonb_object_agg(
            part.key,
            case
              when jsonb_typeof(part.value) in ('number', 'boolean', 'null') then part.value
              else to_jsonb(forgotten_row.pseudonym)
            end
          )
          from jsonb_each(v_new -> v_image) as part (key, value)
        )
      );
    end if;
  end loop;

  -- Of the tables of the record only steps have an undo.
  if v_old ->> 'undo' not like 'none: %'
    and (v_old - 'summary') - 'statement' <> (v_new - 'summary') - 'statement'
  then
    v_new := v_new || '{"undo": "none: it is about a person who was forgotten."}';
  end if;

  return v_new;
end;
$$;

comment on function runbook.forgotten_row(jsonb, text[], text) is
'A row of the record in which a person is replaced by a pseudonym.';
revoke all on function runbook.forgotten_row(jsonb, text[], text) from public;

-- Whether a row of the record differs only by a person who is being forgotten.
create function runbook.only_forgets(old_row jsonb, new_row jsonb)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select exists (
    select
    from runbook.forgetting as fgt
    where only_forgets.new_row = runbook.forgotten_row(
      only_forgets.old_row, fgt.identifiers, fgt.pseudonym
    )
  );
$$;

comment on function runbook.only_forgets(jsonb, jsonb) is
'Whether a changed row of the record is the old one without the person being forgotten.';
revoke all on function runbook.only_forgets(jsonb, jsonb) from public;

-- Refuses what would change the record, for everyone.
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

comment on function runbook.refuse_change() is 'Keeps the tables of the record append-only.';
revoke all on function runbook.refuse_change() from public;

-- Lets the state of a run or step move forwards, a forgotten person leave, and nothing else.
create function runbook.refuse_rewriting()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_old constant jsonb := to_jsonb(old);
  v_new constant jsonb := to_jsonb(new);
  v_move constant text := (v_old ->> 'state') || ' ' || (v_new ->> 'state');
  v_may_change text[];
  v_moves boolean := false;
begin
  if tg_table_name = 'run' then
    if v_move in ('applying succeeded', 'applying failed', 'applying abandoned') then
      v_moves := true;
      v_may_change := array['state', 'verification', 'error', 'ended_at'];
    elsif v_move in ('succeeded undone', 'failed undone', 'abandoned undone') then
      v_moves := true;
      v_may_change := array['state'];
    end if;
  elsif tg_table_name = 'step' then
    v_moves := v_move in (
      'pending running', 'pending done', 'pending failed', 'pending abandoned', 'pending not_done',
      'running running', 'running done', 'running failed', 'running abandoned', 'running not_done'
    );
    v_may_change := array['state', 'progress'];
  elsif tg_table_name = 'call' then
    v_moves := v_move in (
      'pending sending', 'failed sending', 'sending sending', 'sending sent', 'sending failed',
      'sending dead', 'pending dead', 'failed dead'
    );
    v_may_change := array[
      'state', 'attempts', 'next_attempt_at', 'lease_until', 'lease_token', 'response_status',
      'error_class', 'error', 'sent_at'
    ];
  end if;

  if v_moves and v_old - v_may_change = v_new - v_may_change then
    return new;
  end if;

  if runbook.only_forgets(v_old, v_new) then
    return new;
  end if;

  raise exception 'runbook.% is append-only.', tg_table_name
    using errcode = '55000', hint = 'What happened stays on record; only states move, forwards.';
end;
$$;

comment on function runbook.refuse_rewriting() is
'Lets states move forwards and a forgotten person leave the record; refuses any other change.';
revoke all on function runbook.refuse_rewriting() from public;

create trigger run_stays
before delete or truncate on runbook.run
for each statement execute function runbook.refuse_change();

create trigger run_moves_forwards
before update on runbook.run
for each row execute function runbook.refuse_rewriting();

create trigger step_stays
before delete or truncate on runbook.step
for each statement execute function runbook.refuse_change();

create trigger step_moves_forwards
before update on runbook.step
for each row execute function runbook.refuse_rewriting();

create trigger call_stays
before delete or truncate on runbook.call
for each statement execute function runbook.refuse_change();

create trigger call_moves_forwards
before update on runbook.call
for each row execute function runbook.refuse_rewriting();

create trigger refusal_stays
before delete or truncate on runbook.refusal
for each statement execute function runbook.refuse_change();

create trigger refusal_is_append_only
before update on runbook.refusal
for each row execute function runbook.refuse_rewriting();

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
