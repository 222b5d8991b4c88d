begin;

select plan(8);

create or replace function runbook.is_replica()
returns boolean
language sql
stable
as 'select true';

select is(
  runbook.run_check(chk.name) ->> 'status', 'not_applicable',
  format('%s does not call in order what only the primary can tell', chk.name)
)
from runbook.check as chk
where chk.name in (
  'cron_alive', 'cron_jobs', 'dead_rows', 'pg_net', 'table_statistics', 'unused_indexes'
)
order by chk.name;

select is(
  runbook.run_check('dead_rows') ->> 'reason',
  'This is a replica, which cannot tell: ask the primary.',
  'and says where to ask'
);

select is(
  runbook.run_check('database_writable') #>> '{findings,0,code}',
  'database_in_recovery',
  'that it is one is a finding of its own'
);

select * from finish();
rollback;
