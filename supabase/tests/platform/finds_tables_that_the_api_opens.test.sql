begin;

select plan(19);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.probe in share row exclusive mode;
delete from runbook.probe as prb
where prb.name = 'data_api';

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
alter table public.log_1 enable row level security;
select is(
  pg_temp.found(), '', 'with row level security and no policy it is closed to that, as it should be'
);
alter table public.log_1 disable row level security;

create table public.log_2 partition of public.log for values from (10) to (20);
create table public.log_3 partition of public.log for values from (20) to (30);
grant all on table public.log_2, public.log_3 to anon;
select is(
  pg_temp.found(), 'row_security_off critical public.log', 'several partitions are one finding'
);
select is(
  runbook.run_check('row_security') #>> '{findings,0,summary}',
  'Everyone with the public key can use 3 partitions of public.log without row level security. The '
  'policies of a table do not hold for its partitions: revoke all on them from anon, authenticated;',
  'which says how many there are, and what to do'
);
select is(runbook.run_check('row_security') -> 'value', '3', 'and each of them counts');

alter table public.log disable row level security;
grant all on table public.log to anon;
select is(
  pg_temp.found(), 'row_security_off critical public.log', 'with their table they are one as well'
);
select matches(
  runbook.run_check('row_security') #>> '{findings,0,summary}',
  ' can use public\.log and 3 partitions without row level security\. Write its policies ',
  'which names both'
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
