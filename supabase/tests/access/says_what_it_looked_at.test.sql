begin;

select plan(13);

create table public.access_note (id integer primary key, kind text);
insert into public.access_note
select num, case when num > 30 then 'seen' when num = 1 then 'gone' else 'hidden' end
from generate_series(1, 40) as num;
create policy "seen" on public.access_note using (kind = 'seen' or kind = 'open');
alter table public.access_note enable row level security;
grant select, insert on public.access_note to authenticated;
create view public.access_mine with (security_invoker = true) as select * from public.access_note;
grant select on public.access_mine to authenticated;

create function pg_temp.said(question jsonb)
returns text
language sql
as $$
  select runbook.explain_access(
    '{"user": "ok@demo.example", "table": "access_note", "command": "select"}'::jsonb || question
  ) ->> 'summary';
$$;

select matches(
  pg_temp.said('{}'),
  'sees none of the first 20 rows of public\.access_note: .*\. More were not looked at',
  'of a table with more rows it is told that these are the first'
);
select unalike(pg_temp.said('{"limit": 200}'), '%first 40%', 'of a table read whole it is not');
select matches(
  pg_temp.said('{"limit": 200}'),
  'sees 10 of the 40 rows of .*\. Why not the first of the others: ',
  'the reason is that of the rows that are hidden'
);
select matches(
  pg_temp.said('{"match": {"kind": "hidden"}, "limit": 5}'),
  'none of the first 5 rows of .* that match: ',
  'nor are all those that match'
);
select alike(
  pg_temp.said('{"match": {"id": 2}}'),
  '%the row of public.access_note: %: kind = ''seen''::text is false, %= ''open''::text is false',
  'each part that decided stands with its verdict'
);
select alike(
  pg_temp.said('{"match": {"id": 99}}'), '%that matches was found%', 'a row that is not there'
);

select alike(
  pg_temp.said('{"table": "access_mine"}'), '%sees 10 rows through public.access_mine.%',
  'of a view the rows that are seen are counted'
);
select alike(
  pg_temp.said('{"table": "access_mine", "match": {"id": 2}}'),
  '%sees no row through%that matches%',
  'where none is seen nothing is said to fail'
);
select is(
  (
    select item ->> 'summary'
    from jsonb_array_elements(
      runbook.explain_access(
        '{"user": "ok@demo.example", "table": "access_mine", "command": "select"}'
      ) -> 'gates'
    ) as given (item)
    where item ->> 'gate' = 'policies'
  ),
  'It has no policies of its own; those of the tables beneath filter its rows.',
  'its gate tells whose policies filter'
);

select alike(
  pg_temp.said('{"command": "insert", "row": {"id": 41, "kind": "seen"}}'),
  '%may insert the row into public.access_note.', 'a row that goes in'
);
select alike(
  pg_temp.said('{"command": "insert", "row": {"id": 40, "kind": "seen"}}'),
  '%Rights and policies allow it, and yet it failed when it was tried: 23505: %',
  'a row that the policies let in and a constraint does not'
);

create table public.access_part (id integer, kind text) partition by list (kind);
create table public.access_part_seen partition of public.access_part for values in ('seen');
alter table public.access_part enable row level security;
create policy "seen" on public.access_part using (kind = 'seen');
grant select, insert on public.access_part to authenticated;
create temporary table answered as
select runbook.explain_access(
  '{
    "user": "ok@demo.example", "table": "access_part", "command": "insert", "row": {"kind": "lost"}
  }'
) as answer;
select is(
  (select ans.answer ->> 'verdict' from answered as ans), 'denied', 'a row that no policy lets in'
);
select is(
  (select ans.answer #> '{proof,disagrees}' from answered as ans), null,
  'where the partition is missing first the proof proves nothing'
);

select * from finish();
rollback;
