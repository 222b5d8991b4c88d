begin;

select plan(10);

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

do $$ begin
  execute format(
    'alter database %I set default_transaction_read_only = on', current_database()
  );
end $$;
select is(
  current_setting('default_transaction_read_only'), 'off', 'this session began before the change'
);
select is(
  pg_temp.entry('database_writable') #>> '{findings,0,code}',
  'database_read_only',
  'and tells that new ones are read-only all the same'
);
do $$ begin
  execute format('alter role %I set default_transaction_read_only = off', session_user);
end $$;
select is(
  pg_temp.entry('database_writable') ->> 'status', 'ok', 'what is set for the role comes first'
);
do $$ begin
  execute format('alter role %I reset default_transaction_read_only', session_user);
  execute format('alter database %I reset default_transaction_read_only', current_database());
end $$;
select is(
  pg_temp.entry('database_writable') ->> 'status', 'ok', 'set right it is ok again'
);

set transaction read only;
select is(
  pg_temp.entry('database_writable') ->> 'status',
  'ok',
  'a transaction that is read-only by its own choice says nothing about the database'
);

select * from finish();
rollback;
