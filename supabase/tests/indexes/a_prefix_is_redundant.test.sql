begin;

select plan(7);

create schema lab;

create table lab.member (
  id bigint primary key,
  class_id bigint,
  name text,
  state text
);

create function pg_temp.found()
returns text
language sql
as $$
  select string_agg(fnd.content ->> 'subject', ', ' order by fnd.content ->> 'subject')
  from jsonb_array_elements(runbook.run_check('redundant_indexes') -> 'findings') as fnd (content)
  where fnd.content ->> 'subject' like 'lab.%';
$$;

create index longer_idx on lab.member (class_id, name);
select is(pg_temp.found(), null, 'one index is not redundant');

-- Near misses, each with its reason.
create index second_column_idx on lab.member (name);
create unique index unique_idx on lab.member (class_id) where state = 'only';
create index partial_idx on lab.member (class_id) where state = 'new';
create index backwards_idx on lab.member (class_id desc);
create index hash_idx on lab.member using hash (class_id);
create index including_idx on lab.member (class_id) include (state);
create index expression_idx on lab.member ((class_id + 1));
select is(pg_temp.found(), null, 'what the longer one does not serve is not redundant');

create unique index forbidding_idx on lab.member (class_id, name);
drop index lab.longer_idx;
create unique index forbidding_more_idx on lab.member (class_id);
select is(pg_temp.found(), null, 'a unique index is never redundant, whatever begins with it');
drop index lab.forbidding_more_idx;

create index shorter_idx on lab.member (class_id);
create index including_name_idx on lab.member (class_id) include (name);
select is(
  pg_temp.found(), 'lab.including_name_idx, lab.shorter_idx',
  'a prefix is, also one that carries what is a column of the longer one'
);

create index not_unique_idx on lab.member (class_id, name);
select is(
  pg_temp.found(), 'lab.including_name_idx, lab.not_unique_idx, lab.shorter_idx',
  'so is one that a unique index equals'
);

select is(
  (
    select fnd.content -> 'params'
    from jsonb_array_elements(runbook.run_check('redundant_indexes') -> 'findings')
      as fnd (content)
    where fnd.content ->> 'subject' = 'lab.shorter_idx'
      and fnd.content ->> 'remediation' = 'drop-index'
  ),
  '{"index": "lab.shorter_idx"}',
  'the finding is ready to be cured'
);

drop index lab.shorter_idx, lab.including_name_idx, lab.not_unique_idx;
select is(pg_temp.found(), null, 'without it nothing is said');

select * from finish();
rollback;
