begin;

select plan(13);

set local client_min_messages = warning;
create table public."test Big" (id integer primary key);
create table public.test_parts (id integer, at date) partition by range (at);
create view public.test_view as select 1 as a;

create function pg_temp.plan_of(remediation text, "table" text)
returns text
language plpgsql
as $$
declare
  v_plan jsonb := runbook.remediate(remediation, jsonb_build_object('table', "table"), true);
begin
  return v_plan #>> '{steps,0,statement}';
exception
  when others then
    return sqlstate;
end;
$$;
create function pg_temp.refusal(remediation text, "table" text)
returns text
language plpgsql
as $$
begin
  return pg_temp.plan_of(remediation, "table");
exception
  when others then
    return sqlstate;
end;
$$;

select is(pg_temp.refusal(asked.remediation, asked.name), asked.answer, asked.description)
from (
  values
    ('vacuum-table', '"test Big"', 'vacuum public."test Big"', 'a vacuum is written'),
    ('analyze-table', '"test Big"', 'analyze public."test Big"', 'an analyze is written'),
    ('vacuum-table', 'auth.users', 'vacuum auth.users', 'the owner of the database may do any'),
    ('vacuum-table', 'public.nothing', 'P0002', 'a table that is not there is refused'),
    ('vacuum-table', 'public.test_view', '22023', 'a view is'),
    ('vacuum-table', 'public.test_parts', '22023', 'a partitioned table has no rows'),
    ('analyze-table', 'public.test_parts', 'analyze public.test_parts', 'but statistics'),
    ('analyze-table', 'pg_catalog.pg_class', '42501', 'a catalog keeps itself in order'),
    ('vacuum-table', 'pg_catalog.pg_database', '42501', 'a shared one would be skipped')
) as asked (remediation, name, answer, description);

select is(
  runbook.remediate('vacuum-table', '{"table": "\"test Big\""}', true) #>> '{steps,0,summary}',
  'Remove the dead rows of public."test Big": about 0.',
  'of a table whose pages nobody has counted no size is told'
);

-- What Postgres skips ends without an error: it was not done, unless it is seen.
create function pg_temp.step(shape text, "table" text)
returns runbook.step
language sql
as $$
  select jsonb_populate_record(
    null::runbook.step,
    jsonb_build_object(
      'operation', shape,
      'content', runbook.maintenance_statement(shape, jsonb_build_object('relation', "table"))
    )
  );
$$;
select ok(
  not runbook.ask_of_step(
    pg_temp.step('analyze', 'public."test Big"'), 'done_when', clock_timestamp()
  ),
  'what was never done was not done'
);
create temporary table began as select clock_timestamp() as at;
analyze public."test Big";
select ok(
  runbook.ask_of_step(pg_temp.step('analyze', 'public."test Big"'), 'done_when', bgn.at),
  'what was done since is seen'
)
from began as bgn;
select ok(
  not runbook.ask_of_step(
    pg_temp.step('analyze', 'public."test Big"'), 'done_when', clock_timestamp()
  ),
  'what was done before does not count'
);

select * from finish();
rollback;
