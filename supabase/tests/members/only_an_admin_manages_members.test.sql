begin;

select plan(9);

insert into auth.users (instance_id, id, aud, email)
values (
  '00000000-0000-0000-0000-000000000000',
  'aaaaaaaa-0000-4000-8000-000000000004',
  'authenticated',
  'member@test.example'
);

select throws_ok(
  $$ set local role runbook_operator; select runbook.add_member('member@test.example', 'admin') $$,
  '42501', null, 'an operator cannot make anyone an admin'
);

select throws_ok(
  $$ set local role runbook_viewer; select runbook.remove_member('member@test.example') $$,
  '42501', null, 'a viewer cannot remove anyone'
);

select throws_ok(
  $$
  set local role runbook_admin;
  insert into runbook.member values (gen_random_uuid(), 'admin', '')
  $$,
  '42501', null, 'not even an admin writes the table past the function'
);

select lives_ok(
  $$
  set local role runbook_admin;
  select runbook.add_member('member@test.example', 'viewer');
  reset role
  $$,
  'an admin adds a member'
);

select lives_ok(
  $$ select runbook.add_member('member@test.example', 'operator') $$,
  'adding again changes the role'
);

select results_eq(
  $$
  select mem.role, mem.added_by
  from runbook.member as mem
  where mem.user_id = 'aaaaaaaa-0000-4000-8000-000000000004'
  $$,
  $$ values ('operator', ('database:' || session_user) collate "default") $$,
  'a member has one role, and who gave it is on record'
);

select throws_ok(
  $$ select runbook.add_member('member@test.example', 'owner') $$,
  'RB400', null, 'a role that does not exist is refused'
);

select throws_ok(
  $$ select runbook.add_member('nobody@test.example', 'viewer') $$,
  'P0002', null, 'an address without an account is refused'
);

select throws_ok(
  $$
  select runbook.remove_member('member@test.example');
  select runbook.remove_member('member@test.example')
  $$,
  'P0002', null, 'who is no member cannot be removed'
);

select * from finish();
rollback;
