begin;

select plan(10);

set local client_min_messages = warning;
create table if not exists public.auth_rate_limits (
  identifier text primary key,
  blocked_until timestamptz
);

create function pg_temp.finding()
returns jsonb
language sql
as $$
  select fnd.content
  from jsonb_array_elements(
    runbook.diagnose('login', '{"email": "dina@test.example"}') -> 'findings'
  ) as fnd (content)
  where fnd.content ->> 'code' = 'rate_limited';
$$;

create function pg_temp.block(identifier text, blocked_until timestamptz)
returns void
language sql
as $$
  insert into public.auth_rate_limits (identifier, blocked_until)
  values (block.identifier, block.blocked_until)
  on conflict (identifier) do update
  set blocked_until = excluded.blocked_until;
$$;

select is(pg_temp.finding(), null, 'an address that is not limited is no finding');

select pg_temp.block('dina@test.example', clock_timestamp() - interval '1 second');
select is(pg_temp.finding(), null, 'nor is a block that is over');

select pg_temp.block('dina@test.example', null);
select is(pg_temp.finding(), null, 'nor are failures that did not block');

select pg_temp.block('edina@test.example', clock_timestamp() + interval '1 hour');
select is(pg_temp.finding(), null, 'nor is the block of another address');

select pg_temp.block('dina@test.example', '2999-01-01 00:00:00+00');
select is(
  (pg_temp.finding() #>> '{evidence,blocked_until}')::timestamptz,
  '2999-01-01 00:00:00+00',
  'a block is one, and the evidence says until when'
);

select is(
  jsonb_build_object(
    'remediation', pg_temp.finding() -> 'remediation',
    'params', pg_temp.finding() -> 'params'
  ),
  '{"remediation": "unblock-login", "params": {"email": "dina@test.example"}}',
  'the finding names its remediation, ready to be sent'
);

delete from public.auth_rate_limits where identifier = 'dina@test.example';
select is(pg_temp.finding(), null, 'once it is gone, nothing is found');

select pg_temp.block('Dina@Test.example', clock_timestamp() + interval '1 hour');
select is(
  pg_temp.finding() #> '{evidence,identifiers}',
  '["Dina@Test.example"]',
  'an identifier in other letters blocks the same address'
);

select is(
  runbook.diagnose('login', '{"email": "dina@test.example"}') ->> 'verdict',
  'problem',
  'the verdict is a problem, though Auth was not looked at'
);

insert into auth.users (instance_id, id, aud, email, email_confirmed_at, encrypted_password)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-00000000b001',
  'authenticated',
  'dina@test.example',
  now(),
  'x'
);

select is(
  runbook.diagnose('login', '{"user_id": "bbbbbbbb-0000-4000-8000-00000000b001"}')
    #> '{findings,0,params}',
  '{"email": "dina@test.example"}',
  'by its id an account is found limited too, and unblocked by its address'
);

select * from finish();
rollback;
