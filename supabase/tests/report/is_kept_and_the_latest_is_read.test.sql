begin;

select plan(5);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.report in share row exclusive mode;

select runbook.record_report(runbook.compose_report('[]') || '{"status": "warning"}');
select runbook.record_report(runbook.compose_report('[]') || '{"status": "critical"}');

select is(
  (select rpt.status from runbook.latest_report as rpt),
  'critical',
  'the latest report is the last recorded'
);

select lives_ok(
  $$
  set local role runbook_viewer;
  select rpt.report from runbook.latest_report as rpt;
  reset role
  $$,
  'a viewer reads it'
);

select throws_ok(
  $$ set local role runbook_admin; select runbook.record_report('{}') $$,
  '42501', null, 'no caller makes a report up'
);

select throws_ok(
  $$ set local role runbook_admin; select runbook.record_probe('auth_health', true, '{}') $$,
  '42501', null, 'nor a probe'
);

do $$
begin
  perform set_config('role', 'runbook_viewer', true);
  perform set_config('test.status', runbook.health_check() ->> 'status', true);
  perform set_config('test.text', runbook.report_text(runbook.health_check()), true);
end;
$$;

reset role;
select is(
  left(current_setting('test.text'), 14 + char_length(current_setting('test.status'))),
  'Health check: ' || current_setting('test.status'),
  'a viewer runs the health check and reads it as text'
);

select * from finish();
rollback;
