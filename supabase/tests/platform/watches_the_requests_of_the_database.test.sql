begin;

select plan(9);

-- The stack may be at work: what it writes waits until this test has rolled back.
-- First the queue, as the sender does.
lock table net.http_request_queue, net._http_response in share row exclusive mode;
delete from net._http_response where true;
delete from net.http_request_queue where true;

create function pg_temp.found()
returns text
language sql
as $$
  select coalesce(
    string_agg((fnd.content ->> 'code') || ' ' || (fnd.content ->> 'severity'), ', '), ''
  )
  from jsonb_array_elements(runbook.run_check('pg_net') -> 'findings') as fnd (content);
$$;

create procedure pg_temp.answers(times integer, status integer, problem text, ago interval)
language sql
as $$
  insert into net._http_response (id, status_code, timed_out, error_msg, created)
  select n, status, problem like 'Timeout%', problem, clock_timestamp() - ago
  from generate_series(1, times) as srs (n);
$$;

create or replace function runbook.pg_net_worker_is_running()
returns boolean
language sql
stable
as 'select true';

select is(pg_temp.found(), '', 'without a request there is nothing to say');

call pg_temp.answers(9, null, 'Timeout of 5000 ms reached.', '1 minute');
select is(pg_temp.found(), '', 'nine answers are too few for a share');

call pg_temp.answers(40, 200, null, '1 minute');
select is(pg_temp.found(), '', 'so are nine timeouts of 49');

call pg_temp.answers(5, 401, null, '1 minute');
select is(pg_temp.found(), 'pg_net_requests_fail warning', 'a quarter that fails is a finding');
select matches(
  runbook.run_check('pg_net') #>> '{findings,0,summary}',
  '9 timed out.*5 were refused \(mostly 401\)',
  'that tells how'
);

update net._http_response set created = created - interval '1 hour';
select is(pg_temp.found(), '', 'an hour later it is over');

insert into net.http_request_queue (method, url, timeout_milliseconds)
select 'GET', 'http://localhost', 1000
from generate_series(1, 1000);
select is(pg_temp.found(), 'pg_net_queue_long warning', 'a thousand that wait are a finding');

create or replace function runbook.pg_net_worker_is_running()
returns boolean
language sql
stable
as 'select false';
select is(pg_temp.found(), 'pg_net_worker_down critical', 'without its worker nothing is sent');

delete from net.http_request_queue where true;
create or replace function runbook.pg_net_worker_is_running()
returns boolean
language sql
stable
as 'select true';
select is(pg_temp.found(), '', 'cured it is silent');

select * from finish();
rollback;
