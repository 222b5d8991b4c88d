begin;

-- What others write meanwhile (the schedule, the sender) is not seen.
set transaction isolation level repeatable read;

select plan(9);

set local client_min_messages = warning;
set local timezone = 'Asia/Tokyo';
-- A remediation that declares what the test puts into a table.
create table public.test_wanted (
  id bigint generated always as identity primary key,
  declared runbook.declared_step
);
create function public.test_remedy(params jsonb)
returns setof runbook.declared_step
language sql
stable
as $$ select (wtd.declared).* from public.test_wanted as wtd order by wtd.id $$;
insert into runbook.remediation
  (name, title, description, parameters, subject_keys, function, risk, issue, cures)
values (
  'test-remedy', 'Test', 'Test.', '{"type": "object", "properties": {}}', '{}',
  'public.test_remedy', 'low', null, '{}'
);

create table public."Test ""Ugly; drop" (
  "Key ""1" integer,
  "key'2" text,
  "the; value" text,
  doubled text generated always as ("the; value" || "the; value") stored,
  updated_at timestamptz not null default '2000-01-01 00:00:00+00',
  tags text[],
  amount numeric(20, 10),
  ratio float8,
  span interval,
  document json,
  secret_word text default 'canary',
  primary key ("key'2", "Key ""1")
);
create table public.test_identity (
  id bigint generated always as identity primary key,
  parent integer,
  parent_text text,
  foreign key (parent_text, parent) references public."Test ""Ugly; drop" ("key'2", "Key ""1")
    on delete cascade deferrable initially deferred
);
create table public.test_part (
  region text,
  id integer,
  note text,
  primary key (region, id)
) partition by list (region);
create table public.test_part_a partition of public.test_part for values in ('a');
create table public.test_part_b partition of public.test_part for values in ('b');
create table public.test_log (what text, at timestamptz);

-- Written as applications write them: nothing is qualified.
set local search_path = public, extensions;
create function public.test_touch()
returns trigger
language plpgsql
as $$
begin
  new.updated_at := now();
  insert into test_log (what, at) values (tg_op, now());
  return new;
end;
$$;
create trigger test_touch before insert or update on public."Test ""Ugly; drop"
for each row execute function public.test_touch();
create function public.test_late()
returns trigger
language plpgsql
as $$
begin
  update test_part set note = note || ' late' where region = 'b' and id = 1 and note = 'here';
  return null;
end;
$$;
create constraint trigger test_late after update on public."Test ""Ugly; drop"
deferrable initially deferred for each row execute function public.test_late();
reset search_path;

insert into public."Test ""Ugly; drop"
  ("Key ""1", "key'2", "the; value", tags, amount, ratio, span, document)
values
  (1, 'one', 'first', '{a,"b,c",null}', 1.10, 0.1, '1 month 2 days', '{"z": 1,  "a": 2}'),
  (2, 'two', 'second', '{}', 2.5, 'NaN', '-1 year', '[]');
insert into public.test_identity (parent, parent_text) values (1, 'one'), (1, 'one'), (2, 'two');
insert into public.test_part values ('a', 1, 'first'), ('b', 1, 'second');

insert into public.test_wanted (declared)
values
  (runbook.update_step(
    'public."Test ""Ugly; drop"',
    '{"Key \"1": 2, "key\u00272": "two"}',
    '{"the; value": "changed'' \" ;", "tags": ["x", "y"], "span": "3 hours", "document": {"b": 1}}',
    'Change the ugly row.'
  )),
  (runbook.delete_step(
    'public."Test ""Ugly; drop"', '{"Key \"1": 1, "key\u00272": "one"}', 'Delete with children.'
  )),
  -- the child before its parent: the constraint is deferred
  (runbook.insert_step(
    'public.test_identity', '{"id": 900, "parent": 3, "parent_text": "three"}', 'Insert a child.'
  )),
  (runbook.insert_step(
    'public."Test ""Ugly; drop"', '{"Key \"1": 3, "key\u00272": "three"}', 'Insert its parent.'
  )),
  (runbook.update_step(
    'public.test_part', '{"id": 1, "region": "a"}', '{"region": "b", "id": 5}', 'Move a row.'
  )),
  (runbook.update_step(
    'public.test_part', '{"id": 1, "region": "b"}', '{"note": "here"}', 'Change a row of a part.'
  )),
  (runbook.delete_step(
    'public.test_part', '{"id": 77, "region": "b"}', 'Delete what is not there.'
  ));

-- Every row of every table, with its place.
create function pg_temp.fingerprint()
returns text
language plpgsql
as $$
declare
  v_all text := '';
  v_one text;
  v_table regclass;
begin
  for v_table in
    select cls.oid
    from pg_catalog.pg_class as cls
    where cls.relkind = 'r'
      and cls.relnamespace in (
        'public'::regnamespace, 'auth'::regnamespace, 'runbook'::regnamespace,
        'cron'::regnamespace, 'net'::regnamespace
      )
      and has_table_privilege(cls.oid, 'select')
      and cls.relname not in ('heartbeat', 'report', 'probe', 'job_run_details')
    order by cls.oid
  loop
    execute format(
      'select md5(string_agg(t.ctid || t::text, chr(10) order by t.ctid)) from %s as t', v_table
    )
    into v_one;
    v_all := v_all || v_table || coalesce(v_one, '-');
  end loop;
  return v_all;
end;
$$;

create function pg_temp.steps(answer jsonb)
returns setof text
language sql
as $$
  select (stp.content - 'state')::text
  from jsonb_array_elements(answer -> 'steps') with ordinality as stp (content, position)
  order by stp.position;
$$;

create temporary table seen as
select
  pg_temp.fingerprint() as before,
  runbook.remediate('test-remedy', '{}', dry_run => true) as plan;

select is(
  pg_temp.fingerprint(), (select seen.before from seen),
  'a plan leaves every row as it was'
);

create temporary table contents as
select
  (
    select jsonb_agg(to_jsonb(t) - 'updated_at' order by t."Key ""1")
    from public."Test ""Ugly; drop" as t
  ) as ugly,
  (select jsonb_agg(to_jsonb(t) order by t.id) from public.test_identity as t) as identities,
  (select jsonb_agg(to_jsonb(t) order by t.region, t.id) from public.test_part as t) as parts;

set local timezone = 'America/Lima';
set local datestyle = 'German';
set local intervalstyle = 'iso_8601';
set local extra_float_digits = 0;
create temporary table done as
select runbook.remediate(
  'test-remedy', '{}', reason => 'test', plan_hash => (select seen.plan ->> 'plan_hash' from seen)
) as answer;

select is((select don.answer ->> 'state' from done as don), 'succeeded', 'it is applied');
select results_eq(
  'select pg_temp.steps(don.answer) from done as don',
  'select pg_temp.steps(seen.plan) from seen',
  'and did step by step what the plan said'
);

select is(
  (select (don.answer #> '{steps,0}') - 'undo' - 'summary' from done as don),
  jsonb_build_object(
    'position', 1, 'kind', 'row', 'operation', 'update', 'state', 'done', 'statement', null,
    'relation', 'public."Test ""Ugly; drop"',
    'key', '{"Key \"1": 2, "key\u00272": "two"}'::jsonb,
    'before', '{
      "Key \"1": 2, "key\u00272": "two", "the; value": "second", "tags": "{}", "document": "[]",
      "span": "-1 years"
    }'::jsonb,
    'after', '{
      "Key \"1": 2, "key\u00272": "two", "the; value": "changed'' \" ;", "tags": "{x,y}",
      "document": "{\"b\": 1}", "span": "03:00:00"
    }'::jsonb,
    'side_effects', '["trigger test_late fires", "trigger test_touch fires"]'::jsonb
  ),
  'images have the key and what changed, in formats of their own, no generated column'
);

select is_empty(
  $$ select from runbook.step as stp where to_jsonb(stp)::text like '%canary%' $$,
  'and no secret'
);

select is(
  (select note from public.test_part where region = 'b' and id = 1),
  'here late',
  'a deferred trigger has spoken within the run'
);

set local timezone = 'Pacific/Auckland';
set local datestyle = 'SQL, DMY';
create temporary table undone as
select runbook.undo(
  (select (don.answer #>> '{run,id}')::bigint from done as don), reason => 'test'
) as answer;

select is(
  (select und.answer -> 'state' || coalesce(und.answer #> '{run,error}', '[]') from undone as und),
  '["succeeded"]',
  'the undo is not refused in another time zone'
);

set local intervalstyle = 'postgres';
set local extra_float_digits = 1;
select results_eq(
  $$
  select
    (
      select jsonb_agg(to_jsonb(t) - 'updated_at' order by t."Key ""1")
      from public."Test ""Ugly; drop" as t
    ),
    (select jsonb_agg(to_jsonb(t) order by t.id) from public.test_identity as t),
    (select jsonb_agg(to_jsonb(t) order by t.region, t.id) from public.test_part as t)
  $$,
  'select ugly, identities, parts from contents',
  'and restores what the run did'
);

select is(
  (select string_agg(lg.what, ' ') from public.test_log as lg),
  'INSERT INSERT UPDATE INSERT INSERT UPDATE',
  'the triggers of the application fired for all that was kept, and for nothing else'
);

select * from finish();
rollback;
