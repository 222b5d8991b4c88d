begin;

select plan(7);

set local client_min_messages = warning;
select runbook.lock_for_transaction('tick');
lock table runbook.report, runbook.ticket in share row exclusive mode;
-- A remediation that declares what the test puts into a table.
create table public.test_wanted (
  id bigint generated always as identity primary key,
  declared runbook.declared_step
);
create function public.test_remedy(params jsonb)
returns setof runbook.declared_step
language sql
stable
as $$ select (wtd.declared).* from public.test_wanted as wtd order by wtd.id $$;
insert into runbook.remediation
  (name, title, description, parameters, subject_keys, function, risk, issue, cures)
values (
  'test-remedy', 'Test', 'Test.', '{"type": "object", "properties": {}}', '{}',
  'public.test_remedy', 'low', null, '{}'
);

insert into public.test_wanted (declared)
values (runbook.call_step(
  '{"service": "auth", "method": "POST", "path": "/x", "undo_reason": "no."}', 'Call.'
));
select runbook.set_functions_url('http://bell.test');

create function pg_temp.rung()
returns bigint
language sql
as $$
  select count(*)
  from net.http_request_queue as req
  where req.url = 'http://bell.test/functions/v1/deliver';
$$;

select runbook.tick();
select is(pg_temp.rung(), 0::bigint, 'a tick without calls rings no deliverer');

select runbook.remediate('test-remedy', '{}', reason => 'test');
select runbook.tick();
select is(pg_temp.rung(), 1::bigint, 'a call that is due rings one');

create temporary table claimed as select cll.content from runbook.claim_calls() as cll (content);
select runbook.tick();
select is(pg_temp.rung(), 1::bigint, 'a call that somebody sends does not');

-- The diagnosis cannot be asked with these parameters.
update runbook.remediation set issue = 'login', cures = '{unconfirmed}' where name = 'test-remedy';
select is(
  (
    select runbook.settle_call(
      (clm.content ->> 'id')::bigint, (clm.content ->> 'token')::uuid, '{"status": 200}'
    ) ->> 'run_state'
    from claimed as clm
  ),
  'succeeded',
  'a diagnosis that fails does not take back that the call was sent'
);
select is(
  runbook.run_of((select (clm.content ->> 'run_id')::bigint from claimed as clm))
  #>> '{verification,status}',
  'unknown',
  'it only makes the verification unknown'
);
update runbook.remediation set issue = null where name = 'test-remedy';

create temporary table second as
select runbook.remediate('test-remedy', '{}', reason => 'test') as answer;
select runbook.claim_calls(lease => '0 seconds');
alter table runbook.call disable trigger call_moves_forwards;
update runbook.call
set created_at = clock_timestamp() - interval '61 minutes'
where state = 'sending';
alter table runbook.call enable trigger call_moves_forwards;
select runbook.tick();
select is(
  (select runbook.run_of((sec.answer #>> '{run,id}')::bigint) ->> 'state' from second as sec),
  'failed',
  'a call that nobody got through in an hour is given up by the tick'
);
select is_empty('select runbook.claim_calls()', 'and not handed out any more');

select * from finish();
rollback;
