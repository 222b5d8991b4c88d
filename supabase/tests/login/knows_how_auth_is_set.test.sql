begin;

select plan(8);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.probe in share row exclusive mode;

create function pg_temp.diagnosis()
returns jsonb
language sql
as $$
  select runbook.diagnose('login', '{"email": "nobody@test.example"}');
$$;

delete from runbook.probe;
select runbook.record_probe('auth_health', true, '{"status": 200}');

select is(
  pg_temp.diagnosis() #>> '{skipped,0,check}',
  'auth_settings',
  'settings that nobody looked at are skipped'
);

select runbook.record_probe('auth_settings', false, '{"status": 502}');
select is(
  pg_temp.diagnosis() #>> '{skipped,0,check}',
  'auth_settings',
  'so are settings that Auth did not tell'
);

select runbook.record_probe('auth_settings', true, '{"external": {"email": "maybe"}}');
select is(
  pg_temp.diagnosis() #>> '{skipped,0,check}',
  'auth_settings',
  'and an answer that does not say'
);

select runbook.record_probe('auth_settings', true, '{"external": {"email": true}}');
select is(pg_temp.diagnosis() -> 'skipped', '[]', 'settings that were seen are not skipped');
select is(pg_temp.diagnosis() #>> '{findings,0,code}', 'no_such_user', 'they may be right');

select runbook.record_probe(
  'auth_settings', true, '{"external": {"email": false}, "disable_signup": true}'
);
select is(
  pg_temp.diagnosis() #>> '{findings,0,code}',
  'email_sign_in_off',
  'sign-in by e-mail that is switched off is a finding'
);

select is(pg_temp.diagnosis() #>> '{findings,0,severity}', 'critical', 'a critical one');

select matches(
  pg_temp.diagnosis() #>> '{findings,1,summary}',
  'Sign-up is switched off',
  'and who has no account is told that none can be made'
);

select * from finish();
rollback;
