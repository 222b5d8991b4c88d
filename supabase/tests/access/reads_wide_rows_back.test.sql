begin;

select plan(5);

create schema access_private;
create function access_private.may(number integer) returns boolean
language sql stable as $f$ select number = 1 $f$;
create function access_private.reads(words text) returns boolean
language sql stable as $f$ select length(words) > 0 $f$;
create domain public.access_filled as text not null;

create table public.access_wide (
  id integer primary key,
  words text,
  label public.access_filled,
  twice integer generated always as (id * 2) stored
);
-- 4 MB, far less where they are stored compressed
insert into public.access_wide
select num, repeat('x', 1000000), 'filled' from generate_series(1, 4) as num;
alter table public.access_wide enable row level security;
grant all on public.access_wide to authenticated;

create function pg_temp.asked(condition text, question jsonb)
returns jsonb
language plpgsql
as $$
begin
  drop policy if exists "p" on public.access_wide;
  execute 'create policy "p" on public.access_wide using (' || condition || ')';
  return runbook.explain_access(
    '{"user": "ok@demo.example", "table": "access_wide", "command": "select"}'::jsonb
      || '{"proof": false}' || question
  );
end;
$$;

select is(
  pg_temp.asked('access_private.may(id)', '{}') #>> '{rows,0,visible}', 'true',
  'what a policy does not read of a wide row is not read back'
);
select is(
  pg_temp.asked('access_private.may(id) and label = ''filled''', '{"proof": true}')
    #>> '{proof,agrees}',
  'true', 'what it reads is'
);
select is(
  pg_temp.asked('access_private.reads(words)', '{}') ->> 'verdict', 'unknown',
  'more than it takes to be read back is not'
);
select alike(
  pg_temp.asked('access_private.reads(words)', '{}') #>> '{rows,0,why}', '%ask about fewer%',
  'and the row says why'
);
select is(
  pg_temp.asked('access_private.reads(words)', '{"match": {"id": 1}}') ->> 'verdict', 'allowed',
  'one of the rows is not too much'
);

select * from finish();
rollback;
