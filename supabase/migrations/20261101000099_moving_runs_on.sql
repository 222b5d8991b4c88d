-- Moving runs on that take their time: by the tick, and where there is no schedule by whoever asks
-- how a run fares. A run that nobody moves on would stay under way for ever, and refuse each other
-- for the same subject.
-- Relies on: the steps of batches, effects and statements; the heartbeat of the tick.

-- One round of a run: a batch, effects whose request was killed, or a look at a statement whose
-- edge function was interrupted. A step that somebody is working on is left to them. What goes
-- wrong is no more than a warning.
create function runbook.advance_run(run_id bigint)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_step runbook.step;
begin
  -- Steps of a run are worked on one after the other.
  select stp.*
  into v_step
  from runbook.step as stp
  where stp.run_id = advance_run.run_id
    and stp.state in ('pending', 'running')
  order by stp.position
  limit 1
  for update skip locked;

  if not found then
    return;
  end if;

  if v_step.kind = 'effect' then
    -- Whoever applied the run may be about to perform it.
    if not runbook.runs_are_paused() and exists (
      select
      from runbook.run as run
      where run.id = v_step.run_id
        and run.started_at < clock_timestamp() - interval '30 seconds'
    ) then
      perform runbook.finish_effects(v_step.run_id);
    end if;
  elsif v_step.kind = 'statement' then
    perform runbook.follow_statement(v_step);
  elsif v_step.kind = 'batch'
    and not runbook.runs_are_paused()
    -- What an edge function is at goes on there, in transactions that are shorter than a tick.
    and (
      v_step.progress ->> 'by' is distinct from 'function'
      or (v_step.progress ->> 'at')::timestamptz < clock_timestamp() - interval '90 seconds'
    )
  then
    perform runbook.advance_batch(v_step);
  end if;
exception
  when query_canceled or assert_failure or others then
    raise warning 'Run % could not be advanced: % %', advance_run.run_id, sqlstate, sqlerrm;
end;
$$;

comment on function runbook.advance_run(bigint) is
'Does one batch of a run, performs effects that were left, or ends a statement that nobody works on.';
revoke all on function runbook.advance_run(bigint) from public;

-- The tick's part in runs that take their time. One run that goes wrong does not stop the others.
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
begin
  perform runbook.bury_calls();

  for v_run_id in
    select distinct stp.run_id
    from runbook.step as stp
    where stp.state in ('pending', 'running')
    order by stp.run_id
  loop
    perform runbook.advance_run(v_run_id);
  end loop;
end;
$$;

comment on function runbook.advance_runs() is
'Does one batch of each run that has one, performs effects that were left, and ends statements that
nobody works on.';
revoke all on function runbook.advance_runs() from public;

-- Whether the schedule moves runs on.
create function runbook.schedule_is_alive()
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return coalesce(
    (
      select hbt.ticked_at > clock_timestamp() - interval '3 minutes'
      from runbook.heartbeat as hbt
    ),
    false
  );
end;
$$;

comment on function runbook.schedule_is_alive() is 'Whether the tick came within three minutes.';
revoke all on function runbook.schedule_is_alive() from public;

-- Moves a run on where no schedule does it, because somebody asks how it fares. Answers whether an
-- edge function should go on with it: with statements and batches that nobody is at. What it does
-- was decided when the run was applied, so it does not matter who asks.
create function runbook.take_up_run(run_id bigint)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if runbook.schedule_is_alive() or not exists (
    select
    from runbook.run as run
    where run.id = take_up_run.run_id
      and run.state = 'applying'
      -- Whoever applied it has just begun to follow it.
      and run.started_at < clock_timestamp() - interval '10 seconds'
  ) or exists (
    select
    from runbook.step as stp
    where stp.run_id = take_up_run.run_id
      and stp.state = 'running'
      and (stp.progress ->> 'at')::timestamptz > clock_timestamp() - interval '10 seconds'
  ) then
    return false;
  end if;

  perform runbook.advance_run(take_up_run.run_id);

  return take_up_run.run_id in (select runbook.runs_to_follow());
end;
$$;

comment on function runbook.take_up_run(bigint) is
'Moves a run on that nobody is at, where no schedule does; whether an edge function should go on.';
revoke all on function runbook.take_up_run(bigint) from public;

-- What to do about a run that is under way.
create function runbook.waiting_hint()
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when runbook.schedule_is_alive() then 'Wait until it has ended.'
    else
      'No schedule moves it on: ask remediation-runs for it until it has ended, or call '
      'select runbook.advance_runs();'
  end;
$$;

comment on function runbook.waiting_hint() is 'What to do about a run that is under way.';
revoke all on function runbook.waiting_hint() from public;
