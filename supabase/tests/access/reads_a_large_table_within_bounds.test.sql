begin;

select plan(7);

create table public.access_note (id integer primary key, kind text, words text);
create index access_note_kind_idx on public.access_note (kind);
insert into public.access_note
select n, 'common', 'words ' || n from generate_series(1, 300) as n;
analyze public.access_note;

-- As if a table of this size were large.
create function pg_temp.bounds(given jsonb)
returns jsonb
language sql
as $$
  select runbook.bounded_source(
    'public.access_note'::regclass,
    runbook.access_columns('public.access_note'::regclass, false),
    'target',
    given,
    'where true',
    page_limit => 1
  );
$$;

select is(pg_temp.bounds('{"id": 7}') -> 'by_index', 'true', 'a key is found by its index');
select is(pg_temp.bounds('{"id": 7}') -> 'note', null, 'and nothing is left out');
select is(
  pg_temp.bounds('{"kind": "common"}') -> 'by_index', 'true', 'so is a column with an index'
);
select matches(
  pg_temp.bounds('{"kind": "common", "words": "x"}') ->> 'note', 'at most 10000 rows',
  'with another beside it so many rows are looked through'
);
select matches(
  pg_temp.bounds('{"words": "x"}') ->> 'source', 'ctid < ''\(1,0\)''',
  'without an index only the beginning of the table is read'
);
select matches(pg_temp.bounds('{"words": "x"}') ->> 'note', 'Only about', 'and that is told');
select is(
  pg_temp.bounds('{}') -> 'note', null, 'without a filter the first rows are as good as any'
);

select * from finish();
rollback;
