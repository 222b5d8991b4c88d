begin;

select plan(12);

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

create table public.test_row (id integer primary key);
create function pg_temp.want(effect text, args jsonb)
returns void
language sql
as $$
  delete from public.test_wanted where true;
  insert into public.test_wanted (declared) values (runbook.effect_step(effect, args, 'Do it.'));
$$;

select pg_temp.want('pg_terminate_backend', '{"pid": 1}');
select throws_ok(
  $$ select runbook.remediate('test-remedy', '{}', true) $$,
  '22023', null, 'an effect that is not on the list is refused'
);
select pg_temp.want(
  'terminate_backend',
  (
    select jsonb_build_object('pid', act.pid, 'backend_start', act.backend_start)
    from pg_catalog.pg_stat_activity as act
    where act.pid = pg_backend_pid()
  )
);
select is(
  runbook.remediate('test-remedy', '{}', true) ->> 'state',
  'no_op',
  'our own session is never ended'
);
select pg_temp.want(
  'cancel_backend',
  (
    select jsonb_build_object('pid', act.pid, 'backend_start', act.backend_start - interval '1 s')
    from pg_catalog.pg_stat_activity as act
    where act.backend_type = 'client backend'
    limit 1
  )
);
select is(
  runbook.remediate('test-remedy', '{}', reason => 'test') ->> 'state',
  'no_op',
  'nor one that only has the same number'
);

-- An effect that leaves a trace, and fails on request.
create sequence public.test_trace;
create function public.test_effect(args jsonb)
returns jsonb
language plpgsql
as $$
begin
  perform nextval('public.test_trace');
  if args ? 'fail' then
    raise exception 'it did not work' using errcode = '55000';
  end if;
  return jsonb_build_object('done', args -> 'what', 'run', args ? 'run_id');
end;
$$;
insert into runbook.effect (name, function, description, undo)
values ('test_effect', 'public.test_effect', 'Test.', 'none: it is a test.');

select pg_temp.want('test_effect', '{"what": "this"}');
create temporary table planned as select runbook.remediate('test-remedy', '{}', true) as answer;
select is(
  (select answer #> '{steps,0,undo}' from planned),
  '"none: it is a test."',
  'a plan shows the effect'
);
select ok((select not is_called from public.test_trace), 'without calling it');

create temporary table done as
select runbook.remediate(
  'test-remedy', '{}', reason => 'test', plan_hash => (select answer ->> 'plan_hash' from planned)
) as answer;
select is((select answer ->> 'state' from done), 'succeeded', 'applying calls it');
select is(
  (select answer #> '{steps,0,progress,result}' from done),
  '{"done": "this", "run": true}',
  'and keeps its result'
);
select is((select last_value from public.test_trace), 1::bigint, 'it was called once');
select is((select answer #> '{undo,available}' from done), 'false', 'it cannot be undone');
select throws_ok(
  format('select runbook.undo(%s, true)', (select pg_temp.run(answer) from done)),
  'RB408', null, 'and that is said'
);

select pg_temp.want('test_effect', '{"fail": true}');
insert into public.test_wanted (declared)
values
  (runbook.insert_step('public.test_row', '{"id": 1}', 'Insert.')),
  (runbook.effect_step('test_effect', '{"what": "late"}', 'Do it.'));
select is(
  (
    select jsonb_build_array(answer #> '{run,error,sqlstate}', answer #> '{steps,0,state}',
      answer #> '{steps,1,state}', answer #> '{steps,2,state}', answer #> '{undo,available}')
    from (select runbook.remediate('test-remedy', '{}', reason => 'test')) as tried (answer)
  ),
  '["55000", "done", "failed", "not_done", true]',
  'an effect that fails ends the run; the rows stay, and can be undone'
);
select is(
  runbook.undo((select max(run.id) from runbook.run as run), reason => 'back') ->> 'state',
  'succeeded',
  'also from a run that failed'
);

select * from finish();
rollback;
