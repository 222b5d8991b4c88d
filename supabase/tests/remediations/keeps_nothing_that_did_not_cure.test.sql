begin;

select plan(8);

set local client_min_messages = warning;
create table if not exists public.auth_rate_limits (
  identifier text primary key,
  blocked_until timestamptz
);
insert into public.auth_rate_limits (identifier, blocked_until)
values ('stubborn@test.example', '2999-01-01 00:00:00+00');

-- Written as applications write them: nothing is qualified.
set local search_path = public, extensions;
create function public.test_block_again()
returns trigger
language plpgsql
as $$
begin
  insert into auth_rate_limits (identifier, blocked_until)
  values ('STUBBORN@test.example', old.blocked_until);
  return null;
end;
$$;
create trigger test_block_again
after delete on public.auth_rate_limits
for each row execute function public.test_block_again();

create temporary table tried as
select runbook.remediate(
  'unblock-login', '{"email": "stubborn@test.example"}', reason => 'test'
) as answer;

select is((select trd.answer ->> 'state' from tried as trd), 'failed', 'the run has failed');

select is(
  (select trd.answer #>> '{verification,status}' from tried as trd),
  'not_cured',
  'for the trouble came back'
);

select isnt_empty(
  $$ select from public.auth_rate_limits where identifier = 'stubborn@test.example' $$,
  'nothing was kept'
);

select is(
  (select trd.answer #>> '{steps,0,state}' from tried as trd),
  'rolled_back',
  'the step says so'
);

select ok(
  (
    select trd.answer #> '{steps,0,side_effects}' ? 'trigger test_block_again fires'
    from tried as trd
  ),
  'and names the trigger'
);

create or replace function public.test_block_again()
returns trigger
language plpgsql
as $$
begin
  raise exception 'the application says no' using errcode = '23514';
end;
$$;

select is(
  runbook.remediate(
    'unblock-login', '{"email": "stubborn@test.example"}', reason => 'test'
  ) #> '{run,error}',
  '{"sqlstate": "23514", "message": "the application says no"}',
  'what the application raises becomes the error of the run'
);

select throws_ok(
  $$ select runbook.remediate('unblock-login', '{"email": "stubborn@test.example"}', true) $$,
  '23514', null, 'and is raised by a plan, which has no run'
);

select is(
  (select count(*) from runbook.run as run where run.subject = 'stubborn@test.example'),
  2::bigint,
  'both runs are on record'
);

select * from finish();
rollback;
