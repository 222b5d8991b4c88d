begin;

select plan(13);

create temporary table example (query text, shown text);

insert into example (query, shown)
values
  ('select  a' || e'\n' || 'from t -- the secret', 'select a from t'),
  ('/* user=secret */ select $1 /* secret */, $2', 'select $1 , $2'),
  ('select ''secret'', ''it''''s secret'' from t2', 'select ''…'', ''…'' from t2'),
  (e'select e''it\\''s secret'', 1', 'select ''…'', …'),
  ('select $tag$ secret $ $tag$, $1, $$secret$$, $2', 'select ''…'', $1, ''…'', $2'),
  ('select $1, $$ secret', 'select $1, ''…'''),
  ('select 4711, 12.5, a1, $3', 'select …, …, a1, $3'),
  ('select ''secret without an end', 'select ''…'''),
  ('create role x login password ''secret''', 'create role …'),
  ('alter user x password ''secret''', 'alter user …'),
  ('do $$ begin secret; end $$', 'do …'),
  ('secret', 'secret …');

select is(runbook.shown_statement(exa.query), exa.shown, exa.shown)
from example as exa;

select is(runbook.shown_statement(null), null, 'no text is no text');

select * from finish();
rollback;
