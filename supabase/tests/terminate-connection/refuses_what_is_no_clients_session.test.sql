begin;

select plan(11);

create function pg_temp.refusal(remediation text, params jsonb)
returns text
language plpgsql
as $$
begin
  return runbook.remediate(remediation, params, true) ->> 'state';
exception
  when others then
    return sqlstate;
end;
$$;

select is(
  pg_temp.refusal(asked.remediation, jsonb_build_object('pid', pg_backend_pid())),
  '42501',
  'our own session by ' || asked.remediation
)
from (values ('terminate-connection'), ('cancel-query')) as asked (remediation);
select is(
  pg_temp.refusal('terminate-connection', jsonb_build_object('pid', act.pid)),
  '42501',
  'the ' || act.backend_type
)
from pg_catalog.pg_stat_activity as act
where act.backend_type in ('checkpointer', 'autovacuum launcher');
select is(
  pg_temp.refusal('terminate-connection', '{"pid": 2147483647}'), 'P0002', 'nobody'
);
select is(
  pg_temp.refusal(
    'terminate-connection',
    jsonb_build_object('pid', act.pid, 'backend_start', act.backend_start - interval '1 s')
  ),
  'P0002',
  'an earlier session of the same number'
)
from pg_catalog.pg_stat_activity as act
where act.pid = pg_backend_pid();
select is(
  pg_temp.refusal('terminate-connection', '{"pid": 1, "backend_start": "yesterday-ish"}'),
  'RB400', 'a time that is none'
);
select is(pg_temp.refusal('terminate-connection', '{"pid": 0}'), 'RB400', 'a number that is none');

select is(runbook.process_refusal('client backend', 'select 1', null), null, 'a client may be');
select isnt(
  runbook.process_refusal(
    'autovacuum worker', 'autovacuum: VACUUM public.t (to prevent wraparound)', null
  ),
  runbook.process_refusal('autovacuum worker', 'autovacuum: VACUUM public.t', null),
  'a vacuum against wraparound is told from another'
);
select is(
  runbook.process_refusal('walsender', '', null), 'sends the log to a replica, or to Realtime',
  'a sender of the log is told'
);

select * from finish();
rollback;
