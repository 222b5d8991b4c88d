begin;

-- The first of all: a slot cannot be made by a transaction that has written.
select pg_create_logical_replication_slot('supabase_realtime_test_slot', 'pgoutput', true);

select plan(16);

create function pg_temp.finding(code text)
returns jsonb
language sql
as $$
  select fnd.content
  from jsonb_array_elements(runbook.diagnose('realtime', '{}') -> 'findings') as fnd (content)
  where fnd.content ->> 'code' = finding.code;
$$;

create function pg_temp.code_of(
  is_active boolean, wal_status text, behind numeric, retained numeric, keeps numeric
)
returns text
language sql
as $$
  select (
    runbook.finding_of_realtime_slot(
      row(
        'supabase_realtime_x', is_active, true, wal_status, behind, retained, 1, now(), 'x', true
      )::runbook.realtime_slot,
      keeps
    )
  ).code;
$$;

select is(
  pg_temp.finding('slot_active') ->> 'subject',
  'supabase_realtime_test_slot',
  'a slot that is read is told'
);
select is(
  pg_temp.finding('slot_active') #>> '{evidence,is_temporary}', 'true', 'with what it is like'
);
select is(pg_temp.finding('nobody_listens'), null, 'with a slot nothing is said of a lack of one');

insert into realtime.subscription (subscription_id, entity, claims)
values (gen_random_uuid(), 'public.forum_posts', '{"role": "authenticated"}');
select is(
  pg_temp.finding('realtime_not_following'), null, 'a subscription with a slot is in order'
);

select is(
  (select slt.may_be_ended from runbook.realtime_slots() as slt), false,
  'our own session is never ended'
);
select is(
  runbook.slot_reader_refusal(
    (
      select jsonb_build_object(
        'pid', slt.pid, 'backend_start', slt.backend_start, 'slot', slt.name
      )
      from runbook.realtime_slots() as slt
    )
  ),
  'The session may not be ended from here.',
  'nor by an effect that was planned'
);
select is(
  runbook.slot_reader_refusal('{"pid": 1, "backend_start": "2020-01-01", "slot": "x"}'),
  'The session has ended, or no longer reads the slot.',
  'nor one that another has taken the place of'
);

select is(pg_temp.code_of(true, 'reserved', 10, 10, 100), 'slot_active', 'a slot nearby is well');
select is(pg_temp.code_of(true, 'reserved', 10, 50, 100), 'slot_active', 'half is not too much');
select is(pg_temp.code_of(true, 'extended', 10, 51, 100), 'slot_behind', 'more than half is');
select is(
  pg_temp.code_of(true, 'reserved', 9e9, 9e9, null), 'slot_active', 'without a limit never'
);
select is(
  pg_temp.code_of(false, 'reserved', 0, 0, 100), 'slot_inactive', 'one nobody reads is found'
);
select is(pg_temp.code_of(true, 'lost', null, null, 100), 'slot_lost', 'so is one that is lost');

select pg_drop_replication_slot('supabase_realtime_test_slot');
select is(
  pg_temp.finding('realtime_not_following') -> 'remediation',
  '"restart-realtime"',
  'a subscription without a slot is a problem'
);
delete from realtime.subscription where id > 0;
select is(pg_temp.finding('realtime_not_following'), null, 'without subscriptions');
select is(
  pg_temp.finding('nobody_listens') ->> 'severity', 'info', 'no slot is as it should be'
);

select * from finish();
rollback;
