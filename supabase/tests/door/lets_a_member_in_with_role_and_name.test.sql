begin;

select plan(6);

insert into auth.users (instance_id, id, aud, role, email)
values (
  '00000000-0000-0000-0000-000000000000',
  'aaaaaaaa-0000-4000-8000-000000000001',
  'authenticated',
  'authenticated',
  'door-operator@test.example'
);

insert into auth.sessions (id, user_id)
values ('aaaaaaaa-0000-4000-8000-0000000000a1', 'aaaaaaaa-0000-4000-8000-000000000001');

select is(
  runbook.add_member('Door-Operator@Test.example', 'operator'),
  'aaaaaaaa-0000-4000-8000-000000000001',
  'a member is added by e-mail, in any case'
);

do $$
declare
  v_door jsonb;
begin
  v_door := runbook.enter(
    '{
      "sub": "aaaaaaaa-0000-4000-8000-000000000001",
      "session_id": "aaaaaaaa-0000-4000-8000-0000000000a1",
      "role": "authenticated"
    }',
    'request-7'
  );
  perform set_config('test.door', v_door::text, true);
  perform set_config('test.role', current_user, true);
  perform set_config('test.caller', to_jsonb(cal)::text, true) from runbook.caller() as cal;
end;
$$;

reset role;

select is(
  current_setting('test.door')::jsonb,
  jsonb_build_object(
    'actor', 'user:aaaaaaaa-0000-4000-8000-000000000001',
    'role', 'operator',
    'version', runbook.version()
  ),
  'the door answers who came in, as what, and the version'
);

select is(
  current_setting('test.role'), 'runbook_operator', 'the transaction has the member''s role'
);

select is(
  current_setting('test.caller')::jsonb,
  '{
    "actor": "user:aaaaaaaa-0000-4000-8000-000000000001",
    "role": "operator",
    "request_id": "request-7"
  }'::jsonb,
  'the caller is the person, in this request'
);

do $$
begin
  perform set_config(
    'test.door',
    runbook.enter('{"role": "service_role", "key_name": "ci"}', 'request-8')::text,
    true
  );
end;
$$;

reset role;

select is(
  current_setting('test.door')::jsonb - 'version',
  '{"actor": "key:ci", "role": "admin"}'::jsonb,
  'a secret key comes in as admin, named after the key'
);

select is(
  (select to_jsonb(cal) from runbook.caller() as cal),
  jsonb_build_object('actor', 'database:' || session_user, 'role', 'admin', 'request_id', null),
  'without the door the caller is the login of the database'
);

select * from finish();
rollback;
