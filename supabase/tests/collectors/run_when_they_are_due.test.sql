begin;

select plan(20);

-- The stack may be at work: its ticks leave at once, and what it writes waits until this test has
-- rolled back.
select runbook.lock_for_transaction('tick');
lock table runbook.collector_state in share row exclusive mode;

delete from runbook.collector where true;

create table public.test_sample (at timestamptz default clock_timestamp());
create function public.test_collect(keep interval)
returns bigint
language plpgsql
as $$
begin
  insert into public.test_sample default values;
  case current_setting('test.mood', true)
    when 'division' then perform 1 / 0;
    when 'cancelled' then raise exception 'too slow' using errcode = 'query_canceled';
    else null;
  end case;
  return extract(epoch from keep);
end;
$$;
select set_config('test.mood', 'good', true);

insert into runbook.collector (name, function, every, keep, description)
values ('test_one', 'public.test_collect', '1 hour', '7 seconds', 'T.');

create function pg_temp.state()
returns runbook.collector_state
language sql
as $$
  select stt from runbook.collector_state as stt where stt.collector_name = 'test_one';
$$;

create function pg_temp.pass(by interval)
returns void
language sql
as $$
  update runbook.collector_state as stt set tried_at = stt.tried_at - by where true;
$$;

create function pg_temp.codes()
returns text
language sql
as $$
  select string_agg(fnd.content ->> 'code', ' ')
  from jsonb_array_elements(runbook.run_check('collectors') -> 'findings') as fnd (content);
$$;

create or replace function runbook.server_started_at()
returns timestamptz
language sql
stable
as $$ select clock_timestamp() - interval '1 day'; $$;
update runbook.heartbeat set scheduled_at = clock_timestamp();

select is(pg_temp.codes(), null, 'a collector that has not had its turn is no finding');

update runbook.heartbeat set scheduled_at = clock_timestamp() - interval '2 hours';
select is(pg_temp.codes(), 'collector_late', 'one that never had it in two hours is');

select is(runbook.collect_next(), 'test_one', 'what never ran is due');
select is(
  (pg_temp.state()).row_count, 7::bigint, 'it knows how long to keep, and says how much it wrote'
);
select is(pg_temp.codes(), null, 'and the finding is gone');
select is(runbook.collect_next(), null, 'it is not due again at once');

select pg_temp.pass('59 minutes 55 seconds');
select is(runbook.collect_next(), 'test_one', 'but after its interval, give or take a moment');
select is((select count(*) from public.test_sample), 2::bigint, 'each time it wrote its snapshot');

select set_config('test.mood', 'division', true);
select is(runbook.collect('test_one'), false, 'what goes wrong in it is not raised');
select is((select count(*) from public.test_sample), 2::bigint, 'what it wrote is undone');
select is((pg_temp.state()).error ->> 'sqlstate', '22012', 'and the error is recorded');
select isnt((pg_temp.state()).succeeded_at, null, 'beside the last success');
select is(pg_temp.codes(), 'collector_failed', 'which is a finding');

select is(runbook.collect_next(), null, 'one that failed is not tried at once');
select pg_temp.pass('6 minutes');
select set_config('test.mood', 'cancelled', true);
select is(runbook.collect_next(), 'test_one', 'but before its interval is over');
select is((pg_temp.state()).error ->> 'sqlstate', '57014', 'being cancelled is an error as well');

select set_config('test.mood', 'good', true);
select is(runbook.collect('test_one'), true, 'by hand it runs at once');
select is(pg_temp.codes(), null, 'and once it succeeded all is well');

select throws_ok(
  $$ select runbook.collect('coffee') $$, 'RB404', null, 'there is no such collector'
);

select pg_temp.pass('2 hours');
set transaction read only;
select is(runbook.collect_next(), null, 'on a read-only database nothing is collected');

select * from finish();
rollback;
