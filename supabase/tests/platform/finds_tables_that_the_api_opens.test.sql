begin;

select plan(13);

create function pg_temp.found()
returns text
language sql
as $$
  select coalesce(
    string_agg(
      concat_ws(' ', fnd.content ->> 'code', fnd.content ->> 'severity', fnd.content ->> 'subject'),
      ', '
      order by fnd.position
    ),
    ''
  )
  from jsonb_array_elements(runbook.run_check('row_security') -> 'findings') with ordinality
    as fnd (content, position);
$$;

select is(pg_temp.found(), '', 'each table of the demo has row level security and policies');

create table public.story (id integer primary key);
revoke all on table public.story from anon, authenticated;
select is(pg_temp.found(), '', 'a table that the API may not touch is silent');

create schema hidden;
create table hidden.story (id integer primary key);
grant usage on schema hidden to anon;
grant all on table hidden.story to anon;
select is(pg_temp.found(), '', 'so is one in a schema that the API does not show');

grant select on table public.story to authenticated;
select is(
  pg_temp.found(),
  'row_security_off warning public.story',
  'one that every user may read is found'
);

grant insert on table public.story to anon;
select is(
  pg_temp.found(),
  'row_security_off critical public.story',
  'one that everyone may write is critical'
);

alter table public.story enable row level security;
select is(
  pg_temp.found(),
  'row_security_without_policy info public.story',
  'without a policy nobody sees a row'
);

create policy story on public.story using (true);
select is(pg_temp.found(), '', 'with one it is silent');

create table public.log (id integer primary key) partition by range (id);
create table public.log_1 partition of public.log for values from (0) to (10);
alter table public.log enable row level security;
create policy log on public.log using (true);
revoke all on table public.log_1 from anon, authenticated;
select is(pg_temp.found(), '', 'a partition that is closed itself is silent');

grant select on table public.log_1 to anon;
select is(
  pg_temp.found(),
  'row_security_off critical public.log_1',
  'one that can be read past its parent is not'
);
drop table public.log;

set local pgrst.db_schemas = 'public,hidden';
select is(
  pg_temp.found(), 'row_security_off critical hidden.story', 'a schema that is shown counts'
);

revoke usage on schema hidden from anon;
select is(pg_temp.found(), '', 'unless the API''s roles may not enter it');
set local pgrst.db_schemas = 'public';

create extension isn with schema public;
create table public.member (id integer primary key);
grant all on table public.member to anon;
alter extension isn add table public.member;
select is(pg_temp.found(), '', 'a table that came with an extension is not the application''s');

alter extension isn drop table public.member;
select is(
  pg_temp.found(), 'row_security_off critical public.member', 'the same table without it is'
);

select * from finish();
rollback;
