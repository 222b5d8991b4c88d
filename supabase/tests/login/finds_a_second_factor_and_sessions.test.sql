begin;

select plan(11);

create function pg_temp.finding()
returns jsonb
language sql
as $$
  select runbook.diagnose('login', '{"email": "hugo@test.example"}') #> '{findings,0}';
$$;

insert into auth.users (instance_id, id, aud, email, email_confirmed_at, encrypted_password)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000501',
  'authenticated',
  'hugo@test.example',
  now(),
  'x'
);

insert into auth.mfa_factors (id, user_id, factor_type, status, created_at, updated_at, secret)
values (
  'cccccccc-0000-4000-8000-000000000501',
  'bbbbbbbb-0000-4000-8000-000000000501',
  'totp',
  'unverified',
  now(),
  now(),
  'CANARYCANARY'
);

select is(pg_temp.finding(), null, 'a factor that was never verified is no finding');

update auth.mfa_factors
set status = 'verified'
where id = 'cccccccc-0000-4000-8000-000000000501';
select is(pg_temp.finding() ->> 'code', 'second_factor', 'a verified one is');
select is(pg_temp.finding() #> '{evidence,factor_types}', '["totp"]', 'the evidence says which');
select ok(pg_temp.finding()::text not like '%CANARY%', 'and never with which secret');

select isnt(
  runbook.diagnose('login', '{"email": "hugo@test.example"}') ->> 'verdict',
  'problem',
  'it is no problem in itself'
);

delete from auth.mfa_factors where id = 'cccccccc-0000-4000-8000-000000000501';
select is(pg_temp.finding(), null, 'once it is gone, nothing is found');

insert into auth.sessions (id, user_id, created_at, updated_at, not_after)
values (
  'dddddddd-0000-4000-8000-000000000501',
  'bbbbbbbb-0000-4000-8000-000000000501',
  '2026-01-02 03:04:05+00',
  now(),
  now() - interval '1 second'
);
select is(pg_temp.finding(), null, 'nor does a session count that is over');

update auth.sessions
set not_after = null
where id = 'dddddddd-0000-4000-8000-000000000501';
select is(pg_temp.finding() ->> 'code', 'signed_in', 'one that lives does');

select matches(
  pg_temp.finding() ->> 'summary',
  'one session, used last at 2026-01-02 03:04:05 UTC',
  'and the summary says when it was used'
);

select is(pg_temp.finding() ->> 'remediation', 'sign-out-user', 'it can be ended');

delete from auth.sessions where id = 'dddddddd-0000-4000-8000-000000000501';
select is(pg_temp.finding(), null, 'once it has ended, nothing is found');

select * from finish();
rollback;
