begin;

select plan(9);

-- The stack may be at work: what its scheduler writes waits until this test has rolled back.
lock table cron.job_run_details in share row exclusive mode;

create function pg_temp.traces()
returns setof text
language sql
as $$
  select 'schema ' || nsp.nspname from pg_catalog.pg_namespace as nsp where nsp.nspname = 'runbook'
  union all
  select 'role ' || grp.rolname from pg_catalog.pg_roles as grp where grp.rolname like 'runbook%'
  union all
  select 'job ' || job.jobname from cron.job as job where job.command like '%runbook%'
  union all
  select 'log ' || det.runid from cron.job_run_details as det where det.command like '%runbook%'
  union all
  select 'default privilege'
  from pg_catalog.pg_default_acl as acl
  where acl::text like '%runbook%'
  union all
  select 'function ' || fun.proname
  from pg_catalog.pg_proc as fun
  inner join pg_catalog.pg_namespace as nsp on nsp.oid = fun.pronamespace
  where fun.prosrc like '%runbook.%'
    and nsp.nspname not like 'pg\_temp%';
$$;

create function pg_temp.migrations()
returns bigint
language sql
as $$
  select count(*)
  from supabase_migrations.schema_migrations as mig
  where mig.statements::text like '%create schema runbook%'
    or mig.statements::text like '%runbook.install\_schedule%';
$$;

select isnt_empty('select * from pg_temp.traces()', 'the runbook is here');
select cmp_ok(pg_temp.migrations(), '>', 0::bigint, 'its migrations are on record');

select set_eq(
  $$
  select mig.version
  from supabase_migrations.schema_migrations as mig
  where mig.statements::text like '%runbook.%'
  $$,
  'select unnest(rel.migrations) from runbook.release as rel',
  'its release lists every migration that is about it'
);

insert into supabase_migrations.schema_migrations (version, name)
values ('29990101000000', 'of_the_application');

select set_config('test.people', (select count(*)::text from auth.users), true);

select lives_ok('select runbook.uninstall()', 'one call removes it');
select is_empty('select * from pg_temp.traces()', 'nothing of it is left');
select is(pg_temp.migrations(), 0::bigint, 'its migrations are forgotten, so it can come back');

select isnt_empty(
  $$
  select
  from supabase_migrations.schema_migrations as mig
  where mig.version = '29990101000000'
  $$,
  'a migration of the application is not'
);

select is(
  (select count(*)::text from auth.users), current_setting('test.people'),
  'nobody''s account is touched'
);

select hasnt_schema('runbook', 'the schema is gone with the function that removed it');

select * from finish();
rollback;
