begin;

select plan(22);

set local client_min_messages = warning;
create schema "we'ird ""schéma""";
create table "we'ird ""schéma"""."Tä ""ble""" (
  id integer primary key, "Spälte; drop" text, tags text[], data jsonb, at timestamptz, p point
);
create view public.test_view as select 1 as a;
create table public.test_parts (id integer, at date) partition by range (at);
create temporary table test_temporary (id integer);
create domain public.test_domain as text;
create table public.test_mood (mood public.test_domain, code varchar(9));
create index test_partial on public.test_mood (code) where code <> '';

create function pg_temp.plan_of("table" text, columns jsonb, method text default null)
returns jsonb
language sql
as $$
  select runbook.remediate(
    'create-index',
    jsonb_strip_nulls(jsonb_build_object('table', "table", 'columns', columns, 'method', method)),
    true
  );
$$;
create function pg_temp.refusal(statement text)
returns text
language plpgsql
as $$
begin
  execute statement;
  return 'none';
exception
  when others then
    return sqlstate;
end;
$$;

select is(
  pg_temp.plan_of('"we''ird ""schéma"""."Tä ""ble"""', '["Spälte; drop", "at"]')
    #>> '{steps,0,statement}',
  'create index concurrently "Tä ""ble""_Spälte; drop_at_idx" on "we''ird ""schéma"""."Tä ""ble""" '
  '("Spälte; drop", at)',
  'names are quoted, whatever they are'
);
select is(
  pg_temp.plan_of('"we''ird ""schéma"""."Tä ""ble"""', '["tags"]', 'gin') #>> '{steps,0,statement}',
  'create index concurrently "Tä ""ble""_tags_idx" on "we''ird ""schéma"""."Tä ""ble""" '
  'using gin (tags)',
  'a method is named'
);
select is(
  (
    select string_agg(pg_temp.plan_of('public.test_mood', '["mood"]', mth.name) ->> 'state', ' ')
    from (values ('btree'), ('hash'), ('brin'), ('spgist')) as mth (name)
  ),
  'planned planned planned planned',
  'a domain is indexed as its type'
);
select is(
  pg_temp.plan_of('public.test_mood', '["code"]') ->> 'state', 'planned',
  'a partial index is no index on the column'
);
create index test_whole on public.test_mood (code);
select is(
  pg_temp.plan_of('test_mood', '["code"]') ->> 'state', 'no_op',
  'an index that is there needs not be built, and public is where a name is sought'
);
select is(
  pg_temp.plan_of('public.test_mood', '["code", "mood"]') ->> 'state', 'planned',
  'one more column makes another index'
);
select is(
  pg_temp.plan_of('public.test_mood', '["mood"]') #>> '{steps,0,undo}',
  'drop index concurrently if exists public.test_mood_mood_idx',
  'the undo drops it'
);
create table public.test_mood_mood_idx ();
select is(
  pg_temp.plan_of('public.test_mood', '["mood"]') #>> '{steps,0,undo}',
  'drop index concurrently if exists public.test_mood_mood_idx1',
  'a name that is taken is not taken again'
);
select ok(
  (
    select octet_length(runbook.free_index_name(rel.oid, array[repeat('ä', 60)])) <= 63
    from pg_catalog.pg_class as rel
    where rel.relname = 'test_mood'
  ),
  'a long name is cut between letters'
);

select is(pg_temp.refusal(asked.statement), asked.code, asked.description)
from (
  values
    ($$ select pg_temp.plan_of('public.nothing', '["a"]') $$, 'P0002', 'a table that is not there'),
    ($$ select pg_temp.plan_of('test_mood; drop table x', '["a"]') $$, 'RB400', 'what is no name'),
    ($$ select pg_temp.plan_of('public.test_mood', '["nothing"]') $$, 'P0002', 'a missing column'),
    ($$ select pg_temp.plan_of('public.test_mood', '["lower(code)"]') $$, 'P0002', 'an expression'),
    ($$ select pg_temp.plan_of('public.test_mood', '[]') $$, 'RB400', 'no columns'),
    ($$ select pg_temp.plan_of('public.test_mood', '["code", 1]') $$, 'RB400', 'no names'),
    ($$ select pg_temp.plan_of('public.test_mood', '["code"]', 'x) --') $$, 'RB400', 'no method'),
    ($$ select pg_temp.plan_of('public.test_mood', '["code"]', 'gin') $$, '22023', 'gin on a text'),
    ($$ select pg_temp.plan_of('public.test_view', '["a"]') $$, '22023', 'a view'),
    ($$ select pg_temp.plan_of('public.test_parts', '["at"]') $$, '0A000', 'a partitioned table'),
    ($$ select pg_temp.plan_of('pg_catalog.pg_class', '["oid"]') $$, '42501', 'a catalog'),
    ($$ select pg_temp.plan_of('auth.users', '["email"]') $$, '42501', 'a table of the platform'),
    ($$ select pg_temp.plan_of('public.test_mood', '["code", "code"]') $$, '22023', 'one twice')
) as asked (statement, code, description);

select * from finish();
rollback;
