begin;

select plan(15);

create function pg_temp.look()
returns jsonb
language sql
as $$
  select runbook.explain_access(
    '{"user": "ok@demo.example", "table": "klassen", "command": "select", "limit": 1}'
  );
$$;

set local role runbook_viewer;
create temporary table answered as select pg_temp.look() as answer;
reset role;
select is(
  (select ans.answer -> 'recorded' from answered as ans), 'true',
  'a viewer may look, and it is recorded'
);
select throws_ok(
  'set local role runbook_viewer; select from runbook.access_look', '42501', null,
  'but not read who looked'
);
select throws_ok(
  'set local role runbook_viewer; select runbook.access_looks()', '42501', null,
  'not by the function either'
);

select ok(
  runbook.access_looks('{"subject": "ok@demo.example", "limit": 1}') -> 'items' -> 0 @> '{
    "actor": "database:postgres", "subject": "10000000-0000-4000-8000-000000000010",
    "role": "authenticated", "relation": "public.klassen", "command": "select"
  }',
  'an admin reads who looked at whom'
);
select runbook.explain_access('{"role": "anon", "table": "klassen", "command": "delete"}');
select runbook.explain_access(
  '{"user": "Nobody@demo.example", "table": "klassen", "command": "select"}'
);
select results_eq(
  $$
  select item ->> 'subject'
  from jsonb_array_elements(runbook.access_looks('{"limit": 3}') -> 'items') as given (item)
  $$,
  array['Nobody@demo.example', 'anon', '10000000-0000-4000-8000-000000000010'],
  'the newest first, by what was asked for where nobody was found'
);
select is(
  jsonb_array_length(
    runbook.access_looks(
      jsonb_build_object(
        'before', runbook.access_looks('{"limit": 1}') -> 'next', 'limit', 1
      )
    ) -> 'items'
  ),
  1, 'and further pages'
);
select throws_ok(
  $$ select runbook.access_looks('{"limit": 0}') $$, 'RB400', null, 'filters are checked'
);
select throws_ok(
  $$ update runbook.access_look set actor = 'x' where true $$, '55000', null, 'a look stays'
);
select throws_ok('delete from runbook.access_look where true', '55000', null, 'for 90 days');
select throws_ok('truncate runbook.access_look', '55000', null, 'whoever asks');

insert into runbook.access_look (at, actor, subject, relation, command, verdict)
values (clock_timestamp() - interval '91 days', 'old', 'x', 't', 'select', 'denied');
select lives_ok('select runbook.forget_old_looks()', 'then the schedule forgets it');
select is_empty(
  $$ select from runbook.access_look as look where look.actor = 'old' $$, 'and it is gone'
);

select lives_ok(
  $$
  select runbook.replace_person('{"email": "ok@demo.example", "pseudonym": "person-1"}')
  $$,
  'a person can be forgotten'
);
select is_empty(
  $$
  select from runbook.access_look as look
  where look.subject = '10000000-0000-4000-8000-000000000010'
  $$,
  'in the looks too'
);

set local transaction_read_only = on;
select is(
  pg_temp.look() - '{subject,claims,rows,gates,proof,took_ms}'::text[]
    @> '{"recorded": false, "not_recorded_because": "The transaction is read-only."}',
  true, 'a read-only database answers and says that it recorded nothing'
);

select * from finish();
rollback;
