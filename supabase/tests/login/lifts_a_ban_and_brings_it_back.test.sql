begin;

select plan(10);

create function pg_temp.plan_of()
returns jsonb
language sql
as $$
  select runbook.remediate('unban-user', '{"email": "daan@test.example"}', dry_run => true);
$$;

-- Auth's part: takes the call that is due and answers 200. Returns what it was asked.
create function pg_temp.answer_call(banned_until timestamptz)
returns jsonb
language plpgsql
as $$
declare
  v_call jsonb;
begin
  select clm.call
  into v_call
  from runbook.claim_calls() as clm (call)
  where clm.call ->> 'path' = '/admin/users/bbbbbbbb-0000-4000-8000-000000000901';

  update auth.users as usr
  set banned_until = answer_call.banned_until
  where usr.id = 'bbbbbbbb-0000-4000-8000-000000000901';

  perform runbook.settle_call(
    (v_call ->> 'id')::bigint, (v_call ->> 'token')::uuid, '{"status": 200}'
  );
  return v_call -> 'body';
end;
$$;

insert into auth.users (
  instance_id, id, aud, email, email_confirmed_at, encrypted_password, banned_until
)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000901',
  'authenticated',
  'daan@test.example',
  now(),
  'x',
  now() - interval '1 second'
);

select is(pg_temp.plan_of() ->> 'state', 'no_op', 'a ban that is over needs no lifting');

update auth.users
set banned_until = clock_timestamp() + interval '1 hour'
where id = 'bbbbbbbb-0000-4000-8000-000000000901';

create temporary table planned as
select pg_temp.plan_of() ->> 'plan_hash' as plan_hash;

select isnt(
  (select pln.plan_hash from planned as pln),
  null,
  'a ban is a plan'
);

select pg_sleep(1.1);

select is(
  pg_temp.plan_of() ->> 'plan_hash',
  (select pln.plan_hash from planned as pln),
  'which stays the same while the ban runs'
);

create temporary table applied as
select runbook.remediate(
  'unban-user',
  '{"email": "daan@test.example"}',
  reason => 'test',
  idempotency_key => 'd',
  plan_hash => pln.plan_hash
) as answer
from planned as pln;

select is(
  pg_temp.answer_call(null),
  '{"ban_duration": "none"}',
  'the call lifts it'
);

select is(
  (
    select run.state || ' ' || (run.verification ->> 'status')
    from runbook.run as run
    where run.idempotency_key = 'd'
  ),
  'succeeded verified',
  'Auth''s answer ends the run, and the diagnosis agrees'
);

create temporary table undone as
select runbook.undo(
  (app.answer #>> '{run,id}')::bigint,
  reason => 'test',
  idempotency_key => 'e',
  plan_hash => runbook.undo((app.answer #>> '{run,id}')::bigint, true) ->> 'plan_hash'
) as answer
from applied as app;

select is(
  (select und.answer ->> 'state' from undone as und),
  'applying',
  'the undo is a call too'
);

select matches(
  pg_temp.answer_call(clock_timestamp() + interval '1 hour') ->> 'ban_duration',
  '^35[0-9]{2}s$',
  'it bans for what is left of the hour, in the words of Auth'
);

select is(
  (select run.state from runbook.run as run where run.idempotency_key = 'd'),
  'undone',
  'then the run is undone'
);

select is(
  runbook.frozen_body('{"ban_duration": {"until": "2020-01-01T00:00:00Z"}}'),
  '{"ban_duration": "1s"}',
  'of a ban that is over meanwhile a second is left'
);

select throws_ok(
  $$ select runbook.remediate('unban-user', '{"email": "nobody@test.example"}', dry_run => true) $$,
  'P0002', null, 'who has no account cannot be unbanned'
);

select * from finish();
rollback;
