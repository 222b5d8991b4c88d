begin;

select plan(8);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.probe in share row exclusive mode;
delete from runbook.probe where true;

create function pg_temp.seen(ago interval, evidence jsonb default '{}')
returns boolean
language sql
as $$
  select runbook.record_probe('disk', true, seen.evidence);
  update runbook.probe set seen_at = clock_timestamp() - seen.ago where name = 'disk';
  select 'disk' = any (runbook.due_probes());
$$;

select is(
  runbook.due_probes(),
  array['auth_health', 'data_api', 'disk', 'functions_version'],
  'what nobody has looked at is due'
);
select is(
  (
    select array_agg(prb.name order by prb.name)
    from unnest(runbook.due_probes()) as prb (name)
    where runbook.record_probe(prb.name, true, '{}')
      and prb.name = any (runbook.due_probes())
  ),
  array['auth_health', 'data_api', 'disk', 'functions_version'],
  'all are recorded'
);
select is(
  runbook.due_probes(),
  array['auth_health', 'functions_version'],
  'and without an interval due again at once'
);
select ok(not pg_temp.seen('4 minutes 45 seconds'), 'before five minutes the disk is not due');
select ok(pg_temp.seen('4 minutes 55 seconds'), 'and then, as the schedule comes on the minute');
select ok(
  not pg_temp.seen('10 minutes', '{"retry_after_s": 900}'), 'who asked for patience gets it'
);
select ok(pg_temp.seen('1 hour', '{"retry_after_s": 1e12}'), 'for an hour at most');

insert into runbook.check_tuning (check_name, thresholds, tuned_by)
values ('disk_space', '{"look_every_s": 60}', 'a test');
select ok(pg_temp.seen('1 minute'), 'an admin may tune how often');

select * from finish();
rollback;
