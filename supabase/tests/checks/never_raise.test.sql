begin;

select plan(9);

create function public.test_check(settings jsonb)
returns runbook.check_result
language plpgsql
stable
as $$
begin
  case current_setting('test.mood')
    when 'division' then perform 1 / 0;
    when 'cancelled' then raise exception 'too slow' using errcode = 'query_canceled';
    when 'locked' then raise exception 'locked' using errcode = 'lock_not_available';
    when 'assertion' then assert false, 'this cannot be';
    else return runbook.check_answer(1, null);
  end case;
  return null;
end;
$$;

insert into runbook.check (name, title, description, function, position)
values ('test_check', 'Test', 'A check with moods.', 'public.test_check', 1000);

create function pg_temp.status(mood text)
returns text
language sql
as $$
  select set_config('test.mood', mood, true);
  select runbook.run_check('test_check') ->> 'status';
$$;

select is(pg_temp.status('good'), 'ok', 'a check of one''s own is one function and one row');
select is(pg_temp.status('division'), 'error', 'what goes wrong in it is an error');
select is(pg_temp.status('cancelled'), 'error', 'so is being cancelled');
select is(pg_temp.status('assertion'), 'error', 'so is a failed assertion');
select is(pg_temp.status('locked'), 'skipped', 'a lock that is not free makes it skipped');

select matches(
  runbook.run_check('test_check') ->> 'reason', 'lock',
  'the reason says why'
);

select is(runbook.run_check('coffee') ->> 'status', 'error', 'an unknown check is an error');
select is(runbook.run_check(null) ->> 'status', 'error', 'so is none');

update runbook.check set function = 'public.gone' where name = 'test_check';
select is(pg_temp.status('good'), 'error', 'so is one whose function is gone');

select * from finish();
rollback;
