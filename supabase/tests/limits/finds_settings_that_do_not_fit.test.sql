begin;

select plan(8);

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
  from jsonb_array_elements(runbook.run_check('settings') -> 'findings') as fnd (content)
  where fnd.content ->> 'severity' <> 'info';
$$;

select is(pg_temp.found(), '', 'as the stack ships them they fit');
select is(runbook.run_check('settings') ->> 'status', 'ok', 'and a hint is no alarm');

-- 128 MB of shared_buffers stand for 512 MB of memory; there are 100 connections.
alter role authenticator set work_mem = '10MB';
select is(pg_temp.found(), '', 'work_mem of less than twice the memory in all is a near miss');

alter role authenticator set work_mem = '11MB';
select is(pg_temp.found(), 'work_mem of role authenticator', 'more is a finding');

alter role authenticator set work_mem = 11264;
select is(
  pg_temp.found(), 'work_mem of role authenticator', 'also as a number of kilobytes'
);
alter role authenticator reset work_mem;
select is(pg_temp.found(), '', 'taken back it is gone');

create role "test_reporting" login;
alter role "test_reporting" set work_mem = '256MB';
select is(pg_temp.found(), '', 'a role of few connections may have more');

select runbook.tune_check('settings', '{"maintenance_percent": 10}');
select is(
  pg_temp.found(), 'maintenance_work_mem', 'autovacuum''s memory is counted for all workers'
);

select * from finish();
rollback;
