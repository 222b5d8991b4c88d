begin;

select plan(5);

set local client_min_messages = warning;
create table public.test_kept (id integer primary key, at timestamptz not null);
insert into public.test_kept (id, at)
select num, now() - interval '3 years' from generate_series(1, 4) as num;
-- A trigger that marks instead of deleting ends like this.
create function public.test_keep()
returns trigger
language plpgsql
as $$
begin
  return case when old.id = 3 then null else old end;
end;
$$;
create trigger test_keep before delete on public.test_kept
for each row execute function public.test_keep();

create temporary table asked as
select '{
  "table": "public.test_kept", "column": "at", "older_than": "1 year",
  "batch_rows": 2, "acknowledge_triggers": true
}'::jsonb as params;
create temporary table planned as
select runbook.remediate('archive-rows', ask.params, true) as answer from asked as ask;
select set_config(
  'test.run',
  runbook.remediate(
    'archive-rows', pln.answer -> 'params',
    reason => 'test', idempotency_key => 'one', plan_hash => pln.answer ->> 'plan_hash'
  ) #>> '{run,id}',
  true
)
from planned as pln;
select is(
  (select pln.answer ->> 'state' from planned as pln), 'planned',
  'the trigger is acknowledged, what it does is not known'
);
select runbook.advance_runs() from generate_series(1, 5);

create temporary table seen as
select runbook.run_of(current_setting('test.run')::bigint) as answer;
select is(
  (select sen.answer ->> 'state' from seen as sen), 'failed', 'rows that stay are no success'
);
select matches(
  (select sen.answer #>> '{run,error,message}' from seen as sen),
  'Of 2 rows of public.test_kept only 1 could be deleted: a trigger keeps the others',
  'and nobody is said to have locked them'
);
select is(
  (select array_agg(kpt.id order by kpt.id) from public.test_kept as kpt), '{3,4}',
  'nothing of that batch was moved'
);
select is(
  (select array_agg(arc.id order by arc.id) from archive.public_test_kept as arc), '{1,2}',
  'the batch before it was'
);

select * from finish();
rollback;
