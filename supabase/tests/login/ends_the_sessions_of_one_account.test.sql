begin;

select plan(11);

create function pg_temp.plan_of()
returns jsonb
language sql
as $$
  select runbook.remediate('sign-out-user', '{"email": "elif@test.example"}', dry_run => true);
$$;

create function pg_temp.apply(plan_hash text, idempotency_key text)
returns jsonb
language sql
as $$
  select runbook.remediate(
    'sign-out-user',
    '{"email": "elif@test.example"}',
    reason => 'test',
    idempotency_key => apply.idempotency_key,
    plan_hash => apply.plan_hash
  );
$$;

insert into auth.users (instance_id, id, aud, email, email_confirmed_at, encrypted_password)
select
  '00000000-0000-0000-0000-000000000000',
  person.id::uuid,
  'authenticated',
  person.email,
  now(),
  'x'
from (
  values
    ('bbbbbbbb-0000-4000-8000-00000000a001', 'elif@test.example'),
    ('bbbbbbbb-0000-4000-8000-00000000a002', 'emre@test.example')
) as person (id, email);

select is(pg_temp.plan_of() ->> 'state', 'no_op', 'who is signed in nowhere needs nothing');

insert into auth.sessions (id, user_id, created_at, updated_at)
values
  (
    'dddddddd-0000-4000-8000-00000000a001', 'bbbbbbbb-0000-4000-8000-00000000a001', now(), now()
  ),
  (
    'dddddddd-0000-4000-8000-00000000a002', 'bbbbbbbb-0000-4000-8000-00000000a002', now(), now()
  );

insert into auth.refresh_tokens (instance_id, token, user_id, revoked, session_id)
values (
  '00000000-0000-0000-0000-000000000000',
  'canary-token',
  'bbbbbbbb-0000-4000-8000-00000000a001',
  false,
  'dddddddd-0000-4000-8000-00000000a001'
);

create temporary table planned as
select pg_temp.plan_of() as answer;

select is((select pln.answer ->> 'state' from planned as pln), 'planned', 'a session is a plan');

select is(
  (select count(*) from auth.sessions as ses where ses.id::text like '%00000000a00_'),
  2::bigint,
  'which ends nothing'
);

insert into auth.sessions (id, user_id, created_at, updated_at)
values (
  'dddddddd-0000-4000-8000-00000000a003', 'bbbbbbbb-0000-4000-8000-00000000a001', now(), now()
);

select throws_ok(
  $$ select pg_temp.apply((select pln.answer ->> 'plan_hash' from planned as pln), 'f') $$,
  'RB409', null, 'a session that came since is another plan'
);

select is(
  runbook.end_sessions(
    '{
      "user_id": "bbbbbbbb-0000-4000-8000-00000000a001",
      "sessions": ["dddddddd-0000-4000-8000-00000000a003", "dddddddd-0000-4000-8000-00000000a002"]
    }'
  ),
  '{"ended": 1}',
  'only those are ended that are named and the account''s own'
);

create temporary table applied as
select pg_temp.apply(pg_temp.plan_of() ->> 'plan_hash', 'g') as answer;

select is(
  (
    select (app.answer ->> 'state') || ' ' || (app.answer #>> '{verification,status}')
    from applied as app
  ),
  'succeeded verified',
  'applied, they have ended'
);

select results_eq(
  $$ select ses.id::text from auth.sessions as ses where ses.id::text like '%00000000a00_' $$,
  array['dddddddd-0000-4000-8000-00000000a002'],
  'those of others have not'
);

select is_empty(
  $$ select from auth.refresh_tokens as rft where rft.token = 'canary-token' $$,
  'the refresh tokens went with them'
);

select ok(
  (select app.answer::text not like '%canary%' from applied as app),
  'and are in no answer'
);

select is(
  (select app.answer #> '{undo,available}' from applied as app),
  'false',
  'it cannot be taken back'
);

update auth.users
set deleted_at = now()
where id = 'bbbbbbbb-0000-4000-8000-00000000a002';
select throws_ok(
  $$
  select runbook.remediate(
    'sign-out-user', '{"user_id": "bbbbbbbb-0000-4000-8000-00000000a002"}', dry_run => true
  )
  $$,
  'P0002', null, 'an account that was deleted is none'
);

select * from finish();
rollback;
