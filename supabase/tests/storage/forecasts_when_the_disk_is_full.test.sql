begin;

select plan(23);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.database_size, runbook.disk_usage, runbook.probe in share row exclusive mode;
delete from runbook.probe where name = 'disk';
delete from runbook.disk_usage where true;
delete from runbook.setting where name = 'disk_bytes';

create function pg_temp.status()
returns text
language sql
as $$
  select runbook.run_check('disk_space') ->> 'status';
$$;

create function pg_temp.summary()
returns text
language sql
as $$
  select runbook.run_check('disk_space') #>> '{findings,0,summary}';
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

-- Six hours of what the platform told, each five minutes: so much more an hour since so long.
create procedure pg_temp.tell(bytes_per_hour numeric, since_hours numeric default 6)
language sql
as $$
  delete from runbook.disk_usage where true;
  insert into runbook.disk_usage (measured_at, seen_at, size_bytes, used_bytes, available_bytes)
  select
    clock_timestamp() - ago * interval '5 minutes',
    clock_timestamp() - ago * interval '5 minutes',
    8000000000,
    6000000000 - least(ago / 12.0, since_hours) * bytes_per_hour,
    2000000000
  from generate_series(0, 71) as srs (ago);
$$;

select is(pg_temp.status(), 'not_applicable', 'a disk whose size nobody told cannot be judged');
select matches(
  runbook.run_check('disk_space') ->> 'reason',
  'RUNBOOK_MANAGEMENT_TOKEN.*infra_disk_config_read.*disk_bytes',
  'and both ways to tell it are said'
);

call pg_temp.grow(0);
select runbook.set_setting('disk_bytes', '"large"');
select is(pg_temp.status(), 'not_applicable', 'a size that is no number is none');

select runbook.set_setting('disk_bytes', '8000000000');
select is(pg_temp.status(), 'ok', 'a disk with room that does not fill is ok');
select is(runbook.run_check('disk_space') -> 'value', '62.5', 'and its share is told');
select matches(pg_temp.summary(), '2480 MB from now; it does not grow', 'and how far 95 % is away');
select doesnt_match(pg_temp.summary(), 'other', 'other files are not seen, and not told');

call pg_temp.grow(1000000000, hours => 11);
select is(pg_temp.status(), 'ok', 'half a day tells no growth');
select matches(pg_temp.summary(), 'how fast it grows is not known yet', 'which is said');

call pg_temp.grow(100000000);
select is(pg_temp.status(), 'ok', 'growth for another 26 days is ok');

call pg_temp.grow(300000000);
select is(pg_temp.status(), 'warning', 'full within nine days is a warning');

call pg_temp.grow(1000000000);
select is(pg_temp.status(), 'critical', 'full in less than three days is critical');
select matches(
  pg_temp.summary(),
  -- A moment passes until the check has reckoned, and a day may end in it.
  (
    select string_agg(
      to_char((clock_timestamp() + interval '2.6 days' + by) at time zone 'UTC', 'YYYY-MM-DD'), '|'
    )
    from unnest('{-1 minute, 1 minute}'::interval[]) as by
  ),
  'the day is named'
);
select matches(
  pg_temp.summary(),
  ' by the steady growth of the databases in the last 6.7 days',
  'and what the forecast is worth'
);

-- Up and down by more than it grows in a week: no line tells when.
call pg_temp.grow(200000000);
select is(pg_temp.status(), 'warning', 'full within two weeks is a warning');
update runbook.database_size
set all_bytes = all_bytes - 1500000000
where extract(hour from measured_at)::integer % 2 <> extract(hour from clock_timestamp()) % 2;
select is(pg_temp.status(), 'ok', 'what goes up and down by more than that is no line');
select matches(pg_temp.summary(), 'it grows too unevenly to say when', 'which is said');

-- The last hours.
call pg_temp.grow(0);
call pg_temp.tell(0);
select runbook.record_probe(
  'disk',
  true,
  '{"fs_size_bytes": 8000000000, "fs_used_bytes": 6000000000, "fs_avail_bytes": 2000000000}'
);
select is(pg_temp.status(), 'ok', 'a disk that three quarters fill, and no more, is ok');

call pg_temp.tell(20000000);
select is(pg_temp.status(), 'ok', 'growth that leaves three days is none of the last hours');

call pg_temp.tell(1500000000, since_hours => 1);
select is(pg_temp.status(), 'ok', 'a step within an hour is no line');

call pg_temp.tell(100000000);
select is(pg_temp.status(), 'warning', 'full within a day, by a line of six hours, is a warning');
select matches(
  pg_temp.summary(), 'UTC by the growth of the last 5\.9 hours', 'the hour and the line are named'
);

call pg_temp.tell(400000000);
select is(pg_temp.status(), 'critical', 'full within six hours is critical');

select * from finish();
rollback;
