begin;

select plan(10);

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

create table public.test_node (
  id integer primary key,
  parent integer references public.test_node on delete cascade deferrable initially deferred,
  name text
);
insert into public.test_node
values (1, 1, 'self'), (2, 1, 'tree'), (3, 2, 'tree'), (4, 1, 'leaf'), (5, null, 'free');

create function pg_temp.nodes()
returns text
language sql
as $$ select string_agg(nod::text, ' ' order by nod.id) from public.test_node as nod; $$;
create temporary table before as select pg_temp.nodes() as content;

-- Applies what is wanted, and undoes it; says what was there in between.
create function pg_temp.there_and_back(out between_ text, out states jsonb)
language plpgsql
as $$
declare
  v_applied jsonb := runbook.remediate('test-remedy', '{}', reason => 'test');
  v_undone jsonb;
begin
  between_ := pg_temp.nodes();
  v_undone := runbook.undo((v_applied #>> '{run,id}')::bigint, reason => 'back');
  states := jsonb_build_array(
    v_applied -> 'state', coalesce(v_undone #> '{run,error}', v_undone -> 'state'),
    jsonb_array_length(v_applied -> 'steps')
  );
end;
$$;

insert into public.test_wanted (declared)
values (runbook.delete_step('public.test_node', '{"id": 1}', 'Delete a tree.'));
select results_eq(
  'select * from pg_temp.there_and_back()',
  $$ values ('(5,,free)', '["succeeded", "succeeded", 4]'::jsonb) $$,
  'a tree is deleted, its root hanging on itself too'
);
select is(pg_temp.nodes(), (select content from before), 'and comes back');

delete from public.test_wanted where true;
insert into public.test_wanted (declared)
values
  (runbook.update_step('public.test_node', '{"id": 5}', '{"name": "one"}', 'First.')),
  (runbook.update_step('public.test_node', '{"id": 5}', '{"name": "two", "parent": 4}', 'Then.')),
  (runbook.update_step('public.test_node', '{"id": 5}', '{"id": 6}', 'Rename.'));
select results_eq(
  'select * from pg_temp.there_and_back()',
  $$
  values (
    '(1,1,self) (2,1,tree) (3,2,tree) (4,1,leaf) (6,4,two)',
    '["succeeded", "succeeded", 3]'::jsonb
  )
  $$,
  'a row that is changed three times, its key too, is changed three times'
);
select is(pg_temp.nodes(), (select content from before), 'and comes back through all of them');

delete from public.test_wanted where true;
insert into public.test_wanted (declared)
values
  (runbook.insert_step('public.test_node', '{"id": 9, "parent": 5, "name": "new"}', 'Insert.')),
  (runbook.update_step('public.test_node', '{"id": 9}', '{"name": "newer"}', 'Update.')),
  (runbook.delete_step('public.test_node', '{"id": 5}', 'Delete what it hangs on.'));
select results_eq(
  'select * from pg_temp.there_and_back()',
  $$
  values (
    '(1,1,self) (2,1,tree) (3,2,tree) (4,1,leaf)', '["succeeded", "succeeded", 4]'::jsonb
  )
  $$,
  'a row that is inserted, changed and taken along is three steps of four'
);
select is(pg_temp.nodes(), (select content from before), 'and is not there in the end');

delete from public.test_wanted where true;
insert into public.test_wanted (declared)
values
  (runbook.delete_step('public.test_node', '{"id": 5}', 'Delete.')),
  (runbook.insert_step('public.test_node', '{"id": 5, "name": "again"}', 'Insert.'));
select results_eq(
  'select * from pg_temp.there_and_back()',
  $$
  values (
    '(1,1,self) (2,1,tree) (3,2,tree) (4,1,leaf) (5,,again)',
    '["succeeded", "succeeded", 2]'::jsonb
  )
  $$,
  'a row may be replaced'
);
select is(pg_temp.nodes(), (select content from before), 'and the old one comes back');

update public.test_wanted
set declared = runbook.update_step('public.test_node', '{"id": 1}', '{"id": 77}', 'Rename.')
where id = (select min(id) from public.test_wanted);
select is(
  runbook.remediate('test-remedy', '{}', reason => 'test') #>> '{run,error,sqlstate}',
  '23503',
  'a key that others lead to is not changed'
);

update public.test_node set parent = 3 where id = 1;
update public.test_wanted
set declared = runbook.delete_step('public.test_node', '{"id": 1}', 'Delete a circle.')
where id = (select min(id) from public.test_wanted);
select throws_ok(
  $$ select runbook.remediate('test-remedy', '{}', true) $$,
  '0A000', null, 'rows that hang on each other in a circle are refused: none can go first in sight'
);

select * from finish();
rollback;
