begin;

select plan(6);

select is(runbook.sessions_hidden(), null, 'who may read statistics sees all sessions');

create or replace function runbook.sessions_hidden()
returns text
language sql
stable
as $$ select 'They cannot be seen.'; $$;

select is(
  runbook.run_check(chk.name) ->> 'status', 'skipped',
  format('then %s is skipped, and not silent', chk.name)
)
from runbook.check as chk
where chk.name in (
  'idle_in_transaction', 'long_queries', 'long_transactions', 'vacuum_horizon', 'blocking'
)
order by chk.name;

select * from finish();
rollback;
