-- The runbook's own clock, so that tests of rules and states travel in time.
--
-- Timestamps that others write (Auth, pg_cron, the application) are compared with the real clock,
-- and so are durations and leases. A shifted clock is a critical finding of the health check.

create table runbook.clock (
  id boolean not null default true,
  shift interval not null default '0',
  shifted_at timestamptz,
  constraint clock_pkey primary key (id),
  constraint clock_has_one_row check (id)
);

comment on table runbook.clock is 'One row: how far runbook.now() is from the real time.';

revoke all on table runbook.clock from public;
grant select on table runbook.clock to runbook_viewer;

insert into runbook.clock (id) values (true);

-- The time that the runbook's rules go by. Write `(select runbook.now())` in a filter.
create function runbook.now()
returns timestamptz
language sql
stable
security invoker
set search_path = ''
as $$
  select pg_catalog.now() + coalesce((select clk.shift from runbook.clock as clk), '0');
$$;

comment on function runbook.now() is
'The time for rules and states: the transaction''s time plus the shift of runbook.clock.';
revoke all on function runbook.now() from public;
grant execute on function runbook.now() to runbook_viewer;

-- Moves the runbook's clock. Only the owner of the schema may: it is made for tests.
create function runbook.shift_clock(by interval)
returns timestamptz
language sql
volatile
security invoker
set search_path = ''
as $$
  update runbook.clock as clk
  set
    shift = case when shift_clock.by is null then '0' else clk.shift + shift_clock.by end,
    shifted_at = case when shift_clock.by is null then null else clock_timestamp() end
  where clk.id
  returning pg_catalog.now() + clk.shift;
$$;

comment on function runbook.shift_clock(interval) is
'Moves runbook.now() by an interval, added to earlier shifts; null goes back to the real time.';
revoke all on function runbook.shift_clock(interval) from public;
