-- Calls: requests to the outside world, decided in SQL and sent by an edge function.
--
-- A call is a row, written in the transaction that decided it, with a body that no longer changes
-- and an idempotency key that every attempt carries. Whoever sends it holds a lease; when the lease
-- ends without an answer, the call is due again under the same key. `sent` can only be said with a
-- 2xx.

-- A declared call as a step. The body is frozen here.
create function runbook.planned_call(call jsonb)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_call constant jsonb := planned_call.call;
  v_undo constant jsonb := nullif(v_call -> 'undo', 'null');
begin
  if coalesce(v_call ->> 'service', '') = ''
    or coalesce(v_call ->> 'method', '') not in ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')
    or coalesce(v_call ->> 'path', '') !~ '^/[^\s?#]*$'
    or v_call ->> 'path' ~ '(^|/)\.\.?(/|$)'
    or (v_undo is null and coalesce(v_call ->> 'undo_reason', '') = '')
  then
    raise exception 'The declared call is not complete.'
      using
        errcode = '22023',
        hint = 'It has service, method, path, and undo or undo_reason.';
  end if;

  return jsonb_build_object(
    'statement', format('%s %s', v_call ->> 'method', v_call ->> 'path'),
    'undo', case
      when v_undo is null then 'none: ' || (v_call ->> 'undo_reason')
      else format('%s %s', v_undo ->> 'method', v_undo ->> 'path')
    end,
    'content', jsonb_build_object(
      'service', v_call -> 'service',
      'method', v_call -> 'method',
      'path', v_call -> 'path',
      'body', v_call -> 'body',
      'undo', v_undo,
      'undo_reason', v_call -> 'undo_reason'
    )
  );
end;
$$;

comment on function runbook.planned_call(jsonb) is
'A declared call as a step. Raises 22023 when something is missing.';
revoke all on function runbook.planned_call(jsonb) from public;

-- Leases calls that are due, the oldest first; of a run only the first step that is not over. Only
-- the owner of the schema may.
--
-- Cost: the index of due calls; rows that another worker holds are skipped.
create function runbook.claim_calls(
  run_id bigint default null,
  max integer default 10,
  lease interval default '30 seconds'
)
returns setof jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return query
  update runbook.call as cll
  set
    state = 'sending',
    attempts = cll.attempts + 1,
    lease_until = clock_timestamp() + claim_calls.lease,
    lease_token = gen_random_uuid()
  from (
    select cll.id
    from runbook.call as cll
    where cll.state in ('pending', 'sending', 'failed')
      and case cll.state
        when 'sending' then cll.lease_until <= clock_timestamp()
        else cll.next_attempt_at <= clock_timestamp()
      end
      and (claim_calls.run_id is null or cll.run_id = claim_calls.run_id)
      and not exists (
        select
        from runbook.step as earlier
        where earlier.run_id = cll.run_id
          and earlier.position < cll.position
          and earlier.state in ('pending', 'running')
      )
    order by cll.next_attempt_at, cll.id
    limit claim_calls.max
    for update skip locked
  ) as due
  where cll.id = due.id
  returning jsonb_build_object(
    'id', cll.id,
    'run_id', cll.run_id,
    'token', cll.lease_token,
    'service', cll.service,
    'method', cll.method,
    'path', cll.path,
    'body', cll.body,
    'idempotency_key', cll.idempotency_key,
    'attempt', cll.attempts
  );
end;
$$;

comment on function runbook.claim_calls(bigint, integer, interval) is
'Leases calls that are due: {id, run_id, token, service, method, path, body, idempotency_key,
attempt}.';
revoke all on function runbook.claim_calls(bigint, integer, interval) from public;

-- What an answer, or none, means for a call.
create function runbook.error_class_of(status integer, retry_after_s numeric)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when error_class_of.status between 200 and 299 then 'ok'
    when error_class_of.status is null then 'unknown_outcome'
    when error_class_of.status in (408, 425, 429) or error_class_of.status >= 500
      then case when error_class_of.retry_after_s is null then 'retry' else 'retry_after' end
    when error_class_of.status in (401, 403) then 'auth'
    else 'permanent'
  end;
$$;

comment on function runbook.error_class_of(integer, numeric) is
'ok; unknown_outcome, retry and retry_after are tried again; auth and permanent are not.';
revoke all on function runbook.error_class_of(integer, numeric) from public;

-- How long to wait before the next attempt: 5, 15, 30 s, then a minute, each give or take a fifth.
create function runbook.backoff(attempts integer)
returns interval
language sql
volatile
security invoker
set search_path = ''
as $$
  select make_interval(
    secs => (array[5, 15, 30, 60])[least(greatest(backoff.attempts, 1), 4)]
      * (0.8 + 0.4 * random())
  );
$$;

comment on function runbook.backoff(integer) is
'The wait after so many attempts, with jitter of a fifth.';
revoke all on function runbook.backoff(integer) from public;

-- Records how an attempt went. A call is given up when the answer says that another attempt would
-- not help, or an hour after it was decided: then the run has failed, and its later calls are not
-- sent. When the last call of a run is sent, the run is verified and ends.
--
-- An answer that comes after the lease was lost changes nothing.
create function runbook.settle_call(call_id bigint, token uuid, outcome jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_call runbook.call;
  v_status constant integer := (settle_call.outcome ->> 'status')::integer;
  v_retry_after constant numeric := case
    when jsonb_typeof(settle_call.outcome -> 'retry_after_s') = 'number'
      then greatest(0, least(3600, (settle_call.outcome ->> 'retry_after_s')::numeric))
  end;
  v_class constant text := runbook.error_class_of(v_status, v_retry_after);
  v_error constant text := left(settle_call.outcome ->> 'error', 500);
  v_next timestamptz;
begin
  select cll.*
  into v_call
  from runbook.call as cll
  where cll.id = settle_call.call_id
  for update;

  if not found then
    raise exception 'There is no call %.', coalesce(settle_call.call_id::text, 'null')
      using errcode = 'P0002', hint = 'runbook.claim_calls() hands calls out.';
  end if;

  if v_call.state <> 'sending' or v_call.lease_token is distinct from settle_call.token then
    return jsonb_build_object(
      'settled', false,
      'call', runbook.call_progress(v_call.run_id, v_call.position),
      'run_id', v_call.run_id,
      'run_state', (select run.state from runbook.run as run where run.id = v_call.run_id)
    );
  end if;

  v_next := clock_timestamp()
    + coalesce(make_interval(secs => v_retry_after), runbook.backoff(v_call.attempts));

  update runbook.call as cll
  set
    state = case
      when v_class = 'ok' then 'sent'
      when v_class in ('auth', 'permanent') then 'dead'
      when v_next > cll.created_at + interval '1 hour' then 'dead'
      else 'failed'
    end,
    lease_until = null,
    lease_token = null,
    next_attempt_at = v_next,
    response_status = v_status,
    error_class = nullif(v_class, 'ok'),
    error = case when v_class <> 'ok' then v_error end,
    sent_at = case when v_class = 'ok' then clock_timestamp() end
  where cll.id = v_call.id
  returning cll.* into v_call;

  if v_call.state = 'sent' then
    perform runbook.settle_step(v_call.run_id, v_call.position, 'done', null);
  elsif v_call.state = 'dead' then
    perform runbook.settle_step(
      v_call.run_id,
      v_call.position,
      'failed',
      jsonb_build_object(
        'error', jsonb_build_object(
          'sqlstate', 'RB502',
          'message', format(
            '%s answered %s to %s %s, after %s attempts.',
            v_call.service,
            coalesce(v_status::text, 'nothing'),
            v_call.method,
            v_call.path,
            v_call.attempts
          ),
          'status', v_status,
          'error', v_error
        )
      )
    );
  end if;

  perform runbook.close_run(v_call.run_id);

  return jsonb_build_object(
    'settled', true,
    'call', runbook.call_progress(v_call.run_id, v_call.position),
    'run_id', v_call.run_id,
    'run_state', (select run.state from runbook.run as run where run.id = v_call.run_id)
  );
end;
$$;

comment on function runbook.settle_call(bigint, uuid, jsonb) is
'Records the outcome {status, error, retry_after_s} of an attempt: {settled, call, run_id,
run_state}. `settled` is false when the lease was lost.';
revoke all on function runbook.settle_call(bigint, uuid, jsonb) from public;

-- Ends a step. One that went wrong takes the rest of its run with it: what is still pending is not
-- done, and what is pending as a call is not sent.
create function runbook.settle_step(
  run_id bigint,
  "position" integer,
  state text,
  progress jsonb
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update runbook.step as stp
  set
    state = settle_step.state,
    progress = case
      when settle_step.progress is null then stp.progress
      else coalesce(stp.progress, '{}') || settle_step.progress
    end
  where stp.run_id = settle_step.run_id
    and stp.position = settle_step.position;

  if settle_step.state in ('failed', 'abandoned') then
    update runbook.step as stp
    set state = 'not_done'
    where stp.run_id = settle_step.run_id
      and stp.state = 'pending';

    update runbook.call as cll
    set
      state = 'dead',
      error_class = 'not_sent',
      error = 'An earlier step of the run went wrong.'
    where cll.run_id = settle_step.run_id
      and cll.state in ('pending', 'failed');
  end if;
end;
$$;

comment on function runbook.settle_step(bigint, integer, text, jsonb) is
'Moves the state of a step; after a failure the rest of the run is not done.';
revoke all on function runbook.settle_step(bigint, integer, text, jsonb) from public;

-- Gives calls up whose workers never came back: an hour after they were decided, once nobody holds
-- them.
create function runbook.bury_calls()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_call runbook.call;
begin
  for v_call in
    update runbook.call as cll
    set
      state = 'dead',
      lease_until = null,
      lease_token = null,
      error_class = coalesce(cll.error_class, 'unknown_outcome')
    from (
      select old.id
      from runbook.call as old
      where old.state in ('pending', 'sending', 'failed')
        and old.created_at < clock_timestamp() - interval '1 hour'
        and coalesce(old.lease_until < clock_timestamp(), true)
      order by old.id
      for update skip locked
    ) as old
    where cll.id = old.id
    returning cll.*
  loop
    perform runbook.settle_step(
      v_call.run_id,
      v_call.position,
      'failed',
      jsonb_build_object(
        'error', jsonb_build_object(
          'sqlstate', 'RB502',
          'message', format(
            '%s %s was given up after an hour and %s attempts.',
            v_call.method,
            v_call.path,
            v_call.attempts
          )
        )
      )
    );
    perform runbook.close_run(v_call.run_id);
  end loop;
end;
$$;

comment on function runbook.bury_calls() is
'Gives up calls that are older than an hour and that nobody holds; their runs have failed.';
revoke all on function runbook.bury_calls() from public;

-- Whether a call waits for a worker.
create function runbook.calls_are_due()
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select exists (
    select
    from runbook.call as cll
    where cll.state in ('pending', 'sending', 'failed')
      and case cll.state
        when 'sending' then cll.lease_until <= clock_timestamp()
        else cll.next_attempt_at <= clock_timestamp()
      end
      and not exists (
        select
        from runbook.step as earlier
        where earlier.run_id = cll.run_id
          and earlier.position < cll.position
          and earlier.state in ('pending', 'running')
      )
  );
$$;

comment on function runbook.calls_are_due() is 'Whether runbook.claim_calls() would find a call.';
revoke all on function runbook.calls_are_due() from public;
