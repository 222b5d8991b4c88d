begin;

select plan(5);

create role runbook_test_login login;
grant runbook_operator to runbook_test_login;
grant runbook_test_login to current_user;

select set_config('runbook.caller', '{"actor": "user:somebody-else"}', true);

select is(
  (select cal.actor from runbook.caller() as cal),
  'database:' || session_user,
  'a name that was set without entering counts for nothing'
);

do $$
begin
  perform set_config('role', 'runbook_test_login', true);
  perform set_config(
    'test.caller',
    (select to_jsonb(cal)::text from runbook.caller() as cal),
    true
  );
end;
$$;

reset role;

select is(
  current_setting('test.caller')::jsonb ->> 'actor',
  'database:' || session_user,
  'nor does it for a role that is not one of the runbook''s three'
);

select is(
  current_setting('test.caller')::jsonb ->> 'role',
  'operator',
  'a login has the highest of the roles that it is a member of'
);

select ok(
  not has_function_privilege('runbook_test_login', 'runbook.enter(jsonb, text)', 'execute'),
  'another login cannot enter'
);

do $$
begin
  perform set_config('role', 'runbook_viewer', true);
  perform set_config(
    'test.caller',
    (select to_jsonb(cal)::text from runbook.caller() as cal),
    true
  );
end;
$$;

reset role;

select is(
  current_setting('test.caller')::jsonb ->> 'role',
  'viewer',
  'a lower role is not raised by what the login could do'
);

select * from finish();
rollback;
