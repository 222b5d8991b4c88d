begin;

select plan(5);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.probe in share row exclusive mode;

create function pg_temp.entry()
returns jsonb
language sql
as $$
  select runbook.run_check('versions_agree');
$$;

delete from runbook.probe where true;
select is(pg_temp.entry() ->> 'status', 'skipped', 'before a function has spoken it is skipped');

select runbook.record_probe(
  'functions_version', true, jsonb_build_object('version', runbook.version())
);
select is(pg_temp.entry() ->> 'status', 'ok', 'the same version is ok');

select runbook.record_probe('functions_version', true, '{"version": "0.0.9"}');
select is(
  pg_temp.entry() #>> '{findings,0,code}', 'versions_differ', 'another version is a finding'
);

select runbook.record_probe('functions_version', true, '{}');
select is(pg_temp.entry() #>> '{findings,0,code}', 'versions_differ', 'so is no version at all');

select runbook.record_probe(
  'functions_version', true, jsonb_build_object('version', runbook.version())
);
select is(pg_temp.entry() ->> 'status', 'ok', 'once they agree it is ok again');

select * from finish();
rollback;
