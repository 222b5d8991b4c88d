begin;

select plan(34);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.counter_snapshot in share row exclusive mode;
delete from runbook.counter_snapshot where true;

-- The server's counters cannot be set: a row of a table stands in for them.
create table public.test_counter (like runbook.counter_snapshot);
insert into public.test_counter
values (now(), null, 0, 0, 0, 0, 0, clock_timestamp() - interval '10 days', 0, 0, 0, '{}', '{}');

create or replace function runbook.counters_now()
returns runbook.counter_snapshot
language plpgsql
stable
as $$
declare
  v_now runbook.counter_snapshot;
begin
  select cnt.* into v_now from public.test_counter as cnt;
  v_now.taken_at := clock_timestamp();
  return v_now;
end;
$$;

create function pg_temp.snapshot(ago interval)
returns void
language sql
as $$
  delete from runbook.counter_snapshot where true;
  insert into runbook.counter_snapshot
  select cnt.*
  from runbook.counters_now() as cnt;
  update runbook.counter_snapshot set taken_at = clock_timestamp() - ago where true;
$$;

create function pg_temp.entry(name text)
returns text
language sql
as $$
  select format(
    '%s %s',
    ent.content ->> 'status',
    coalesce(ent.content ->> 'value', '-')
  )
  from runbook.run_check(entry.name) as ent (content);
$$;

-- Nothing is known yet.
select is(
  pg_temp.entry('cache_hit'), 'not_applicable -', 'without traffic the cache has no figure'
);
select is(pg_temp.entry('temporary_files'), 'ok 0.0', 'without temporary files all is well');
select is(pg_temp.entry('deadlocks'), 'ok 0.0', 'without deadlocks as well');
select is(pg_temp.entry('checkpoints'), 'ok 0.0', 'and without checkpoints');

-- Since when the server counts may be unknown.
update public.test_counter set deadlocks = 4 where true;
select is(pg_temp.entry('deadlocks'), 'ok 4.0', 'four deadlocks since ever are no finding');
update public.test_counter set deadlocks = 400 where true;
select is(pg_temp.entry('deadlocks'), 'skipped -', '400 since nobody knows when cannot be told');
update public.test_counter set database_since = clock_timestamp() - interval '400 days' where true;
select is(pg_temp.entry('deadlocks'), 'ok 1.0', 'in 400 days they are one a day');

-- A snapshot of yesterday.
select pg_temp.snapshot('23 hours');
select is(pg_temp.entry('deadlocks'), 'ok 0.0', 'those of before the snapshot do not count');
update public.test_counter set deadlocks = deadlocks + 4 where true;
select is(pg_temp.entry('deadlocks'), 'ok 4.0', 'four since are a near miss');
update public.test_counter set deadlocks = deadlocks + 1 where true;
select is(pg_temp.entry('deadlocks'), 'warning 5.0', 'five are a pattern');
select is(
  runbook.run_check('deadlocks') #>> '{findings,0,code}', 'deadlocks_happen', 'with a finding'
);
select pg_temp.snapshot('1 hour');
select is(pg_temp.entry('deadlocks'), 'ok 0.0', 'a day later they are forgotten');

-- The cache.
update public.test_counter set blocks_hit = 10000, blocks_read = 39999 where true;
select is(
  pg_temp.entry('cache_hit'), 'not_applicable -', 'below 50,000 blocks nothing is told'
);
select matches(
  runbook.run_check('cache_hit') ->> 'reason',
  '^Too little was read to tell: 49,999 blocks in the last 1 h 0 min\.$',
  'and it is said why'
);
update public.test_counter set blocks_hit = 95000, blocks_read = 5000 where true;
select is(pg_temp.entry('cache_hit'), 'ok 95.0', '95 % are enough');
update public.test_counter set blocks_read = 5300 where true;
select is(pg_temp.entry('cache_hit'), 'warning 94.7', 'less is a finding');
select matches(
  runbook.run_check('cache_hit') #>> '{findings,0,summary}', ' in the last 1 h 0 min;',
  'about the time that was looked at'
);
select pg_temp.snapshot('14 minutes');
update public.test_counter set blocks_hit = blocks_hit + 1, blocks_read = 90000 where true;
select is(
  pg_temp.entry('cache_hit'), 'not_applicable -', 'a quarter of an hour less a minute is no time'
);
update runbook.counter_snapshot set taken_at = clock_timestamp() - interval '16 minutes' where true;
select is(pg_temp.entry('cache_hit'), 'warning 0.0', 'a minute more is');
select pg_temp.snapshot('2 hours');
select is(
  pg_temp.entry('cache_hit'), 'not_applicable -', 'what came before the snapshot does not count'
);
update public.test_counter set blocks_hit = 5, blocks_read = 5 where true;
select is(
  pg_temp.entry('cache_hit'), 'not_applicable -', 'after a reset the snapshot says nothing'
);

-- Temporary files: not more than was written, in however short a time.
select pg_temp.snapshot('1 hour');
update public.test_counter set temp_files = 9, temp_bytes = 8191::bigint * 1048576 where true;
select is(pg_temp.entry('temporary_files'), 'ok 8191.0', '8 GB less one MB are a near miss');
update public.test_counter set temp_bytes = 8192::bigint * 1048576 where true;
select is(pg_temp.entry('temporary_files'), 'warning 8192.0', '8 GB are a finding');
select matches(
  runbook.run_check('temporary_files') #>> '{findings,0,summary}',
  '8192\.0 MB in the last 1 h 0 min to 9 temp',
  'of the hour in which they were written, and of no day'
);

-- What has been counted for minutes: much is much, and little says nothing yet.
select pg_temp.snapshot('14 minutes');
update public.test_counter
set temp_bytes = temp_bytes + 9000::bigint * 1048576, deadlocks = deadlocks + 4
where true;
select is(pg_temp.entry('temporary_files'), 'warning 9000.0', '9 GB in 14 minutes are a finding');
select is(
  pg_temp.entry('deadlocks'), 'not_applicable -', 'four deadlocks in 14 minutes are not all well'
);
update public.test_counter set deadlocks = deadlocks + 1 where true;
select is(pg_temp.entry('deadlocks'), 'warning 5.0', 'five are a finding');
update runbook.counter_snapshot set taken_at = clock_timestamp() - interval '16 minutes' where true;
update public.test_counter set deadlocks = deadlocks - 1 where true;
select is(pg_temp.entry('deadlocks'), 'ok 4.0', 'after a quarter of an hour four are well');

-- Checkpoints.
select pg_temp.snapshot('1 hour');
update public.test_counter set checkpoints_requested = 11 where true;
select is(pg_temp.entry('checkpoints'), 'ok 11.0', 'eleven an hour are a near miss');
update public.test_counter set checkpoints_requested = 13 where true;
select is(pg_temp.entry('checkpoints'), 'warning 13.0', 'thirteen are a finding');
update public.test_counter set checkpoints_timed = 20 where true;
select is(pg_temp.entry('checkpoints'), 'ok 13.0', 'unless more came in their time');
select pg_temp.snapshot('40 minutes');
update public.test_counter set checkpoints_requested = checkpoints_requested + 11 where true;
select is(pg_temp.entry('checkpoints'), 'ok 11.0', 'eleven in 40 minutes are no 16 an hour');
select pg_temp.snapshot('10 minutes');
update public.test_counter set checkpoints_requested = checkpoints_requested + 20 where true;
select is(
  pg_temp.entry('checkpoints'), 'not_applicable -', 'ten minutes are too short to tell'
);

select is(
  runbook.collect_database_counters('5 minutes'), 1::bigint,
  'the collector writes a row and removes what is too old'
);

select * from finish();
rollback;
