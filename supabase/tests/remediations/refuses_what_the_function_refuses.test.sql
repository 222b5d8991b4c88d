begin;

select plan(13);

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

create table public.test_row (id integer primary key, name text, until timestamptz);
insert into public.test_row values (1, 'one', '2999-01-01 00:00:00+00');
create function public.test_refuses(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
as $$
begin
  raise exception 'Not that way.' using errcode = params ->> 'code', detail = '{"wait_s": 7}';
end;
$$;
insert into runbook.remediation
  (name, title, description, parameters, subject_keys, function, risk, issue, cures)
values
  (
    'test-refuses', 'Test', 'Test.', '{"properties": {"code": {"type": "string"}}}', '{}',
    'public.test_refuses', 'low', null, '{}'
  ),
  (
    'test-ages', 'Test', 'Test.',
    '{"properties": {"before": {"type": "string", "format": "age"}}}', '{}',
    'public.test_remedy', 'low', null, '{}'
  );
create function pg_temp.count_runs()
returns bigint
language sql
as $$ select count(*) from runbook.run where remediation like 'test-%'; $$;
create function pg_temp.want(declared runbook.declared_step)
returns jsonb
language plpgsql
as $$
begin
  delete from public.test_wanted where true;
  insert into public.test_wanted (declared) values (want.declared);
  return runbook.remediate('test-remedy', '{}', reason => 'test') #> '{run,error,sqlstate}';
end;
$$;

select throws_ok(
  $$ select runbook.remediate('test-refuses', '{"code": "RB429"}', reason => 'test') $$,
  'RB429', null, 'what the function refuses on purpose is raised'
);
select throws_ok(
  $$ select runbook.remediate('test-refuses', '{"code": "P0002"}', reason => 'test') $$,
  'P0002', null, 'and so is that there is no such row'
);
select is(pg_temp.count_runs(), 0::bigint, 'no run was opened');
select is(
  runbook.remediate('test-refuses', '{"code": "22012"}', reason => 'test') #> '{run,error}',
  '{"sqlstate": "22012", "message": "Not that way."}',
  'an accident is a run that failed'
);

select is(
  pg_temp.want(runbook.update_step('public.test_row', '{"name": "one"}', '{"name": "x"}', 'X.')),
  '"22023"', 'a row is found by its key and nothing else'
);
select is(
  pg_temp.want(runbook.update_step('public.test_row', '{"id": 1}', '{"nmae": "x"}', 'X.')),
  '"42703"', 'a column that does not exist is an error'
);
select is(
  pg_temp.want(runbook.delete_step('public.test_row', '{"id": 1, "name": "one"}', 'X.')),
  '"22023"', 'and so is a key with more than the key'
);
select is(
  (
    select runbook.remediate('test-remedy', '{}', reason => 'test') ->> 'state'
    from (
      select pg_temp.want(
        runbook.update_step(
          'public.test_row', '{"id": 1}', '{"until": "2999-01-01T09:00:00+09"}', 'X.'
        )
      )
    ) as wanted
  ),
  'no_op',
  'an update to what is there already is nothing to do'
);
select is(
  pg_temp.want(
    jsonb_populate_record(
      null::runbook.declared_step,
      '{"kind": "row", "operation": "truncate", "relation": "public.test_row", "key": {"id": 1}}'
    )
  ),
  '"22023"', 'a row is inserted, updated or deleted, nothing else'
);

delete from public.test_wanted where true;
create temporary table planned as
select runbook.remediate('test-ages', '{"before": "30 days"}', true) as answer;
select is(
  (select (answer #>> '{params,before}')::timestamptz from planned),
  (select runbook.now()) - interval '30 days',
  'an age becomes an instant in the plan'
);
select is(
  (
    select runbook.remediate(
      'test-ages', answer -> 'params', reason => 'test', plan_hash => answer ->> 'plan_hash'
    ) ->> 'plan_hash'
    from planned
  ),
  (select answer ->> 'plan_hash' from planned),
  'which is sent back'
);
select throws_ok(
  $$ select runbook.remediate('test-ages', '{"before": "old"}', true) $$,
  'RB400', null, 'what is no age is refused'
);

alter function public.test_remedy(jsonb) volatile;
select throws_ok(
  $$ select runbook.remediate('test-remedy', '{}', true) $$,
  '55000', null, 'a function that may write is not asked at all'
);

select * from finish();
rollback;
