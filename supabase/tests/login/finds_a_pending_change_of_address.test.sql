begin;

select plan(8);

create function pg_temp.finding(email text)
returns jsonb
language sql
as $$
  select runbook.diagnose('login', jsonb_build_object('email', finding.email)) #> '{findings,0}';
$$;

insert into auth.users (instance_id, id, aud, email, email_confirmed_at, encrypted_password)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000401',
  'authenticated',
  'gul@test.example',
  now(),
  'x'
);

-- The token of a change that was given up since.
insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to)
values (
  'cccccccc-0000-4000-8000-000000000401',
  'bbbbbbbb-0000-4000-8000-000000000401',
  'email_change_token_new',
  'hash',
  'gul-new@test.example'
);

select is(pg_temp.finding('gul@test.example'), null, 'without a change there is no finding');

select is(
  pg_temp.finding('gul-new@test.example') ->> 'code',
  'no_such_user',
  'a token that was left behind is none either'
);

update auth.users
set email_change = 'gul-new@test.example', email_change_sent_at = '2026-01-02 03:04:05+00'
where id = 'bbbbbbbb-0000-4000-8000-000000000401';

select is(
  pg_temp.finding('gul@test.example') ->> 'severity',
  'info',
  'who types the old address can sign in, and is told'
);

select is(
  pg_temp.finding('gul@test.example') #>> '{evidence,email_change}',
  'gul-new@test.example',
  'to which address the change goes'
);

select is(
  pg_temp.finding('Gul-New@test.example') ->> 'code',
  'email_change_pending',
  'who types the new address cannot'
);

select is(pg_temp.finding('gul-new@test.example') ->> 'severity', 'warning', 'which is a problem');

select matches(
  pg_temp.finding('gul-new@test.example') ->> 'summary',
  'gul@test\.example.*2026-01-02 03:04:05 UTC',
  'the summary names the old address and when the change was asked for'
);

update auth.users
set email = 'gul-new@test.example', email_change = ''
where id = 'bbbbbbbb-0000-4000-8000-000000000401';
select is(pg_temp.finding('gul-new@test.example'), null, 'once confirmed, nothing is found');

select * from finish();
rollback;
