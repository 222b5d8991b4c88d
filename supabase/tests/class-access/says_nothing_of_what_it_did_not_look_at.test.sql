begin;

select plan(10);

set local client_min_messages = warning;

-- The codes of findings and the reasons for what was skipped, of a student with whom all is well.
create function pg_temp.told(more jsonb default '{}')
returns text[]
language sql
as $$
  select array(
    select coalesce(said.item ->> 'code', said.item ->> 'reason')
    from runbook.diagnose('class-access', '{"email": "ok@demo.example"}' || told.more) as answer
    cross join lateral (
      select fnd from jsonb_array_elements(answer -> 'findings') as fnd
      union all
      select skp from jsonb_array_elements(answer -> 'skipped') as skp
    ) as said (item)
    order by 1
  );
$$;

select is(pg_temp.told(), '{sees_class,sees_class}', 'she sees both of her classes');

select is(
  pg_temp.told('{"class_id": "cccccccc-0000-4000-8000-00000000c100"}'), '{class_missing}',
  'in a class that is not there nobody is to be enrolled'
);

update auth.users set role = 'supabase_admin' where email = 'ok@demo.example';
select is(
  pg_temp.told(),
  '{"The token of this account names a role of its own, as which no rows are read here."}',
  'as a role that nothing reads as she is not said to see anything'
);
update auth.users set role = '' where email = 'ok@demo.example';
select ok(
  pg_temp.told() @> '{class_hidden}', 'where the token names none she is as nobody to the Data API'
);
update auth.users set role = 'authenticated' where email = 'ok@demo.example';

select is(
  array(
    select distinct smp.skipped
    from runbook.content_samples(
      runbook.school_tables(),
      '10000000-0000-4000-8000-000000000010',
      array['30000000-0000-4000-8000-000000000001'::uuid],
      '{}',
      clock_timestamp() - interval '1 second'
    ) as smp
    where smp.name = 'public.klassen'
  ),
  array['public.klassen was not looked at: the time was spent.'],
  'when the time is spent no table is looked at'
);

create temporary table explained as
select (
  runbook.content_explanation(
    '10000000-0000-4000-8000-000000000010',
    row(
      'public.tasks'::regclass, 'public.tasks', 'class_id',
      '30000000-0000-4000-8000-000000000001', 10, 0, failure.content, null
    )::runbook.content_sample,
    clock_timestamp() - interval '1 second'
  )
).summary
from (
  values (null::jsonb), ('{"sqlstate": "54001", "message": "stack depth limit exceeded"}')
) as failure (content);

select is(
  (select count(*) from explained as exp where exp.summary like '%was not found out%'), 2::bigint,
  'nor is anything explained'
);
select is(
  (select count(*) from explained as exp where exp.summary like 'Looked for%0 of 10 rows%'),
  1::bigint, 'but what was seen is said'
);
select is(
  (select count(*) from explained as exp where exp.summary like '%fails with 54001: stack%'),
  1::bigint, 'and how looking failed'
);

alter table public.tasks drop constraint tasks_pkey cascade;
select ok(
  exists (select from unnest(pg_temp.told()) as said (item) where item like 'public.tasks has no%'),
  'of a table that cannot be looked at that is told'
);
select alike(
  (
    select fnd ->> 'summary'
    from jsonb_array_elements(
      runbook.diagnose('class-access', '{"email": "ok@demo.example"}') -> 'findings'
    ) as fnd
    where fnd ->> 'code' = 'sees_class'
    limit 1
  ),
  '%, as far as it was looked at.', 'and that the rest is not all'
);

select * from finish();
rollback;
