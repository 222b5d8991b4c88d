begin;

select plan(14);

set local client_min_messages = warning;
insert into auth.users (instance_id, id, aud, role, email, email_confirmed_at)
values (
  '00000000-0000-0000-0000-000000000000',
  'cccccccc-0000-4000-8000-00000000c001',
  'authenticated',
  'authenticated',
  'leila@test.example',
  now()
);
insert into public.klassen (id, name, published)
values ('cccccccc-0000-4000-8000-00000000c100', 'Poëzie', true);
insert into public.inschrijvingen (id, student_id, class_id, payment_status)
values (
  'cccccccc-0000-4000-8000-00000000c200',
  'cccccccc-0000-4000-8000-00000000c001',
  'cccccccc-0000-4000-8000-00000000c100',
  'paid'
);

create function pg_temp.diagnosis()
returns jsonb
language sql
as $$ select runbook.diagnose('class-access', '{"email": "leila@test.example"}'); $$;

create function pg_temp.finding(code text)
returns jsonb
language sql
as $$
  select fnd.content
  from jsonb_array_elements(pg_temp.diagnosis() -> 'findings') as fnd (content)
  where fnd.content ->> 'code' = finding.code;
$$;

create function pg_temp.hidden()
returns setof text
language sql
as $$
  select format('%s %s', fnd.content ->> 'code', fnd.content #>> '{evidence,table}')
  from jsonb_array_elements(pg_temp.diagnosis() -> 'findings') as fnd (content)
  where fnd.content ->> 'code' like '%hidden' or fnd.content ->> 'code' like '%visible';
$$;

insert into public.tasks (class_id, title)
values ('cccccccc-0000-4000-8000-00000000c100', 'Lees hoofdstuk 1');

select is_empty('select pg_temp.hidden()', 'a task that she sees is no finding');

update public.tasks set published = false
where class_id = 'cccccccc-0000-4000-8000-00000000c100';

select results_eq(
  'select pg_temp.hidden()', array['content_hidden public.tasks'],
  'one that no policy shows her is'
);

select is(pg_temp.diagnosis() ->> 'verdict', 'problem', 'and a problem');

insert into public.tasks (class_id, title)
values ('cccccccc-0000-4000-8000-00000000c100', 'Lees hoofdstuk 2');

select results_eq(
  'select pg_temp.hidden()', array['content_partly_visible public.tasks'],
  'some seen and some not is told apart'
);

select is(pg_temp.diagnosis() ->> 'verdict', 'ok', 'and no problem: a part may be meant for later');

-- A table that nobody has heard of before.
create table public."we'ird ""Näme" (
  id bigint generated always as identity primary key,
  "les ""klas" uuid references public.klassen (id),
  note text
);
alter table public."we'ird ""Näme" enable row level security;
insert into public."we'ird ""Näme" ("les ""klas", note)
values ('cccccccc-0000-4000-8000-00000000c100', 'one');

select bag_has(
  'select pg_temp.hidden()',
  $$ values ('content_hidden public."we''ird ""Näme"') $$,
  'a table is found by its foreign key, whatever its name'
);

grant select on public."we'ird ""Näme" to authenticated;
create policy all_see on public."we'ird ""Näme" for select to authenticated using (true);

select results_eq(
  'select pg_temp.hidden()', array['content_partly_visible public.tasks'],
  'with a grant and a policy she sees it'
);

create policy divides on public."we'ird ""Näme" as restrictive for select to authenticated
using (id / (id - 1) > 0);

select bag_has(
  'select pg_temp.hidden()',
  $$ values ('content_hidden public."we''ird ""Näme"') $$,
  'a policy that fails hides it'
);

select is(
  (
    select fnd.content #>> '{evidence,failure,sqlstate}'
    from jsonb_array_elements(pg_temp.diagnosis() -> 'findings') as fnd (content)
    where fnd.content #>> '{evidence,failure,sqlstate}' is not null
  ),
  '22012',
  'and the evidence has its SQLSTATE'
);

drop table public."we'ird ""Näme";
drop policy "Students can view their own enrollments" on public.inschrijvingen;

select bag_has(
  'select pg_temp.hidden()',
  $$ values ('enrollment_hidden public.inschrijvingen') $$,
  'her own enrolment hidden from her is found'
);

drop policy "Students can view their published classes" on public.klassen;

select bag_has(
  'select pg_temp.hidden()',
  $$ values ('class_hidden public.klassen') $$,
  'so is the class itself'
);

create table public.test_lesson (
  class_id uuid references public.klassen (id),
  number integer,
  primary key (class_id, number)
);

select matches(
  (
    select skp.content ->> 'reason'
    from jsonb_array_elements(pg_temp.diagnosis() -> 'skipped') as skp (content)
  ),
  'public\.test_lesson has no primary key of one column',
  'a table that is not looked at is named'
);

select cmp_ok(
  (
    select count(*) from public.inschrijvingen
    where class_id = 'cccccccc-0000-4000-8000-00000000c100'
  ),
  '=', 1::bigint,
  'nothing of it changed a row'
);

select is(
  coalesce(current_setting('request.jwt.claims', true), ''), '',
  'and the claims of the student are gone again'
);

select * from finish();
rollback;
