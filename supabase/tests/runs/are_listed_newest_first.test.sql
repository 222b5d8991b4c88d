begin;

select plan(19);

set local client_min_messages = warning;
create function pg_temp.run(answer jsonb)
returns bigint
language sql
as $$ select (answer #>> '{run,id}')::bigint; $$;

create function pg_temp.problem(params jsonb)
returns jsonb
language plpgsql
as $$
declare
  v_detail text;
begin
  perform runbook.runs(params);
  return null;
exception
  when sqlstate 'RB400' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return v_detail::jsonb #> '{0,path}';
end;
$$;
create temporary table made as
select
  num,
  pg_temp.run(
    runbook.remediate(
      'unblock-login', jsonb_build_object('email', 'runs-' || num % 2 || '@test.example'),
      reason => 'test ' || num
    )
  ) as id
from generate_series(1, 7) as num;

create function pg_temp.ids(page jsonb)
returns bigint[]
language sql
as $$
  select array_agg((itm ->> 'id')::bigint) from jsonb_array_elements(page -> 'items') as itm;
$$;

create temporary table page as
select 1 as number, runbook.runs('{"limit": 3}') as answer;
insert into page
select 2, runbook.runs(jsonb_build_object('limit', 3, 'cursor', answer -> 'next')) from page;

select is(
  (select pg_temp.ids(answer) from page where number = 1),
  (select array_agg(id order by num desc) from made where num > 4),
  'the newest come first'
);
select is(
  (select pg_temp.ids(answer) from page where number = 2),
  (select array_agg(id order by num desc) from made where num between 2 and 4),
  'the cursor leads to those behind'
);
select is(
  (
    select (answer #> '{items,0}') - 'id' - 'started_at' - 'ended_at' - 'idempotency_key'
    from page where number = 1
  ),
  jsonb_build_object(
    'remediation', 'unblock-login', 'subject', 'runs-1@test.example', 'state', 'no_op',
    'actor', 'database:' || session_user, 'reason', 'test 7'
  ),
  'an item says what, for whom, by whom and why'
);
select is(
  runbook.runs('{"subject": "RUNS-0@test.example"}') -> 'next', 'null', 'the last page has no next'
);
select is(
  pg_temp.ids(runbook.runs('{"subject": "RUNS-0@test.example"}')),
  (select array_agg(id order by num desc) from made where num % 2 = 0),
  'runs are found by subject'
);
select is(runbook.runs('{"state": "failed", "actor": "x"}') -> 'items', '[]', 'by state and actor');
select is(runbook.runs('{"remediation": "none-such"}') -> 'items', '[]', 'by remediation');
select is(runbook.runs('{"since": "2999-01-01"}') -> 'items', '[]', 'and by time, from');
select is(runbook.runs('{"until": "1999-01-01T00:00:00Z"}') -> 'items', '[]', 'and to');

select is(pg_temp.problem('{"limit": 0}'), '"limit"', 'a page has one run at least');
select is(pg_temp.problem('{"limit": 101}'), '"limit"', 'and a hundred at most');
select is(pg_temp.problem('{"since": "yesterday-ish"}'), '"since"', 'a time is a time');
select is(pg_temp.problem('{"cursor": "AAAA"}'), '"cursor"', 'a cursor is no guess');
select is(pg_temp.problem('{"cursor": "!"}'), '"cursor"', 'nor anything else');
select is(pg_temp.problem('{"color": "red"}'), '"color"', 'unknown filters are named');

select is(
  runbook.run_of((select min(id) from made)) #>> '{run,reason}',
  'test 1',
  'one run is read by its id'
);
select throws_ok('select runbook.run_of(-1)', 'P0002', null, 'if there is one');
select lives_ok(
  $$
  set local role runbook_viewer;
  select runbook.runs(), runbook.freeze_state();
  reset role
  $$,
  'a viewer may read them'
);
select throws_ok(
  $$ set local role runbook_operator; select runbook.member_list() $$,
  '42501', null, 'but not the list of members'
);

select * from finish();
rollback;
