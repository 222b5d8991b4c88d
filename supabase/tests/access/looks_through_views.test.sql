begin;

select plan(10);

create table public.access_note (id integer primary key, owner_id uuid);
insert into public.access_note
values (1, '10000000-0000-4000-8000-000000000010'), (2, null);
alter table public.access_note enable row level security;
create policy "own" on public.access_note using (owner_id = auth.uid());
create view public.access_theirs as select * from public.access_note;
create view public.access_mine with (security_invoker = true) as select * from public.access_note;
revoke all on public.access_note, public.access_theirs, public.access_mine from authenticated;
grant select on public.access_theirs, public.access_mine to authenticated;

create function pg_temp.ask(name text, question jsonb default '{}')
returns jsonb
language sql
as $$
  select runbook.explain_access(
    jsonb_build_object('user', 'ok@demo.example', 'table', name, 'command', 'select') || question
  );
$$;
create function pg_temp.beneath(answer jsonb)
returns jsonb
language sql
as $$
  select item #> '{evidence,beneath}'
  from jsonb_array_elements(answer -> 'gates') as given (item)
  where item ->> 'gate' = 'policies';
$$;

select is(
  jsonb_array_length(pg_temp.ask('access_theirs') -> 'rows'), 2,
  'a view reads with the rights of its owner'
);
select is(pg_temp.ask('access_theirs') ->> 'verdict', 'allowed', 'who bypasses the policies');
select is(
  pg_temp.beneath(pg_temp.ask('access_theirs')) #>> '{0,rights_of}', 'postgres',
  'which is told'
);

select is(
  pg_temp.ask('access_mine') ->> 'verdict', 'denied', 'one of the invoker needs the user''s rights'
);
select is(
  pg_temp.beneath(pg_temp.ask('access_mine')) #> '{0,may_select}', 'false', 'which are missing'
);
grant select on public.access_note to authenticated;
select is(
  jsonb_array_length(pg_temp.ask('access_mine') -> 'rows'), 1, 'with them the policies filter'
);
select is(
  pg_temp.beneath(pg_temp.ask('access_mine')) #> '{0,row_security,applies}', 'true',
  'which is told'
);
select is(
  pg_temp.ask('access_mine', '{"match": {"id": 2}}') ->> 'verdict', 'unknown',
  'what is not seen may be hidden or absent'
);
select is(
  pg_temp.ask('access_mine', '{"proof": false}') ->> 'verdict', 'unknown',
  'a view is read for the proof only'
);

grant update on public.access_mine to authenticated;
select is(
  pg_temp.ask('access_mine', '{"command": "update"}') ->> 'verdict', 'unknown',
  'writes through a view are not evaluated'
);

select * from finish();
rollback;
