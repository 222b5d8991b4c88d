begin;

select plan(14);

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
insert into public.test_wanted (declared)
values (runbook.insert_step('public.test_row', '{"id": 1}', 'Insert.'));
create temporary table before as
select runbook.remediate('test-remedy', '{}', reason => 'test', idempotency_key => 'k') as answer;
delete from public.test_row where true;

select is(runbook.freeze_state() -> 'frozen', 'false', 'at first nothing is frozen');
select throws_ok($$ select runbook.freeze('') $$, 'RB400', null, 'a freeze needs a reason');
select throws_ok(
  $$ select runbook.freeze('x', now() - interval '1 hour') $$,
  'RB400', null, 'and does not end before it began'
);
select throws_ok(
  $$ set local role runbook_operator; select runbook.freeze('x') $$,
  '42501', null, 'an operator cannot freeze'
);
select is(
  (runbook.freeze('deploy of 2.0', (select runbook.now()) + interval '1 hour')) - 'until' - 'since',
  jsonb_build_object('frozen', true, 'by', 'database:' || session_user, 'reason', 'deploy of 2.0'),
  'a freeze says who and why'
);
select throws_ok(
  $$ select runbook.remediate('test-remedy', '{}', reason => 'test') $$,
  'RB423', null, 'nothing is applied'
);
select throws_ok(
  format('select runbook.undo(%s, false, %L)', (select pg_temp.run(answer) from before), 'test'),
  'RB423', null, 'nor undone'
);
select is(
  runbook.remediate('test-remedy', '{}', true) ->> 'state', 'planned', 'plans still work'
);
select is(
  runbook.remediate('test-remedy', '{}', reason => 'test', idempotency_key => 'k') #> '{run,id}',
  (select answer #> '{run,id}' from before),
  'and so does asking again what was applied before'
);

select runbook.shift_clock('61 minutes');
select is(runbook.freeze_state() -> 'frozen', 'false', 'it ends at its time');
select runbook.shift_clock(null);
select is(
  runbook.freeze('still deploying') ->> 'reason', 'still deploying',
  'a second replaces it'
);
select is(runbook.unfreeze('deployed') -> 'frozen', 'false', 'an admin ends it');
select is(
  runbook.remediate('test-remedy', '{}', reason => 'test') ->> 'state', 'succeeded',
  'and things are applied again'
);
select results_eq(
  'select reason, lift_reason from runbook.freeze order by id',
  $$
  values
    ('deploy of 2.0', 'Replaced by another freeze.'),
    ('still deploying', 'deployed')
  $$,
  'all of it is on record'
);

select * from finish();
rollback;
