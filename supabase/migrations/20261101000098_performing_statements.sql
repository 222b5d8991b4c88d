-- Performing statements and batches, by edge functions on sessions of their own.
--
-- That a statement ended without an error is not believed: whether it was done is asked of the
-- catalog and the statistics. A build that broke off leaves an invalid index, which is dropped and
-- told of. What nobody works on is taken up by the function that the tick rings.

-- Asks a question that a statement's step brought with it, such as whether it was done.
create function runbook.ask_of_step(step runbook.step, question text, since timestamptz)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_answer boolean;
begin
  if ask_of_step.step.content ? ask_of_step.question then
    -- Else the statistics would be those that were seen first.
    perform pg_stat_clear_snapshot();
    execute ask_of_step.step.content ->> ask_of_step.question into v_answer using ask_of_step.since;
  end if;

  return coalesce(v_answer, false);
end;
$$;

comment on function runbook.ask_of_step(runbook.step, text, timestamptz) is
'The answer to done_when or cleanup_when of a statement''s step.';
revoke all on function runbook.ask_of_step(runbook.step, text, timestamptz) from public;

-- What there is to see of a statement's object right now; null where nothing is looked at.
create function runbook.look_at_step(step runbook.step)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_seen jsonb;
begin
  if look_at_step.step.content ? 'look' then
    perform pg_stat_clear_snapshot();
    execute look_at_step.step.content ->> 'look' into v_seen;
  end if;

  return v_seen;
end;
$$;

comment on function runbook.look_at_step(runbook.step) is
'The figures that a statement is to change, as {vacuums, analyzes, dead_rows}, or null.';
revoke all on function runbook.look_at_step(runbook.step) from public;

-- Who keeps VACUUM from removing rows that are dead: the holders of the oldest snapshot, in words.
--
-- Cost: pg_stat_activity, pg_replication_slots, pg_prepared_xacts; no lock.
create function runbook.horizon_holder()
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  with holders as (
    select
      format(
        'session %s (%s, %s), in a transaction since %s',
        act.pid,
        coalesce(act.usename, 'unknown role'),
        coalesce(nullif(act.application_name, ''), 'without a name'),
        runbook.utc_text(coalesce(act.xact_start, act.backend_start))
      ) as holder,
      greatest(age(act.backend_xmin), age(act.backend_xid)) as age
    from pg_catalog.pg_stat_activity as act
    where act.pid <> pg_backend_pid()
      and act.backend_type <> 'autovacuum worker'
      and (act.backend_xmin is not null or act.backend_xid is not null)
    union all
    select
      format('replication slot %s', slt.slot_name),
      greatest(age(slt.xmin), age(slt.catalog_xmin))
    from pg_catalog.pg_replication_slots as slt
    where slt.xmin is not null
    union all
    select
      format('prepared transaction %s since %s', prp.gid, runbook.utc_text(prp.prepared)),
      age(prp.transaction)
    from pg_catalog.pg_prepared_xacts as prp
  )
  select hld.holder collate "default"
  from holders as hld
  order by hld.age desc
  limit 1;
$$;

comment on function runbook.horizon_holder() is
'Who holds the oldest snapshot, in words; null when nobody does.';
revoke all on function runbook.horizon_holder() from public;

-- Whether a run is paused: the freeze switch is on.
create function runbook.runs_are_paused()
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select (runbook.freeze_state() -> 'frozen')::boolean;
$$;

comment on function runbook.runs_are_paused() is 'Whether a freeze keeps runs from going on.';
revoke all on function runbook.runs_are_paused() from public;

-- Hands out the next statement of a run, and notes that it is under way: that of its first open
-- step, or what cleans up after it. Null when there is none, when one is under way, while changes
-- are frozen, and when what it is about has changed since the plan: then the step has failed. Only
-- the owner of the schema may.
create function runbook.next_statement(run_id bigint)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_step runbook.step;
  v_cleans boolean;
begin
  select stp.*
  into v_step
  from runbook.step as stp
  where stp.run_id = next_statement.run_id
    and stp.state in ('pending', 'running')
  order by stp.position
  limit 1
  for update;

  if not found or v_step.kind <> 'statement' then
    return null;
  end if;

  v_cleans := coalesce(v_step.progress ->> 'cleanup' = 'due', false);

  if v_step.state = 'running' and not v_cleans or runbook.runs_are_paused() then
    return null;
  end if;

  if not v_cleans
    and v_step.content ? 'begins_when'
    and not runbook.ask_of_step(v_step, 'begins_when', null)
  then
    perform runbook.end_statement(
      v_step,
      '{
        "sqlstate": "RBSTM",
        "message": "What the plan has seen is gone or another, so the statement was not begun."
      }',
      'failed'
    );
    return null;
  end if;

  perform runbook.settle_step(
    v_step.run_id,
    v_step.position,
    'running',
    jsonb_build_object('started_at', clock_timestamp()) || case
      when v_cleans then '{"cleanup": "under way"}'
      else jsonb_strip_nulls(jsonb_build_object('before', runbook.look_at_step(v_step)))
    end
  );

  return jsonb_build_object(
    'position', v_step.position,
    'statement', case
      when v_cleans then v_step.content ->> 'cleanup_sql'
      else v_step.statement
    end,
    'application_name', format('runbook run %s', v_step.run_id),
    'lock_timeout_ms', coalesce((v_step.content ->> 'lock_timeout_ms')::integer, 10000)
  );
end;
$$;

comment on function runbook.next_statement(bigint) is
'The next step of a run if it is a statement, to be executed outside a transaction by a session of
this name: {position, statement, application_name, lock_timeout_ms}, or null.';
revoke all on function runbook.next_statement(bigint) from public;

-- Ends a statement's step as it went. One that went wrong and left an invalid index stays open
-- until that is dropped.
create function runbook.end_statement(step runbook.step, error jsonb, ends_as text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_after jsonb;
  v_progress jsonb := '{}';
begin
  if end_statement.error is null then
    v_after := runbook.look_at_step(end_statement.step);

    if end_statement.step.operation = 'vacuum'
      and (v_after ->> 'dead_rows')::bigint
      > 0.1 * (end_statement.step.progress #>> '{before,dead_rows}')::bigint
    then
      v_progress := jsonb_build_object(
        'note', format(
          '%s dead rows could not be removed: %s may still see them.',
          v_after ->> 'dead_rows',
          coalesce(runbook.horizon_holder(), 'a transaction that has just ended')
        )
      );
    end if;
  elsif runbook.ask_of_step(end_statement.step, 'cleanup_when', null) then
    perform runbook.settle_step(
      end_statement.step.run_id,
      end_statement.step.position,
      'running',
      jsonb_build_object(
        'error', end_statement.error,
        'ends_as', end_statement.ends_as,
        'cleanup', 'due',
        'cleanup_since', clock_timestamp()
      )
    );
    return;
  end if;

  perform runbook.settle_step(
    end_statement.step.run_id,
    end_statement.step.position,
    case when end_statement.error is null then 'done' else end_statement.ends_as end,
    v_progress || jsonb_strip_nulls(
      jsonb_build_object(
        'ended_at', clock_timestamp(), 'after', v_after, 'error', end_statement.error
      )
    )
  );
  perform runbook.close_run(end_statement.step.run_id);
end;
$$;

comment on function runbook.end_statement(runbook.step, jsonb, text) is
'Ends a statement''s step: done without an error, else failed or abandoned, once it is cleaned up.';
revoke all on function runbook.end_statement(runbook.step, jsonb, text) from public;

-- Ends a step whose statement went wrong, once its invalid index is dropped or cannot be.
create function runbook.end_cleanup(step runbook.step)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_is_clean constant boolean := not runbook.ask_of_step(end_cleanup.step, 'cleanup_when', null);
begin
  perform runbook.settle_step(
    end_cleanup.step.run_id,
    end_cleanup.step.position,
    coalesce(end_cleanup.step.progress ->> 'ends_as', 'failed'),
    jsonb_build_object(
      'ended_at', clock_timestamp(),
      'cleanup', case when v_is_clean then 'done' else 'failed' end,
      'error', (end_cleanup.step.progress -> 'error') || jsonb_build_object(
        'message', (end_cleanup.step.progress #>> '{error,message}') || case
          when v_is_clean then ' The invalid index that it left was dropped.'
          else ' It left an invalid index that could not be dropped: send drop-index for it.'
        end
      )
    )
  );
  perform runbook.close_run(end_cleanup.step.run_id);
end;
$$;

comment on function runbook.end_cleanup(runbook.step) is
'Ends a step whose statement left an invalid index, and says whether that was dropped.';
revoke all on function runbook.end_cleanup(runbook.step) from public;

-- A failure as the edge function reports it: a SQLSTATE alone is put into words where it is one of
-- those that are met.
create function runbook.failure_text(error text)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when failure_text.error ~ '^[0-9A-Z]{5}$' then format(
      'It failed with SQLSTATE %s%s.',
      failure_text.error,
      case failure_text.error
        when '23505' then ': values that must be unique are not'
        when '42501' then ': the right to do it was missing'
        when '42P01' then ': the table is gone'
        when '53100' then ': the disk is full'
        when '54000' then ': a value is too large for the index'
        when '55P03' then ': a lock was not free in time'
        when '57014' then ': it was cancelled, by somebody or by a statement_timeout'
        when '57P01' then ': somebody ended its session'
        else ''
      end
    )
    else left(failure_text.error, 500)
  end;
$$;

comment on function runbook.failure_text(text) is
'A SQLSTATE as a sentence; any other text as it is.';
revoke all on function runbook.failure_text(text) from public;

-- Who uses the table whose lock a statement waited for in vain, as a sentence with what to do; null
-- where nobody does any more.
--
-- Cost: pg_locks, pg_stat_activity.
create function runbook.users_of_table(table_oid oid)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select format(
    '%s is in use by %s. Try again when that is over, or end it: terminate-connection.',
    users_of_table.table_oid::regclass,
    string_agg(usr.description, '; ' order by usr.xact_start)
  )
  from (
    select
      act.xact_start,
      format(
        'session %s (%s), %s since %s',
        act.pid,
        coalesce(nullif(act.application_name, ''), act.backend_type, 'without a name'),
        coalesce(act.state, 'of unknown state'),
        runbook.utc_text(act.state_change)
      ) as description
    from pg_catalog.pg_stat_activity as act
    where act.pid <> pg_backend_pid()
      and exists (
        select
        from pg_catalog.pg_locks as lck
        where lck.pid = act.pid
          and lck.locktype = 'relation'
          and lck.relation = users_of_table.table_oid
          and lck.database = (
            select dat.oid from pg_catalog.pg_database as dat where dat.datname = current_database()
          )
          and lck.granted
      )
    order by act.xact_start
    limit 3
  ) as usr
  having count(*) > 0;
$$;

comment on function runbook.users_of_table(oid) is
'Up to three sessions that hold a lock on a table, the oldest first, as a sentence, or null.';
revoke all on function runbook.users_of_table(oid) from public;

-- How far Postgres says that a statement has come: {phase, percent}, or null.
create function runbook.statement_progress(run_id bigint)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  with shown as (
    select prg.pid, prg.phase, prg.blocks_done as done, prg.blocks_total as total
    from pg_catalog.pg_stat_progress_create_index as prg
    union all
    select prg.pid, prg.phase, prg.heap_blks_scanned, prg.heap_blks_total
    from pg_catalog.pg_stat_progress_vacuum as prg
    union all
    select prg.pid, prg.phase, prg.sample_blks_scanned, prg.sample_blks_total
    from pg_catalog.pg_stat_progress_analyze as prg
  )
  select jsonb_build_object(
    'phase', shw.phase, 'percent', round(100.0 * shw.done / nullif(shw.total, 0))
  )
  from shown as shw
  inner join pg_catalog.pg_stat_activity as act on act.pid = shw.pid
    and act.application_name = format('runbook run %s', statement_progress.run_id)
  limit 1;
$$;

comment on function runbook.statement_progress(bigint) is
'{phase, percent} of the statement that a session of the run''s name is at, or null.';
revoke all on function runbook.statement_progress(bigint) from public;

-- Records how a statement went, and ends the run when it was the last step. One that reports no
-- error has succeeded when its effect is seen.
create function runbook.settle_statement(run_id bigint, "position" integer, ok boolean, error text)
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
  where stp.run_id = settle_statement.run_id
    and stp.position = settle_statement.position
    and stp.kind = 'statement'
    and stp.state = 'running'
    and stp.progress ->> 'cleanup' is distinct from 'due'
  for update;

  if not found then
    return runbook.run_answer(settle_statement.run_id);
  end if;

  if v_step.progress ->> 'cleanup' = 'under way' then
    perform runbook.end_cleanup(v_step);
  elsif settle_statement.ok
    and runbook.ask_of_step(
      v_step, 'done_when', (v_step.progress ->> 'started_at')::timestamptz
    )
  then
    perform runbook.end_statement(v_step, null, null);
  else
    perform runbook.end_statement(
      v_step,
      jsonb_build_object(
        'sqlstate', 'RBSTM',
        'message', case
          when settle_statement.ok then coalesce(
            v_step.content ->> 'missed',
            'Postgres reported no error, but what the statement was for is not there.'
          )
          else concat_ws(
            ' ',
            runbook.failure_text(settle_statement.error),
            case
              when settle_statement.error = '55P03'
                then runbook.users_of_table((v_step.content ->> 'locks')::oid)
            end
          )
        end
      ),
      'failed'
    );
  end if;

  return runbook.run_answer(settle_statement.run_id);
end;
$$;

comment on function runbook.settle_statement(bigint, integer, boolean, text) is
'Records how the statement that runbook.next_statement handed out went; returns the run.';
revoke all on function runbook.settle_statement(bigint, integer, boolean, text) from public;

-- What became of a statement that its edge function no longer reports on: it is under way while a
-- session has the run's name; else the catalog tells whether it was done. What was not begun, and
-- what is to be cleaned up, waits for the function that the tick rings, for ten minutes.
create function runbook.follow_statement(step runbook.step)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  v_cleanup constant text := follow_statement.step.progress ->> 'cleanup';
  v_since constant timestamptz := coalesce(
    (follow_statement.step.progress ->> 'cleanup_since')::timestamptz,
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
  v_waits constant boolean := follow_statement.step.state = 'pending' or v_cleanup is not null;
  v_since_started constant timestamptz := (
    follow_statement.step.progress ->> 'started_at'
  )::timestamptz;
begin
  perform pg_stat_clear_snapshot();

  if exists (
    select
    from pg_catalog.pg_stat_activity as act
    where act.application_name = format('runbook run %s', follow_statement.step.run_id)
      and act.state is distinct from 'idle'
  ) then
    if follow_statement.step.state = 'running' then
      perform runbook.settle_step(
        follow_statement.step.run_id,
        follow_statement.step.position,
        'running',
        jsonb_strip_nulls(
          jsonb_build_object(
            'seen_at', clock_timestamp(),
            'server', runbook.statement_progress(follow_statement.step.run_id)
          )
        )
      );
    end if;
    return;
  end if;

  -- Whoever took it may be about to begin, or to report.
  if v_since_started > clock_timestamp() - interval '90 seconds' then
    return;
  end if;

  if v_cleanup = 'under way' then
    -- Nobody is at it any more: done already, or for the next who is rung for.
    if runbook.ask_of_step(follow_statement.step, 'cleanup_when', null) then
      perform runbook.settle_step(
        follow_statement.step.run_id,
        follow_statement.step.position,
        'running',
        '{"cleanup": "due"}'
      );
    else
      perform runbook.end_cleanup(follow_statement.step);
    end if;
    return;
  end if;

  if v_waits and (
    v_since > clock_timestamp() - interval '10 minutes' or runbook.runs_are_paused()
  ) then
    return;
  end if;

  if v_cleanup is not null then
    perform runbook.end_cleanup(follow_statement.step);
  elsif follow_statement.step.state = 'running'
    and runbook.ask_of_step(follow_statement.step, 'done_when', v_since)
  then
    perform runbook.end_statement(follow_statement.step, null, null);
  else
    perform runbook.end_statement(
      follow_statement.step,
      '{
        "sqlstate": "RBSTM",
        "message": "Nobody carries the statement out any more, and it was not done."
      }',
      'abandoned'
    );
  end if;
exception
  when lock_not_available then
    return;
end;
$$;

comment on function runbook.follow_statement(runbook.step) is
'Ends a statement''s step that nobody works on: done if the catalog shows it, else abandoned.';
revoke all on function runbook.follow_statement(runbook.step) from public;

-- Whether a batch only looks, and so is left to the tick.
create function runbook.only_looks(batch_name text)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    (
      select bat.only_looks
      from runbook.batch_function as bat
      where bat.name = only_looks.batch_name
    ),
    false
  );
$$;

comment on function runbook.only_looks(text) is
'Whether a batch of the closed list waits for something and only looks.';
revoke all on function runbook.only_looks(text) from public;

-- Runs that an edge function should work on: those whose first open step is a statement that
-- nobody has begun, an invalid index to be dropped, or a batch.
--
-- Cost: the index of open steps.
create function runbook.runs_to_follow()
returns setof bigint
language sql
stable
security invoker
set search_path = ''
as $$
  with first_open as (
    select distinct on (stp.run_id)
      stp.run_id,
      stp.kind,
      stp.operation,
      stp.state,
      stp.progress
    from runbook.step as stp
    where stp.state in ('pending', 'running')
    order by stp.run_id, stp.position
  )
  select opn.run_id
  from first_open as opn
  inner join runbook.run as run on run.id = opn.run_id and run.state = 'applying'
  where (
    opn.kind = 'batch' and not runbook.only_looks(opn.operation)
    or opn.kind = 'statement' and (opn.state = 'pending' or opn.progress ->> 'cleanup' = 'due')
  )
    -- Whoever applied it has just begun to follow it.
    and run.started_at < clock_timestamp() - interval '10 seconds'
    and not runbook.runs_are_paused()
  order by opn.run_id;
$$;

comment on function runbook.runs_to_follow() is
'Runs that wait for an edge function to carry out a statement or batches.';
revoke all on function runbook.runs_to_follow() from public;

-- Does one batch of a run in a transaction of its own, for an edge function that goes on as long
-- as there is more. Whoever is at the run already is left alone.
create function runbook.work_on_batch(run_id bigint)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_step runbook.step;
begin
  if runbook.runs_are_paused() then
    return false;
  end if;

  select stp.*
  into v_step
  from runbook.step as stp
  where stp.run_id = work_on_batch.run_id
    and stp.state in ('pending', 'running')
  order by stp.position
  limit 1
  for update skip locked;

  if not found or v_step.kind <> 'batch' or runbook.only_looks(v_step.operation) then
    return false;
  end if;

  perform runbook.advance_batch(v_step, 'function');

  return exists (
    select
    from runbook.step as stp
    where stp.run_id = v_step.run_id
      and stp.position = v_step.position
      and stp.state = 'running'
      -- One that failed, or waits for something, is left to the next tick.
      and coalesce((stp.progress ->> 'failures')::integer, 0) = 0
      and stp.progress ->> 'by' = 'function'
  );
end;
$$;

comment on function runbook.work_on_batch(bigint) is
'Does one batch of a run; whether it is worth while to do another at once.';
revoke all on function runbook.work_on_batch(bigint) from public;
