begin;

select plan(9);

set local client_min_messages = warning;
create table if not exists public.auth_rate_limits (
  identifier text primary key,
  blocked_until timestamptz
);
insert into public.auth_rate_limits (identifier, blocked_until)
values ('kept@test.example', '2999-01-01 00:00:00+00');

create function pg_temp.problems(params text, reason text, dry_run boolean default false)
returns jsonb
language plpgsql
as $$
declare
  v_detail text;
begin
  perform runbook.remediate('unblock-login', params::jsonb, dry_run, reason);
  return '[]';
exception
  when sqlstate 'RB400' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return v_detail::jsonb;
end;
$$;

select is(
  pg_temp.problems('{"email": "kept@test.example"}', null),
  '[{"path": "reason", "message": "is required"}]',
  'applying needs a reason'
);

select is(
  pg_temp.problems('{"email": "kept@test.example"}', '   '),
  '[{"path": "reason", "message": "must not be empty"}]',
  'blanks are no reason'
);

select is(
  pg_temp.problems('{"email": "kept@test.example"}', repeat('x', 10000)),
  '[{"path": "reason", "message": "must have at most 1000 characters, not 10000"}]',
  'a reason has 1000 characters at most'
);

select is(
  pg_temp.problems('{"email": "kept@test.example"}', null, dry_run => true),
  '[]',
  'a plan needs no reason'
);

select is(
  pg_temp.problems('{"email": 7, "all": true}', null),
  '[
    {"path": "all", "message": "is not a known parameter; known are email"},
    {"path": "email", "message": "must be of type string, not 7"},
    {"path": "reason", "message": "is required"}
  ]',
  'all that does not fit is named at once'
);

select throws_ok(
  $$
  set local role runbook_viewer;
  select runbook.remediate('unblock-login', '{"email": "kept@test.example"}', reason => 'test')
  $$,
  'RB405', null, 'a viewer is told which role it takes'
);

select throws_ok(
  $$
  set local role runbook_viewer;
  select runbook.run_remediation(
    'unblock-login', '{"email": "kept@test.example"}', false, 'test', null, null
  )
  $$,
  '42501', null, 'and cannot go past that to the engine'
);

select throws_ok(
  $$ set local role runbook_viewer; delete from public.auth_rate_limits where true $$,
  '42501', null, 'nor to the table'
);

select isnt_empty(
  $$ select from public.auth_rate_limits where identifier = 'kept@test.example' $$,
  'after all that the row is still there'
);

select * from finish();
rollback;
