begin;

select plan(4);

update runbook.remediation as rem
set risk = 'high'
where rem.name = 'unblock-login';

select throws_ok(
  $$
  set local role runbook_operator;
  select runbook.remediate('unblock-login', '{"email": "x@test.example"}', true)
  $$,
  'RB405', null, 'an operator is refused what is of high risk'
);

select throws_ok(
  $$
  set local role runbook_operator;
  select runbook.run_remediation(
    'unblock-login', '{"email": "x@test.example"}', true, null, null, null
  )
  $$,
  'RB405', null, 'the engine checks it again'
);

select lives_ok(
  $$
  set local role runbook_admin;
  select runbook.remediate('unblock-login', '{"email": "x@test.example"}', true);
  reset role
  $$,
  'an admin is not'
);

update runbook.remediation as rem
set risk = 'low'
where rem.name = 'unblock-login';

select lives_ok(
  $$
  set local role runbook_operator;
  select runbook.remediate('unblock-login', '{"email": "x@test.example"}', reason => 'test');
  reset role
  $$,
  'an operator applies what is of low risk'
);

select * from finish();
rollback;
