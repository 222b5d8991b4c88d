begin;

select plan(13);

set local client_min_messages = warning;
create table if not exists public.auth_rate_limits (
  identifier text primary key,
  blocked_until timestamptz
);
insert into public.auth_rate_limits (identifier, blocked_until)
values ('record@test.example', '2999-01-01 00:00:00+00');

select runbook.remediate('unblock-login', '{"email": "record@test.example"}', reason => 'test');
select runbook.remediate('unblock-login', '{"email": "nobody@test.example"}', reason => 'test');
select runbook.record_refusal('{"sub": "x"}', 'unblock-login', 'ROLE_REQUIRED', 'No.');

create function pg_temp.refused(statement text, what text)
returns text
language sql
as $$
  select throws_ok(statement, '55000', null, what);
$$;

select pg_temp.refused(
  $$ update runbook.run set reason = 'nicer' where true $$, 'a run cannot be changed'
);
select pg_temp.refused('delete from runbook.run where true', 'nor deleted');
select pg_temp.refused('truncate runbook.run cascade', 'nor truncated');
select pg_temp.refused(
  $$ update runbook.step set summary = 'nicer' where true $$, 'a step cannot be changed'
);
select pg_temp.refused('delete from runbook.step where true', 'nor deleted');
select pg_temp.refused('truncate runbook.step cascade', 'nor truncated');
select pg_temp.refused(
  $$ update runbook.refusal set reason = 'nicer' where true $$, 'a refusal cannot be changed'
);
select pg_temp.refused('delete from runbook.call where true', 'nor a call be deleted');

select pg_temp.refused(
  $$
  update runbook.run
  set state = 'succeeded'
  where state = 'no_op'
  $$,
  'a state that ends nothing does not move'
);

select pg_temp.refused(
  $$
  update runbook.run
  set state = 'applying', ended_at = null
  where state = 'succeeded'
  $$,
  'a state does not move backwards'
);

select pg_temp.refused(
  $$
  update runbook.run
  set state = 'undone', reason = 'nicer'
  where state = 'succeeded'
  $$,
  'a move takes nothing else along'
);

select pg_temp.refused(
  $$
  select set_config('runbook.forgetting', 'true', true);
  update runbook.run
  set subject = 'somebody'
  where true
  $$,
  'no setting opens the record'
);

select lives_ok(
  $$
  update runbook.run
  set state = 'undone'
  where state = 'succeeded' and subject = 'record@test.example'
  $$,
  'a state moves forwards'
);

select * from finish();
rollback;
