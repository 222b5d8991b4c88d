begin;

select plan(10);

create function pg_temp.seen(ok boolean, evidence jsonb)
returns text
language plpgsql
as $$
declare
  v_finding runbook.finding;
begin
  delete from runbook.probe where name = 'realtime_health';
  perform runbook.record_probe('realtime_health', seen.ok, seen.evidence);
  v_finding := runbook.finding_of_realtime_health();
  return format('%s %s', v_finding.severity, v_finding.code);
end;
$$;

delete from runbook.probe where name = 'realtime_health';
select is(
  (runbook.finding_of_realtime_health()).severity::text, 'skipped', 'never looked at is not health'
);
select is(
  pg_temp.seen(true, '{"by": "realtime", "status": 200, "healthy": true}'), ' ', 'well is silent'
);
select is(
  pg_temp.seen(false, '{"by": "realtime", "status": 200, "healthy": false}'),
  'critical realtime_unhealthy',
  'what says that it is not well is a finding'
);
select is(
  pg_temp.seen(false, '{"by": "realtime", "status": 503}'),
  'critical realtime_unhealthy',
  'so is a failure of its own'
);
select is(
  pg_temp.seen(false, '{"by": "realtime", "status": null, "error": "timeout"}'),
  'critical realtime_unhealthy',
  'and silence'
);
select is(
  pg_temp.seen(false, '{"by": "management_api", "status": null, "error": "timeout"}'),
  'skipped realtime_unhealthy',
  'the Management API''s silence says nothing of Realtime'
);
select is(
  pg_temp.seen(false, '{"by": "management_api", "status": 401}'),
  'skipped realtime_unhealthy',
  'nor does its refusal of the token'
);
select is(
  pg_temp.seen(false, '{"by": "realtime", "status": 404}'),
  'not_applicable realtime_unhealthy',
  'where there is no such address there is nothing to ask'
);
select is(
  pg_temp.seen(false, '{"by": "realtime", "status": 403}'),
  'not_applicable realtime_unhealthy',
  'nor where the address is not open to a project''s key'
);

update runbook.probe set seen_at = clock_timestamp() - interval '61 seconds'
where name = 'realtime_health';
select is(
  (runbook.finding_of_realtime_health()).severity::text, 'skipped', 'an old look is none'
);

select * from finish();
rollback;
