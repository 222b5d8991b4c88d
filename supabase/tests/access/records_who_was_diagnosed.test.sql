begin;

select plan(9);

create function pg_temp.looks()
returns table (subject text, relation text, verdict text)
language sql
as $$
  select item ->> 'subject', item ->> 'relation', item ->> 'verdict'
  from jsonb_array_elements(runbook.access_looks('{}') -> 'items') as given (item);
$$;

set local role runbook_viewer;
create temporary table answered as
select runbook.diagnose('class-access', '{"email": "refunded@demo.example"}') as answer;
reset role;
select is((select ans.answer -> 'recorded' from answered as ans), 'true', 'it says it is recorded');
select results_eq(
  'select * from pg_temp.looks()',
  format(
    $$ select %L::text, 'diagnose-class-access'::text, 'problem'::text $$,
    (select usr.id from auth.users as usr where usr.email = 'refunded@demo.example')
  ),
  'a viewer who diagnoses as a student is on record'
);

select is(
  runbook.diagnose('class-access', '{"email": "Nobody@demo.example"}') -> 'recorded', 'true',
  'also where there is no such account'
);
select results_eq(
  'select looked.subject from pg_temp.looks() as looked limit 1',
  array['Nobody@demo.example'],
  'by what was asked for'
);

select is(
  runbook.diagnose(
    'forum', '{"class_id": "30000000-0000-4000-8000-000000000001", "email": "ok@demo.example"}'
  ) -> 'recorded',
  'true',
  'the forum as a person sees it is recorded'
);
select ok(
  not runbook.diagnose('forum', '{"class_id": "30000000-0000-4000-8000-000000000001"}')
    ? 'recorded',
  'the forum without a person is nobody''s look'
);
select ok(
  not runbook.diagnose('login', '{"email": "ok@demo.example"}') ? 'recorded',
  'a diagnosis that reads as nobody records nothing'
);
select is((select count(*) from pg_temp.looks()), 3::bigint, 'each look is recorded once');

set local transaction_read_only = on;
select ok(
  runbook.diagnose('class-access', '{"email": "ok@demo.example"}') @> '{"recorded": false}',
  'where nothing can be written the answer comes and says so'
);

select * from finish();
rollback;
