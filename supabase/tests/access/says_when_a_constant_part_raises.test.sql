begin;

select plan(9);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.probe in share row exclusive mode;
delete from runbook.probe as prb
where prb.name = 'data_api';

create table public.access_constant (id integer primary key, shown boolean, hidden boolean);
insert into public.access_constant values (1, true, false), (2, false, false);
grant select, delete on public.access_constant to authenticated;
alter table public.access_constant enable row level security;
create policy "team" on public.access_constant
for all to authenticated
using (((auth.jwt() ->> 'team')::integer > 1) and (hidden is not true));
create policy "shown" on public.access_constant
as restrictive for delete to authenticated
using (shown);

create function pg_temp.allowed(id integer, team text, proof boolean default false)
returns text
language sql
as $$
  select concat(
    coalesce(said.content #>> '{rows,0,allowed}', 'unknown'),
    ' ' || (said.content #>> '{rows,0,raises}')
  )
  from runbook.explain_access(
    jsonb_build_object(
      'user', 'ok@demo.example', 'table', 'access_constant', 'command', 'delete',
      'match', jsonb_build_object('id', allowed.id), 'proof', allowed.proof,
      'claims', jsonb_build_object('team', allowed.team)
    )
  ) as said (content);
$$;

select is(pg_temp.allowed(1, '2'), 'true', 'what the policies let through may be deleted');
select is(pg_temp.allowed(2, '2'), 'false', 'what the restrictive one shuts out may not');
select is(
  pg_temp.allowed(2, 'red'), 'false', 'what raises comes behind the policy that shuts out'
);
select tests.become('ok@demo.example', '{"team": "red"}');
select lives_ok('delete from public.access_constant where id = 2', 'so nothing is raised');
select tests.become_nobody();

create table public.access_heir () inherits (public.access_constant);
select is(
  pg_temp.allowed(2, 'red'), 'unknown',
  'of a table with heirs a part without a column is evaluated ahead, so it is not known'
);
select is(pg_temp.allowed(2, 'red', true), 'false 22P02', 'before the proof tells');
select tests.become('ok@demo.example', '{"team": "red"}');
select throws_ok(
  'delete from public.access_constant where id = 2', '22P02', null, 'and the statement fails'
);
select tests.become_nobody();

drop policy "team" on public.access_constant;
create policy "team" on public.access_constant
for all to authenticated
using ((hidden::text)::integer > 0);
select is(pg_temp.allowed(2, 'red'), 'false', 'a part that reads a column stays behind');
select tests.become('ok@demo.example');
select lives_ok('delete from public.access_constant where id = 2', 'so nothing is raised either');
select tests.become_nobody();

select * from finish();
rollback;
