begin;

select plan(12);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.database_size, runbook.probe in share row exclusive mode;

create function pg_temp.status()
returns text
language sql
as $$
  select runbook.run_check('disk_space') ->> 'status';
$$;

-- A week of hourly sizes that grow by so much a day, up to 5 GB now.
create procedure pg_temp.grow(bytes_per_day numeric, hours integer default 160)
language sql
as $$
  delete from runbook.database_size where true;
  insert into runbook.database_size (measured_at, bytes, all_bytes, wal_bytes)
  select
    clock_timestamp() - ago * interval '1 hour',
    0,
    5000000000 - ago * bytes_per_day / 24,
    0
  from generate_series(0, hours) as srs (ago);
$$;

select is(pg_temp.status(), 'not_applicable', 'a disk whose size nobody told cannot be judged');
select matches(
  runbook.run_check('disk_space') ->> 'reason', 'disk_bytes', 'and how to tell it is said'
);

call pg_temp.grow(0);
select runbook.set_setting('disk_bytes', '"large"');
select is(pg_temp.status(), 'not_applicable', 'a size that is no number is none');

select runbook.set_setting('disk_bytes', '8000000000');
select is(pg_temp.status(), 'ok', 'a disk with room that does not fill is ok');
select is(runbook.run_check('disk_space') -> 'value', '62.5', 'and its share is told');

call pg_temp.grow(1000000000, hours => 11);
select is(pg_temp.status(), 'ok', 'half a day tells no growth');

call pg_temp.grow(100000000);
select is(pg_temp.status(), 'ok', 'growth for another 26 days is ok');

call pg_temp.grow(300000000);
select is(pg_temp.status(), 'warning', 'full within nine days is a warning');

call pg_temp.grow(1000000000);
select is(pg_temp.status(), 'critical', 'full in less than three days is critical');
select matches(
  runbook.run_check('disk_space') #>> '{findings,0,summary}',
  -- A moment passes until the check has reckoned, and a day may end in it.
  (
    select string_agg(
      to_char((clock_timestamp() + interval '2.6 days' + by) at time zone 'UTC', 'YYYY-MM-DD'), '|'
    )
    from unnest('{-1 minute, 1 minute}'::interval[]) as by
  ),
  'the day is named'
);

select runbook.record_probe(
  'disk', true, '{"fs_size_bytes": 100000000000, "fs_used_bytes": 20000000000}'
);
select is(runbook.run_check('disk_space') -> 'value', '20.0', 'what the platform says counts more');
select is(pg_temp.status(), 'ok', 'and there is room again');

select * from finish();
rollback;
