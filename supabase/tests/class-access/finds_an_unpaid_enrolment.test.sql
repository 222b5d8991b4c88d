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

select is(pg_temp.diagnosis() ->> 'verdict', 'ok', 'a student who has paid has no trouble');

select is(
  pg_temp.finding('sees_class') ->> 'subject',
  'leila@test.example',
  'and it is said that she sees the class'
);

-- Set again by the trigger of the demo, which writes a date for what is paid.
update public.inschrijvingen
set payment_status = 'pending'
where id = 'cccccccc-0000-4000-8000-00000000c200';

select is(
  pg_temp.finding('unpaid') - array['summary', 'evidence', 'method'],
  '{
    "code": "unpaid",
    "severity": "warning",
    "subject": "leila@test.example",
    "remediation": "mark-enrollment-paid",
    "params": {"enrollment_id": "cccccccc-0000-4000-8000-00000000c200"}
  }',
  'an enrolment that is not paid is found, with its remediation ready to be sent'
);

select is(
  pg_temp.finding('unpaid') #> '{evidence,payment_status}',
  '"pending"',
  'the evidence says what it is instead'
);

select isnt(
  pg_temp.finding('unpaid') #> '{evidence,since}',
  'null',
  'and since when'
);

select is(
  runbook.diagnose('class-access', pg_temp.finding('unpaid') -> 'params') ->> 'verdict',
  'problem',
  'the diagnosis takes what the remediation takes'
);

select tests.become('leila@test.example');
select is_empty(
  $$ select from public.klassen where id = 'cccccccc-0000-4000-8000-00000000c100' $$,
  'and really she does not see the class'
);
select tests.become_nobody();

select is(
  runbook.remediate(
    'mark-enrollment-paid',
    pg_temp.finding('unpaid') -> 'params',
    reason => 'Transfer of 1 September, seen in the bank.'
  ) #>> '{verification,status}',
  'verified',
  'the remediation cures it'
);

select is(pg_temp.diagnosis() ->> 'verdict', 'ok', 'then there is no trouble');

select tests.become('leila@test.example');
select isnt_empty(
  $$ select from public.klassen where id = 'cccccccc-0000-4000-8000-00000000c100' $$,
  'and really she sees the class'
);
select tests.become_nobody();

update public.inschrijvingen
set payment_status = 'refunded'
where id = 'cccccccc-0000-4000-8000-00000000c200';

select is(pg_temp.finding('unpaid'), null, 'a refund is another finding');

select is(
  pg_temp.finding('refunded') -> 'remediation',
  'null',
  'without a remediation that is ready, since it is right as it is'
);

select ok(
  not pg_temp.diagnosis() @? '$.findings[*] ? (@.severity != "info" && @.code != "refunded")',
  'what follows from it is only told'
);

select * from finish();
rollback;
