begin;

select plan(17);

create function pg_temp.near(email text)
returns text
language sql
as $$
  select coalesce(
    string_agg(near.content ->> 'email', ' ' order by near.content ->> 'email'),
    ''
  )
  from jsonb_array_elements(
    runbook.diagnose('login', jsonb_build_object('email', near.email))
    #> '{findings,0,evidence,near_misses}'
  ) as near (content);
$$;

insert into auth.users (instance_id, id, aud, email, email_confirmed_at, encrypted_password)
select
  '00000000-0000-0000-0000-000000000000',
  ('bbbbbbbb-0000-4000-8000-00000000010' || person.position)::uuid,
  'authenticated',
  person.email,
  now(),
  'x'
from unnest(
  array[
    'anna.smit@gmail.com', 'bram+school@test.example', 'chaima@hotmail.nl', 'dina@test.example',
    'bram+school@elsewhere.example'
  ]
) with ordinality as person (email, position);

insert into auth.identities (provider_id, user_id, identity_data, provider)
select usr.id::text, usr.id, jsonb_build_object('email', usr.email), 'email'
from auth.users as usr
where usr.id::text like 'bbbbbbbb-0000-4000-8000-0000000001%';

select is(pg_temp.near('emma@test.example'), '', 'nobody has an address like it');
select is(pg_temp.near('hanna.smit@gmail.com'), '', 'another name is no near miss');
select is(pg_temp.near('dina@tast.exampel'), '', 'nor is another domain that nobody knows');
select is(pg_temp.near('bram.school@test.example'), '', 'nor are dots where they count');
select is(pg_temp.near('bra@test.example'), '', 'nor is the beginning of a name');

select is(pg_temp.near('anna.smit@gmial.com'), 'anna.smit@gmail.com', 'letters changed places');
select is(pg_temp.near('anna.smit@gmail.con'), 'anna.smit@gmail.com', 'a letter is wrong');
select is(pg_temp.near('annasmit@gmail.com'), 'anna.smit@gmail.com', 'the dot is missing');
select is(pg_temp.near('an.nasmit@gamil.com'), 'anna.smit@gmail.com', 'all of it at once');
select is(pg_temp.near('chaima@hotmail.com'), 'chaima@hotmail.nl', 'the ending is another');
select is(pg_temp.near('bram@test.example'), 'bram+school@test.example', 'the tag is missing');
select is(pg_temp.near('dina+x@test.example'), 'dina@test.example', 'the tag is one too many');

select is(
  pg_temp.near(e'\tdina @test.example\u200b'),
  'dina@test.example',
  'blanks and signs that cannot be seen came along'
);

insert into auth.identities (provider_id, user_id, identity_data, provider)
select 'g', usr.id, '{"email": "dina.privé@elsewhere.example"}', 'google'
from auth.users as usr
where usr.email = 'dina@test.example';
select is(
  pg_temp.near('Dina.Privé@elsewhere.example'),
  'dina@test.example',
  'the address is that of a provider with which the account signs in'
);

update auth.users
set is_sso_user = true
where email = 'dina@test.example';
select is(pg_temp.near('dina+x@test.example'), '', 'accounts by single sign-on are not named');

update auth.users
set is_sso_user = false, deleted_at = now()
where email = 'dina@test.example';
select is(pg_temp.near('dina+x@test.example'), '', 'nor are deleted ones');

update auth.users
set deleted_at = null
where email = 'dina@test.example';

analyze auth.users;
select is(
  pg_temp.near('dina@tset.example'),
  'dina@test.example',
  'the domains of the planner''s sample are known too'
);

select * from finish();
rollback;
