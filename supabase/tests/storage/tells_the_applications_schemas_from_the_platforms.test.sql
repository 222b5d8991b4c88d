begin;

select plan(13);

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

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.probe in share row exclusive mode;
delete from runbook.probe as prb
where prb.name = 'data_api';
select is(
  (runbook.exposed_schemas()).names, '{public}'::text[], 'where nobody says, public is exposed'
);
select matches((runbook.exposed_schemas()).source, '^assumed', 'and that is said');

set local pgrst.db_schemas = 'public, api,"Odd"';
select is(
  (runbook.exposed_schemas()).names, '{public,api,Odd}'::text[], 'a setting says which are'
);

select runbook.set_setting('exposed_schemas', '["api"]');
select is((runbook.exposed_schemas()).names, '{api}'::text[], 'the admin''s word counts more');

select runbook.set_setting('exposed_schemas', '"nonsense"');
select is(
  (runbook.exposed_schemas()).names, '{public,api,Odd}'::text[], 'a word that is no list does not'
);

select runbook.set_setting('exposed_schemas', '["api"]');
select runbook.record_probe('data_api', true, '{"status": 406, "schemas": ["public", "Odd"]}');
select is(
  (runbook.exposed_schemas()).names, '{public,Odd}'::text[], 'the Data API''s own word counts most'
);
select matches((runbook.exposed_schemas()).source, '^the Data API itself, asked at ', 'so it says');

update runbook.probe as prb
set seen_at = clock_timestamp() - interval '25 hours'
where prb.name = 'data_api';
select is((runbook.exposed_schemas()).names, '{api}'::text[], 'one of yesterday does not');

select runbook.record_probe('data_api', false, '{"status": null, "error": "timeout"}');
select is((runbook.exposed_schemas()).names, '{api}'::text[], 'nor does its silence');

select * from finish();
rollback;
