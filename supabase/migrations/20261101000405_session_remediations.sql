-- What the runbook can do about a session: cancel what it runs, or end it.
--
-- A signal is an effect: no rollback takes it back. A session is named by its process and by when
-- it began, since the server gives the number of an ended one to the next. Whether the signal
-- worked is looked at: a session can live on, and a statement can catch the cancellation.

create type runbook.signalled_session as (
  pid integer,
  backend_start timestamptz,
  query_start timestamptz,
  xact_start timestamptz,
  state text,
  is_running boolean,
  description text,
  waiting bigint
);

comment on type runbook.signalled_session is
'A session that is to be cancelled or ended, with how many others wait for it.';

revoke all on type runbook.signalled_session from public;

-- Why a session must not be signalled any more: it has ended, another has its number, it is our
-- own, it belongs to the server, it no longer runs what was to be cancelled, or it is no longer
-- idle in the transaction (or outside of any) in which it was to be ended.
create function runbook.backend_refusal(args jsonb)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when (backend_refusal.args ->> 'pid')::integer = pg_backend_pid() then 'It is our own session.'
    when act.pid is null then 'The session has ended.'
    when backend_refusal.args ? 'xact_start'
      and act.xact_start is distinct from (backend_refusal.args ->> 'xact_start')::timestamptz
      then 'The session has gone on since it was looked at.'
    when backend_refusal.args ? 'query_start' and (
      act.state like 'idle%'
      or act.query_start is distinct from (backend_refusal.args ->> 'query_start')::timestamptz
    ) then 'The session no longer runs this statement.'
  end
  from (select) as one
  left join pg_catalog.pg_stat_activity as act
    on act.pid = (backend_refusal.args ->> 'pid')::integer
    and act.backend_start = (backend_refusal.args ->> 'backend_start')::timestamptz
    and act.backend_type = 'client backend';
$$;

comment on function runbook.backend_refusal(jsonb) is
'Why the session {pid, backend_start, query_start, xact_start} must not be signalled, or null.';
revoke all on function runbook.backend_refusal(jsonb) from public;

-- Waits until a signal has had its effect, for two seconds; answers in how many milliseconds, or
-- null.
create function runbook.effect_of_signal(args jsonb)
returns numeric
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_since constant timestamptz := clock_timestamp();
begin
  loop
    perform pg_stat_clear_snapshot();

    if runbook.backend_refusal(effect_of_signal.args) is not null then
      return runbook.ms_since(v_since);
    end if;

    exit when clock_timestamp() > v_since + interval '2 seconds';
    perform pg_sleep(0.02);
  end loop;

  return null;
end;
$$;

comment on function runbook.effect_of_signal(jsonb) is
'In how many ms a session was seen to be gone, or its statement to be over; null after 2 s.';
revoke all on function runbook.effect_of_signal(jsonb) from public;

-- Cancels what a session is running, and sees it end.
create function runbook.cancel_backend(args jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_signalled constant boolean := pg_cancel_backend((cancel_backend.args ->> 'pid')::integer);
  v_ms numeric;
begin
  if cancel_backend.args ? 'query_start' then
    v_ms := runbook.effect_of_signal(cancel_backend.args);

    if v_ms is null then
      raise exception 'Session % was told to cancel, and 2 s later it runs the same statement.',
        cancel_backend.args ->> 'pid'
        using
          errcode = 'RBEFF',
          hint = 'It may catch the cancellation: terminate-connection ends it.';
    end if;
  end if;

  return jsonb_strip_nulls(jsonb_build_object('signalled', v_signalled, 'over_after_ms', v_ms));
end;
$$;

comment on function runbook.cancel_backend(jsonb) is
'The effect cancel_backend, for {pid, backend_start, query_start}. Raises RBEFF when the statement
goes on.';
revoke all on function runbook.cancel_backend(jsonb) from public;

-- Ends a session, and sees it gone.
create function runbook.terminate_backend(args jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_signalled constant boolean := pg_terminate_backend(
    (terminate_backend.args ->> 'pid')::integer
  );
  -- That its transaction is over does not say that it is gone.
  v_ms constant numeric := runbook.effect_of_signal(terminate_backend.args - 'xact_start');
begin
  if v_ms is null then
    raise exception 'Session % was told to end, and 2 s later it is still there.',
      terminate_backend.args ->> 'pid'
      using errcode = 'RBEFF', hint = 'It ends when it next looks. Diagnose again in a minute.';
  end if;

  return jsonb_build_object('signalled', v_signalled, 'gone_after_ms', v_ms);
end;
$$;

comment on function runbook.terminate_backend(jsonb) is
'The effect terminate_backend, for {pid, backend_start, xact_start}. Raises RBEFF when the session
lives on.';
revoke all on function runbook.terminate_backend(jsonb) from public;

insert into runbook.effect (name, function, refusal_function, description, undo)
values
  (
    'cancel_backend',
    'runbook.cancel_backend',
    'runbook.backend_refusal',
    'Cancels what a session is running, if it is still the same.',
    'none: what was cancelled must be asked again.'
  ),
  (
    'terminate_backend',
    'runbook.terminate_backend',
    'runbook.backend_refusal',
    'Ends a session, if it is still the same.',
    'none: a session that was ended does not come back.'
  );

-- Why a process is not to be signalled by anybody but the server, or null.
create function runbook.process_refusal(backend_type text, query text, leader_pid integer)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when process_refusal.backend_type = 'client backend' then null
    when process_refusal.query like '%(to prevent wraparound)%'
      then 'is a vacuum against the wraparound of transaction ids, which would stop the database'
    when process_refusal.backend_type = 'walsender'
      then 'sends the log to a replica, or to Realtime'
    when process_refusal.backend_type = 'parallel worker'
      then format('works for session %s', process_refusal.leader_pid)
    else format('is a process of the server (%s)', process_refusal.backend_type)
  end;
$$;

comment on function runbook.process_refusal(text, text, integer) is
'What speaks against signalling a process, as the end of a sentence; null for a client''s session.';
revoke all on function runbook.process_refusal(text, text, integer) from public;

-- The session that parameters name, if it may be signalled. What it runs is not told: it may hold
-- anybody's data.
--
-- Cost: pg_stat_activity, pg_locks; pg_blocking_pids for each session that waits for a lock.
create function runbook.session_to_signal(params jsonb)
returns runbook.signalled_session
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_pid constant integer := (session_to_signal.params ->> 'pid')::integer;
  v_backend_start constant timestamptz := (
    session_to_signal.params ->> 'backend_start'
  )::timestamptz;
  v_session runbook.signalled_session;
  v_process_refusal text;
  v_is_superuser boolean;
begin
  perform pg_stat_clear_snapshot();

  select
    act.pid,
    act.backend_start,
    act.query_start,
    act.xact_start,
    act.state,
    act.state is null or act.state not like 'idle%',
    format(
      'session %s (%s, %s), %s since %s%s',
      act.pid,
      coalesce(act.usename, 'unknown role'),
      coalesce(nullif(act.application_name, ''), 'without a name'),
      coalesce(act.state, 'of unknown state'),
      runbook.utc_text(act.state_change),
      case
        when act.state like 'idle in transaction%'
          then format(' (its transaction began at %s)', runbook.utc_text(act.xact_start))
      end
    ),
    runbook.process_refusal(act.backend_type, act.query, act.leader_pid),
    coalesce(rol.rolsuper, false)
  into
    v_session.pid,
    v_session.backend_start,
    v_session.query_start,
    v_session.xact_start,
    v_session.state,
    v_session.is_running,
    v_session.description,
    v_process_refusal,
    v_is_superuser
  from pg_catalog.pg_stat_activity as act
  left join pg_catalog.pg_roles as rol on rol.oid = act.usesysid
  where act.pid = v_pid;

  if not found then
    perform runbook.refuse_change_of(
      'P0002',
      format('There is no session with process %s.', v_pid),
      'It has ended. Diagnose again, and take the process from there.'
    );
  elsif v_backend_start <> v_session.backend_start then
    perform runbook.refuse_change_of(
      'P0002',
      format('The session with process %s has ended, and another has its number now.', v_pid),
      'Diagnose again, and take process and backend_start from there.'
    );
  elsif v_pid = pg_backend_pid() then
    perform runbook.refuse_change_of(
      '42501',
      format('Process %s is the session of this very request.', v_pid),
      'Name another.'
    );
  elsif v_process_refusal is not null then
    perform runbook.refuse_change_of(
      '42501',
      format('Process %s %s.', v_pid, v_process_refusal),
      'The runbook signals sessions of clients only.'
    );
  elsif v_is_superuser then
    perform runbook.refuse_change_of(
      '42501',
      format('Process %s is the session of a superuser, which only a superuser may end.', v_pid),
      'It is the platform''s. The project''s dashboard can restart the database.'
    );
  end if;

  -- Those behind the waiting ones, too, as the finding of a blocker counts them.
  with recursive waits as materialized (
    select wts.pid, wts.blockers
    from runbook.lock_waits() as wts
  ),
  behind as (
    select v_pid::bigint as pid
    union
    select wts.pid
    from behind as bhd
    inner join waits as wts on bhd.pid = any (wts.blockers)
  )
  select count(*) - 1
  into v_session.waiting
  from behind as bhd;

  return v_session;
end;
$$;

comment on function runbook.session_to_signal(jsonb) is
'The client''s session {pid, backend_start}. Raises P0002 when it is not there or its number is
another''s, 42501 for a process of the server, a superuser''s session and our own.';
revoke all on function runbook.session_to_signal(jsonb) from public;

-- What a signal means for others, as the end of a summary.
create function runbook.waiting_text(waiting bigint)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case waiting_text.waiting
    when 0 then ''
    when 1 then ' One session waits for it.'
    else format(' %s sessions wait for it.', waiting_text.waiting)
  end;
$$;

comment on function runbook.waiting_text(bigint) is 'How many wait for a session, as a sentence.';
revoke all on function runbook.waiting_text(bigint) from public;

-- Declares that what a session runs be cancelled. One that runs nothing needs nothing; one that
-- waits inside of a transaction would keep its locks, so it is refused.
create function runbook.cancel_query(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_session constant runbook.signalled_session := runbook.session_to_signal(cancel_query.params);
begin
  if v_session.is_running then
    return next runbook.effect_step(
      'cancel_backend',
      jsonb_build_object(
        'pid', v_session.pid,
        'backend_start', v_session.backend_start,
        'query_start', v_session.query_start
      ),
      format(
        'Cancel what is run by %s. Its transaction fails, and the session stays.%s',
        v_session.description,
        runbook.waiting_text(v_session.waiting)
      )
    );
  elsif v_session.state <> 'idle' then
    perform runbook.refuse_change_of(
      '55000',
      format('Nothing is run by %s, so there is nothing to cancel.', v_session.description),
      'It keeps its locks until its transaction ends: terminate-connection ends the session.'
    );
  end if;
end;
$$;

comment on function runbook.cancel_query(jsonb) is
'Declares that the statement of a session {pid, backend_start} be cancelled. Raises 55000 for one
that is idle in a transaction, and what runbook.session_to_signal raises.';
revoke all on function runbook.cancel_query(jsonb) from public;

-- Declares that a session be ended.
create function runbook.terminate_connection(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_session constant runbook.signalled_session := runbook.session_to_signal(
    terminate_connection.params
  );
begin
  return next runbook.effect_step(
    'terminate_backend',
    jsonb_build_object('pid', v_session.pid, 'backend_start', v_session.backend_start)
    -- One that does something is ended whatever it does next; one that idles, as it was seen: it
    -- may serve somebody else by now.
    || case
      when v_session.is_running then '{}'
      else jsonb_build_object('xact_start', v_session.xact_start)
    end,
    format(
      'End %s. %s%s',
      v_session.description,
      case v_session.state
        when 'idle' then 'It has no transaction open.'
        else 'What its transaction did is rolled back.'
      end,
      runbook.waiting_text(v_session.waiting)
    )
  );
end;
$$;

comment on function runbook.terminate_connection(jsonb) is
'Declares that a session {pid, backend_start} be ended. Raises what runbook.session_to_signal
raises.';
revoke all on function runbook.terminate_connection(jsonb) from public;

insert into runbook.remediation (
  name,
  title,
  description,
  parameters,
  subject_keys,
  function,
  risk,
  issue,
  cures,
  checks
)
values
  (
    'cancel-query',
    'Cancel what a session runs',
    'Cancels the statement that a session is running, and looks whether it ended.',
    '{
      "type": "object",
      "properties": {
        "pid": {
          "type": "integer",
          "minimum": 1,
          "maximum": 2147483647,
          "description": "The process of the session, as a finding names it."
        },
        "backend_start": {
          "type": "string",
          "format": "instant",
          "description": "When the session began, so that no other is meant by the same number."
        }
      },
      "required": ["pid"],
      "additionalProperties": false
    }',
    array['pid'],
    'runbook.cancel_query',
    'low',
    null,
    array['long_running_query', 'root_blocker', 'vacuum_held_back', 'long_transaction'],
    array['long_queries', 'blocking', 'vacuum_horizon', 'long_transactions']
  ),
  (
    'terminate-connection',
    'End a session',
    'Ends a session of the database, with its transaction and its locks, and looks whether it is gone.',
    '{
      "type": "object",
      "properties": {
        "pid": {
          "type": "integer",
          "minimum": 1,
          "maximum": 2147483647,
          "description": "The process of the session, as a finding names it."
        },
        "backend_start": {
          "type": "string",
          "format": "instant",
          "description": "When the session began, so that no other is meant by the same number."
        }
      },
      "required": ["pid"],
      "additionalProperties": false
    }',
    array['pid'],
    'runbook.terminate_connection',
    'high',
    null,
    array[
      'idle_in_transaction', 'long_transaction', 'vacuum_held_back', 'long_running_query',
      'root_blocker'
    ],
    array[
      'idle_in_transaction', 'long_transactions', 'vacuum_horizon', 'long_queries', 'blocking'
    ]
  );
