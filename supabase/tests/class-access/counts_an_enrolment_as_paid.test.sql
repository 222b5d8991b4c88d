begin;

select plan(21);

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
  'pending'
);

create function pg_temp.mark(dry_run boolean, more jsonb default '{}', reason text default null)
returns jsonb
language sql
as $$
  select runbook.remediate(
    'mark-enrollment-paid',
    '{"email": "leila@test.example", "class_id": "cccccccc-0000-4000-8000-00000000c100"}'
      || mark.more,
    dry_run => mark.dry_run,
    reason => mark.reason
  );
$$;

create function pg_temp.status()
returns text
language sql
as $$
  select payment_status from public.inschrijvingen
  where id = 'cccccccc-0000-4000-8000-00000000c200';
$$;

create function pg_temp.history()
returns text[]
language sql
as $$
  select array_agg(new_status order by id) from public.enrollment_history
  where enrollment_id = 'cccccccc-0000-4000-8000-00000000c200';
$$;

select is(
  pg_temp.mark(true) #>> '{steps,0,summary}',
  'Count the enrolment of leila@test.example in Poëzie as paid; it is pending now.',
  'the plan names the person and the class in words'
);
select bag_eq(
  $$ select jsonb_array_elements_text(pg_temp.mark(true) #> '{steps,0,side_effects}') $$,
  array[
    'trigger log_inschrijvingen_change fires',
    'trigger set_inschrijvingen_paid_at fires',
    'trigger update_inschrijvingen_updated_at fires'
  ],
  'and the triggers of the application'
);
select is(pg_temp.status(), 'pending', 'a plan changes nothing');

select throws_ok($$ select pg_temp.mark(false) $$, 'RB400', null, 'it needs a payment note');
select throws_ok(
  $$ select pg_temp.mark(false, '{}', '   ok    ') $$, 'RB400', null, 'and not an empty one'
);
select matches(
  runbook.request_problems(
    (select rem.reason from runbook.remediation as rem where rem.name = 'mark-enrollment-paid'),
    'low', false, null, null, null
  ) #>> '{0,message}',
  'a payment note',
  'and says so'
);

select is(
  pg_temp.mark(false, '{}', 'Cash at the desk, receipt 113.') #>> '{verification,status}',
  'verified',
  'applied, the trouble is gone'
);
select is(pg_temp.status(), 'paid', 'the status is paid');
select isnt(
  (
    select paid_at from public.inschrijvingen
    where id = 'cccccccc-0000-4000-8000-00000000c200'
  ),
  null,
  'with the date that the application gives it'
);
select is(pg_temp.history(), array['pending', 'paid'], 'its history has the change');
select is(
  pg_temp.mark(false, '{}', 'Cash at the desk, receipt 113.') ->> 'state',
  'no_op',
  'a second request does nothing new'
);

select is(
  runbook.undo(
    (
      select run.id from runbook.run as run
      where run.remediation = 'mark-enrollment-paid' and run.state = 'succeeded'
    ),
    reason => 'oops'
  ) ->> 'state',
  'succeeded',
  'it can be taken back, for any reason'
);
select is(pg_temp.status(), 'pending', 'then it is pending again');
select is(
  (
    select paid_at from public.inschrijvingen
    where id = 'cccccccc-0000-4000-8000-00000000c200'
  ),
  null,
  'without a date'
);

update public.inschrijvingen set payment_status = 'refunded'
where id = 'cccccccc-0000-4000-8000-00000000c200';
select throws_ok(
  $$ select pg_temp.mark(true) $$, '55000', null, 'a refunded one is refused'
);
select throws_ok(
  $$ select pg_temp.mark(true, '{"paid_again": false}') $$, '55000', null, 'and said so'
);
select is(
  pg_temp.mark(false, '{"paid_again": true}', 'Paid again by transfer on 3 May.')
    #>> '{verification,status}',
  'verified',
  'paid again it is paid'
);

update public.klassen set published = false
where id = 'cccccccc-0000-4000-8000-00000000c100';
update public.inschrijvingen set payment_status = 'pending'
where id = 'cccccccc-0000-4000-8000-00000000c200';
select matches(
  pg_temp.mark(true) #>> '{steps,0,summary}',
  'not published',
  'the plan says when the class will not be seen all the same'
);

select throws_ok(
  $$ select runbook.remediate(
    'mark-enrollment-paid',
    '{"enrollment_id": "cccccccc-0000-4000-8000-00000000c2ff"}',
    dry_run => true
  ) $$,
  'P0002',
  null,
  'there must be an enrolment'
);
select throws_ok(
  $$ select runbook.remediate(
    'mark-enrollment-paid', '{"email": "leila@test.example"}', dry_run => true
  ) $$,
  'RB400',
  null,
  'a person without a class is not enough'
);

select throws_ok(
  $$
  set local role runbook_viewer;
  select runbook.remediate(
    'mark-enrollment-paid',
    '{"enrollment_id": "cccccccc-0000-4000-8000-00000000c200"}',
    dry_run => true
  )
  $$,
  'RB405',
  null,
  'a viewer may not even plan it'
);

select * from finish();
rollback;
