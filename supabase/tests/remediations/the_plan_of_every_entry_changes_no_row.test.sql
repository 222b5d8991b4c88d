begin;

-- What others write meanwhile (the schedule, the sender) is not seen.
set transaction isolation level repeatable read;

select plan(3);

insert into auth.users (
  instance_id, id, aud, email, confirmation_sent_at, email_confirmed_at, banned_until,
  encrypted_password
)
select
  '00000000-0000-0000-0000-000000000000', ppl.id, 'authenticated', ppl.email,
  now() - interval '1 day', ppl.confirmed_at, ppl.banned_until, 'x'
from (
  values
    ('bbbbbbbb-0000-4000-8000-000000000991'::uuid, 'new@test.example', null, null),
    ('bbbbbbbb-0000-4000-8000-000000000992', 'out@test.example', now(), now() + interval '1 day')
) as ppl (id, email, confirmed_at, banned_until);
insert into auth.sessions (id, user_id, created_at, updated_at)
values (gen_random_uuid(), 'bbbbbbbb-0000-4000-8000-000000000992', now(), now());
insert into public.auth_rate_limits (identifier, blocked_until)
values
  ('new@test.example', now() + interval '1 hour'),
  ('out@test.example', now() + interval '1 hour');
insert into public.profiles (id, email)
values
  ('bbbbbbbb-0000-4000-8000-000000000991', 'new@test.example'),
  ('bbbbbbbb-0000-4000-8000-000000000992', 'out@test.example')
on conflict do nothing;
insert into public.klassen (id, name) values ('cccccccc-0000-4000-8000-000000000993', 'Test');
insert into public.inschrijvingen (id, student_id, class_id)
values (
  'cccccccc-0000-4000-8000-000000000994',
  'bbbbbbbb-0000-4000-8000-000000000991',
  'cccccccc-0000-4000-8000-000000000993'
);
-- So that something is on record to forget.
create temporary table earlier as
select runbook.remediate(
  'unblock-login', '{"email": "out@test.example"}', reason => 'test'
) as answer;

create temporary table asked (name text primary key, params jsonb);
insert into asked
values
  ('unblock-login', '{"email": "new@test.example"}'),
  ('resend-confirmation', '{"email": "new@test.example"}'),
  ('confirm-email', '{"email": "new@test.example"}'),
  ('unban-user', '{"email": "out@test.example"}'),
  ('sign-out-user', '{"email": "out@test.example"}'),
  ('forget-person', '{"email": "out@test.example"}'),
  (
    'suppress-finding',
    jsonb_build_object(
      'check', 'clock_not_shifted', 'code', 'clock_shifted', 'until', now() + interval '1 day'
    )
  ),
  ('create-index', '{"table": "public.test_plan", "columns": ["at"]}'),
  ('drop-index', '{"index": "public.test_unused"}'),
  ('vacuum-table', '{"table": "public.test_plan"}'),
  ('analyze-table', '{"table": "public.test_plan"}'),
  ('archive-rows', '{"table": "public.test_plan", "column": "at", "older_than": "1 year"}'),
  ('reset-query-statistics', '{}'),
  ('mark-enrollment-paid', '{"enrollment_id": "cccccccc-0000-4000-8000-000000000994"}'),
  (
    'enroll-student',
    '{"email": "out@test.example", "class_id": "cccccccc-0000-4000-8000-000000000993"}'
  ),
  ('restart-realtime', '{}');

-- So that there is a finding to suppress.
select runbook.shift_clock('1 second');

create table public.test_plan (id integer primary key, at timestamptz, other integer);
insert into public.test_plan values (1, now() - interval '2 years', 1), (2, now(), 2);
create index test_unused on public.test_plan (other);
-- As if the runbook had only begun to watch: else an index of today is too new.
delete from runbook.usage_snapshot where true;
create or replace function runbook.evidence_days()
returns numeric
language sql
stable
set search_path = ''
as 'select 0';

-- Every row of every table that this login may read, with its place.
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
      and cls.relpersistence <> 't'
      and cls.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
      and has_table_privilege(cls.oid, 'select')
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

select set_eq(
  'select ask.name from asked as ask',
  -- A session to be signalled takes a second one: tests/checks has it.
  $$
  select rem.name from runbook.remediation as rem
  where rem.name not in ('cancel-query', 'terminate-connection')
  $$,
  'every remediation of the catalog is asked for its plan'
);

create temporary table seen as select pg_temp.fingerprint() as before;
create temporary table planned as
select ask.name, runbook.remediate(ask.name, ask.params, dry_run => true) as answer
from asked as ask;

select is_empty(
  $$
  select pln.name from planned as pln
  where pln.answer ->> 'state' <> 'planned' or pln.answer -> 'steps' = '[]'
  $$,
  'and each has something to do'
);

select is(
  pg_temp.fingerprint(), (select seen.before from seen), 'no row of any table is another one'
);

select * from finish();
rollback;
