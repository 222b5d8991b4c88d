-- Collectors: functions that keep figures over time, so that a check can tell growth, a rate or
-- "since yesterday". Each is called when its interval has passed, in a statement of its own.
-- Relies on: nothing but the schema; the schedule calls what is due.

create table runbook.collector (
  name text not null,
  function text not null,
  every interval not null,
  keep interval not null,
  description text not null,
  constraint collector_pkey primary key (name),
  constraint name_is_snake_case check (name ~ '^[a-z][a-z0-9]*(_[a-z0-9]+)*$'),
  constraint every_is_a_minute_or_more check (every >= interval '1 minute')
);

comment on table runbook.collector is 'What keeps figures over time, and how often.';
comment on column runbook.collector.function is
'Qualified name of a volatile function (keep interval) returning bigint: it writes one snapshot,
removes those that are older than `keep`, and returns how many rows it wrote.';

revoke all on table runbook.collector from public;
grant select on table runbook.collector to runbook_viewer;

create table runbook.collector_state (
  collector_name text not null,
  tried_at timestamptz not null,
  succeeded_at timestamptz,
  took_ms numeric not null,
  row_count bigint,
  error jsonb,
  constraint collector_state_pkey primary key (collector_name),
  constraint collector_state_collector_name_fkey foreign key (collector_name)
    references runbook.collector (name) on delete cascade
)
with (fillfactor = 50);

comment on table runbook.collector_state is
'How each collector fared: the last try and the last success. Real clock.';
comment on column runbook.collector_state.row_count is 'How many rows the last success wrote.';
comment on column runbook.collector_state.error is
'{sqlstate, message} when the last try failed.';

revoke all on table runbook.collector_state from public;
grant select on table runbook.collector_state to runbook_viewer;

-- Calls one collector, and records how it went. What fails in it is undone and recorded; nothing
-- is raised then, so that the others of the same job keep what they wrote. One at a time.
create function runbook.collect(name text)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
set lock_timeout = '100ms'
set jit = off
set max_parallel_workers_per_gather = 0
as $$
declare
  v_started_at constant timestamptz := clock_timestamp();
  v_collector runbook.collector;
  v_row_count bigint;
  v_error jsonb;
begin
  select col.*
  into v_collector
  from runbook.collector as col
  where col.name = collect.name;

  if not found then
    raise exception 'There is no collector %.', coalesce(quote_literal(collect.name), 'null')
      using errcode = 'RB404', hint = 'select name from runbook.collector;';
  end if;

  if not pg_try_advisory_xact_lock(hashtextextended('runbook collector ' || collect.name, 0)) then
    raise notice 'This collector is at work in another session.';
    return false;
  end if;

  begin
    execute format(
      'select %s($1)', (v_collector.function || '(interval)')::regprocedure::oid::regproc
    )
    into v_row_count
    using v_collector.keep;
  exception
    when query_canceled or assert_failure or others then
      v_error := jsonb_build_object('sqlstate', sqlstate, 'message', left(sqlerrm, 300));
  end;

  insert into runbook.collector_state as stt (
    collector_name, tried_at, succeeded_at, took_ms, row_count, error
  )
  values (
    collect.name,
    v_started_at,
    case when v_error is null then clock_timestamp() end,
    runbook.ms_since(v_started_at),
    v_row_count,
    v_error
  )
  on conflict on constraint collector_state_pkey do update
  set
    tried_at = excluded.tried_at,
    succeeded_at = coalesce(excluded.succeeded_at, stt.succeeded_at),
    took_ms = excluded.took_ms,
    row_count = coalesce(excluded.row_count, stt.row_count),
    error = excluded.error;

  return v_error is null;
end;
$$;

comment on function runbook.collect(text) is
'Calls a collector now and records how it went. Returns whether it succeeded. Raises RB404 for an
unknown one.';
revoke all on function runbook.collect(text) from public;

-- Calls the collector that has been due for longest, if any is. What the schedule calls, several
-- times a minute, each in a statement of its own with its own timeout.
--
-- One that failed is due again after a tenth of its interval, and not before five minutes.
create function runbook.collect_next()
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_name text;
begin
  if current_setting('transaction_read_only')::boolean then
    raise notice 'The database is read-only, so nothing was collected.';
    return null;
  end if;

  select col.name
  into v_name
  from runbook.collector as col
  left join runbook.collector_state as stt on stt.collector_name = col.name
  cross join lateral (
    select stt.tried_at + case
      when stt.error is null then col.every
      else least(col.every, greatest(col.every / 10, interval '5 minutes'))
    end as at
  ) as due
  where due.at is null
    -- The schedule comes on the minute, give or take a moment.
    or due.at <= clock_timestamp() + interval '10 seconds'
  order by due.at nulls first, col.every, col.name
  limit 1;

  if v_name is not null then
    perform runbook.collect(v_name);
  end if;

  return v_name;
end;
$$;

comment on function runbook.collect_next() is
'Calls the collector that has been due for longest, and returns its name; null when none is due.';
revoke all on function runbook.collect_next() from public;

-- What the schedule costs: what each check and collector last took, by how often it is due.
create function runbook.scheduled_cost()
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  with costs as (
    select
      stt.took_ms,
      greatest(
        extract(epoch from grp.every),
        least(3600, stt.took_ms / 1000 / grp.largest_share)
      ) as every_s
    from runbook.check_state as stt
    inner join runbook.check as chk on chk.name = stt.check_name
    inner join runbook.check_group as grp on grp.name = chk.check_group
    where stt.took_ms is not null
    union all
    select
      stt.took_ms,
      extract(epoch from col.every)
    from runbook.collector_state as stt
    inner join runbook.collector as col on col.name = stt.collector_name
  ),
  total as (
    select sum(cst.took_ms * 60 / cst.every_s) as ms_per_minute
    from costs as cst
  )
  select jsonb_build_object(
    'ms_per_minute', round(total.ms_per_minute, 1),
    'percent_of_one_core', round(100 * total.ms_per_minute / 60000, 3)
  )
  from total;
$$;

comment on function runbook.scheduled_cost() is
'What the schedule costs by the clock: {ms_per_minute, percent_of_one_core}, the latter at most; nulls
before anything was measured.';
revoke all on function runbook.scheduled_cost() from public;
grant execute on function runbook.scheduled_cost() to runbook_viewer;
