begin;

select plan(15);

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
select runbook.call_step(
  format(
    '{"service": "auth", "method": "POST", "path": "/x/%s", "undo_reason": "no."}', num
  )::jsonb,
  'Call.'
)
from generate_series(1, 2) as num;

select results_eq(
  $$
  select status, runbook.error_class_of(status, wait) collate "default"
  from (values
    (200, null), (299, null), (301, null), (400, null), (401, null), (403, null), (404, null),
    (408, null), (422, null), (425, null), (429, 7), (500, null), (503, 7), (null, null)
  ) as answered (status, wait)
  $$,
  $$
  values
    (200, 'ok'), (299, 'ok'), (301, 'permanent'), (400, 'permanent'), (401, 'auth'), (403, 'auth'),
    (404, 'permanent'), (408, 'retry'), (422, 'permanent'), (425, 'retry'), (429, 'retry_after'),
    (500, 'retry'), (503, 'retry_after'), (null, 'unknown_outcome')
  $$,
  'what an answer means'
);

select ok(
  (
    select bool_and(
      runbook.backoff(num) between make_interval(secs => 0.8 * wait)
        and make_interval(secs => 1.2 * wait)
    )
    from (values (1, 5), (2, 15), (3, 30), (4, 60), (99, 60)) as waited (num, wait)
    cross join generate_series(1, 50)
  ),
  'the wait grows to a minute, give or take a fifth'
);

create temporary table first as
select runbook.remediate('test-remedy', '{}', reason => 'test') as answer;
select set_config('test.run', (select pg_temp.run(fst.answer)::text from first as fst), true);

create function pg_temp.attempt(outcome jsonb)
returns jsonb
language sql
as $$ select pg_temp.attempt(current_setting('test.run')::bigint, outcome); $$;
select is(
  (pg_temp.attempt('{"error": "connection refused"}') -> 'call') - 'next_attempt_at',
  '{
    "state": "failed", "attempts": 1, "response_status": null, "error_class": "unknown_outcome",
    "error": "connection refused"
  }',
  'no answer: the call has failed, and will be tried again'
);
select is(
  runbook.run_of(current_setting('test.run')::bigint) #>> '{steps,0,progress,error}',
  'connection refused',
  'the run says so'
);
select is(pg_temp.attempt('{}') -> 'claimed', 'false', 'but not at once');
select ok(not runbook.calls_are_due(), 'so no bell need ring');

-- Leased to a worker that waits no longer.
update runbook.call
set state = 'sending', lease_token = gen_random_uuid(), lease_until = clock_timestamp()
where position = 1;
select ok(runbook.calls_are_due(), 'a call whose worker is gone is due');
select is(
  pg_temp.attempt('{"status": 429, "retry_after_s": 100}') #>> '{call,error_class}',
  'retry_after', 'told to wait'
);
select ok(
  (
    select cll.next_attempt_at between clock_timestamp() + interval '95 seconds'
      and clock_timestamp() + interval '100 seconds'
    from runbook.call as cll
    where cll.position = 1
  ),
  'it waits as long as it was told'
);

update runbook.call
set state = 'sending', lease_token = gen_random_uuid(), lease_until = clock_timestamp()
where position = 1;
create temporary table died as
select pg_temp.attempt('{"status": 422, "error": "validation_failed"}') as answer;
select is(
  (select answer #>> '{call,state}' from died), 'dead',
  'what will not get better is given up'
);
select is((select answer ->> 'run_state' from died), 'failed', 'and the run has failed');
select is(
  (runbook.run_of(current_setting('test.run')::bigint) #> '{run,error}') - 'message',
  '{"sqlstate": "RB502", "status": 422, "error": "validation_failed", "position": 1}',
  'with the answer as its error'
);
select is(
  (
    select jsonb_agg(stp -> 'state')
    from jsonb_array_elements(
      runbook.run_of(current_setting('test.run')::bigint) -> 'steps'
    ) as stp
  ),
  '["failed", "not_done"]',
  'what came behind is not done'
);
select is_empty('select runbook.claim_calls()', 'and not sent');

select throws_ok(
  $$
  update runbook.call
  set state = 'sent', sent_at = clock_timestamp(), response_status = 200
  where state = 'dead'
  $$,
  '55000', null, 'nobody can say later that it was'
);

select * from finish();
rollback;
