begin;

select plan(18);

set local client_min_messages = warning;
create table public.test_old (id integer primary key, at timestamptz, day date, name text);
insert into public.test_old values (1, now() - interval '2 years', current_date - 800, 'x');
create table public.test_parent (id integer primary key, at timestamptz);
create table public.test_child (
  id integer primary key, parent_id integer references public.test_parent
);
create table public.test_keyless (at timestamptz);
create table public.test_parts (id integer, at date) partition by range (at);
create table public.test_base (id integer primary key, at timestamptz);
create table public.test_heir () inherits (public.test_base);
create table public.test_watched (id integer primary key, at timestamptz);
insert into public.test_watched values (1, now() - interval '2 years');
create function public.test_trigger()
returns trigger
language plpgsql
as 'begin return old; end';
create trigger "wä tch" after delete on public.test_watched
for each row execute function public.test_trigger();
create table public.test_ruled (id integer primary key, at timestamptz);
create rule nothing_goes as on delete to public.test_ruled do instead nothing;
create table public.test_named (id integer primary key, at timestamptz, runbook_run integer);

create function pg_temp.refusal("table" text, "column" text, age text, more jsonb default '{}')
returns text
language plpgsql
as $$
begin
  return runbook.remediate(
    'archive-rows',
    jsonb_build_object('table', "table", 'column', "column", 'older_than', age) || more,
    true
  ) ->> 'state';
exception
  when others then
    return sqlstate;
end;
$$;

select is(
  pg_temp.refusal(asked.name, asked.col, asked.age, asked.more), asked.answer, asked.description
)
from (
  values
    ('public.test_old', 'at', '1 year', '{}'::jsonb, 'planned', 'a time will do'),
    ('public.test_old', 'day', '1 year', '{}', 'planned', 'so will a date'),
    ('public.test_old', 'name', '1 year', '{}', '22023', 'a text will not'),
    ('public.test_old', 'nothing', '1 year', '{}', 'P0002', 'nor a missing column'),
    ('public.test_old', 'at', '3 years', '{}', 'no_op', 'nothing that is old needs nothing'),
    ('public.test_old', 'at', '1 hour', '{}', '22023', 'an hour is not old'),
    ('public.test_old', 'at', '-1 year', '{}', '22023', 'nor is the future'),
    ('public.test_old', 'at', 'long', '{}', 'RB400', 'nor what is no age'),
    ('public.test_old', 'at', '1 year', '{"batch_rows": 0}', 'RB400', 'a batch has rows'),
    ('public.test_parent', 'at', '1 year', '{}', '55000', 'rows that others refer to stay'),
    ('public.test_keyless', 'at', '1 year', '{}', '55000', 'so do rows without a key'),
    ('public.test_parts', 'at', '1 year', '{}', '22023', 'a partitioned table has none'),
    ('public.test_base', 'at', '1 year', '{}', '55000', 'one that others inherit from is refused'),
    ('public.test_watched', 'at', '1 year', '{}', '55000', 'triggers must be known'),
    ('public.test_ruled', 'at', '1 year', '{}', '55000', 'rules are refused'),
    ('public.test_named', 'at', '1 year', '{}', '55000', 'so is a column of our own name'),
    ('auth.users', 'created_at', '1 year', '{}', '42501', 'so is a table of the platform')
) as asked (name, col, age, more, answer, description);

select is(
  runbook.remediate(
    'archive-rows',
    '{
      "table": "public.test_watched", "column": "at", "older_than": "1 year",
      "acknowledge_triggers": true
    }',
    true
  ) #>> '{steps,0,side_effects,1}',
  'trigger "wä tch" fires on each row that goes',
  'triggers that are known are told'
);

select * from finish();
rollback;
