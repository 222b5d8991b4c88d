begin;

select plan(6);

create function pg_temp.found()
returns text
language sql
as $$
  select coalesce(
    string_agg(
      concat_ws(' ', fnd.content ->> 'code', fnd.content ->> 'subject', fnd.content ->> 'severity'),
      ', '
      order by fnd.position
    ),
    ''
  )
  from jsonb_array_elements(runbook.run_check('extensions') -> 'findings') with ordinality
    as fnd (content, position)
  where fnd.content ->> 'subject' <> 'hypopg';
$$;

select is(pg_temp.found(), '', 'the stack has what the runbook uses');

create or replace function runbook.wanted_extensions()
returns table (name text, evidence_of text, severity text, purpose text)
language sql
immutable
as $$
  values
    ('no_such_extension', null, 'warning', 'nothing works'),
    ('earthdistance', 'pg_catalog.pg_class', 'warning', 'nothing works');
$$;
select is(pg_temp.found(), '', 'what the server cannot offer, or has by another way, is silent');

create or replace function runbook.wanted_extensions()
returns table (name text, evidence_of text, severity text, purpose text)
language sql
immutable
as $$ values ('isn', null, 'warning', 'numbers of books are not known'); $$;
select is(pg_temp.found(), 'extension_missing isn warning', 'what could be installed is found');

create extension isn with schema extensions;
select is(pg_temp.found(), '', 'installed it is silent');

create or replace function runbook.missing_extension_rights()
returns table (name text, missing text, cure text)
language sql
stable
as $$ values ('pg_net', 'calling net.http_post', 'grant execute') $$;
select is(
  pg_temp.found(), 'extension_without_permission pg_net warning', 'a right that lacks is found'
);

select is(
  runbook.run_check('extensions') ->> 'status', 'warning', 'and makes the check warn'
);

select * from finish();
rollback;
