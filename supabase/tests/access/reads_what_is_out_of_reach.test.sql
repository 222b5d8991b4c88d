begin;

select plan(12);

create schema access_private;
create function access_private.may(number integer) returns boolean
language plpgsql stable security definer set search_path = ''
as $f$ begin return number = 1; end $f$;
create table access_private.allowed (id integer primary key);
insert into access_private.allowed values (2);
alter table access_private.allowed enable row level security;
grant select on access_private.allowed to authenticated;
create policy "all" on access_private.allowed using (true);
create type access_private.mood as enum ('sad', 'happy');

create table public."we'ird ""Näme" (
  "Id" integer primary key,
  target text,
  "Sel""ect" access_private.mood default 'happy',
  gone integer
);
alter table public."we'ird ""Näme" drop column gone;
insert into public."we'ird ""Näme" values (1, '%s', 'sad'), (2, '%1$I', null), (3, null, 'happy');
alter table public."we'ird ""Näme" enable row level security;
grant all on public."we'ird ""Näme" to authenticated;

create function public.access_whole(line public."we'ird ""Näme") returns boolean
language sql stable as $f$ select line."Id" = 3 $f$;

create function pg_temp.seen(question jsonb default '{}')
returns text
language sql
as $$
  select coalesce(string_agg(item #>> '{key,Id}', ' ' order by item #>> '{key,Id}'), '')
    || ' ' || (answer #>> '{proof,agrees}')
  from (
    select runbook.explain_access(
      '{"user": "ok@demo.example", "table": "\"we''ird \"\"Näme\"", "command": "select"}'::jsonb
        || question
    )
  ) as asked (answer)
  cross join jsonb_array_elements(answer -> 'rows') as given (item)
  where item -> 'visible' = 'true'
  group by answer;
$$;
create function pg_temp.allow(condition text)
returns void
language plpgsql
as $$
begin
  drop policy if exists "p ""1""" on public."we'ird ""Näme";
  execute 'create policy "p ""1""" on public."we''ird ""Näme" using (' || condition || ')';
end;
$$;

select pg_temp.allow('access_private.may("Id")');
select is(pg_temp.seen(), '1 true', 'a function in a schema out of reach is called');
select pg_temp.allow('(select access_private.may("Id")) or 1 / ("Id" - 1) < 1');
select is(
  pg_temp.seen(), '1 3 true', 'also where another part raises and rows are asked one by one'
);
select pg_temp.allow('"Id" in (select id from access_private.allowed)');
select is(pg_temp.seen(), '2 true', 'a table there is read under its own policies');
select pg_temp.allow('"Sel""ect" = ''happy''::access_private.mood');
select is(pg_temp.seen(), '3 true', 'and a type is known');
select pg_temp.allow('access_whole("we''ird ""Näme")');
select is(pg_temp.seen(), '3 true', 'a whole row goes into a function');
select pg_temp.allow('ctid = ''(0,2)'' and tableoid = ''"we''''ird ""Näme"''::regclass');
select is(pg_temp.seen(), '2 true', 'columns of the system have their values');
select pg_temp.allow('target like ''\%%''');
select is(
  pg_temp.seen('{"match": {"target": "%1$I"}}'), '2 true', 'percent signs are only text'
);
select is(
  runbook.explain_access(
    '{"user": "ok@demo.example", "table": "\"we''ird \"\"Näme\"", "command": "insert",
      "row": {"Id": 9, "target": "%"}}'
  ) #>> '{rows,0,allowed}',
  'true', 'in new rows as well, whose default is of a type out of reach'
);
select is(
  runbook.explain_access(
    '{"user": "ok@demo.example", "table": "\"we''ird \"\"Näme\"", "command": "update",
      "row": {"Sel\"ect": "sad"}, "match": {"Id": 3}}'
  ) #>> '{rows,0,allowed}',
  'false', 'and in updates'
);

select pg_temp.allow('session_user = ''authenticator''');
select is(
  runbook.explain_access(
    '{"user": "ok@demo.example", "table": "\"we''ird \"\"Näme\"", "command": "select"}'
  ) ->> 'verdict',
  'unknown', 'what depends on the login is not known here'
);

select pg_temp.allow('current_setting(''request.headers'', true)::json ->> ''x-key'' = target');
select is(
  runbook.explain_access(
    '{"user": "ok@demo.example", "table": "\"we''ird \"\"Näme\"", "command": "select"}'
  ) ->> 'verdict',
  'unknown', 'nor what depends on the headers of the request'
);
create function public.access_header() returns text
language sql stable as $f$ select current_setting('request.headers', true)::json ->> 'x-key' $f$;
select pg_temp.allow('access_header() = target');
select is(
  runbook.explain_access(
    '{"user": "ok@demo.example", "table": "\"we''ird \"\"Näme\"", "command": "select"}'
  ) ->> 'verdict',
  'unknown', 'nor where a function reads them'
);

select * from finish();
rollback;
