begin;

select plan(4);

set transaction read only;

select is_empty(
  $$
  select skp.content
  from jsonb_array_elements(
    runbook.diagnose('login', '{"email": "x@test.example"}') -> 'skipped'
  ) as skp (content)
  where skp.content ->> 'check' not in ('auth_reachable', 'auth_settings')
  $$,
  'a diagnosis answers in full in a read-only transaction'
);

select lives_ok('select runbook.health_check()', 'so does the health check');

select is(
  runbook.record_probe('auth_health', true, '{}'),
  false,
  'a probe is not kept there, and says so'
);

select throws_ok(
  $$ select runbook.remediate('unblock-login', '{"email": "x@test.example"}', reason => 'test') $$,
  '25006', null, 'a remediation is refused as read-only'
);

select * from finish();
rollback;
