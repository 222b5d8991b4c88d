begin;

select plan(4);

set local client_min_messages = warning;
drop table public.klassen cascade;

select is(
  runbook.diagnose('class-access', '{"email": "x@test.example"}')
    #>> '{not_applicable,0,check}',
  'not_enrolled',
  'without the tables the diagnosis is not applicable'
);

select is(
  runbook.diagnose('class-access', '{"email": "x@test.example"}') ->> 'verdict',
  'ok',
  'which is no trouble'
);

select throws_ok(
  $$ select runbook.remediate(
    'enroll-student',
    '{
      "email": "x@test.example",
      "class_id": "cccccccc-0000-4000-8000-00000000c100"
    }',
    dry_run => true
  ) $$,
  '55000',
  null,
  'nobody is enrolled'
);

create table public.klassen (id text primary key, name text);

select is(
  runbook.diagnose('class-access', '{"email": "x@test.example"}')
    #>> '{not_applicable,0,check}',
  'not_enrolled',
  'tables of these names with other columns are not the school''s'
);

select * from finish();
rollback;
