begin;

select plan(7);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.check_state, runbook.collector_state in share row exclusive mode;

delete from runbook.check_state where true;
delete from runbook.collector_state where true;

create function pg_temp.codes()
returns text
language sql
as $$
  select string_agg(fnd.content ->> 'code', ' ')
  from jsonb_array_elements(runbook.run_check('own_cost') -> 'findings') as fnd (content);
$$;

select is(runbook.run_check('own_cost') ->> 'value', null, 'what never ran has no known cost');
select is(
  runbook.run_check('own_cost') ->> 'status', 'not_applicable', 'and is not called in order'
);

select runbook.keep_entries('[{"check": "connections", "status": "ok", "took_ms": 290}]');
select is(pg_temp.codes(), null, 'less than the threshold is no finding');
select is(
  runbook.run_check('own_cost') -> 'value',
  '0.483',
  '290 ms each minute are half a percent of a core'
);

insert into runbook.collector (name, function, every, keep, description)
values ('test_one', 'public.none', '1 minute', '1 day', 'T.');
insert into runbook.collector_state (collector_name, tried_at, took_ms)
values ('test_one', clock_timestamp(), 310);
select is(pg_temp.codes(), 'schedule_expensive', 'with a collector of 310 ms a minute it is one');

delete from runbook.collector_state where true;
select runbook.keep_entries(
  '[{"check": "connections", "status": "error", "took_ms": 2000, "sqlstate": "57014"}]'
);
select is(pg_temp.codes(), 'check_quarantined', 'a check that is too slow is named');

select runbook.keep_entries('[{"check": "connections", "status": "ok", "took_ms": 1}]');
select is(pg_temp.codes(), null, 'until it has passed');

select * from finish();
rollback;
