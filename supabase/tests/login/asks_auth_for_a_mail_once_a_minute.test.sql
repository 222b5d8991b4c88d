begin;

select plan(10);

create function pg_temp.plan_of(email text)
returns jsonb
language sql
as $$
  select runbook.remediate(
    'resend-confirmation', jsonb_build_object('email', plan_of.email), dry_run => true
  );
$$;

create function pg_temp.wait_s()
returns integer
language plpgsql
as $$
declare
  v_detail text;
begin
  perform runbook.remediate(
    'resend-confirmation', '{"email": "bo@test.example"}', reason => 'test'
  );
  return null;
exception
  when sqlstate 'RB429' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return v_detail::jsonb ->> 'wait_s';
end;
$$;

insert into auth.users (instance_id, id, aud, email, confirmation_sent_at, encrypted_password)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000701',
  'authenticated',
  'bo@test.example',
  clock_timestamp() - interval '61 seconds',
  'x'
);

select is(
  pg_temp.plan_of('Bo@test.example') #>> '{steps,0,statement}',
  'POST /resend',
  'a minute after the last mail the plan is a call to Auth'
);

select matches(
  pg_temp.plan_of('bo@test.example') #>> '{steps,0,undo}',
  '^none: ',
  'which cannot be taken back'
);

select is(
  runbook.remediate('resend-confirmation', '{"email": "bo@test.example"}', reason => 'test')
    ->> 'state',
  'applying',
  'applied, it waits for the answer'
);

select is(
  (
    select clm.call - 'id' - 'token' - 'idempotency_key' - 'run_id'
    from runbook.claim_calls() as clm (call)
    where clm.call ->> 'path' = '/resend'
  ),
  '{
    "service": "auth",
    "method": "POST",
    "path": "/resend",
    "body": {"type": "signup", "email": "bo@test.example"},
    "attempt": 1
  }',
  'the call is the one that Auth knows'
);

update auth.users
set confirmation_sent_at = clock_timestamp() - interval '10 seconds'
where id = 'bbbbbbbb-0000-4000-8000-000000000701';

select runbook.settle_call(cll.id, cll.lease_token, '{"status": 200}')
from runbook.call as cll
where cll.path = '/resend'
  and cll.state = 'sending';

select is(
  (
    select run.state || ' ' || (run.verification ->> 'status')
    from runbook.run as run
    where run.remediation = 'resend-confirmation'
    order by run.id desc
    limit 1
  ),
  'succeeded verified',
  'once it was sent there is a link that works'
);

select ok(pg_temp.wait_s() between 40 and 50, 'sooner than a minute it is refused, with the wait');

update auth.users
set confirmation_sent_at = null
where id = 'bbbbbbbb-0000-4000-8000-000000000701';
select is(
  pg_temp.plan_of('bo@test.example') ->> 'state',
  'planned',
  'the first mail need not wait'
);

update auth.users
set email_confirmed_at = now()
where id = 'bbbbbbbb-0000-4000-8000-000000000701';
select is(
  pg_temp.plan_of('bo@test.example') ->> 'state',
  'no_op',
  'a confirmed address gets no mail'
);

select throws_ok(
  $$ select pg_temp.plan_of('nobody@test.example') $$,
  'P0002', null, 'nobody gets none either'
);

select throws_ok(
  $$ select runbook.remediate('resend-confirmation', '{}', dry_run => true) $$,
  'RB400', null, 'somebody has to be named'
);

select * from finish();
rollback;
