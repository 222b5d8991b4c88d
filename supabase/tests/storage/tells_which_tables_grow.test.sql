begin;

select plan(9);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.table_size in share row exclusive mode;
delete from runbook.table_size where true;

create function pg_temp.found()
returns text
language sql
as $$
  select coalesce(string_agg(fnd.content ->> 'subject', ' ' order by fnd.position), '')
  from jsonb_array_elements(runbook.run_check('table_growth') -> 'findings') with ordinality
    as fnd (content, position);
$$;

create procedure pg_temp.measured(ago interval, relation oid, bytes bigint)
language sql
as $$
  insert into runbook.table_size (measured_at, relation, name, bytes)
  values (now() - ago, relation, 'public.t' || relation, bytes);
$$;

select is(
  runbook.run_check('table_growth') ->> 'status',
  'not_applicable',
  'without figures it cannot be told'
);

call pg_temp.measured('0', 1, 10000000000);
call pg_temp.measured('19 hours', 1, 1000000000);
select is(
  runbook.run_check('table_growth') ->> 'status', 'not_applicable', 'nor with those of a few hours'
);

call pg_temp.measured('6 days', 1, 9400000000);
select is(pg_temp.found(), '', 'six percent in a week are silent');

call pg_temp.measured('6 days', 2, 100000000);
call pg_temp.measured('0', 2, 500000000);
select is(pg_temp.found(), '', 'so is a small table that grows fivefold');

update runbook.table_size
set bytes = 8000000000
where relation = 1 and measured_at < now() - interval '1 day';
select is(pg_temp.found(), 'public.t1', 'a quarter of gigabytes is found');

call pg_temp.measured('0', 3, 3000000000);
select is(pg_temp.found(), 'public.t3 public.t1', 'so is one that was not there, the worst first');

update runbook.table_size set bytes = 1000000000 where relation in (1, 3);
select is(pg_temp.found(), 'public.t3', 'emptied it is silent');

update runbook.table_size set measured_at = measured_at - interval '4 hours';
select is(
  runbook.run_check('table_growth') ->> 'status', 'skipped', 'figures that stopped are no health'
);

select cmp_ok(runbook.collect_sizes('30 days'), '>', 10::bigint, 'the collector writes new ones');

select * from finish();
rollback;
