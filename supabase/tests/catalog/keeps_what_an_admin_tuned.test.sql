begin;

select plan(8);

select is(
  runbook.thresholds_of('connections'),
  '{"warning": 80, "critical": 90}',
  'a check comes with the handbook''s thresholds'
);

select is(
  runbook.tune_check('connections', '{"warning": 70}'),
  '{"warning": 70, "critical": 90}',
  'an admin overrides one of them'
);

update runbook.check as chk
set thresholds = '{"warning": 85, "critical": 95}'
where chk.name = 'connections';

select is(
  runbook.thresholds_of('connections'),
  '{"warning": 70, "critical": 95}',
  'an upgrade of the definition leaves the admin''s choice alone'
);

select is(
  runbook.tune_check('connections', null),
  '{"warning": 85, "critical": 95}',
  'null goes back to what is shipped'
);

select throws_ok(
  $$ select runbook.tune_check('connections', '{"waning": 70}') $$,
  'RB400', null, 'a threshold that the check does not have is refused'
);

select throws_ok(
  $$ select runbook.tune_check('connections', '{"warning": "70"}') $$,
  'RB400', null, 'a threshold is a number'
);

select throws_ok(
  $$ select runbook.tune_check('coffee', '{"warning": 70}') $$,
  'RB404', null, 'an unknown check is refused'
);

select throws_ok(
  $$ set local role runbook_operator; select runbook.tune_check('connections', '{"warning": 1}') $$,
  '42501', null, 'an operator cannot tune'
);

select * from finish();
rollback;
