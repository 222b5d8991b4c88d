begin;

select plan(22);

-- A check whose findings the test chooses: [[code, severity, subject], ...].
create function public.test_check(settings jsonb)
returns runbook.check_result
language sql
stable
as $$
  select row(
    null,
    array_agg(
      row(fnd.c ->> 0, fnd.c ->> 1, fnd.c ->> 2, 'It is so.', '{}', 'made up', null, null)
        ::runbook.finding
      order by fnd.position
    )
  )::runbook.check_result
  from jsonb_array_elements(current_setting('test.findings')::jsonb) with ordinality
    as fnd (c, position);
$$;

insert into runbook.check (name, title, description, function, position, codes)
values ('test_check', 'Test', 'T.', 'public.test_check', 1000, '{"odd": "Odd.", "strange": "S."}');

create function pg_temp.find(variadic findings jsonb[])
returns void
language sql
as $$
  select set_config('test.findings', to_jsonb(findings)::text, true);
$$;

create function pg_temp.report(detail boolean default false)
returns jsonb
language sql
as $$
  select runbook.health_check(detail, checks => '{test_check}');
$$;

create function pg_temp.suppress(params jsonb, dry_run boolean default false)
returns jsonb
language sql
as $$
  select runbook.remediate(
    'suppress-finding',
    jsonb_build_object('check', 'test_check', 'code', 'odd', 'until', now() + interval '30 days')
    || params,
    dry_run,
    'we know'
  );
$$;

select pg_temp.find('["odd", "warning", "we''ird \"Näme\""]', '["odd", "warning", "other"]');
select is(pg_temp.report() ->> 'status', 'warning', 'what is found is shown');

select is(
  pg_temp.suppress('{"subject": "we''ird \"Näme\""}', dry_run => true) ->> 'state',
  'planned',
  'a plan'
);
select is(pg_temp.report() -> 'suppressed', '0', 'changes nothing');

create temporary table made as
select pg_temp.suppress('{"subject": "we''ird \"Näme\""}') as answer;

select is(pg_temp.report() -> 'suppressed', '1', 'a suppressed finding is counted');
select is(
  (pg_temp.report() #> '{checks,0,suppressed,0}') - 'until',
  '{
    "code": "odd", "subject": "we''ird \"Näme\"", "severity": "warning", "reason": "we know",
    "actor": "database:postgres"
  }',
  'and listed with its reason and who gave it'
);
select is(
  pg_temp.report() #>> '{checks,0,findings,0,subject}', 'other', 'other subjects are shown as ever'
);
select alike(
  runbook.report_text(pg_temp.report()),
  '%suppressed      1: odd (we''ird "Näme") until%',
  'people read of it too'
);

select pg_temp.find('["odd", "warning", "we''ird \"Näme\""]');
select is(pg_temp.report() ->> 'status', 'ok', 'when nothing else is found the status is ok');
select alike(
  runbook.report_text(pg_temp.report()), '%Nothing is wrong but what is suppressed.%',
  'which is not said without a word about it'
);

select pg_temp.find('["odd", "critical", "we''ird \"Näme\""]');
select is(pg_temp.report() ->> 'status', 'critical', 'what is worse than before is shown');

select pg_temp.find('["odd", "info", "we''ird \"Näme\""]', '["strange", "warning", "x"]');
select is(pg_temp.report() -> 'suppressed', '1', 'what is less is not');
select is(pg_temp.report() ->> 'status', 'warning', 'nor does another code hide behind it');

select pg_temp.find('["odd", "warning", "we''ird \"Näme\""]');
select is(
  runbook.undo(
    (select (mad.answer #>> '{run,id}')::bigint from made as mad), reason => 'it matters'
  ) ->> 'state',
  'succeeded',
  'undo'
);
select is(pg_temp.report() ->> 'status', 'warning', 'lifts it');

select pg_temp.suppress('{}');
select pg_temp.find('["odd", "warning", "one"]', '["odd", "warning", "two"]');
select is(pg_temp.report() -> 'suppressed', '2', 'without a subject it counts all of its code');

select runbook.shift_clock('31 days');
select is(pg_temp.report() ->> 'status', 'warning', 'when it has expired they are back');

select pg_temp.find('["odd", "critical", "one"]');
select pg_temp.suppress(jsonb_build_object('until', runbook.now() + interval '1 day'));
select is(
  pg_temp.report() #>> '{checks,0,status}', 'ok', 'it may be made again, for what is seen then'
);
select is(
  pg_temp.report() ->> 'status', 'warning', 'but no report is well while something critical is'
);
select alike(
  runbook.report_text(pg_temp.report()),
  '%Something critical is suppressed.%suppressed      1: critical: odd (one) until%',
  'and people read what'
);
select is((select count(*) from runbook.suppression), 1::bigint, 'and is there once');

do $$
begin
  perform set_config('role', 'runbook_viewer', true);
  perform set_config('test.seen', pg_temp.report() #>> '{checks,0,suppressed,0,reason}', true);
end;
$$;
reset role;
select is(current_setting('test.seen'), 'we know', 'a viewer reads the reason');

select throws_ok(
  $$ set local role runbook_admin; insert into runbook.suppression default values $$,
  '42501', null, 'nobody suppresses past the engine'
);

select * from finish();
rollback;
