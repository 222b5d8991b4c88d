begin;

select plan(11);

create function pg_temp.found()
returns text
language sql
as $$
  select coalesce(
    string_agg(
      fnd.content ->> 'subject', ', '
      order by fnd.content ->> 'subject'
    ),
    ''
  )
  from jsonb_array_elements(runbook.run_check('statement_timeouts') -> 'findings')
    as fnd (content);
$$;

select is(pg_temp.found(), '', 'as the platform ships them nothing is missing');
select is(runbook.run_check('statement_timeouts') -> 'value', '8', 'at most 8 s');

alter role anon reset statement_timeout;
select is(pg_temp.found(), '', 'a role without one has that of authenticator');

alter role anon set statement_timeout = '1min';
select is(pg_temp.found(), '', 'a minute is as long as the gateway waits');

alter role anon set statement_timeout = '61s';
select is(pg_temp.found(), 'role anon', 'longer is a finding');

alter role anon set statement_timeout = 0;
select is(pg_temp.found(), 'role anon', 'so is none');
select matches(
  runbook.run_check('statement_timeouts') #>> '{findings,0,summary}',
  'may run for ever .* alter role anon set statement_timeout = ''3s'';$',
  'with the statement that sets it'
);
select is(
  runbook.run_check('statement_timeouts') #>> '{findings,0,code}', 'statement_timeout_missing',
  'under its code'
);

alter role anon reset statement_timeout;
do $$
begin
  execute format('alter role anon in database %I set statement_timeout = 3000', current_database());
end;
$$;
select is(pg_temp.found(), '', 'one that is set for this database counts');

select results_eq(
  $$
  select runbook.setting_ms(one.value)
  from unnest(array['8s', '3000', '2min', ' 1.5 h ', '100us', '0']) as one (value)
  $$,
  array[8000, 3000, 120000, 5400000, 0.1, 0],
  'times are understood as settings write them'
);
select is_empty(
  $$
  select
  from unnest(array['', 'x', '-1', '8 parsecs', null]) as one (value)
  where runbook.setting_ms(one.value) is not null
  $$,
  'and others are not'
);

select * from finish();
rollback;
