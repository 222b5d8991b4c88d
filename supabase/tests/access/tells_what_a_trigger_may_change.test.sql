begin;

select plan(7);

create table public.access_line (
  id integer primary key,
  owner uuid,
  number integer,
  twice integer generated always as (number * 2) stored
);
alter table public.access_line enable row level security;
grant insert on public.access_line to authenticated;
create function public.access_made(line public.access_line) returns public.access_line
language plpgsql as $f$ begin line.owner := auth.uid(); line.number := 2; return line; end $f$;
create function public.access_fire() returns trigger
language plpgsql as $f$ begin return new; end $f$;
create trigger fires before insert on public.access_line
for each row execute function public.access_fire();

create function pg_temp.asked(body text, condition text, proof boolean default false)
returns jsonb
language plpgsql
as $$
begin
  execute 'create or replace function public.access_fire() returns trigger language plpgsql as '
    || quote_literal('begin ' || body || ' end');
  drop policy if exists "p" on public.access_line;
  execute 'create policy "p" on public.access_line for insert with check (' || condition || ')';
  return runbook.explain_access(
    jsonb_build_object(
      'user', 'ok@demo.example', 'table', 'access_line', 'command', 'insert',
      'row', '{"id": 1}'::jsonb, 'proof', proof
    )
  );
end;
$$;

select is(
  pg_temp.asked('return public.access_made(new);', 'owner = auth.uid()') ->> 'verdict',
  'unknown', 'a trigger that returns another row may change it'
);
select is(
  pg_temp.asked('return public.access_made(new);', 'owner = auth.uid()', true) ->> 'verdict',
  'allowed', 'and the proof tells'
);
select is(
  pg_temp.asked('new.number := 2; return new;', 'twice = 4') ->> 'verdict',
  'unknown', 'what is generated may be made of what a trigger changes'
);
select is(
  pg_temp.asked('new.number := 2; return new;', 'to_jsonb(access_line) ->> ''number'' = ''2''')
    ->> 'verdict',
  'unknown', 'so may the row as a whole'
);
select is(
  pg_temp.asked(
    E'-- return the line of its ownership\nnew.number := 2; return coalesce(new, old);',
    'owner = auth.uid()'
  ) ->> 'verdict',
  'denied', 'a column that the trigger does not name is the same afterwards'
);
select is(
  pg_temp.asked('return null;', 'true', true) #> '{proof,agrees}', 'false',
  'a row that a trigger drops is not hidden'
);
select alike(
  pg_temp.asked('return null;', 'true', true) ->> 'summary',
  '%The trigger fires may have changed or dropped the row.', 'and the trigger is named'
);

select * from finish();
rollback;
