begin;

select plan(7);

-- The catalogs cannot be bloated in a test, so what was measured stands in.
create procedure pg_temp.measured(bytes bigint, wasted bigint)
language sql
as $$
  delete from runbook.bloat_measurement as msr where msr.relation = 'pg_attribute'::regclass;
  insert into runbook.bloat_measurement (
    relation, filenode, measured_at, bytes, live_bytes, dead_bytes, free_bytes, wasted_bytes,
    took_ms
  )
  values (
    'pg_attribute'::regclass, pg_relation_filenode('pg_attribute'), clock_timestamp(),
    measured.bytes, measured.bytes - measured.wasted, 0, measured.wasted, measured.wasted, 1
  );
$$;

create function pg_temp.found()
returns text
language sql
as $$
  select coalesce(
    string_agg(concat_ws(' ', fnd.content ->> 'code', fnd.content ->> 'severity'), ', '), ''
  )
  from jsonb_array_elements(runbook.run_check('catalog_bloat') -> 'findings') as fnd (content)
  where fnd.content ->> 'subject' = 'pg_catalog.pg_attribute';
$$;

select is(
  runbook.run_check('catalog_bloat') ->> 'status', 'ok', 'small catalogs are no trouble at all'
);

select runbook.tune_check('catalog_bloat', '{"wasted_bytes": 100000}');
call pg_temp.measured(1000000, 10000);
select is(pg_temp.found(), '', 'a little waste is silent');

call pg_temp.measured(1000000, 499000);
select is(pg_temp.found(), '', 'so is somewhat less than a half');

call pg_temp.measured(190000, 99000);
select is(pg_temp.found(), '', 'and the half of a small one');

call pg_temp.measured(1000000, 500000);
select is(pg_temp.found(), 'catalog_bloated warning', 'the half of a large one is found');
select matches(
  (
    select fnd.content ->> 'summary'
    from jsonb_array_elements(runbook.run_check('catalog_bloat') -> 'findings') as fnd (content)
    where fnd.content ->> 'subject' = 'pg_catalog.pg_attribute'
  ),
  '^488 kB \(50\.0 %\) of the 977 kB of pg_catalog\.pg_attribute is waste\. .* Vacuum it ',
  'with its size, and what to do'
);

call pg_temp.measured(500000, 1000);
select is(pg_temp.found(), '', 'vacuumed it is silent again');

select * from finish();
rollback;
