begin;

select plan(24);

set local client_min_messages = warning;
create schema "we'ird";
create table "we'ird"."Pösts" (
  "Id" bigint generated always as identity,
  tenant text not null default 'a''b',
  created timestamp not null,
  body text,
  tags text[],
  data json,
  shout text generated always as (upper(body)) stored,
  primary key (tenant, "Id")
);
insert into "we'ird"."Pösts" (created, body, tags, data)
select
  (now() at time zone 'UTC') - make_interval(days => num * 10), 'post ' || num,
  array['a,b', null], '{"b": 1,  "a": 2}'
from generate_series(1, 100) as num;
create temporary table before as select pst::text as content from "we'ird"."Pösts" as pst;

create temporary table asked as
select '{
  "table": "\"we''ird\".\"Pösts\"", "column": "created", "older_than": "365 days", "batch_rows": 25
}'::jsonb as params;
create function pg_temp.count_of(relation text)
returns bigint
language plpgsql
as $$
declare
  v_count bigint;
begin
  execute 'select count(*) from ' || relation into v_count;
  return v_count;
end;
$$;

create temporary table planned as
select runbook.remediate('archive-rows', ask.params, true) as answer from asked as ask;
select is(
  (select pln.answer #>> '{steps,0,summary}' from planned as pln) ~ '^Move 64 rows', true,
  'the plan counts what is old'
);
select is(to_regclass('archive."we''ird_Pösts"'), null, 'and makes no table');
select isnt(
  (select pln.answer #>> '{params,older_than}' from planned as pln), '365 days',
  'the age is an instant'
);
create temporary table done as
select runbook.remediate(
  'archive-rows',
  ask.params || jsonb_build_object('older_than', pln.answer #> '{params,older_than}'),
  reason => 'test', idempotency_key => 'one', plan_hash => pln.answer ->> 'plan_hash'
) as answer
from asked as ask cross join planned as pln;
select is((select dne.answer ->> 'state' from done as dne), 'applying', 'applying begins');
select set_config('test.run', (select dne.answer #>> '{run,id}' from done as dne), true);
create function pg_temp.answer()
returns jsonb
language sql
as $$ select runbook.run_of(current_setting('test.run')::bigint); $$;

select runbook.advance_runs();
select is(
  array[pg_temp.count_of('"we''ird"."Pösts"'), pg_temp.count_of('archive."we''ird_Pösts"')],
  array[75, 25]::bigint[],
  'a batch moves as many as it may'
);
-- Becomes old meanwhile, by the age but not by the instant.
update "we'ird"."Pösts"
set created = (now() at time zone 'UTC') - interval '365 days' + interval '1 s'
where "Id" = 1;
select runbook.advance_runs() from generate_series(1, 5);
select is(
  array[pg_temp.count_of('"we''ird"."Pösts"'), pg_temp.count_of('archive."we''ird_Pösts"')],
  array[36, 64]::bigint[],
  'all that was old has moved'
);
select is(pg_temp.answer() ->> 'state', 'succeeded', 'and the run has ended');
select is(
  pg_temp.answer() #> '{steps,0,progress,cursor}',
  '{"pass": 1, "moved": 64, "archived": 64, "left_locked": 0}',
  'counted twice'
);
select is_empty(
  $$
  select rol.rolname
  from pg_catalog.pg_roles as rol
  where rol.rolname in ('anon', 'authenticated', 'service_role')
    and (
      has_schema_privilege(rol.oid, 'archive', 'usage')
      or has_table_privilege(rol.oid, 'archive."we''ird_Pösts"', 'select')
    )
  $$,
  'nobody of the API may read the archive'
);
select is(
  runbook.remediate('archive-rows', ask.params, true) ->> 'state', 'no_op', 'nothing more is old'
)
from asked as ask;

-- Back again.
select runbook.undo(
  current_setting('test.run')::bigint, reason => 'back', idempotency_key => 'two',
  plan_hash => runbook.undo(current_setting('test.run')::bigint, true) ->> 'plan_hash'
);
select runbook.advance_runs() from generate_series(1, 5);
select is(pg_temp.answer() ->> 'state', 'undone', 'the undo has ended');
update "we'ird"."Pösts" set created = (now() at time zone 'UTC') - interval '10 days'
where "Id" = 1;
select results_eq(
  'select pst::text from "we''ird"."Pösts" as pst order by 1',
  'select bfr.content from before as bfr order by 1',
  'and each row is as it was'
);
select is(pg_temp.count_of('archive."we''ird_Pösts"'), 0::bigint, 'the archive is empty');

-- Again, and then somebody else changes what the undo would need.
create function pg_temp.archive(older_than text, key text)
returns bigint
language sql
as $$
  select (
    runbook.remediate(
      'archive-rows',
      pln.answer -> 'params',
      reason => 'test', idempotency_key => key, plan_hash => pln.answer ->> 'plan_hash'
    ) #>> '{run,id}'
  )::bigint
  from (
    select runbook.remediate(
      'archive-rows', ask.params || jsonb_build_object('older_than', older_than), true
    )
    from asked as ask
  ) as pln (answer);
$$;
select set_config('test.run', pg_temp.archive('365 days', 'three')::text, true);
select runbook.advance_runs() from generate_series(1, 6);
select is(pg_temp.answer() ->> 'state', 'succeeded', 'what came back can go again');
create function pg_temp.undo_of(change text)
returns text
language plpgsql
as $$
declare
  v_answer text;
begin
  begin
    execute change;
    v_answer := runbook.undo(current_setting('test.run')::bigint, true) ->> 'state';
    raise exception 'back' using errcode = 'TSTBK';
  exception
    when sqlstate 'TSTBK' then
      return v_answer;
    when others then
      return sqlstate;
  end;
end;
$$;
select is(pg_temp.undo_of(tried.change), tried.answer, tried.description)
from (
  values
    (
      $$ insert into "we'ird"."Pösts" ("Id", created) overriding system value values (90, now()) $$,
      'RB408', 'a key that is taken keeps the rows from coming back'
    ),
    (
      $$ delete from archive."we'ird_Pösts" where "Id" = 90 $$,
      'RB408', 'so do rows that are gone'
    ),
    (
      $$ alter table "we'ird"."Pösts" drop column data $$,
      'RB408', 'so does a column that is gone'
    ),
    (
      $$ alter table "we'ird"."Pösts" add column extra integer not null default 7 $$,
      'planned', 'a new column does not'
    )
) as tried (change, answer, description);

create function pg_temp.plan_after(change text)
returns text
language plpgsql
as $$
declare
  v_answer text;
begin
  begin
    execute change;
    select runbook.remediate('archive-rows', ask.params || '{"older_than": "30 days"}', true)
    into v_answer
    from asked as ask;
    raise exception 'back' using errcode = 'TSTBK';
  exception
    when sqlstate 'TSTBK' then
      return 'planned';
    when others then
      return sqlstate;
  end;
end;
$$;
select is(pg_temp.plan_after(tried.change), tried.answer, tried.description)
from (
  values
    ('select 1', 'planned', 'more can be archived'),
    (
      $$ comment on table archive."we'ird_Pösts" is 'Else.' $$,
      '55000', 'but not into a table that was not made for it'
    ),
    ('grant usage on schema archive to anon', '55000', 'nor into an archive that is open'),
    (
      $$ alter table archive."we'ird_Pösts" alter column body type varchar(9) $$,
      '55000', 'nor into columns of another type'
    )
) as tried (change, answer, description);

-- Rows that leave and do not arrive are an error, and stay.
create function public.test_keep()
returns trigger
language plpgsql
as 'begin return null; end';
create trigger keep before insert on archive."we'ird_Pösts"
for each row execute function public.test_keep();
select set_config('test.run', pg_temp.archive('30 days', 'four')::text, true);
select runbook.advance_runs() from generate_series(1, 3);
select is(
  pg_temp.answer() #>> '{run,error,sqlstate}', 'RBEFF', 'rows that do not arrive fail the run'
);
select is(pg_temp.count_of('"we''ird"."Pösts"'), 36::bigint, 'and stay where they are');

select * from finish();
rollback;
