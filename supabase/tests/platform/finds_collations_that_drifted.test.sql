begin;

select plan(6);

create function pg_temp.found()
returns text
language sql
as $$
  select coalesce(string_agg(fnd.content ->> 'subject', ', ' order by fnd.position), '')
  from jsonb_array_elements(runbook.run_check('collations') -> 'findings') with ordinality
    as fnd (content, position);
$$;

select is(pg_temp.found(), '', 'a new database has no drift');
select isnt_empty(
  'select from runbook.collation_versions() as ver where ver.is_of_database',
  'its own collation is looked at'
);

create collation public.story (provider = icu, locale = 'nl');
select is_empty(
  $$ select from runbook.collation_versions() as ver where ver.name = 'public.story' $$,
  'a collation that nothing uses is not'
);

create table public.story_word (word text collate public.story);
select isnt_empty(
  $$
  select from runbook.collation_versions() as ver
  where ver.name = 'public.story' and ver.recorded = ver.actual
  $$,
  'one that a column uses is'
);

create or replace function runbook.collation_versions()
returns table (name text, is_of_database boolean, recorded text, actual text)
language sql
stable
as $$
  values
    ('public.story', false, '153.112', '153.120'),
    ('public.same', false, '1', '1'),
    ('public.unknown', false, null, '1'),
    ('postgres', true, '2.31', '2.36');
$$;
select is(
  pg_temp.found(), 'postgres, public.story', 'those with another version than recorded are found'
);
select matches(
  runbook.run_check('collations') #>> '{findings,0,summary}',
  'alter database postgres refresh collation version;$',
  'with what to do after the indexes were rebuilt'
);

select * from finish();
rollback;
