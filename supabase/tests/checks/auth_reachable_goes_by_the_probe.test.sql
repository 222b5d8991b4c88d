begin;

select plan(8);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.probe in share row exclusive mode;

create function pg_temp.status(scheduled boolean default false)
returns text
language sql
as $$
  select runbook.run_check('auth_reachable', scheduled) ->> 'status';
$$;

create function pg_temp.age(by interval)
returns void
language sql
as $$
  update runbook.probe set seen_at = clock_timestamp() - by where name = 'auth_health';
$$;

delete from runbook.probe where true;
select is(pg_temp.status(), 'skipped', 'without a look it is skipped');

select runbook.record_probe('auth_health', true, '{"status": 200, "took_ms": 12}');
select is(pg_temp.status(), 'ok', 'Auth that answered is ok');
select is(runbook.run_check('auth_reachable') -> 'value', '12', 'in so many milliseconds');

select pg_temp.age('50 seconds');
select is(pg_temp.status(), 'ok', 'a look of less than a minute ago counts');

select pg_temp.age('61 seconds');
select is(pg_temp.status(), 'skipped', 'an older one does not');
select is(pg_temp.status(scheduled => true), 'ok', 'but it does for the schedule');

select pg_temp.age('131 seconds');
select is(pg_temp.status(scheduled => true), 'skipped', 'up to 130 seconds');

select runbook.record_probe('auth_health', false, '{"error": "timeout", "took_ms": 2000}');
select is(
  runbook.run_check('auth_reachable') #>> '{findings,0,code}',
  'auth_unreachable',
  'Auth that did not answer is a finding'
);

select * from finish();
rollback;
