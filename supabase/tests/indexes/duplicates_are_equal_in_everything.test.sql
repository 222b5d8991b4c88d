begin;

select plan(9);

create schema lab;

create table lab."we'ird ""Näme" (
  id bigint primary key,
  name text,
  kind text,
  state text
);

create function pg_temp.found()
returns text
language sql
as $$
  select string_agg(fnd.content ->> 'subject', ', ' order by fnd.content ->> 'subject')
  from jsonb_array_elements(runbook.run_check('duplicate_indexes') -> 'findings') as fnd (content)
  where fnd.content ->> 'subject' like 'lab.%';
$$;

create index name_idx on lab."we'ird ""Näme" (name);
select is(pg_temp.found(), null, 'one index is no duplicate');

-- Each of these differs from the first in one thing that matters.
create index partial_idx on lab."we'ird ""Näme" (name) where state = 'new';
create index other_partial_idx on lab."we'ird ""Näme" (name) where state = 'old';
create index pattern_idx on lab."we'ird ""Näme" (name text_pattern_ops);
create index collated_idx on lab."we'ird ""Näme" (name collate "C");
create index backwards_idx on lab."we'ird ""Näme" (name desc);
create index hash_idx on lab."we'ird ""Näme" using hash (name);
create index including_idx on lab."we'ird ""Näme" (name) include (kind);
create index two_idx on lab."we'ird ""Näme" (name, kind);
create index expression_idx on lab."we'ird ""Näme" (lower(name));
create index other_expression_idx on lab."we'ird ""Näme" (upper(name));
create unique index unique_idx on lab."we'ird ""Näme" (name);
create unique index unique_nulls_idx on lab."we'ird ""Näme" (name) nulls not distinct;
select is(pg_temp.found(), null, 'what differs in anything is no duplicate');

create index   again_lower_idx on lab."we'ird ""Näme" (  lower( name ));
create index again_partial_idx on lab."we'ird ""Näme" (name) where (state = 'new');
select is(
  pg_temp.found(),
  'lab.again_lower_idx, lab.again_partial_idx',
  'an expression and a predicate are compared by their meaning, wherever they were written'
);

drop index lab.again_lower_idx;
drop index lab.again_partial_idx;

create index again_idx on lab."we'ird ""Näme" (name);
create index and_again_idx on lab."we'ird ""Näme" (name);
select is(pg_temp.found(), 'lab.again_idx, lab.and_again_idx', 'of three the oldest stays');

select matches(
  (
    select string_agg(fnd.content ->> 'summary', ' ')
    from jsonb_array_elements(runbook.run_check('duplicate_indexes') -> 'findings')
      as fnd (content)
  ),
  'lab\."we''ird ""Näme" is the same as lab.name_idx',
  'the finding names table and index as one writes them'
);

drop index lab.again_idx;
drop index lab.and_again_idx;
select is(pg_temp.found(), null, 'without them nothing is said');

create unique index second_id_idx on lab."we'ird ""Näme" (id);
select is(pg_temp.found(), 'lab.second_id_idx', 'the index of a constraint stays');

drop index lab.second_id_idx;
alter table lab."we'ird ""Näme" add constraint id_once_more unique (id);
select is(pg_temp.found(), 'lab.id_once_more', 'two constraints of one meaning are told');

select is(
  (
    select fnd.content ->> 'remediation'
    from jsonb_array_elements(runbook.run_check('duplicate_indexes') -> 'findings')
      as fnd (content)
    where fnd.content ->> 'subject' = 'lab.id_once_more'
  ),
  null,
  'and no index is to be dropped below a constraint'
);

select * from finish();
rollback;
