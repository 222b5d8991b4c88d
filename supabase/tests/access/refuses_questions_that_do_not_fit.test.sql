begin;

select plan(21);

create function pg_temp.refused(question text, path text, what text)
returns text
language plpgsql
as $$
declare
  v_detail text;
begin
  perform runbook.explain_access(question::jsonb);
  return fail(what);
exception
  when sqlstate 'RB400' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return is((v_detail::jsonb) #>> '{0,path}', path, what);
end;
$$;

select pg_temp.refused('null', '', 'nothing');
select pg_temp.refused('{}', 'command', 'an empty question');
select pg_temp.refused('{"table": "klassen", "command": "select"}', 'user', 'no person');
select pg_temp.refused(
  '{"user": "a@b.c", "role": "anon", "table": "klassen", "command": "select"}', 'user', 'both'
);
select pg_temp.refused(
  '{"role": "anon", "table": "klassen", "command": "truncate"}', 'command', 'another command'
);
select pg_temp.refused(
  '{"role": "anon", "table": "no_such", "command": "select"}', 'table', 'a missing table'
);
select pg_temp.refused(
  '{"role": "anon", "table": "a; drop table b", "command": "select"}', 'table', 'no name'
);
select pg_temp.refused(
  '{"role": "anon", "table": "runbook.member", "command": "select"}', 'table', 'our own tables'
);
select pg_temp.refused(
  '{"role": "anon", "table": "klassen_pkey", "command": "select"}', 'table', 'an index'
);
select pg_temp.refused(
  '{"role": "anon", "table": "klassen", "command": "select", "limit": 201}', 'limit', 'too many'
);
select pg_temp.refused(
  '{"role": "anon", "table": "klassen", "command": "select", "match": {"nö": 1}}', 'match.nö',
  'a column that is none'
);
select pg_temp.refused(
  '{"role": "anon", "table": "klassen", "command": "select", "match": {"id": "x"}}', 'match.id',
  'a value that does not fit'
);
select pg_temp.refused(
  '{"role": "anon", "table": "klassen", "command": "select", "row": {"id": null}}', 'row',
  'a row for a select'
);
select pg_temp.refused(
  '{"role": "anon", "table": "klassen", "command": "insert", "match": {"id": null}}', 'match',
  'a filter for an insert'
);
select pg_temp.refused(
  '{"role": "anon", "table": "auth.users", "command": "select",
    "match": {"encrypted_password": "x"}}',
  'match.encrypted_password', 'a guess at a secret'
);
select pg_temp.refused(
  '{"role": "anon", "table": "klassen", "command": "select", "claims": {"role": 7}}',
  'claims.role', 'a role that is no text'
);
select lives_ok(
  $$ select runbook.explain_access(
    '{"role": "anon", "table": "\"klassen\"", "command": "select", "match": {}}'
  ) $$,
  'what fits is answered'
);

create table public.access_odd (
  id integer generated always as identity primary key, data json, words text
);
create materialized view public.access_kept as select * from public.access_odd;
select pg_temp.refused(
  '{"role": "anon", "table": "access_odd", "command": "select", "match": {"data": {}}}',
  'match.data', 'a type that has no equality'
);
select is(
  runbook.explain_access(
    '{"role": "anon", "table": "access_odd", "command": "select", "match": {"data": null}}'
  ) ->> 'verdict',
  'allowed', 'but null is found without one'
);
select pg_temp.refused(
  '{"role": "anon", "table": "access_odd", "command": "insert", "row": {"id": 1}}', 'row.id',
  'a value where the database always makes its own'
);
select pg_temp.refused(
  '{"role": "anon", "table": "access_kept", "command": "delete"}', 'command',
  'a write to a materialized view'
);

select * from finish();
rollback;
