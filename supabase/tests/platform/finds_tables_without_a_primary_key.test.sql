begin;

select plan(11);

create function pg_temp.found()
returns text
language sql
as $$
  select coalesce(
    string_agg(
      (fnd.content ->> 'severity') || ' ' || (fnd.content ->> 'subject'), ', ' order by fnd.position
    ),
    ''
  )
  from jsonb_array_elements(runbook.run_check('primary_keys') -> 'findings') with ordinality
    as fnd (content, position);
$$;

select is(pg_temp.found(), '', 'each table of the demo has a key');

create schema story;
create table story.pair (a integer, b integer, primary key (a, b));
create table story.parent (id integer primary key) partition by range (id);
create table story.part partition of story.parent for values from (0) to (10);
select is(pg_temp.found(), '', 'two columns are a key, and that of a parent is its partition''s');

create unlogged table story.staging (id integer);
select is(pg_temp.found(), '', 'an unlogged table is for staging');

create temporary table fleeting (id integer);
select is(pg_temp.found(), '', 'a temporary one is nobody''s');

create table story.stand_in (id integer not null unique);
alter table story.stand_in replica identity using index stand_in_id_key;
select is(pg_temp.found(), '', 'an index that was named as identity stands in for a key');

create table story."we'ird ""Näme" (id integer);
select is(pg_temp.found(), 'info story."we''ird ""Näme"', 'a table without a key is found');

create table story.log (id integer) partition by range (id);
create table story.log_1 partition of story.log for values from (0) to (10);
select is(
  pg_temp.found(), 'info story."we''ird ""Näme", info story.log', 'a partitioned one once'
);

create publication story for table story.log;
select is(
  pg_temp.found(),
  'warning story.log, info story."we''ird ""Näme"',
  'a published one is worse: it cannot be updated'
);

alter publication story set (publish = 'insert');
select is(
  pg_temp.found(), 'info story."we''ird ""Näme", info story.log', 'but not if only inserts go out'
);

alter table story."we'ird ""Näme" add primary key (id);
alter table story.log add primary key (id);
select is(pg_temp.found(), '', 'with keys they are silent');

create table runbook.keyless (id integer);
select is(pg_temp.found(), '', 'what is not the application''s is left out');

select * from finish();
rollback;
