begin;

select plan(8);

set local client_min_messages = warning;
-- A remediation that declares what the test puts into a table.
create table public.test_wanted (
  id bigint generated always as identity primary key,
  declared runbook.declared_step
);
create function public.test_remedy(params jsonb)
returns setof runbook.declared_step
language sql
stable
as $$ select (wtd.declared).* from public.test_wanted as wtd order by wtd.id $$;
insert into runbook.remediation
  (name, title, description, parameters, subject_keys, function, risk, issue, cures)
values (
  'test-remedy', 'Test', 'Test.', '{"type": "object", "properties": {}}', '{}',
  'public.test_remedy', 'low', null, '{}'
);

create table public.test_room (
  id integer generated always as identity (start with 100) primary key, name text
);
create table public.test_seat (
  room integer references public.test_room on delete cascade, number integer,
  primary key (room, number)
);
create table public.test_key (
  id integer primary key, door text, api_key text not null
);
insert into public.test_room overriding system value values (1, 'old');
insert into public.test_key values (1, 'front', 'canary');
insert into public.test_wanted (declared)
values
  (runbook.insert_step('public.test_room', '{"name": "new"}', 'Add a room.')),
  (runbook.delete_step('public.test_room', '{"id": 1}', 'Drop a room.'));
create function pg_temp.run(answer jsonb)
returns bigint
language sql
as $$ select (answer #>> '{run,id}')::bigint; $$;

create temporary table first as
select runbook.remediate('test-remedy', '{}', reason => 'test') as answer;

insert into public.test_seat
select rom.id, 7 from public.test_room as rom where rom.name = 'new';

create temporary table refused as
select runbook.undo((select pg_temp.run(fst.answer) from first as fst), reason => 'back') as answer;
select is(
  (select ref.answer #>> '{run,error,differences,0,relation}' from refused as ref),
  'public.test_seat',
  'a new row on which something hangs by now is not deleted'
);
select bag_eq('select name from public.test_room', array['new'], 'nor is half of the run undone');
delete from public.test_seat where number = 7;

insert into public.test_room overriding system value values (1, 'other');
select is(
  runbook.undo((select pg_temp.run(fst.answer) from first as fst), reason => 'back') ->> 'state',
  'undo_refused',
  'a deleted row whose key is taken is not inserted again'
);
delete from public.test_room where id = 1;

select is(
  runbook.undo((select pg_temp.run(fst.answer) from first as fst), reason => 'back') ->> 'state',
  'succeeded',
  'else the undo succeeds'
);
select results_eq(
  'select id, name from public.test_room', $$ values (1, 'old') $$, 'and the rows are as they were'
);

delete from public.test_wanted where true;
insert into public.test_wanted (declared)
values (runbook.delete_step('public.test_key', '{"id": 1}', 'Drop a key.'));
create temporary table dropped as
select runbook.remediate('test-remedy', '{}', reason => 'test') as answer;

select ok(
  (select drp.answer::text not like '%canary%' from dropped as drp),
  'a secret is in no image'
);
select is(
  (select drp.answer #> '{undo,available}' from dropped as drp),
  'false',
  'a row that cannot be without its secret does not come back'
);
select throws_ok(
  format('select runbook.undo(%s, true)', (select pg_temp.run(drp.answer) from dropped as drp)),
  'RB408', null, 'and its undo is refused'
);

select * from finish();
rollback;
