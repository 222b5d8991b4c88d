begin;

select plan(11);

-- The stack may be at work: its ticks leave at once while this test holds their lock.
select runbook.lock_for_transaction('tick');
lock table runbook.report, runbook.ticket in share row exclusive mode;

delete from runbook.ticket where true;
delete from runbook.report where true;
update runbook.heartbeat set rung_at = null, bell_error = null;
insert into runbook.ticket (hash, endpoint, issued_at)
values ('\x00', 'health-check', clock_timestamp() - interval '121 seconds');

select runbook.set_functions_url(null);
select runbook.tick();

select is(
  (select count(*) from runbook.report), 1::bigint, 'a tick records a report when nobody else does'
);
select is((select count(*) from runbook.ticket), 0::bigint, 'and drops old tickets');
select is(
  (select hbt.rung_at from runbook.heartbeat as hbt), null, 'without an address nothing rings'
);

select is(
  (select jsonb_array_length(rpt.report -> 'checks') from runbook.latest_report as rpt),
  cardinality(runbook.check_names()),
  'the report has every check'
);

select runbook.set_functions_url('http://bell.test/');
select runbook.tick();

select isnt_empty(
  $$
  select
  from net.http_request_queue as req
  where req.url = 'http://bell.test/functions/v1/health-check'
  $$,
  'with an address it rings there'
);

select is(
  (
    select runbook.redeem_ticket(req.headers ->> 'x-runbook-ticket', 'health-check')
    from net.http_request_queue as req
    where req.url like 'http://bell.test/%'
  ),
  '{"actor": "ticket", "endpoint": "health-check"}',
  'with a ticket that opens the endpoint'
);

select is(
  (select count(*) from runbook.report), 1::bigint, 'and none when there is one of this minute'
);

select is(
  (select hbt.bell_error from runbook.heartbeat as hbt), null, 'a bell that rang leaves no error'
);

create function pg_temp.refuse()
returns trigger
language plpgsql
as $$
begin
  raise exception 'the queue is closed' using errcode = '55000';
end;
$$;
create trigger refuse before insert on net.http_request_queue
for each row execute function pg_temp.refuse();

select lives_ok('select runbook.tick()', 'a bell that cannot be rung does not stop the tick');

select is(
  (select hbt.bell_error ->> 'sqlstate' from runbook.heartbeat as hbt),
  '55000',
  'but is remembered'
);

select is((select count(*) from runbook.ticket), 0::bigint, 'and leaves no ticket behind');

select * from finish();
rollback;
