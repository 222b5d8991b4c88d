begin;

select plan(13);

create schema lab;

create table lab.class (id bigint primary key, school_id bigint, unique (school_id, id));

create table lab."we'ird ""Näme" (
  class_id bigint not null,
  student_id bigint not null,
  school_id bigint,
  constraint class_fkey foreign key (class_id) references lab.class (id),
  constraint school_fkey foreign key (school_id, class_id) references lab.class (school_id, id)
);

create function pg_temp.found()
returns text
language sql
as $$
  select string_agg(fnd.content -> 'params' ->> 'columns', ' ' order by fnd.content -> 'params')
  from jsonb_array_elements(runbook.run_check('foreign_key_indexes') -> 'findings')
    as fnd (content)
  where fnd.content ->> 'subject' like 'lab.%';
$$;

create function pg_temp.with_index(definition text)
returns text
language plpgsql
as $$
declare
  v_found text;
begin
  execute replace(definition, 'TABLE', 'lab."we''ird ""Näme"');
  v_found := pg_temp.found();
  drop index lab.tried_idx;
  return v_found;
end;
$$;

insert into lab.class select one.id, 1 from generate_series(1, 1000) as one (id);

insert into lab."we'ird ""Näme"
select one.id, one.id, 1
from generate_series(1, 900) as one (id);

analyze lab."we'ird ""Näme";
select is(pg_temp.found(), null, 'a small table is best read whole');

insert into lab."we'ird ""Näme"
select 1 + one.id % 1000, one.id, 1
from generate_series(1000, 6000) as one (id);

analyze lab."we'ird ""Näme";
select is(
  pg_temp.found(), '["class_id"] ["school_id", "class_id"]',
  'on a larger one each key without an index is told'
);

select is(
  (
    select fnd.content - '{evidence,method,summary,code}'::text[]
    from jsonb_array_elements(runbook.run_check('foreign_key_indexes') -> 'findings')
      as fnd (content)
    where fnd.content #>> '{evidence,constraint}' = 'class_fkey'
  ),
  '{
    "severity": "warning",
    "subject": "lab.\"we''ird \"\"Näme\"",
    "remediation": "create-index",
    "params": {"table": "lab.\"we''ird \"\"Näme\"", "columns": ["class_id"]}
  }',
  'with names that can be sent as they are'
);

select is(
  pg_temp.with_index('create index tried_idx on TABLE (class_id, school_id)'), null,
  'one index serves both, its columns in any order'
);

select is(
  pg_temp.with_index('create unique index tried_idx on TABLE (class_id, student_id)'),
  '["school_id", "class_id"]',
  'a key of a junction table counts for its first column'
);

select is(
  pg_temp.with_index('create index tried_idx on TABLE (student_id, class_id)'),
  '["class_id"] ["school_id", "class_id"]',
  'and not for its second'
);

select is(
  pg_temp.with_index('create index tried_idx on TABLE (class_id) where student_id > 5'),
  '["class_id"] ["school_id", "class_id"]',
  'a partial index does not serve it'
);

select is(
  pg_temp.with_index('create index tried_idx on TABLE (class_id) where class_id is not null'),
  '["school_id", "class_id"]',
  'but one that leaves out nothing but nulls'
);

select is(
  pg_temp.with_index('create index tried_idx on TABLE (class_id) where student_id is not null'),
  '["class_id"] ["school_id", "class_id"]',
  'the nulls of its own column, that is'
);

select is(
  pg_temp.with_index('create index tried_idx on TABLE using hash (class_id)'),
  '["school_id", "class_id"]',
  'a hash index serves it too'
);

select is(
  pg_temp.with_index('create index tried_idx on TABLE using brin (class_id)'),
  '["class_id"] ["school_id", "class_id"]',
  'a block range index does not'
);

-- A partitioned table is one finding, whatever its partitions are.
create table lab.parted (class_id bigint references lab.class (id)) partition by list (class_id);
create table lab.parted_1 partition of lab.parted for values in (1);
create table lab.parted_2 partition of lab.parted for values in (2);
insert into lab.parted select 1 + one.id % 2 from generate_series(1, 4000) as one (id);
analyze lab.parted_1, lab.parted_2;

select is(
  (
    select count(*)
    from jsonb_array_elements(runbook.run_check('foreign_key_indexes') -> 'findings')
      as fnd (content)
    where fnd.content ->> 'subject' = 'lab.parted'
  ),
  1::bigint,
  'a partitioned table is told once'
);

create index parted_idx on lab.parted (class_id);
select is(
  (
    select count(*)
    from jsonb_array_elements(runbook.run_check('foreign_key_indexes') -> 'findings')
      as fnd (content)
    where fnd.content ->> 'subject' like 'lab.parted%'
  ),
  0::bigint,
  'with an index on each partition nothing is said'
);

select * from finish();
rollback;
