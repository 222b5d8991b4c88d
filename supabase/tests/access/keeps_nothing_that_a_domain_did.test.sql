begin;

select plan(6);

create table public.access_trace (words text, as_whom text);
grant insert on public.access_trace to public;
create function public.access_check(words text) returns boolean
language plpgsql
as $f$
begin
  insert into public.access_trace values (words, current_user);
  return words <> 'bad';
end;
$f$;
create domain public.access_inner as varchar(8) check (public.access_check(value));
create domain public.access_word as public.access_inner;
create table public.access_line (id integer primary key, word public.access_word);
insert into public.access_line values (1, 'one');
alter table public.access_line enable row level security;
create policy "all" on public.access_line using (word <> 'none');
grant all on public.access_line to authenticated;
delete from public.access_trace;

create function pg_temp.asked(question jsonb)
returns jsonb
language sql
as $$
  select runbook.explain_access(
    '{"user": "ok@demo.example", "table": "access_line"}'::jsonb || question
  );
$$;

select is(
  pg_temp.asked('{"command": "select", "match": {"word": "one"}}') #>> '{rows,0,visible}', 'true',
  'a row is found by the value of a domain'
);
select is(
  pg_temp.asked('{"command": "insert", "row": {"id": 2, "word": "two"}}') #>> '{proof,agrees}',
  'true', 'one is put in'
);
select is(
  pg_temp.asked('{"command": "update", "row": {"word": "two"}, "match": {"word": "one"}}')
    #>> '{proof,agrees}',
  'true', 'one is changed'
);
select throws_ok(
  $$ select pg_temp.asked('{"command": "insert", "row": {"id": 2, "word": "bad"}}') $$,
  'RB400', null, 'what the domain does not take is refused'
);
select throws_ok(
  $$ select pg_temp.asked('{"command": "select", "match": {"word": "longer than eight"}}') $$,
  'RB400', null, 'also what the type beneath it does not'
);
select is_empty(
  'select trc.words from public.access_trace as trc', 'and what its check did is not kept'
);

select * from finish();
rollback;
