begin;

select plan(7);

create function pg_temp.plan_of(params jsonb)
returns jsonb
language sql
as $$
  select runbook.remediate('confirm-email', plan_of.params, dry_run => true);
$$;

insert into auth.users (instance_id, id, aud, email, confirmation_sent_at, encrypted_password)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000801',
  'authenticated',
  'cas@test.example',
  now(),
  'x'
);

create temporary table planned as
select pg_temp.plan_of('{"user_id": "bbbbbbbb-0000-4000-8000-000000000801"}') as answer;

select is(
  (select pln.answer #>> '{steps,0,statement}' from planned as pln),
  'PUT /admin/users/bbbbbbbb-0000-4000-8000-000000000801',
  'the plan is a call to Auth'
);

select is(
  (select pln.answer -> 'undo' -> 'available' from planned as pln),
  'false',
  'which cannot be taken back'
);

select throws_ok(
  $$
  select runbook.remediate(
    'confirm-email', '{"email": "cas@test.example"}', reason => 'test', idempotency_key => 'c'
  )
  $$,
  'RB400', null, 'without a plan that was seen it is refused'
);

select is(
  (
    select runbook.remediate(
      'confirm-email',
      '{"user_id": "bbbbbbbb-0000-4000-8000-000000000801"}',
      reason => 'test',
      idempotency_key => 'c',
      plan_hash => pln.answer ->> 'plan_hash'
    ) ->> 'state'
    from planned as pln
  ),
  'applying',
  'with it, it is applied'
);

select is(
  (
    select clm.call -> 'body'
    from runbook.claim_calls() as clm (call)
    where clm.call ->> 'path' = '/admin/users/bbbbbbbb-0000-4000-8000-000000000801'
  ),
  '{"email_confirm": true}',
  'the call confirms and does nothing else'
);

update auth.users
set email_confirmed_at = now()
where id = 'bbbbbbbb-0000-4000-8000-000000000801';

select runbook.settle_call(cll.id, cll.lease_token, '{"status": 200}')
from runbook.call as cll
where cll.path like '%bbbbbbbb-0000-4000-8000-000000000801';

select is(
  (
    select run.state || ' ' || (run.verification ->> 'status')
    from runbook.run as run
    where run.idempotency_key = 'c'
  ),
  'succeeded verified',
  'Auth''s answer ends the run, and the diagnosis agrees'
);

select is(
  pg_temp.plan_of('{"email": "cas@test.example"}') ->> 'state',
  'no_op',
  'a second time there is nothing to do'
);

select * from finish();
rollback;
