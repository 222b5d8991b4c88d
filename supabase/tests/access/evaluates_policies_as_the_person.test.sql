begin;

select plan(24);

create table public.access_note (
  id integer primary key,
  owner_id uuid,
  words text,
  price integer
);
insert into public.access_note
values
  (1, '10000000-0000-4000-8000-000000000010', 'mine', 1),
  (2, '10000000-0000-4000-8000-000000000001', 'hers', 0),
  (3, null, 'nobody''s', null);
alter table public.access_note enable row level security;
grant select on public.access_note to anon, authenticated, service_role;

create function pg_temp.ask(who text default 'ok@demo.example')
returns jsonb
language sql
as $$
  select runbook.explain_access(
    jsonb_build_object(
      case when who like '%@%' then 'user' else 'role' end, who,
      'table', 'access_note', 'command', 'select'
    )
  );
$$;
create function pg_temp.seen(answer jsonb)
returns text
language sql
as $$
  select coalesce(string_agg(item #>> '{key,id}', ' ' order by item #>> '{key,id}'), '')
  from jsonb_array_elements(answer -> 'rows') as given (item)
  where item -> 'visible' = 'true';
$$;
create function pg_temp.verdicts(answer jsonb, policy text)
returns text
language sql
as $$
  select string_agg(pol ->> 'verdict', ' ' order by item #>> '{key,id}')
  from jsonb_array_elements(answer -> 'rows') as given (item)
  cross join jsonb_array_elements(item -> 'policies') as policies (pol)
  where pol ->> 'name' = policy;
$$;

select is(pg_temp.ask() ->> 'verdict', 'denied', 'without a policy nothing is seen');
select ok(
  pg_temp.ask() @> '{"gates": [{"gate": "policies", "state": "fail"}]}', 'and the policies shut'
);

create policy "own" on public.access_note for select to authenticated using (owner_id = auth.uid());
select is(pg_temp.seen(pg_temp.ask()), '1', 'a permissive policy lets one row through');
select is(
  pg_temp.verdicts(pg_temp.ask(), 'own'), 'true false null', 'true, false and null are told apart'
);
select is(pg_temp.ask() ->> 'verdict', 'partly', 'together it is some of the rows');
select is(pg_temp.ask() #>> '{proof,agrees}', 'true', 'as the database does');
select is(pg_temp.seen(pg_temp.ask('anon')), '', 'it is not for anon');
select ok(
  pg_temp.ask('anon') @> '{
    "gates": [{"gate": "policies", "evidence": {
      "ignored": [{"name": "own", "why": "it is for authenticated"}]
    }}]
  }',
  'and it is told for whom it is'
);
select is(pg_temp.seen(pg_temp.ask('service_role')), '1 2 3', 'service_role sees past policies');

create policy "free" on public.access_note for select using (price = 0 or words = 'mine');
select is(pg_temp.seen(pg_temp.ask()), '1 2', 'one of several permissive policies is enough');
select ok(
  pg_temp.ask() @> '{"rows": [{"key": {"id": 2}, "policies": [
    {"name": "free", "decided_by": [{"expression": "price = 0", "verdict": "true"}]}
  ]}]}',
  'the part that decided is named'
);

create policy "not hers" on public.access_note as restrictive using (owner_id <> auth.uid());
select is(pg_temp.seen(pg_temp.ask()), '2', 'each restrictive policy must be true');
drop policy "not hers" on public.access_note;

create policy "0 raises" on public.access_note for select using (1 / price > 0);
select is(
  pg_temp.verdicts(pg_temp.ask(), '0 raises'), 'true error null', 'an error is a verdict of its own'
);
select matches(
  pg_temp.ask() #>> '{rows,1,policies,0,message}', '^22012: ', 'with its message'
);
select is(
  pg_temp.seen(pg_temp.ask()), '1 2', 'it comes to nothing where a policy before it decides'
);
create policy "zz raises" on public.access_note for select using (10 / price > 20);
select is(pg_temp.seen(pg_temp.ask()), '1', 'and fails the statement where none does');
select is(
  pg_temp.ask() ->> 'verdict', 'denied', 'of all rows together then none is read'
);
select is(pg_temp.ask() #>> '{proof,agrees}', 'true', 'as the database does');
drop policy "0 raises" on public.access_note;
drop policy "zz raises" on public.access_note;

-- What a policy reads has policies of its own.
create table public.access_list (id integer primary key);
insert into public.access_list values (1), (2), (3);
alter table public.access_list enable row level security;
grant select on public.access_list to authenticated;
create policy "listed" on public.access_note as restrictive for select to authenticated
using (exists (select from public.access_list as l where l.id = access_note.id));
select is(pg_temp.seen(pg_temp.ask()), '', 'a subquery sees what the person sees');
create policy "one" on public.access_list for select using (id = 2);
select is(pg_temp.seen(pg_temp.ask()), '2', 'and no more');

create policy "circle" on public.access_list for select
using (exists (select from public.access_note as n where n.id = access_list.id));
select is(pg_temp.ask() #>> '{rows,0,raises}', '42P17', 'policies that need each other are found');
drop policy "circle" on public.access_list;

grant create on schema public to anon;
grant anon to authenticated;
alter table public.access_note owner to anon;
select is(pg_temp.seen(pg_temp.ask('anon')), '1 2 3', 'an owner is not asked');
alter table public.access_note force row level security;
select is(pg_temp.seen(pg_temp.ask('anon')), '1 2', 'unless it is forced');
alter table public.access_note disable row level security;
select is(pg_temp.seen(pg_temp.ask()), '1 2 3', 'without row level security the grants decide');

select * from finish();
rollback;
