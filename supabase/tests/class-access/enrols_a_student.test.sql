begin;

select plan(15);

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

create function pg_temp.enrol(more jsonb default '{}', dry_run boolean default false)
returns jsonb
language sql
as $$
  select runbook.remediate(
    'enroll-student',
    '{"email": "Leila@Test.example", "class_id": "cccccccc-0000-4000-8000-00000000c100"}'
      || enrol.more,
    dry_run => enrol.dry_run,
    reason => 'Invoice 2026-113, paid on 3 May.'
  );
$$;

create function pg_temp.enrolled()
returns text[]
language sql
as $$
  select coalesce(array_agg(payment_status), '{}') from public.inschrijvingen
  where student_id = 'cccccccc-0000-4000-8000-00000000c001';
$$;

select is(
  pg_temp.enrol(dry_run => true) #>> '{steps,0,summary}',
  'Enrol leila@test.example in Poëzie, paid.',
  'the plan names the person and the class in words'
);
select is(pg_temp.enrolled(), '{}', 'a plan changes nothing');
select throws_ok(
  $$ select runbook.remediate(
    'enroll-student',
    '{"email": "leila@test.example", "class_id": "cccccccc-0000-4000-8000-00000000c100"}',
    reason => 'ok'
  ) $$,
  'RB400',
  null,
  'it needs a payment note'
);

select is(pg_temp.enrol() #>> '{verification,status}', 'verified', 'applied, the trouble is gone');
select is(pg_temp.enrolled(), '{paid}', 'there is one enrolment, and it is paid');
select tests.become('leila@test.example');
select isnt_empty(
  $$ select from public.klassen where id = 'cccccccc-0000-4000-8000-00000000c100' $$,
  'the student sees the class'
);
select tests.become_nobody();
select is(pg_temp.enrol() ->> 'state', 'no_op', 'a second request does nothing new');

update public.inschrijvingen set payment_status = 'pending'
where student_id = 'cccccccc-0000-4000-8000-00000000c001';
select throws_ok(
  'select pg_temp.enrol()', '55000', null, 'an enrolment that is not paid is another matter'
);
update public.inschrijvingen set payment_status = 'paid', paid_at = null
where student_id = 'cccccccc-0000-4000-8000-00000000c001';
select is(
  runbook.undo(
    (
      select run.id from runbook.run as run
      where run.remediation = 'enroll-student' and run.state = 'succeeded'
    ),
    reason => 'wrong class'
  ) ->> 'state',
  'undo_refused',
  'it is not taken back once somebody has changed it'
);
delete from public.inschrijvingen
where student_id = 'cccccccc-0000-4000-8000-00000000c001';

select is(pg_temp.enrol() ->> 'state', 'succeeded', 'it is enrolled anew');
select is(
  runbook.undo(
    (
      select max(run.id) from runbook.run as run
      where run.remediation = 'enroll-student' and run.state = 'succeeded'
    ),
    reason => 'wrong class'
  ) ->> 'state',
  'succeeded',
  'and taken back, with the history that hangs on it'
);
select is(pg_temp.enrolled(), '{}', 'then there is no enrolment');

update public.klassen set teacher_id = 'cccccccc-0000-4000-8000-00000000c001'
where id = 'cccccccc-0000-4000-8000-00000000c100';
select throws_ok(
  'select pg_temp.enrol()', '55000', null, 'the teacher of the class is not enrolled in it'
);
select throws_ok(
  $$ select pg_temp.enrol('{"class_id": "cccccccc-0000-4000-8000-00000000c1ff"}') $$,
  'P0002',
  null,
  'a class must be there'
);
delete from public.profiles where id = 'cccccccc-0000-4000-8000-00000000c001';
update public.klassen set teacher_id = null
where id = 'cccccccc-0000-4000-8000-00000000c100';
select throws_ok(
  'select pg_temp.enrol()', '55000', null, 'and the profile that enrolments refer to'
);

select * from finish();
rollback;
