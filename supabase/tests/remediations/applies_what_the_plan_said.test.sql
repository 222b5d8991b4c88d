begin;

select plan(8);

set local client_min_messages = warning;
create table if not exists public.auth_rate_limits (
  identifier text primary key,
  blocked_until timestamptz
);
insert into public.auth_rate_limits (identifier, blocked_until)
values
  ('apply@test.example', '2999-01-01 00:00:00+00'),
  ('Apply@Test.example', '2998-01-01 00:00:00+00'),
  ('over-apply@test.example', clock_timestamp() - interval '1 hour'),
  ('other@test.example', '2999-01-01 00:00:00+00');

create temporary table planned as
select runbook.remediate('unblock-login', '{"email": "apply@test.example"}', true) as answer;

create temporary table applied as
select runbook.remediate(
  'unblock-login',
  '{"email": "apply@test.example"}',
  reason => '  called the help desk  ',
  plan_hash => (select pln.answer ->> 'plan_hash' from planned as pln)
) as answer;

create function pg_temp.without_states(answer jsonb)
returns jsonb
language sql
as $$
  select jsonb_agg(stp.content - 'state' order by stp.content -> 'position')
  from jsonb_array_elements(answer -> 'steps') as stp (content);
$$;

select is(
  (select pg_temp.without_states(app.answer) from applied as app),
  (select pg_temp.without_states(pln.answer) from planned as pln),
  'the steps are those of the plan'
);

select is(
  (select jsonb_array_length(app.answer -> 'steps') from applied as app),
  2,
  'both rows that block the address, in either letters'
);

select bag_eq(
  $$
  select lim.identifier
  from public.auth_rate_limits as lim
  where lim.identifier ilike '%apply@test.example' or lim.identifier = 'other@test.example'
  $$,
  array['over-apply@test.example', 'other@test.example'],
  'only rows that block this address are gone'
);

select is(
  (select app.answer #>> '{run,state}' from applied as app),
  'succeeded',
  'the run succeeded'
);

select is(
  (select app.answer #>> '{verification,status}' from applied as app),
  'verified',
  'and the trouble is gone'
);

select results_eq(
  $$
  select run.actor, run.role, run.reason, run.subject
  from runbook.run as run
  where run.id = (select (app.answer #>> '{run,id}')::bigint from applied as app)
  $$,
  $$
  values (
    ('database:' || session_user) collate "default",
    'admin',
    'called the help desk',
    'apply@test.example'
  )
  $$,
  'who did it, as what, why and for whom is on record'
);

select is(
  (
    select count(*)
    from runbook.step as stp
    where stp.run_id = (select (app.answer #>> '{run,id}')::bigint from applied as app)
      and stp.state = 'done'
      and stp.before ->> 'blocked_until' is not null
  ),
  2::bigint,
  'the rows as they were are on record'
);

select is(
  runbook.remediate(
    'unblock-login', '{"email": "apply@test.example"}', reason => 'again'
  ) ->> 'state',
  'no_op',
  'a second request does nothing new, and that is a success'
);

select * from finish();
rollback;
