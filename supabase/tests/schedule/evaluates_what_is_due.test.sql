begin;

select plan(17);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.check_state in share row exclusive mode;

create function public.test_check(settings jsonb)
returns runbook.check_result
language sql
stable
as 'select runbook.check_answer(1, null)';

insert into runbook.check_group (name, title, position, every, budget, largest_share)
values ('tried', 'Tried', 900, '5 minutes', '10 seconds', 0.001);
insert into runbook.check (name, title, description, function, position, check_group)
values ('test_check', 'Test', 'T.', 'public.test_check', 901, 'tried');

create function pg_temp.due_in()
returns numeric
language sql
as $$
  select round(extract(epoch from stt.due_at - stt.measured_at))
  from runbook.check_state as stt
  where stt.check_name = 'test_check';
$$;

-- Moves what was measured into the past.
create function pg_temp.pass(by interval)
returns void
language sql
as $$
  update runbook.check_state as stt
  set measured_at = stt.measured_at - by, due_at = stt.due_at - by
  where stt.check_name = 'test_check';
$$;

create function pg_temp.recorded()
returns jsonb
language sql
as $$
  select ent.content
  from jsonb_array_elements(runbook.recorded_report() -> 'checks') as ent (content)
  where ent.content ->> 'check' = 'test_check';
$$;

select is(
  pg_temp.recorded() ->> 'status', 'skipped', 'a check that was never measured is not healthy'
);

select is(runbook.evaluate_group('tried'), 1, 'what was never measured is due');
select is(pg_temp.recorded() ->> 'status', 'ok', 'and its entry is in the recorded report');
select is(pg_temp.due_in(), 300::numeric, 'it is due again after the interval of its group');
select is(runbook.evaluate_group('tried'), 0, 'not before');

select pg_temp.pass('299 seconds');
select is(runbook.evaluate_group('tried'), 1, 'the minute''s jitter makes no difference');

select pg_temp.pass('290 seconds');
select cmp_ok(
  clock_timestamp() - (pg_temp.recorded() ->> 'measured_at')::timestamptz, '>', interval '289 s',
  'the report says when each was measured'
);

select alike(
  runbook.report_text(
    runbook.compose_report(
      jsonb_build_array(pg_temp.recorded() || '{"status": "warning"}'), is_partial => true
    )
  ),
  '%Test: 1 (4 min 5_ s ago)%',
  'and people read how long ago that was'
);

select pg_temp.pass('10 minutes');
select is(
  pg_temp.recorded() ->> 'status', 'skipped', 'what is overdue no longer says that all is well'
);
select alike(pg_temp.recorded() ->> 'reason', '%runbook-checks is late%', 'it says why');

update runbook.check_state as stt
set entry = stt.entry || '{"status": "critical"}'
where stt.check_name = 'test_check';
select is(pg_temp.recorded() ->> 'status', 'critical', 'but what it found stays found');

select is(runbook.evaluate_group('tried', even_if_not_due => true), 1, 'by hand it may be at once');

select runbook.keep_entries('[{"check": "test_check", "status": "ok", "took_ms": 600}]');
select is(pg_temp.due_in(), 600::numeric, 'one that is dear is due less often: share of the time');

select runbook.keep_entries('[{"check": "test_check", "status": "ok", "took_ms": 90000}]');
select is(pg_temp.due_in(), 3600::numeric, 'but once an hour at least');

select runbook.keep_entries(
  '[{"check": "test_check", "status": "skipped", "took_ms": 0, "reason": "budget spent"}]'
);
select is(pg_temp.due_in(), 0::numeric, 'one that the budget did not reach is due at once');

select throws_ok($$ select runbook.evaluate_group('coffee') $$, 'RB404', null, 'no such group');

set transaction read only;
select is(runbook.evaluate_group('tried'), 0, 'on a read-only database it does nothing');

select * from finish();
rollback;
