begin;

select plan(6);

create function pg_temp.status()
returns text
language sql
as $$
  select runbook.run_check('connections') ->> 'status';
$$;

-- The number of connections cannot be moved in a test, so the thresholds move: one of them is kept
-- far away while the other is on either side of what is measured.
create function pg_temp.tune(warning numeric, critical numeric)
returns void
language sql
as $$
  select runbook.tune_check(
    'connections', jsonb_build_object('warning', warning, 'critical', critical)
  );
$$;

select is(pg_temp.status(), 'ok', 'few connections are ok');

select cmp_ok(
  (runbook.run_check('connections') ->> 'value')::numeric, '>', 0.0,
  'the share that is taken is measured'
);

select pg_temp.tune(101, 102);
select is(pg_temp.status(), 'ok', 'below the threshold nothing is said');

select pg_temp.tune(0.1, 102);
select is(pg_temp.status(), 'warning', 'from the first threshold on it warns');

select pg_temp.tune(0.1, 0.2);
select is(
  runbook.run_check('connections') #>> '{findings,0,severity}',
  'critical',
  'from the second on it is critical'
);

select runbook.tune_check('connections', null);
select is(pg_temp.status(), 'ok', 'with the handbook''s thresholds it is ok again');

select * from finish();
rollback;
