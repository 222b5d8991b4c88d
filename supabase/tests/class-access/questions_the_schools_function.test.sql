begin;

select plan(16);

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

create function pg_temp.about()
returns text[]
language sql
as $$
  select coalesce(array_agg(replace(fnd.content ->> 'code', 'enrollment_function_', '')), '{}')
  from jsonb_array_elements(pg_temp.diagnosis() -> 'findings') as fnd (content)
  where fnd.content ->> 'code' like 'enrollment\_function\_%';
$$;

-- The body of the demo's function, with other properties.
create function pg_temp.make(properties text, body text default null)
returns void
language plpgsql
as $$
begin
  execute format(
    'create or replace function public.is_enrolled_in_class(_class_id uuid) returns boolean
     language sql %s as %L',
    make.properties,
    coalesce(
      make.body,
      'select exists (
         select from inschrijvingen
         where student_id = auth.uid() and class_id = _class_id and payment_status = ''paid''
       )'
    )
  );
end;
$$;

select is(pg_temp.about(), '{}', 'the function of the demo is in order');

select pg_temp.make('stable security definer');
select is(pg_temp.about(), '{search_path}', 'one that lends rights needs a search_path');

select pg_temp.make('volatile security definer set search_path = public');
select is(pg_temp.about(), '{volatile}', 'a volatile one is found');

select pg_temp.make('stable security invoker');
select is(
  pg_temp.about(), '{under_row_security}',
  'one with the caller''s rights reads below the policies, and still answers'
);
select is(
  pg_temp.diagnosis() ->> 'verdict', 'ok', 'none of these is a problem of this student'
);

drop policy "Students can view their own enrollments" on public.inschrijvingen;
select bag_has(
  'select unnest(pg_temp.about())',
  $$ values ('disagrees'), ('under_row_security') $$,
  'without the policy that it needs it says no, though she has paid'
);

create policy asks_itself on public.inschrijvingen for select to authenticated
using (is_enrolled_in_class(class_id));
select bag_has(
  'select unnest(pg_temp.about())',
  $$ values ('fails'), ('under_row_security') $$,
  'when a policy of enrolments asks it, it never ends'
);
select is(
  pg_temp.finding('enrollment_function_fails') #>> '{evidence,answered,sqlstate}',
  '54001',
  'which shows as the end of the stack'
);
drop policy asks_itself on public.inschrijvingen;

select pg_temp.make('stable security definer set search_path = public', 'select true');
select is(pg_temp.about(), '{reads_elsewhere}', 'one that does not name enrolments is told');

select pg_temp.make(
  'stable security definer set search_path = public',
  'select 1 / 0 > 0 from inschrijvingen limit 1'
);
select is(pg_temp.about(), '{fails}', 'one that raises is found');

update public.inschrijvingen set payment_status = 'pending'
where id = 'cccccccc-0000-4000-8000-00000000c200';
select pg_temp.make(
  'stable security definer set search_path = public',
  'select exists (select from inschrijvingen where class_id = _class_id)'
);
select is(pg_temp.about(), '{disagrees}', 'so is one that says yes without the payment');

update public.inschrijvingen set payment_status = 'paid'
where id = 'cccccccc-0000-4000-8000-00000000c200';
select pg_temp.make('stable security definer set search_path = public');
revoke execute on function public.is_enrolled_in_class(uuid) from public, authenticated;
select bag_has(
  'select unnest(pg_temp.about())',
  $$ values ('not_granted'), ('fails') $$,
  'one that students may not call is found'
);
select is(
  pg_temp.finding('enrollment_function_fails') #>> '{evidence,answered,sqlstate}',
  '42501',
  'and it really fails'
);

drop function public.is_enrolled_in_class(uuid) cascade;
select bag_has(
  'select unnest(pg_temp.about())', $$ values ('missing') $$, 'so is the lack of one'
);

create function public.is_enrolled_in_class(_user_id uuid, _class_id uuid)
returns boolean
language sql
stable
security definer
set search_path = public
as $$
  select exists (
    select from inschrijvingen
    where student_id = _user_id and class_id = _class_id and payment_status = 'paid'
  );
$$;
grant execute on function public.is_enrolled_in_class(uuid, uuid) to authenticated;
select is(pg_temp.about(), '{}', 'one that is asked about a person and a class is understood');

create or replace function public.is_enrolled_in_class(_user_id uuid, _class_id uuid)
returns boolean
language sql
stable
security definer
set search_path = public
as $$ select false from inschrijvingen limit 1 $$;
select is(pg_temp.about(), '{disagrees}', 'and its answer held against the enrolment');

select * from finish();
rollback;
