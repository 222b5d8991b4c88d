begin;

select plan(16);

-- Others may have taken snapshots; this one takes its own, and those of the schedule wait.
lock table runbook.statement_snapshot in share row exclusive mode;
delete from runbook.statement_snapshot where id is not null;
delete from runbook.statement_mark where queryid is not null;

create function pg_temp.status()
returns text
language sql
as $$
  select runbook.run_check('slower_statements') ->> 'status';
$$;

create function pg_temp.found()
returns text
language sql
as $$
  select string_agg(fnd.content ->> 'code', ' ' order by fnd.content ->> 'code')
  from jsonb_array_elements(runbook.run_check('slower_statements') -> 'findings')
    as fnd (content)
  where fnd.content #>> '{evidence,queryid}' in ('4711', '4712');
$$;

-- One statement of one hour, so many hours ago.
create function pg_temp.hour(hours_ago integer, queryid bigint, calls bigint, mean_ms numeric)
returns void
language sql
as $$
  insert into runbook.statement_gain (
    snapshot_id, userid, dbid, queryid, toplevel, calls, total_ms, rows, blocks, blocks_read,
    temp_blocks
  )
  select
    snp.id, 'anon'::regrole, dat.oid, hour.queryid, true, hour.calls, hour.calls * hour.mean_ms,
    hour.calls, 1, 0, 0
  from runbook.statement_snapshot as snp
  inner join pg_catalog.pg_database as dat on dat.datname = current_database()
  where snp.taken_at between
    clock_timestamp() - make_interval(hours => hour.hours_ago, mins => 10)
    and clock_timestamp() - make_interval(hours => hour.hours_ago, mins => -10)
  limit 1;
$$;

select is(pg_temp.status(), 'not_applicable', 'without snapshots there is nothing to compare');

insert into runbook.statement_snapshot (taken_at, began_at, statements, calls, total_ms)
select
  clock_timestamp() - make_interval(hours => one.hours),
  clock_timestamp() - make_interval(hours => one.hours + 1),
  1, 1000, 100000
from generate_series(48, 5, -1) as one (hours);

select is(pg_temp.status(), 'skipped', 'snapshots that stopped are said');

insert into runbook.statement_snapshot (taken_at, began_at, statements, calls, total_ms)
select
  clock_timestamp() - make_interval(hours => one.hours),
  clock_timestamp() - make_interval(hours => one.hours + 1),
  1, 1000, 100000
from generate_series(4, 1, -1) as one (hours);

-- Sets the marks, so that nothing counts but what stands here.
select runbook.collect_statements('14 days');

insert into runbook.statement_text (dbid, queryid, query, columns)
select dat.oid, one.id, 'select * from page where id = $1', '[]'
from pg_catalog.pg_database as dat
cross join (values (4711), (4712)) as one (id)
where dat.datname = current_database();

select pg_temp.hour(30, 4711, 100, 20);
select pg_temp.hour(20, 4711, 100, 20);

select pg_temp.hour(1, 4711, 100, 25);
select is(pg_temp.found(), null, 'a little slower is not slower');

update runbook.statement_gain as gns
set calls = 5, total_ms = 5 * 100
from runbook.statement_snapshot as snp
where snp.id = gns.snapshot_id and gns.queryid = 4711 and snp.taken_at > now() - interval '2 hours';
select is(pg_temp.found(), null, 'neither are five calls');

update runbook.statement_gain as gns
set calls = 100, total_ms = 100 * 45
from runbook.statement_snapshot as snp
where snp.id = gns.snapshot_id and gns.queryid = 4711 and snp.taken_at > now() - interval '2 hours';
select is(pg_temp.found(), 'statement_got_slower', 'twice as long is');

update runbook.statement_gain as gns
set calls = gns.calls / 25, total_ms = gns.total_ms / 25
from runbook.statement_snapshot as snp
where snp.id = gns.snapshot_id and gns.queryid = 4711 and snp.taken_at < now() - interval '3 hours';
select is(pg_temp.found(), null, 'not if it was hardly called before');

update runbook.statement_gain as gns
set calls = 100, total_ms = 2000
from runbook.statement_snapshot as snp
where snp.id = gns.snapshot_id and gns.queryid = 4711 and snp.taken_at < now() - interval '3 hours';

select is(
  (
    select (fnd.content -> 'evidence') - '{queryid,percent_of_time,counted_since}'::text[]
    from jsonb_array_elements(runbook.run_check('slower_statements') -> 'findings')
      as fnd (content)
    where fnd.content #>> '{evidence,queryid}' = '4711'
  ),
  '{
    "role": "anon",
    "calls": 100,
    "mean_ms": 45.0,
    "added_ms": 2500,
    "calls_before": 200,
    "mean_ms_before": 20.0,
    "statement": "select * from page where id = $1"
  }',
  'with the figures of both times'
);

select is(
  (
    select fnd.code
    from runbook.slower_statements(
      now() - interval '10 hours', runbook.thresholds_of('slower_statements')
    ) as fnd
    where fnd.evidence ->> 'queryid' = '4711'
  ),
  'statement_got_slower',
  'it can be asked for any instant, such as a deployment'
);

delete from runbook.statement_gain as gns
using runbook.statement_snapshot as snp
where snp.id = gns.snapshot_id and gns.queryid = 4711 and snp.taken_at > now() - interval '2 hours';
select pg_temp.hour(1, 4711, 100, 20);
select is(pg_temp.found(), null, 'as fast as before, nothing is said');

select pg_temp.hour(1, 4712, 10, 10);
select is(pg_temp.found(), null, 'a new statement is no fault');

update runbook.statement_gain set calls = 1000, total_ms = 200000 where queryid = 4712;
select is(pg_temp.found(), 'statement_is_new', 'but one that takes most of the time is told');

insert into runbook.statement_mark (
  userid, dbid, queryid, toplevel, calls, total_ms, rows, blocks, blocks_read, temp_blocks,
  first_seen_at, seen_at
)
select
  'anon'::regrole, dat.oid, 4712, true, 1, 1, 1, 1, 0, 0, now() - interval '1 day', now()
from pg_catalog.pg_database as dat
where dat.datname = current_database();
select is(pg_temp.found(), null, 'not if it was there before, among the less busy');

select is(
  (
    select sta.role_name
    from runbook.statements_since(now() - interval '3 hours', 'total_ms', 1) as sta
    where sta.calls = 1000
  ),
  'anon',
  'what was done since then can be asked in psql'
);

-- A deployment in the middle of an hour, whose snapshot has been taken since.
delete from runbook.statement_gain where queryid in (4711, 4712);
delete from runbook.statement_mark where queryid = 4712;
select pg_temp.hour(4, 4711, 100, 20);
select pg_temp.hour(2, 4712, 1000, 200);
select pg_temp.hour(1, 4712, 1000, 200);

create temporary table since_deployment as
select fnd.code, fnd.evidence
from runbook.slower_statements(
  now() - interval '2 hours 30 minutes', runbook.thresholds_of('slower_statements')
) as fnd
where fnd.evidence ->> 'queryid' = '4712';

select is(
  (select snc.code from since_deployment as snc),
  'statement_is_new',
  'what came with a deployment is new, though it ran within the same hour'
);

select is(
  (select (snc.evidence ->> 'calls')::integer from since_deployment as snc),
  2000,
  'and that hour counts'
);

select cmp_ok(
  (select (snc.evidence ->> 'counted_since')::timestamptz from since_deployment as snc),
  '<',
  now() - interval '2 hours 50 minutes',
  'it is said since the snapshot before, when it was not there'
);

select * from finish();
rollback;
