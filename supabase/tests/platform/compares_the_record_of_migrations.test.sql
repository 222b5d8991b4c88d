begin;

select plan(7);

create function pg_temp.found()
returns text
language sql
as $$
  select coalesce(
    string_agg(
      (fnd.content ->> 'code') || ' ' || (fnd.content ->> 'subject'), ', ' order by fnd.position
    ),
    ''
  )
  from jsonb_array_elements(runbook.run_check('migrations') -> 'findings') with ordinality
    as fnd (content, position);
$$;

select is(pg_temp.found(), '', 'what the CLI applied is in the record');

delete from supabase_migrations.schema_migrations where version = '20261101000050';
select is(
  pg_temp.found(),
  'migration_missing supabase_migrations.schema_migrations',
  'a migration of the runbook that is not in the record is found'
);
insert into supabase_migrations.schema_migrations (version) values ('20261101000050');
select is(pg_temp.found(), '', 'repaired it is silent');

create table public.story (id integer);
create index story_half on public.story (id);
select is(pg_temp.found(), '', 'a valid index that no migration names is silent');

-- tests/checks/ has one that was left half-built.
insert into supabase_migrations.schema_migrations (version, statements)
values ('20990101000000', array['create index concurrently story_half on public.story (id)']);
select is(pg_temp.found(), '', 'nor is one that a migration names');

alter table supabase_migrations.schema_migrations rename to elsewhere;
select is(
  runbook.run_check('migrations') ->> 'status', 'not_applicable', 'without a record there is none'
);
alter table supabase_migrations.elsewhere rename to schema_migrations;
select is(runbook.run_check('migrations') ->> 'status', 'ok', 'with it there is');

select * from finish();
rollback;
