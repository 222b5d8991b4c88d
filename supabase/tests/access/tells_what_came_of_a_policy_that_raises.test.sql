begin;

select plan(9);

create table public.access_risk (id integer primary key, owner uuid, kind text);
insert into public.access_risk
values (1, '10000000-0000-4000-8000-000000000010', 'x'), (2, null, 'secret word');
alter table public.access_risk enable row level security;
grant all on public.access_risk to authenticated;

create function pg_temp.asked(condition text, question jsonb)
returns jsonb
language plpgsql
as $$
begin
  drop policy if exists "p" on public.access_risk;
  execute 'create policy "p" on public.access_risk using (' || condition || ')';
  return runbook.explain_access(
    '{"user": "ok@demo.example", "table": "access_risk", "command": "select"}'::jsonb || question
  );
end;
$$;

create temporary table answered as
select
  pg_temp.asked(
    'owner = (select auth.uid()) and kind = ''none''', '{"claims": {"sub": "no-uuid"}}'
  ) as selected,
  pg_temp.asked(
    'owner = (select auth.uid()) and kind = ''none''',
    '{"claims": {"sub": "no-uuid"}, "command": "update", "row": {"kind": "y"}}'
  ) as updated;

select is(
  (select ans.selected #>> '{rows,0,raises}' from answered as ans),
  '22P02', 'where the order of evaluation decides, the proof tells that the statement fails'
);
select is((select ans.selected ->> 'verdict' from answered as ans), 'denied', 'so it is denied');
select alike(
  (select ans.selected ->> 'summary' from answered as ans),
  '%cannot select these 2 rows%fails as a whole. Tried as the user, it fails with 22P02: %no-uuid%',
  'and the sentence says what was raised, with the value of the claims'
);
select is(
  (select ans.updated #>> '{rows,0,raises}' from answered as ans),
  '22P02', 'of a write as well, where it is what the policy was found to raise'
);

select is(
  pg_temp.asked(
    '(1 / (id - 1) > 3 or id = 1) and kind = ''y''', '{"proof": false, "match": {"id": 1}}'
  ) ->> 'verdict',
  'unknown',
  'what raises within an or, beside what is not true, is not decided without the proof'
);

select alike(
  pg_temp.asked('kind::uuid = auth.uid()', '{}') ->> 'summary',
  '%the policy p raises 22P02: invalid input syntax for type uuid: "…"%',
  'what a type refuses is not shown'
);
select unalike(
  pg_temp.asked('kind::uuid = auth.uid()', '{}')::text, '%secret word%',
  'nowhere in the answer, not even in the proof'
);
select unalike(
  pg_temp.asked('kind::uuid = auth.uid()', '{"command": "delete"}')::text, '%secret word%',
  'nor in that of a write'
);
select unalike(
  pg_temp.asked('(kind || ''"'')::integer = 1 or kind::date < now()', '{}')::text,
  '%secret word%', 'nor where the value has quotes of its own'
);

select * from finish();
rollback;
