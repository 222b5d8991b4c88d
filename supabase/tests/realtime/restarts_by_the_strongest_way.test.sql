begin;

select plan(21);

create function pg_temp.plan_of(params jsonb default '{}')
returns jsonb
language sql
as $$ select runbook.remediate('restart-realtime', plan_of.params, dry_run => true); $$;

create function pg_temp.apply()
returns jsonb
language sql
as $$
  select runbook.remediate(
    'restart-realtime',
    '{}',
    reason => 'test',
    idempotency_key => gen_random_uuid()::text,
    plan_hash => pg_temp.plan_of() ->> 'plan_hash'
  );
$$;

delete from runbook.probe where name = 'realtime_health';
select is(
  pg_temp.plan_of() #>> '{steps,0,statement}',
  'nudge_realtime {"action": "add"}',
  'without a token and without a slot the publication is changed'
);
select is(pg_temp.plan_of() #>> '{steps,1,operation}', 'await_realtime', 'and then it is waited');
select matches(
  pg_temp.plan_of() #>> '{steps,0,summary}', 'subscribe to changes anew',
  'the plan says what clients feel'
);

select runbook.record_probe(
  'realtime_health',
  true,
  '{"by": "management_api", "status": 200, "project_ref": "abcdefghijklmnopqrst", "healthy": true}'
);
select is(
  pg_temp.plan_of() #>> '{steps,0,statement}',
  'POST /projects/abcdefghijklmnopqrst/config/realtime/shutdown',
  'where the Management API has just answered it is asked'
);
select matches(
  pg_temp.plan_of() #>> '{steps,0,summary}', 'loses its connection', 'which clients feel more'
);
select is(
  pg_temp.plan_of('{"way": "publication"}') #>> '{steps,0,operation}',
  'nudge_realtime',
  'a weaker way may be chosen'
);
select throws_ok(
  $$ select pg_temp.plan_of('{"way": "session"}') $$, '55000', null, 'if it is open'
);
select throws_ok(
  $$ select pg_temp.plan_of('{"way": "sledgehammer"}') $$, '55000', null, 'and if it is one'
);

select runbook.record_probe(
  'realtime_health',
  true,
  '{"by": "management_api", "status": 200, "project_ref": "../../admin", "healthy": true}'
);
select throws_ok(
  'select pg_temp.plan_of()', '55000', null, 'what is no project''s ref gets into no address'
);
select runbook.record_probe(
  'realtime_health',
  false,
  '{"by": "management_api", "status": 401, "project_ref": "abcdefghijklmnopqrst"}'
);
select is(
  pg_temp.plan_of() #>> '{steps,0,operation}', 'nudge_realtime',
  'a token that is refused is none'
);

create temporary table answered as select pg_temp.apply() as run;
select is(
  (select ans.run ->> 'state' from answered as ans), 'applying', 'applied, it goes on'
);
select is(
  (select pub.is_nudged from runbook.realtime_publication() as pub), true,
  'the publication has another table'
);
select is(
  runbook.diagnose('realtime', '{}')::text like '%realtime_nudge%', false,
  'which the diagnosis leaves out'
);
select throws_ok('select pg_temp.apply()', 'RB410', null, 'a second restart waits for the first');

create function pg_temp.look(way text, since interval)
returns text
language sql
as $$
  select runbook.await_realtime(
    jsonb_build_object('way', look.way),
    jsonb_build_object('since', clock_timestamp() - look.since)
  ) #>> '{cursor,outcome}';
$$;

-- So that the time counts from the cursor.
set constraints all immediate;
select runbook.settle_step((ans.run #>> '{run,id}')::bigint, 2, 'done', '{}') from answered as ans;
select runbook.close_run((ans.run #>> '{run,id}')::bigint) from answered as ans;

select is(pg_temp.look('publication', '1 minute'), 'waiting', 'a look in between is one');
select is(pg_temp.look('publication', '4 minutes'), 'nobody', 'where nobody listens that is said');
insert into realtime.subscription (subscription_id, entity, claims, created_at)
values (
  gen_random_uuid(), 'public.forum_posts', '{"role": "authenticated"}',
  timezone('utc', now() - interval '1 hour')
);
select is(pg_temp.look('publication', '1 minute'), 'waiting', 'an old subscription is not back');
select is(
  pg_temp.look('publication', '4 minutes'), 'not_back', 'and after three minutes it is said'
);
update realtime.subscription set created_at = timezone('utc', clock_timestamp()) where id > 0;
select is(pg_temp.look('publication', '1 minute'), 'back', 'subscribed anew they are back');
select is(pg_temp.look('session', '4 minutes'), 'not_back', 'without a slot a session is not');

select is(
  pg_temp.plan_of() #>> '{steps,0,statement}',
  'nudge_realtime {"action": "drop"}',
  'the next restart takes the table out again'
);

select * from finish();
rollback;
