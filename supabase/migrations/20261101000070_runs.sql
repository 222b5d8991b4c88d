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
