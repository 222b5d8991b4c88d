begin;

select plan(23);

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
create function pg_temp.run(answer jsonb)
returns bigint
language sql
as $$ select (answer #>> '{run,id}')::bigint; $$;

create table public."test Big" (id integer primary key, "odd; name" text);
create index "test odd" on public."test Big" ("odd; name") where id > 5;
create function pg_temp.want(shape text, args jsonb)
returns void
language sql
as $$
  delete from public.test_wanted where true;
  insert into public.test_wanted (declared)
  values (runbook.statement_step(shape, args, 'Do it.'));
$$;
create function pg_temp.step()
returns jsonb
language sql
as $$ select runbook.remediate('test-remedy', '{}', true) #> '{steps,0}'; $$;

select pg_temp.want('vacuum', '{"relation": "public.\"test Big\"", "analyze": true}');
select is(
  pg_temp.step() ->> 'statement', 'vacuum (analyze) public."test Big"', 'a vacuum is written'
);
select is(
  pg_temp.step() ->> 'undo', 'none: vacuum changes no row.', 'and has nothing to take back'
);
select pg_temp.want('drop_index', '{"index": "public.\"test odd\""}');
select is(
  pg_temp.step() ->> 'undo',
  'create index concurrently "test odd" ON public."test Big" USING btree ("odd; name") '
  'WHERE (id > 5)',
  'a dropped index is made again as it was'
);
select pg_temp.want('drop_index', '{"index": "public.\"test Big_pkey\""}');
select throws_ok(
  'select pg_temp.step()', '0A000', null,
  'one that holds a constraint is not dropped'
);
select pg_temp.want('drop_table', '{"relation": "public.\"test Big\""}');
select throws_ok('select pg_temp.step()', '22023', null, 'there is no other shape');
select pg_temp.want('analyze', '{"sql": "drop table public.test_wanted"}');
select throws_ok('select pg_temp.step()', '22023', null, 'nor a way to bring a text of SQL');

select pg_temp.want(
  'create_index',
  '{"relation": "public.\"test Big\"", "name": "x\"; drop table y", "columns": ["odd; name", "id"]}'
);
select is(
  pg_temp.step() ->> 'statement',
  'create index concurrently "x""; drop table y" on public."test Big" ("odd; name", id)',
  'names are quoted'
);

create temporary table first as
select runbook.remediate('test-remedy', '{}', reason => 'test') as answer;
select set_config('test.run', (select pg_temp.run(fst.answer)::text from first as fst), true);
select is((select fst.answer ->> 'state' from first as fst), 'applying', 'applying queues it');
create temporary table taken as
select runbook.next_statement(current_setting('test.run')::bigint) as answer;
select is(
  (select answer ->> 'application_name' from taken),
  'runbook run ' || current_setting('test.run'),
  'it is handed out for a session of the run''s name'
);
select is(
  runbook.next_statement(current_setting('test.run')::bigint), null, 'and only once'
);
select runbook.advance_runs();
select is(
  runbook.run_of(current_setting('test.run')::bigint) ->> 'state', 'applying',
  'the tick lets it work'
);
create index "x""; drop table y" on public."test Big" ("odd; name", id);
select is(
  runbook.settle_statement(current_setting('test.run')::bigint, 1, true, null) ->> 'state',
  'succeeded', 'the run ends with its statement, whose effect is seen'
);

create function pg_temp.interrupted(id bigint)
returns void
language sql
as $$
  update runbook.step
  set state = 'running', progress = jsonb_build_object(
    'started_at', clock_timestamp() - interval '2 minutes'
  )
  where run_id = id;
$$;

-- Interrupted: nobody reports, and no session has the run's name.
create temporary table back as
select pg_temp.run(runbook.undo(current_setting('test.run')::bigint, reason => 'back')) as id;
select is(
  (select runbook.next_statement(bck.id) ->> 'statement' from back as bck),
  'drop index concurrently if exists public."x""; drop table y"',
  'the undo is the opposite statement'
);
drop index public."x""; drop table y";
select pg_temp.interrupted(bck.id) from back as bck;
select runbook.advance_runs();
select is(
  (select runbook.run_of(bck.id) ->> 'state' from back as bck),
  'succeeded',
  'what was interrupted and is done has succeeded'
);
select is(
  runbook.run_of(current_setting('test.run')::bigint) ->> 'state', 'undone', 'and took the run back'
);

create temporary table lost as
select pg_temp.run(runbook.remediate('test-remedy', '{}', reason => 'test')) as id;
select runbook.next_statement(lst.id) from lost as lst;
select pg_temp.interrupted(lst.id) from lost as lst;
select set_config('application_name', 'runbook run ' || lst.id, true) from lost as lst;
select runbook.advance_runs();
select is(
  (select runbook.run_of(lst.id) ->> 'state' from lost as lst),
  'applying',
  'while a session has its name it is under way'
);
select set_config('application_name', 'test', true);
select runbook.advance_runs();
select is(
  (select runbook.run_of(lst.id) ->> 'state' from lost as lst),
  'abandoned',
  'what was interrupted and is not done is abandoned'
);
select isnt(
  (select runbook.run_of(lst.id) #> '{run,error}' from lost as lst), null, 'and says why'
);

create temporary table failing as
select pg_temp.run(runbook.remediate('test-remedy', '{}', reason => 'test')) as id;
select runbook.next_statement(fng.id) from failing as fng;
select is(
  (
    select runbook.settle_statement(fng.id, 1, false, 'disk full') #>> '{run,error,message}'
    from failing as fng
  ),
  'disk full',
  'a statement that failed is the error of the run'
);
select is(
  (select runbook.run_of(fng.id) #>> '{undo,available}' from failing as fng),
  'true',
  'an index that was not finished can be removed'
);

-- A freeze, or a worker that was ended, lies between the run and its statement.
select pg_temp.want('drop_index', '{"index": "public.\"test odd\""}');
create temporary table late as
select pg_temp.run(runbook.remediate('test-remedy', '{}', reason => 'test')) as id;
drop index public."test odd";
create unique index "test odd" on public."test Big" (id);
select is(
  (select runbook.next_statement(lte.id) from late as lte), null,
  'an index that got the name of the one that was to go is left alone'
);
select is(
  (select runbook.run_of(lte.id) ->> 'state' from late as lte), 'failed', 'and the run has failed'
);
select pg_temp.want('drop_index', '{"index": "public.\"test odd\""}');
create temporary table timely as
select pg_temp.run(runbook.remediate('test-remedy', '{}', reason => 'test')) as id;
select isnt(
  (select runbook.next_statement(tml.id) from timely as tml), null, 'one that is as seen is not'
);

select * from finish();
rollback;
