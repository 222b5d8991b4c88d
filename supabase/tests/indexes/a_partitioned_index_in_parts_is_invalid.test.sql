begin;

select plan(5);

create schema lab;

create table lab.visit (day date not null, page text) partition by range (day);
create table lab.visit_2026 partition of lab.visit for values from ('2026-01-01') to ('2027-01-01');

create function pg_temp.found(check_name text)
returns jsonb
language sql
as $$
  select jsonb_agg(fnd.content)
  from jsonb_array_elements(runbook.run_check(check_name) -> 'findings') as fnd (content)
  where fnd.content ->> 'subject' like 'lab.%';
$$;

create index visit_day_idx on lab.visit (day);
select is(pg_temp.found('invalid_indexes'), null, 'an index of all partitions is valid');

create index visit_page_idx on only lab.visit (page);
select is(
  pg_temp.found('invalid_indexes') #>> '{0,subject}',
  'lab.visit_page_idx',
  'one that the partitions lack is not'
);

select is(
  pg_temp.found('invalid_indexes') #>> '{0,remediation}',
  null,
  'it is not for a remediation: the partitions'' indexes are to be built'
);

create index visit_2026_page_idx on lab.visit_2026 (page);
alter index lab.visit_page_idx attach partition lab.visit_2026_page_idx;
select is(pg_temp.found('invalid_indexes'), null, 'attached, it is valid');

create index visit_2026_page_again_idx on lab.visit_2026 (page);
select is(
  pg_temp.found('duplicate_indexes') #> '{0,params}',
  '{"index": "lab.visit_2026_page_again_idx"}',
  'of two on a partition the one that is a part of the whole stays'
);

select * from finish();
rollback;
