begin;

select plan(13);

set local client_min_messages = warning;
create table public.test_row (id integer primary key, ok boolean not null);
insert into public.test_row values (1, false), (2, false);
-- A check that finds each row that is not ok, and a remediation that mends one.
create function public.test_check(settings jsonb)
returns runbook.check_result
language sql
stable
as $$
  select row(
    count(*),
    array_agg(
      row(
        'test_broken', 'warning', rws.id::text, 'Broken.', '{}', 'read', 'test-mend',
        jsonb_build_object('id', rws.id, 'since', '1 year', 'hint', 'x')
      )::runbook.finding
    )
  )::runbook.check_result
  from public.test_row as rws
  where not rws.ok
$$;
create function public.test_mend(params jsonb)
returns setof runbook.declared_step
language sql
stable
as $$
  select runbook.update_step(
    'public.test_row',
    jsonb_build_object('id', coalesce(params -> 'instead', params -> 'id')),
    '{"ok": true}',
    'Mend it.'
  )
$$;
insert into runbook.check (name, title, description, function, position, codes)
values ('test_rows', 'Test', 'Test.', 'public.test_check', 99999, '{"test_broken": "Broken."}');
insert into runbook.remediation
  (name, title, description, parameters, subject_keys, function, risk, issue, cures, checks)
values (
  'test-mend', 'Test', 'Test.',
  '{
    "type": "object",
    "properties": {
      "id": {"type": "integer"},
      "instead": {"type": "integer"},
      "since": {"type": "string", "format": "age"}
    }
  }',
  '{id}', 'public.test_mend', 'low', null, array['test_broken'], array['test_rows']
);
create function pg_temp.mend(params jsonb)
returns jsonb
language sql
as $$ select runbook.remediate('test-mend', params, reason => 'test'); $$;

select is(
  runbook.remediate('test-mend', '{"id": 1}', true) #>> '{verification,status}',
  'verified',
  'a plan is verified by the check'
);
select is(
  (select tried.answer #> '{run,error,sqlstate}'
  from (select pg_temp.mend('{"id": 1, "instead": 2}')) as tried (answer)),
  '"RBNOC"',
  'what the check still finds of the run''s subject was not cured'
);
select is(
  (select jsonb_agg(rws.ok order by rws.id) from public.test_row as rws), '[false, false]',
  'and nothing of it was kept'
);
select is(
  pg_temp.mend('{"id": 1, "since": "1 year"}') #>> '{verification,status}',
  'verified',
  'a finding about another subject is not the run''s'
);
update public.test_row set ok = false where true;
select is(
  (select tried.answer #>> '{verification,still_there,0,params,since}'
  from (select pg_temp.mend(
      jsonb_build_object('id', 1, 'since', now() - interval '1 year 1 hour', 'instead', 2)
    )) as tried (answer)),
  '1 year',
  'an age is the same, though it was resolved before'
);
select is(
  pg_temp.mend('{"id": 1, "since": "2 years", "instead": 2}') #>> '{verification,status}',
  'verified',
  'another age is another thing'
);

update runbook.remediation set checks = array['test_rows', 'no_such_check']
where name = 'test-mend';
select is(
  pg_temp.mend('{"id": 1}') -> 'verification' -> 'skipped',
  '[{"check": "no_such_check", "reason": "The catalog has no such check."}]',
  'a check that is not there is told of'
);
select is(
  (select run.verification ->> 'status' from runbook.run as run order by run.id desc limit 1),
  'unknown',
  'and makes the verification unknown'
);
create or replace function public.test_check(settings jsonb)
returns runbook.check_result
language sql
stable
as $$ select row(null, array[runbook.skipped('test_rows', 'Locked.')])::runbook.check_result $$;
update runbook.remediation set checks = array['test_rows'] where name = 'test-mend';
update public.test_row set ok = false where true;
select is(
  pg_temp.mend('{"id": 1}') -> 'verification' -> 'skipped',
  '[{"check": "test_rows", "reason": "Locked."}]',
  'a check that could not look says why'
);
select is(
  (select run.state || ' ' || (run.verification ->> 'status')
  from runbook.run as run order by run.id desc limit 1),
  'succeeded unknown',
  'the run has succeeded, as far as is known'
);
select is(
  (
    select runbook.undo(run.id, reason => 'test') #>> '{verification,status}'
    from runbook.run as run order by run.id desc limit 1
  ),
  'not_applicable',
  'an undo cures nothing, so no check is asked'
);

select is(
  runbook.is_about_run(
    jsonb_build_object('subject', asked.subject, 'remediation', null, 'params', null), rem,
    '{"id": 1}'
  ),
  asked.answer,
  'what names no remediation is about the run of its subject'
)
from (values ('1', true), ('2', false)) as asked (subject, answer)
inner join runbook.remediation as rem on rem.name = 'test-mend';

select * from finish();
rollback;
