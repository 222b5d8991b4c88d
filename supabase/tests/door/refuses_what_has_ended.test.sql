begin;

select plan(10);

insert into auth.users (instance_id, id, aud, email)
values (
  '00000000-0000-0000-0000-000000000000',
  'aaaaaaaa-0000-4000-8000-000000000002',
  'authenticated',
  'door-admin@test.example'
);

insert into auth.sessions (id, user_id)
values ('aaaaaaaa-0000-4000-8000-0000000000a2', 'aaaaaaaa-0000-4000-8000-000000000002');

select runbook.add_member('door-admin@test.example', 'admin');

create function pg_temp.enter(claims text default '{}')
returns void
language sql
as $$
  select runbook.enter(
    '{
      "sub": "aaaaaaaa-0000-4000-8000-000000000002",
      "session_id": "aaaaaaaa-0000-4000-8000-0000000000a2",
      "role": "authenticated"
    }'::jsonb || claims::jsonb,
    null
  );
$$;

create function pg_temp.set_user(assignment text)
returns void
language plpgsql
as $$
begin
  execute format(
    'update auth.users set %s where id = %L',
    assignment,
    'aaaaaaaa-0000-4000-8000-000000000002'
  );
end;
$$;

select lives_ok('select pg_temp.enter(); reset role', 'a living session enters');

select pg_temp.set_user($$banned_until = clock_timestamp() + interval '1 hour'$$);
select throws_ok('select pg_temp.enter()', 'RB401', null, 'a banned member is out at once');

select pg_temp.set_user($$banned_until = clock_timestamp() - interval '1 second'$$);
select lives_ok('select pg_temp.enter(); reset role', 'a ban that is over does not count');

select pg_temp.set_user('deleted_at = now()');
select throws_ok('select pg_temp.enter()', 'RB401', null, 'a deleted account is out');
select pg_temp.set_user('deleted_at = null');

update auth.sessions
set not_after = clock_timestamp() - interval '1 second'
where id = 'aaaaaaaa-0000-4000-8000-0000000000a2';
select throws_ok('select pg_temp.enter()', 'RB401', null, 'a session past its end is out');

delete from auth.sessions where id = 'aaaaaaaa-0000-4000-8000-0000000000a2';
select throws_ok('select pg_temp.enter()', 'RB401', null, 'a session that was signed out is out');

select throws_ok(
  $$ select pg_temp.enter('{"session_id": null}') $$,
  'RB401', null, 'claims without a session do not enter'
);

select throws_ok(
  $$ select pg_temp.enter('{"sub": "x'' or true --"}') $$,
  'RB401', null, 'a subject that is no id does not enter'
);

select throws_ok(
  $$ select runbook.enter('{"role": "service_role"}', null) $$,
  'RB401', null, 'a service role without the name of its key does not enter'
);

select throws_ok('select runbook.enter(null, null)', 'RB401', null, 'no claims do not enter');

select * from finish();
rollback;
