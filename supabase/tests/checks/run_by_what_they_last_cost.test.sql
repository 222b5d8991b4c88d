begin;

select plan(11);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.check_state in share row exclusive mode;

create function public.test_check(settings jsonb)
returns runbook.check_result
language plpgsql
stable
as $$
begin
  if current_setting('test.mood') = 'cancelled' then
    raise exception 'too slow' using errcode = 'query_canceled';
  end if;
  return runbook.check_answer(1, null);
end;
$$;

insert into runbook.check_group (name, title, position, every, budget, largest_share)
values ('tried', 'Tried', 900, '5 minutes', '10 seconds', 0.001);
insert into runbook.check (name, title, description, function, position, check_group)
select 'test_' || chk.name, 'T', 'T.', 'public.test_check', chk.position, 'tried'
from (values ('a', 901), ('b', 902), ('c', 903)) as chk (name, position);

create function pg_temp.order()
returns text
language sql
as $$
  select string_agg(right(nam.name, 1), '' order by nam.position)
  from unnest(runbook.check_names()) with ordinality as nam (name, position)
  where nam.name like 'test\_%';
$$;

create function pg_temp.keep(name text, took_ms numeric, status text default 'ok')
returns void
language sql
as $$
  select runbook.keep_entries(
    jsonb_build_array(
      jsonb_build_object('check', 'test_' || name, 'status', status, 'took_ms', took_ms)
      || case when status = 'error' then '{"sqlstate": "57014"}' else '{}' end::jsonb
      || case when status = 'skipped' then '{"reason": "budget spent"}' else '{}' end::jsonb
    )
  );
$$;

create function pg_temp.is_quarantined(name text)
returns boolean
language sql
as $$
  select stt.quarantined_at is not null
  from runbook.check_state as stt
  where stt.check_name = 'test_' || name;
$$;

select is(pg_temp.order(), 'abc', 'checks that were never measured go by their position');

select pg_temp.keep('c', 5);
select is(pg_temp.order(), 'cab', 'one whose cost is known goes before them');

select pg_temp.keep('a', 50);
select pg_temp.keep('b', 20);
select is(pg_temp.order(), 'cba', 'those that were measured go by their cost');

select pg_temp.keep('c', 0, 'skipped');
select is(pg_temp.order(), 'cba', 'one that the budget did not reach keeps its cost');

select pg_temp.keep('c', 1, 'error');
select is(pg_temp.order(), 'bac', 'one that was cancelled goes last');

select pg_temp.keep('c', 0, 'skipped');
select is(pg_temp.is_quarantined('c'), true, 'not to be reached does not end its quarantine');

select pg_temp.keep('c', 1);
select is(pg_temp.is_quarantined('c'), false, 'passing once does');

select pg_temp.keep('c', 10000);
select is(pg_temp.is_quarantined('c'), true, 'who eats the whole budget is quarantined as well');

select set_config('test.mood', 'cancelled', true);
select is(
  (
    select string_agg(ent.content ->> 'status', ' ' order by ent.position)
    from jsonb_array_elements(
      runbook.run_checks(names => array['test_a', 'test_b', 'test_c'])
    ) with ordinality as ent (content, position)
  ),
  'error skipped skipped',
  'after one that was cancelled nothing would stop the next, so the others are skipped'
);

select set_config('test.mood', 'good', true);
select is(
  (
    select string_agg(ent.content ->> 'status', ' ' order by ent.position)
    from jsonb_array_elements(
      runbook.run_checks(names => array['test_a', 'test_b'], budget => '0 seconds')
    ) with ordinality as ent (content, position)
  ),
  'ok skipped',
  'and so are they when the budget is spent'
);

set transaction read only;
select is(
  jsonb_array_length(runbook.run_checks(names => array['test_a', 'test_b'])), 2,
  'on a read-only database checks run all the same'
);

select * from finish();
rollback;
