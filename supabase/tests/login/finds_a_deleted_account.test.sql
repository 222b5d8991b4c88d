begin;

select plan(11);

create function pg_temp.codes(params jsonb)
returns text
language sql
as $$
  select coalesce(string_agg(fnd.content ->> 'code', ' ' order by fnd.content ->> 'code'), '')
  from jsonb_array_elements(runbook.diagnose('login', codes.params) -> 'findings') as fnd (content);
$$;

-- As Auth leaves it: the address is the hash over the id and the old address.
insert into auth.users (instance_id, id, aud, email, email_confirmed_at, deleted_at)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000201',
  'authenticated',
  rtrim(
    translate(
      encode(sha256('bbbbbbbb-0000-4000-8000-000000000201ilse@test.example'), 'base64'),
      '+/',
      '-_'
    ),
    '='
  ),
  now(),
  '2026-01-02 03:04:05+00'
);

insert into auth.users (instance_id, id, aud, email, email_confirmed_at, encrypted_password)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000203',
  'authenticated',
  'else@test.example',
  now(),
  'x'
);

-- After the people, whose profiles a trigger of the application may write.
set local client_min_messages = warning;
drop table if exists public.profiles cascade;

select is(
  pg_temp.codes('{"user_id": "bbbbbbbb-0000-4000-8000-000000000201"}'),
  'deleted',
  'by its id a deleted account is found'
);

select is(
  pg_temp.codes('{"email": "ilse@test.example"}'),
  'no_such_user',
  'by its address it is not, where there are no profiles'
);

select ok(
  runbook.diagnose('login', '{"email": "ilse@test.example"}') -> 'not_applicable'
    @> '[{"check": "deleted"}]',
  'which is not applicable'
);

create table public.profiles (id uuid primary key, email text);
insert into public.profiles (id, email)
values ('bbbbbbbb-0000-4000-8000-000000000202', 'ilse@test.example');

select is(
  pg_temp.codes('{"email": "ilse@test.example"}'),
  'no_such_user',
  'a profile of nobody tells nothing'
);

update public.profiles set id = 'bbbbbbbb-0000-4000-8000-000000000203' where email <> '';
select is(
  pg_temp.codes('{"email": "ilse@test.example"}'),
  'no_such_user',
  'nor does that of a living account with another address'
);

update public.profiles set id = 'bbbbbbbb-0000-4000-8000-000000000201' where email <> '';

select is(
  pg_temp.codes('{"email": "Ilse@test.example"}'),
  'deleted no_such_user',
  'the profile that was left behind tells whose address it was'
);

select is(
  (
    select fnd.content -> 'evidence'
    from jsonb_array_elements(
      runbook.diagnose('login', '{"email": "ilse@test.example"}') -> 'findings'
    ) as fnd (content)
    where fnd.content ->> 'code' = 'deleted'
  ),
  '{
    "user_id": "bbbbbbbb-0000-4000-8000-000000000201",
    "deleted_at": "2026-01-02T03:04:05+00:00",
    "hash_fits": true
  }',
  'Auth''s hash proves it'
);

update public.profiles set email = 'other@test.example' where email <> '';
select is(
  (
    select fnd.content #> '{evidence,hash_fits}'
    from jsonb_array_elements(
      runbook.diagnose('login', '{"email": "other@test.example"}') -> 'findings'
    ) as fnd (content)
    where fnd.content ->> 'code' = 'deleted'
  ),
  'false',
  'of an address that was never Auth''s it says so'
);

update public.profiles set email = 'ilse@test.example' where email <> '';
create index on public.profiles (email);
select is(
  (select src.condition from runbook.profile_source() as src),
  'prf.email = $1',
  'an index on the address is used'
);

create index on public.profiles (lower(email));
select is(
  (select src.condition from runbook.profile_source() as src),
  'lower(prf.email) = $1',
  'one on the address in lower case goes before it'
);

update auth.users
set email = 'ilse@test.example'
where id = 'bbbbbbbb-0000-4000-8000-000000000203';

select is(
  pg_temp.codes('{"email": "ilse@test.example"}'),
  '',
  'once the person has signed up again, nothing is found'
);

select * from finish();
rollback;
