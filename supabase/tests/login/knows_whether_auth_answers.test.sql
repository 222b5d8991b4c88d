begin;

select plan(7);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.probe in share row exclusive mode;

insert into auth.users (
  instance_id, id, aud, email, email_confirmed_at, encrypted_password
)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000005',
  'authenticated',
  'ok@test.example',
  now(),
  'x'
);

create function pg_temp.diagnosis()
returns jsonb
language sql
as $$
  select runbook.diagnose('login', '{"email": "ok@test.example"}');
$$;

delete from runbook.probe;

select is(
  pg_temp.diagnosis() #>> '{skipped,0,check}',
  'auth_reachable',
  'Auth that nobody looked at is skipped'
);

select is(pg_temp.diagnosis() ->> 'verdict', 'unknown', 'which is not health');

select runbook.record_probe('auth_settings', true, '{"external": {"email": true}}');
select runbook.record_probe('auth_health', false, '{"status": 401, "took_ms": 4}');
select matches(
  pg_temp.diagnosis() #>> '{skipped,0,reason}',
  'key .* wrong or missing',
  'an answer about our own key tells nothing about Auth'
);

select runbook.record_probe('auth_health', true, '{"status": 200, "took_ms": 4}');
select is(pg_temp.diagnosis() ->> 'verdict', 'ok', 'Auth that answers is health');

select runbook.record_probe('auth_health', false, '{"status": 502, "took_ms": 4}');
select is(
  pg_temp.diagnosis() #> '{findings,0,evidence,status}',
  '502',
  'Auth that does not answer is a finding with its evidence'
);

select is(pg_temp.diagnosis() #>> '{findings,0,severity}', 'critical', 'a critical one');

update runbook.probe
set seen_at = clock_timestamp() - interval '61 seconds'
where name = 'auth_health';
select is(pg_temp.diagnosis() ->> 'verdict', 'unknown', 'a look of a minute ago does not count');

select * from finish();
rollback;
