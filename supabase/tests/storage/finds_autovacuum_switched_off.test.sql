begin;

select plan(7);

create schema "we'ird ""Näme";
create table "we'ird ""Näme"."T" (id integer, body text);

create function pg_temp.found()
returns setof text
language sql
as $$
  select (fnd.content ->> 'severity') || ' ' || (fnd.content ->> 'subject')
  from jsonb_array_elements(runbook.run_check('autovacuum_off') -> 'findings') as fnd (content)
  where fnd.content ->> 'subject' like '%Näme%';
$$;

select is_empty('select pg_temp.found()', 'a table of which nothing is said is silent');

alter table "we'ird ""Näme"."T" set (autovacuum_enabled = on, autovacuum_vacuum_threshold = 5);
select is_empty('select pg_temp.found()', 'so is one for which autovacuum is on by its own word');

alter table "we'ird ""Näme"."T" set (autovacuum_enabled = no);
select results_eq(
  'select pg_temp.found()',
  array['warning "we''ird ""Näme"."T"'],
  'switched off it is found once, by its quoted name'
);

alter table "we'ird ""Näme"."T" reset (autovacuum_enabled);
alter table "we'ird ""Näme"."T" set (toast.autovacuum_enabled = off);
select results_eq(
  'select pg_temp.found()',
  array['warning "we''ird ""Näme"."T"'],
  'so is a table whose TOAST table alone is left out'
);
select matches(
  (
    select fnd.content ->> 'summary'
    from jsonb_array_elements(runbook.run_check('autovacuum_off') -> 'findings') as fnd (content)
    where fnd.content ->> 'subject' like '%Näme%'
  ),
  'reset \(toast\.autovacuum_enabled\);$',
  'and the cure names the parameter'
);

alter table "we'ird ""Näme"."T" reset (toast.autovacuum_enabled);
select is_empty('select pg_temp.found()', 'cured it is silent');

select matches(
  (select string_agg(fnd.content ->> 'subject', ' ')
    from jsonb_array_elements(runbook.run_check('autovacuum_off') -> 'findings') as fnd (content)),
  'public\.lesson_progress',
  'the table of the demo stands there all the time'
);

select * from finish();
rollback;
