begin;

select plan(5);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.probe in share row exclusive mode;
delete from runbook.probe where true;

select is(runbook.fresh_probe('auth_health'), null, 'nobody has looked');

select runbook.carry_probes(
  '[{"name": "auth_health", "ok": true, "evidence": {"took_ms": 12}}]'
);
select is(
  (runbook.fresh_probe('auth_health')).evidence, '{"took_ms": 12}',
  'what the transaction carries counts'
);
select is(runbook.fresh_probe('functions_version'), null, 'for what was looked at');
select is((select count(*) from runbook.probe), 0::bigint, 'and is not recorded');

select throws_ok(
  $$ set local role runbook_admin; select runbook.carry_probes('[]') $$,
  '42501', null, 'no caller makes a probe up'
);

select * from finish();
rollback;
