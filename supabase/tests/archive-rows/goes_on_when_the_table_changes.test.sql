begin;

select plan(9);

set local client_min_messages = warning;
create table public.test_moving (id integer primary key, at timestamptz not null);
insert into public.test_moving (id, at)
select num, now() - interval '3 years' from generate_series(1, 6) as num;

create function pg_temp.start(key text)
returns text
language sql
as $$
  with planned as materialized (
    select runbook.remediate(
      'archive-rows',
      '{"table": "public.test_moving", "column": "at", "older_than": "1 year", "batch_rows": 2}',
      true
    ) as answer
  )
  select runbook.remediate(
    'archive-rows', pln.answer -> 'params',
    reason => 'test', idempotency_key => start.key, plan_hash => pln.answer ->> 'plan_hash'
  ) #>> '{run,id}'
  from planned as pln;
$$;
create function pg_temp.run(id text)
returns jsonb
language sql
as $$ select runbook.run_of(run.id::bigint); $$;

select set_config('test.first', pg_temp.start('one'), true);
select runbook.advance_runs();
alter table public.test_moving add column later text default 'x';
select runbook.advance_runs();
select is(
  (
    select array_agg(row(arc.id, arc.later)::text order by arc.id)
    from archive.public_test_moving as arc
  ),
  array['(1,)', '(2,)', '(3,x)', '(4,x)'],
  'a column that is added between two batches goes along'
);

create table public.test_child (
  id integer primary key,
  parent integer references public.test_moving on delete cascade
);
select runbook.advance_runs() from generate_series(1, 3);
select is(
  pg_temp.run(current_setting('test.first')) ->> 'state', 'failed',
  'a table that others have begun to refer to is archived no further'
);
select matches(
  pg_temp.run(current_setting('test.first')) #>> '{run,error,message}',
  '^Rows elsewhere refer to public.test_moving: public.test_child',
  'and who they are is said'
);
select isnt(
  pg_temp.run(current_setting('test.first')) #>> '{run,error,hint}', null, 'with what to do'
);
select is(
  (select array_agg(mov.id order by mov.id) from public.test_moving as mov), '{5,6}',
  'what had not moved stays'
);

drop table public.test_child;
select set_config('test.second', pg_temp.start('two'), true);
select runbook.advance_runs() from generate_series(1, 4);
select is(
  pg_temp.run(current_setting('test.second')) ->> 'state', 'succeeded', 'another run moves the rest'
);

create function public.test_delete()
returns trigger
language plpgsql
as $$ begin return old; end; $$;
insert into public.test_moving (id, at) values (7, now() - interval '3 years');
select set_config('test.third', pg_temp.start('three'), true);
create trigger test_delete before delete on public.test_moving
for each row execute function public.test_delete();
select runbook.advance_runs() from generate_series(1, 3);
select is(
  pg_temp.run(current_setting('test.third')) ->> 'state', 'failed',
  'a trigger that came after the plan was not acknowledged'
);
select is((select count(*) from public.test_moving), 1::bigint, 'and does not fire');
select is(
  pg_temp.run(current_setting('test.third')) #>> '{undo,available}', 'false',
  'of nothing nothing is taken back'
);

select * from finish();
rollback;
