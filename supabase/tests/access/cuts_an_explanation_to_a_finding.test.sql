begin;

select plan(6);

create table public.access_note (id integer primary key);
insert into public.access_note values (1), (2);
revoke all on public.access_note from anon;
grant select on public.access_note to anon;

create function pg_temp.finding()
returns runbook.finding
language sql
as $$
  select runbook.access_finding(
    runbook.access_explanation('{"role": "anon", "table": "access_note", "command": "select"}'),
    'note_hidden'
  );
$$;

select is((pg_temp.finding()).severity::text, 'info', 'what is allowed is only said');
alter table public.access_note enable row level security;
select is((pg_temp.finding()).severity::text, 'critical', 'what is denied is critical');
select is(
  (pg_temp.finding()).evidence #>> '{gate,gate}', 'policies', 'and names the gate that shuts'
);
create policy "first" on public.access_note using (id = 1);
select is((pg_temp.finding()).severity::text, 'warning', 'some of the rows are a warning');
select is(
  (pg_temp.finding()).evidence -> 'policies',
  '[{"name": "first", "verdict": "false",
    "decided_by": [{"expression": "id = 1", "verdict": "false"}]}]',
  'with the policies that keep a row back'
);
create policy "second" on public.access_note as restrictive using (session_user = 'x');
select is((pg_temp.finding()).severity::text, 'skipped', 'not knowing is skipped');

select * from finish();
rollback;
