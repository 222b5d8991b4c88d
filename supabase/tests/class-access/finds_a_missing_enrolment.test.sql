begin;

select plan(13);

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

create function pg_temp.in_class(params jsonb)
returns setof text
language sql
as $$
  select fnd.content ->> 'code'
  from jsonb_array_elements(
    runbook.diagnose('class-access', in_class.params) -> 'findings'
  ) as fnd (content);
$$;

select is(
  pg_temp.finding('not_enrolled') ->> 'remediation',
  null,
  'without any enrolment and without a class there is nothing to send'
);

select ok(
  pg_temp.finding('not_enrolled') #> '{evidence,classes}'
  @> '[{"id": "cccccccc-0000-4000-8000-00000000c100", "name": "Poëzie"}]',
  'but the classes that may be meant are listed with their ids'
);

select ok(
  runbook.diagnose(
    'class-access',
    '{"email": "leila@test.example", "class_id": "cccccccc-0000-4000-8000-00000000c1ff"}'
  ) -> 'findings'
  @> '[{"code": "class_missing", "evidence": {"classes": [{"name": "Poëzie"}]}}]',
  'so they are where a class is not there'
);

insert into public.klassen (id, name)
select gen_random_uuid(), repeat('x', 200) || num.n
from generate_series(1, 30) as num (n);

select results_eq(
  $$
  select count(*), max(length(cho.content ->> 'name'))
  from jsonb_array_elements(runbook.class_choices()) as cho (content)
  $$,
  $$ values (20::bigint, 100) $$,
  'a few of them, and not at any length'
);

select is(
  runbook.diagnose(
    'class-access',
    '{"email": "leila@test.example", "class_id": "cccccccc-0000-4000-8000-00000000c100"}'
  ) #> '{findings,0}' -> 'params',
  '{
    "user_id": "cccccccc-0000-4000-8000-00000000c001",
    "class_id": "cccccccc-0000-4000-8000-00000000c100"
  }',
  'with a class the way into it is ready to be sent'
);

select bag_has(
  $$ select pg_temp.in_class(
    '{"email": "leila@test.example", "class_id": "cccccccc-0000-4000-8000-00000000c1ff"}'
  ) $$,
  $$ values ('class_missing') $$,
  'a class that is not there is found'
);

select bag_has(
  $$ select pg_temp.in_class('{"email": "nobody-at-all@test.example"}') $$,
  $$ values ('no_such_user') $$,
  'so is an address without an account'
);

select bag_has(
  $$ select pg_temp.in_class('{"enrollment_id": "cccccccc-0000-4000-8000-00000000c2ff"}') $$,
  $$ values ('enrollment_missing') $$,
  'so is an enrolment that is not there'
);

update public.klassen
set teacher_id = 'cccccccc-0000-4000-8000-00000000c001'
where id = 'cccccccc-0000-4000-8000-00000000c100';

select set_eq(
  $$ select pg_temp.in_class(
    '{"email": "leila@test.example", "class_id": "cccccccc-0000-4000-8000-00000000c100"}'
  ) $$,
  array['teaches_class', 'sees_class'],
  'a teacher of the class needs no enrolment'
);

update public.klassen
set teacher_id = null, published = false
where id = 'cccccccc-0000-4000-8000-00000000c100';

insert into public.inschrijvingen (id, student_id, class_id, payment_status)
values (
  'cccccccc-0000-4000-8000-00000000c200',
  'cccccccc-0000-4000-8000-00000000c001',
  'cccccccc-0000-4000-8000-00000000c100',
  'paid'
);

select bag_has(
  $$ select pg_temp.in_class('{"email": "leila@test.example"}') $$,
  $$ values ('class_unpublished') $$,
  'a class that is not published is found'
);

select is(
  pg_temp.finding('class_unpublished') -> 'remediation',
  'null',
  'to publish it is for the school'
);

update auth.users
set deleted_at = now()
where id = 'cccccccc-0000-4000-8000-00000000c001';

select set_eq(
  $$ select pg_temp.in_class('{"user_id": "cccccccc-0000-4000-8000-00000000c001"}') $$,
  array['deleted'],
  'of a deleted account nothing else is said'
);

update auth.users
set deleted_at = null
where id = 'cccccccc-0000-4000-8000-00000000c001';
delete from public.profiles where id = 'cccccccc-0000-4000-8000-00000000c001';

select bag_has(
  $$ select pg_temp.in_class('{"email": "leila@test.example"}') $$,
  $$ values ('profile_missing'), ('not_enrolled') $$,
  'an account without the profile that enrolments refer to is found'
);

select * from finish();
rollback;
