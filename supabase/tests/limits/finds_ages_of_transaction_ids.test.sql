begin;

select plan(11);

create function pg_temp.entry()
returns jsonb
language sql
as $$
  select runbook.run_check('transaction_ids');
$$;

-- Transaction ids cannot be used up in a test, so the thresholds move.
create function pg_temp.tune(warning numeric, multiple numeric)
returns void
language sql
as $$
  select runbook.tune_check(
    'transaction_ids', jsonb_build_object('warning', warning, 'freeze_multiple', multiple)
  );
$$;

create table public."we'ird ""Näme" (id integer, note text);
-- What was made before is older than this transaction.
select txid_current();

select is(pg_temp.entry() ->> 'status', 'ok', 'a young database is ok');
select cmp_ok((pg_temp.entry() ->> 'value')::numeric, '>', 0.0, 'its age is measured');

select pg_temp.tune(0, 1.5);
select is(
  pg_temp.entry() ->> 'status', 'ok',
  'an age that autovacuum still lets be is ok, whatever the threshold'
);

select unalike(
  pg_temp.entry() ->> 'findings', '%multixacts_low%', 'nor are multixacts told of then'
);

select pg_temp.tune(0, 0);
select is(
  pg_temp.entry() ->> 'status', 'warning', 'an age above the threshold and above that is not'
);
select ok(
  pg_temp.entry() -> 'findings' @> format(
    '[{"code": "transaction_ids_low", "subject": "database %s"}]', current_database()
  )::jsonb,
  'the database is named'
);
select ok(
  pg_temp.entry() -> 'findings' @> format(
    '[{"code": "multixacts_low", "subject": "database %s"}]', current_database()
  )::jsonb,
  'for its multixacts as well'
);
select isnt_empty(
  $$
  select
  from jsonb_array_elements(pg_temp.entry() -> 'findings') as fnd (content)
  where fnd.content ->> 'remediation' = 'vacuum-table'
    and fnd.content #>> '{params,table}' = fnd.content ->> 'subject'
  $$,
  'tables come with their cure'
);
select is_empty(
  $$
  select
  from jsonb_array_elements(pg_temp.entry() -> 'findings') as fnd (content)
  where fnd.content ->> 'subject' like 'pg\_catalog.%'
    and fnd.content ->> 'remediation' is not null
  $$,
  'but not those of the server itself'
);

select runbook.tune_check(
  'transaction_ids', '{"warning": 0, "freeze_multiple": 0, "critical": 1}'
);
select is(pg_temp.entry() ->> 'status', 'critical', 'the second threshold is critical');

select runbook.tune_check('transaction_ids', null);
select is(pg_temp.entry() ->> 'status', 'ok', 'with the shipped thresholds it is ok again');

select * from finish();
rollback;
