begin;

select plan(8);

create function pg_temp.finding()
returns jsonb
language sql
as $$
  select runbook.diagnose('login', '{"email": "fatih@test.example"}') #> '{findings,0}';
$$;

insert into auth.users (instance_id, id, aud, email, email_confirmed_at, encrypted_password)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000301',
  'authenticated',
  'fatih@test.example',
  now(),
  'x'
);

insert into auth.identities (provider_id, user_id, identity_data, provider)
values
  ('1', 'bbbbbbbb-0000-4000-8000-000000000301', '{"email": "fatih@test.example"}', 'google'),
  ('2', 'bbbbbbbb-0000-4000-8000-000000000301', '{"email": "fatih@test.example"}', 'apple'),
  ('3', 'bbbbbbbb-0000-4000-8000-000000000301', '{"email": "fatih@test.example"}', 'email');

select is(pg_temp.finding(), null, 'a password beside other providers is no finding');

update auth.users
set encrypted_password = ''
where id = 'bbbbbbbb-0000-4000-8000-000000000301';
select is(pg_temp.finding() ->> 'code', 'no_password', 'no password is one');

select is(
  pg_temp.finding() #> '{evidence,providers}',
  '["apple", "google"]',
  'the evidence names the providers'
);

select matches(pg_temp.finding() ->> 'summary', 'apple, google', 'so does the summary');

update auth.users
set encrypted_password = null
where id = 'bbbbbbbb-0000-4000-8000-000000000301';
delete from auth.identities where user_id = 'bbbbbbbb-0000-4000-8000-000000000301';
select is(
  pg_temp.finding() ->> 'code',
  'no_password',
  'neither is there one where the column is empty, or a provider'
);

update auth.users
set is_sso_user = true
where id = 'bbbbbbbb-0000-4000-8000-000000000301';
select is(pg_temp.finding() ->> 'code', 'sso_account', 'single sign-on is told as such');

update auth.users
set is_sso_user = false, encrypted_password = 'x'
where id = 'bbbbbbbb-0000-4000-8000-000000000301';
select is(pg_temp.finding(), null, 'once there is a password, nothing is found');

update auth.users
set email = null
where id = 'bbbbbbbb-0000-4000-8000-000000000301';
select is(
  runbook.diagnose('login', '{"user_id": "bbbbbbbb-0000-4000-8000-000000000301"}')
    #>> '{findings,0,code}',
  'no_email',
  'an account may have no address at all'
);

select * from finish();
rollback;
