begin;

select plan(4);

create schema story;
create table story.large (id integer, body text);
insert into story.large select srs.id, repeat('x', 100) from generate_series(1, 20000) as srs (id);
analyze story.large;

create function pg_temp.reason()
returns text
language sql
as $$
  select coalesce(runbook.run_check('bloat') ->> 'reason', '');
$$;

select is(
  runbook.run_check('bloat') ->> 'status', 'ok',
  'without a table that could waste enough there is nothing to measure'
);

-- Nothing is measured at once, and the collector has not come.
select runbook.tune_check('bloat', '{"wasted_bytes": 2000000, "pages_at_once": 0}');
select matches(
  pg_temp.reason(),
  '(One large table is|^\d+ large tables are) not measured yet: the collector bloat does it',
  'a large table that nobody has measured is not called in order'
);

create or replace function runbook.extension_schema(name text)
returns text
language sql
stable
as 'select null::text';

select matches(
  pg_temp.reason(),
  'not measured here: create extension pgstattuple with schema extensions; by their statistics',
  'without the extension it says how it can be'
);
select isnt(runbook.run_check('bloat') ->> 'status', 'ok', 'and is not in order either');

select * from finish();
rollback;
