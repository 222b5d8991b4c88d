begin;

select plan(9);

create schema "we'ird ""Näme";

select ok(
  runbook.is_application_schema('public'::regnamespace), 'public is the application''s'
);
select ok(
  runbook.is_application_schema((
    select nsp.oid from pg_catalog.pg_namespace as nsp where nsp.nspname = 'we''ird "Näme'
  )),
  'so is what the application made'
);
select is_empty(
  $$
  select aps.name
  from runbook.application_schema as aps
  where aps.name in ('auth', 'storage', 'realtime', 'cron', 'net', 'vault', 'extensions', 'runbook')
    or aps.name like 'pg\_%'
  $$,
  'what Postgres, the platform and the runbook made is not'
);
select ok(not runbook.is_application_schema(0), 'nor is what does not exist');

select is(
  (runbook.exposed_schemas()).names, '{public}'::text[], 'where nobody says, public is exposed'
);
select matches((runbook.exposed_schemas()).source, '^assumed', 'and that is said');

set local pgrst.db_schemas = 'public, api,"Odd"';
select is(
  (runbook.exposed_schemas()).names, '{public,api,Odd}'::text[], 'a setting says which are'
);

select runbook.set_setting('exposed_schemas', '["api"]');
select is((runbook.exposed_schemas()).names, '{api}'::text[], 'the admin''s word counts most');

select runbook.set_setting('exposed_schemas', '"nonsense"');
select is(
  (runbook.exposed_schemas()).names, '{public,api,Odd}'::text[], 'a word that is no list does not'
);

select * from finish();
rollback;
