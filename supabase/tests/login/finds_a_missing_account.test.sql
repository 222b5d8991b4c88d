begin;

select plan(6);

create function pg_temp.codes(email text)
returns text
language sql
as $$
  select coalesce(string_agg(fnd.content ->> 'code', ' ' order by fnd.content ->> 'code'), '')
  from jsonb_array_elements(
    runbook.diagnose('login', jsonb_build_object('email', email)) -> 'findings'
  ) as fnd (content);
$$;

select is(pg_temp.codes('anna@test.example'), 'no_such_user', 'no account has the address');

insert into auth.users (instance_id, id, aud, email, email_confirmed_at, is_sso_user)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000001',
  'authenticated',
  'anna@test.example',
  now(),
  true
);
select is(
  pg_temp.codes('anna@test.example'),
  'sso_account',
  'an account by single sign-on takes no password'
);

insert into auth.users (
  instance_id, id, aud, email, email_confirmed_at, encrypted_password
)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000002',
  'authenticated',
  'anna@test.example',
  now(),
  'x'
);
select is(
  pg_temp.codes('anna@test.example'),
  '',
  'an account with the address goes before one by single sign-on'
);
select is(pg_temp.codes(' Anna@Test.Example '), '', 'case and blanks around it do not matter');
select is(pg_temp.codes('ann_@test.example'), 'no_such_user', 'an underscore is no wildcard');
select is(pg_temp.codes('anna@test.exampl'), 'no_such_user', 'a part of an address is another one');

select * from finish();
rollback;
