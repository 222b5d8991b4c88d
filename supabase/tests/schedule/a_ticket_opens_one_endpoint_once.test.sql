begin;

select plan(9);

-- The stack may be at work: its ticks leave at once while this test holds their lock.
select runbook.lock_for_transaction('tick');

create function pg_temp.redeem(ticket text, endpoint text default 'health-check')
returns text
language sql
as $$
  select runbook.redeem_ticket(ticket, endpoint) ->> 'endpoint';
$$;

select set_config('test.ticket', runbook.issue_ticket('health-check'), true);

select throws_ok(
  $$ select pg_temp.redeem(current_setting('test.ticket'), 'unblock-login') $$,
  'RB401', null, 'a ticket does not open another endpoint'
);

select is(
  pg_temp.redeem(current_setting('test.ticket')),
  'health-check',
  'it opens its own'
);

select throws_ok(
  $$ select pg_temp.redeem(current_setting('test.ticket')) $$,
  'RB401', null, 'once'
);

select is(
  (select cal.role from runbook.caller() as cal), 'admin',
  'and changes nothing about the caller'
);

select throws_ok($$ select pg_temp.redeem('guess') $$, 'RB401', null, 'a guess opens nothing');
select throws_ok('select pg_temp.redeem(null)', 'RB401', null, 'nor does no ticket');

select set_config('test.ticket', runbook.issue_ticket('health-check'), true);
update runbook.ticket set issued_at = clock_timestamp() - interval '2 minutes';
select throws_ok(
  $$ select pg_temp.redeem(current_setting('test.ticket')) $$,
  'RB401', null, 'nor one of two minutes ago'
);

select isnt(
  runbook.issue_ticket('health-check'), runbook.issue_ticket('health-check'),
  'no two tickets are the same'
);

select set_config('test.ticket', runbook.issue_ticket('health-check'), true);
select is_empty(
  $$
  select
  from runbook.ticket as tkt
  where position(current_setting('test.ticket') in tkt::text) > 0
    or encode(tkt.hash, 'escape') = current_setting('test.ticket')
  $$,
  'a ticket itself is not stored'
);

select * from finish();
rollback;
