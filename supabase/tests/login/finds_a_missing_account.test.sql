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

-- An account by single sign-on is no account for a password, and Auth does not find it either.
insert into auth.users (instance_id, id, aud, email, email_confirmed_at, is_sso_user)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000001',
  'authenticated',
  'anna@test.example',
  now(),
  true
);
select is(pg_temp.codes('anna@test.example'), 'no_such_user', 'single sign-on does not count');

insert into auth.users (instance_id, id, aud, email, email_confirmed_at)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000002',
  'authenticated',
  'anna@test.example',
  now()
);
select is(pg_temp.codes('anna@test.example'), '', 'an account with the address is found');
select is(pg_temp.codes(' Anna@Test.Example '), '', 'case and blanks around it do not matter');
select is(pg_temp.codes('ann_@test.example'), 'no_such_user', 'an underscore is no wildcard');
select is(pg_temp.codes('anna@test.exampl'), 'no_such_user', 'a part of an address is another one');

select * from finish();
rollback;
