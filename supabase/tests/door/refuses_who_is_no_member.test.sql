begin;

select plan(4);

insert into auth.users (instance_id, id, aud, email)
values (
  '00000000-0000-0000-0000-000000000000',
  'aaaaaaaa-0000-4000-8000-000000000003',
  'authenticated',
  'door-student@test.example'
);

insert into auth.sessions (id, user_id)
values ('aaaaaaaa-0000-4000-8000-0000000000a3', 'aaaaaaaa-0000-4000-8000-000000000003');

create function pg_temp.enter(claims text default '{}')
returns void
language sql
as $$
  select runbook.enter(
    '{
      "sub": "aaaaaaaa-0000-4000-8000-000000000003",
      "session_id": "aaaaaaaa-0000-4000-8000-0000000000a3",
      "role": "authenticated"
    }'::jsonb || claims::jsonb,
    null
  );
$$;

select throws_ok('select pg_temp.enter()', 'RB403', null, 'a user who is no member is refused');

select throws_ok(
  $$
  select pg_temp.enter('{"role": "service_role", "key_name": "default"}')
  $$,
  'RB403', null, 'a user''s token that claims to be a key is a user''s token'
);

select runbook.add_member('door-student@test.example', 'viewer');
select lives_ok('select pg_temp.enter(); reset role', 'once a member, they come in');

select runbook.remove_member('door-student@test.example');
select throws_ok('select pg_temp.enter()', 'RB403', null, 'a removed member is out at once');

select * from finish();
rollback;
