begin;

select plan(22);

set local client_min_messages = warning;
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
create function pg_temp.run(answer jsonb)
returns bigint
language sql
as $$ select (answer #>> '{run,id}')::bigint; $$;

-- One attempt: claims the next call of the run and settles it.
create function pg_temp.attempt(id bigint, outcome jsonb)
returns jsonb
language plpgsql
as $$
declare
  v_call jsonb;
begin
  select cll.content into v_call from runbook.claim_calls(id, 1) as cll (content);
  if v_call is null then
    return '{"claimed": false}';
  end if;
  return v_call || runbook.settle_call(
    (v_call ->> 'id')::bigint, (v_call ->> 'token')::uuid, outcome
  );
end;
$$;

insert into public.test_wanted (declared)
values
  (runbook.call_step(
    '{
      "service": "auth", "method": "PUT", "path": "/admin/users/1",
      "body": {"ban_duration": "none", "password": "canary-1"},
      "undo": {"method": "PUT", "path": "/admin/users/1", "body": {"ban_duration": "24h"}}
    }',
    'Unban.'
  )),
  (runbook.call_step(
    '{
      "service": "auth", "method": "POST", "path": "/resend", "body": null,
      "undo": null, "undo_reason": "a mail that went out does not come back."
    }',
    'Send a mail.'
  ));

create temporary table planned as select runbook.remediate('test-remedy', '{}', true) as answer;
select is(
  (select pln.answer #> '{steps,0}' from planned as pln),
  '{
    "position": 1, "kind": "call", "operation": "request", "summary": "Unban.", "relation": null,
    "key": null, "before": null, "after": null, "statement": "PUT /admin/users/1",
    "undo": "PUT /admin/users/1", "side_effects": [], "state": "planned", "progress": null,
    "body": {"ban_duration": "none", "password": "[secret]"}
  }',
  'a plan shows what would be sent, but no secret'
);
select is((select count(*) from runbook.call), 0::bigint, 'and queues nothing');
select is(
  (select pln.answer #>> '{verification,status}' from planned as pln), 'pending',
  'it does not know yet whether that helps'
);

create temporary table first as
select runbook.remediate('test-remedy', '{}', reason => 'test', idempotency_key => 'one') as answer;
select set_config('test.run', (select pg_temp.run(fst.answer)::text from first as fst), true);

select is((select fst.answer ->> 'state' from first as fst), 'applying', 'the run is under way');
select throws_ok(
  $$ select runbook.remediate('test-remedy', '{}', reason => 'test') $$,
  'RB410', null, 'a second one for the same subject is refused meanwhile'
);
select throws_ok(
  format('select runbook.undo(%s)', 'null::bigint'), 'RB400', null, 'an undo needs a run'
);
select throws_ok(
  format('select runbook.undo(%s, true)', current_setting('test.run')),
  'RB410', null, 'and one that has ended'
);
select is(
  runbook.remediate('test-remedy', '{}', reason => 'test', idempotency_key => 'one')
  #>> '{run,id}',
  current_setting('test.run'),
  'the same key gives the run'
);

create temporary table claimed as
select cll.content from runbook.claim_calls(current_setting('test.run')::bigint) as cll (content);

select is(
  (select jsonb_agg(clm.content - 'token' - 'id' - 'idempotency_key') from claimed as clm),
  jsonb_build_array(
    jsonb_build_object(
      'run_id', current_setting('test.run')::bigint, 'service', 'auth', 'method', 'PUT',
      'path', '/admin/users/1', 'attempt', 1,
      'body', '{"ban_duration": "none", "password": "canary-1"}'::jsonb
    )
  ),
  'the first call is handed out alone: the second waits for it'
);
select is_empty('select runbook.claim_calls()', 'whoever comes second gets none of them');

update runbook.call set lease_until = clock_timestamp() - interval '1 second', state = 'sending'
where state = 'sending';
select is(
  (select cll.content ->> 'attempt' from runbook.claim_calls() as cll (content)),
  '2',
  'a lease that ran out is handed out again'
);
select is(
  (
    select jsonb_agg(distinct cll.idempotency_key) from runbook.call as cll where cll.position = 1
  ),
  (select jsonb_agg(clm.content -> 'idempotency_key') from claimed as clm),
  'under the same idempotency key'
);
select is(
  (
    select runbook.settle_call(
      (clm.content ->> 'id')::bigint, (clm.content ->> 'token')::uuid, '{"status": 200}'
    ) -> 'settled'
    from claimed as clm
  ),
  'false',
  'and whoever lost it has nothing to say'
);
select is(
  (
    select runbook.settle_call(cll.id, cll.lease_token, '{"status": 204}') ->> 'run_state'
    from runbook.call as cll
    where cll.state = 'sending'
  ),
  'applying',
  'one call sent, the run goes on'
);
select is(
  pg_temp.attempt(current_setting('test.run')::bigint, '{"status": 200}') ->> 'run_state',
  'succeeded',
  'the last one sent, it has succeeded'
);

create temporary table ended as
select runbook.run_of(current_setting('test.run')::bigint) as answer;
select is(
  (select jsonb_agg(stp -> 'state') from ended, jsonb_array_elements(answer -> 'steps') as stp),
  '["done", "done"]',
  'with both steps done'
);
select is(
  (select answer -> 'undo' from ended),
  '{
    "available": true, "complete": false, "reason": "a mail that went out does not come back."
  }',
  'the undo says what it cannot take back'
);
select ok(
  (select answer::text not like '%canary%' from ended), 'no answer shows a secret of the body'
);

create temporary table undone as
select runbook.undo(current_setting('test.run')::bigint, reason => 'back') as answer;
select is(
  (select answer ->> 'state' from undone), 'applying', 'the undo is a call too'
);
select is(
  pg_temp.attempt((select pg_temp.run(answer) from undone), '{"status": 200}') -> 'body',
  '{"ban_duration": "24h"}',
  'with the opposite body'
);
select is(
  runbook.run_of(current_setting('test.run')::bigint) ->> 'state', 'undone',
  'which makes the run undone when it was sent'
);
select is(
  runbook.undo((select pg_temp.run(answer) from undone), true) #> '{steps,0,body,ban_duration}',
  '"none"',
  'and could be taken back in turn'
);

select * from finish();
rollback;
