begin;

select plan(6);

create function pg_temp.entry(name text)
returns jsonb
language sql
as $$
  select runbook.run_check(name);
$$;

select is(pg_temp.entry('clock_not_shifted') ->> 'status', 'ok', 'the real time is ok');

select runbook.shift_clock('-1 second');
select is(
  pg_temp.entry('clock_not_shifted') #>> '{findings,0,code}',
  'clock_shifted',
  'a clock that is a second off is a finding'
);
select is(pg_temp.entry('clock_not_shifted') -> 'value', '-1', 'and the value says how far');

select runbook.shift_clock(null);
select is(pg_temp.entry('clock_not_shifted') ->> 'status', 'ok', 'set right it is ok again');

select is(
  pg_temp.entry('database_writable') ->> 'status',
  'ok',
  'a database that takes writes is ok'
);

set transaction read only;
select is(
  pg_temp.entry('database_writable') ->> 'status',
  'ok',
  'a transaction that is read-only by its own choice says nothing about the database'
);

select * from finish();
rollback;
