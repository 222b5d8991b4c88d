begin;

select plan(18);

set local client_min_messages = warning;
create table if not exists public.auth_rate_limits (
  identifier text primary key,
  blocked_until timestamptz
);
insert into public.auth_rate_limits (identifier, blocked_until)
values
  ('forget.me@test.example', '2999-01-01 00:00:00+00'),
  ('dont-forget.me@test.example', '2999-01-01 00:00:00+00');
insert into auth.users (instance_id, id, email, aud, role)
values (
  '00000000-0000-0000-0000-000000000000', '11111111-2222-4333-8444-555555555555',
  'forget.me@test.example', 'authenticated', 'authenticated'
);

select runbook.remediate(
  'unblock-login', '{"email": "Forget.Me@test.example"}',
  reason => 'forget.me@test.example called (11111111-2222-4333-8444-555555555555).'
);
select runbook.remediate(
  'unblock-login', '{"email": "dont-forget.me@test.example"}', reason => 'another'
);
select runbook.record_refusal(
  '{"sub": "11111111-2222-4333-8444-555555555555"}', 'unblock-login', 'ROLE_REQUIRED', 'No.',
  '{"email": "forget.me@test.example", "reset_token": "canary"}'
);

create function pg_temp.record()
returns text
language sql
as $$
  select concat(
    (select string_agg(to_jsonb(run)::text, ' ') from runbook.run as run),
    (select string_agg(to_jsonb(stp)::text, ' ') from runbook.step as stp),
    (select string_agg(to_jsonb(ref)::text, ' ') from runbook.refusal as ref)
  );
$$;
create function pg_temp.forget(key text, hash text)
returns jsonb
language sql
as $$
  select runbook.remediate(
    'forget-person', '{"email": "forget.me@test.example"}', hash is null, 'article 17', key, hash
  );
$$;

select ok(pg_temp.record() ~ '[ "]forget.me@test.example', 'the record names the person');
select throws_ok(
  $$
  select runbook.remediate(
    'forget-person', '{"email": "forget.me@test.example"}', reason => 'article 17'
  )
  $$,
  'RB400', null, 'it takes a plan that was seen, and a key'
);
select throws_ok(
  $$
  set local role runbook_operator;
  select runbook.remediate('forget-person', '{"email": "forget.me@test.example"}', true)
  $$,
  'RB405', null, 'and an admin'
);

create temporary table planned as select pg_temp.forget(null, null) as answer;
select is(
  (select answer #>> '{steps,0,summary}' from planned)
  ~ '^Replace the person by person-[0-9a-f]{16} in 3 rows',
  true,
  'the plan counts the rows'
);
select ok(pg_temp.record() ~ '[ "]forget.me@test.example', 'and changes nothing');

create temporary table done as
select pg_temp.forget('forget-1', (select answer ->> 'plan_hash' from planned)) as answer;
select is((select answer ->> 'state' from done), 'succeeded', 'applying succeeds');
select ok(
  pg_temp.record() !~ '[^-]forget.me@test.example', 'the record knows the address no more'
);
select ok(pg_temp.record() !~* '11111111-2222-4333-8444', 'nor the account, nor in the reason');
select ok(pg_temp.record() ~ 'dont-forget.me@test.example', 'whose address only looks alike stays');
select ok(pg_temp.record() !~ 'canary', 'and no secret was ever kept of a refusal');
select ok(
  (select answer::text !~ '[ "]forget.me@test.example' from done),
  'the answer is without the person'
);
select is(
  (
    select jsonb_build_object('until', stp.before -> 'blocked_until', 'key', stp.key)
    from runbook.step as stp
    where stp.relation = 'public.auth_rate_limits'
      and stp.before::text like '%person-%'
  ),
  (
    select jsonb_build_object(
      'until', run.subject, 'key', jsonb_build_object('identifier', run.subject)
    )
    from runbook.run as run
    where run.id = (select (answer #>> '{run,id}')::bigint from done)
  ),
  'images that named the person say nothing more of them'
);
create function pg_temp.undo_of(reason text)
returns jsonb
language sql
as $$
  select runbook.run_of(run.id) -> 'undo' from runbook.run as run where run.reason = undo_of.reason;
$$;
select is(
  (
    select runbook.run_of(stp.run_id) -> 'undo'
    from runbook.step as stp
    where stp.before::text like '%person-%'
  ),
  '{
    "available": false, "complete": false, "reason": "it is about a person who was forgotten."
  }',
  'nor can they be brought back'
);
select is(pg_temp.undo_of('another') -> 'available', 'true', 'as those of others can');
select is_empty('select from runbook.forgetting', 'nothing is left that would open the record');
select is(
  (select answer #>> '{undo,available}' from done), 'false', 'what was forgotten does not come back'
);

select runbook.record_refusal(
  '{"role": "service_role", "key_name": "default"}',
  'unblock-login',
  'FROZEN',
  'forget.me@test.example'
);
create temporary table again as
select pg_temp.forget('forget-2', (pg_temp.forget(null, null)) ->> 'plan_hash') as answer;
select is((select answer ->> 'state' from again), 'succeeded', 'it can be done again');
select is(
  (select answer ->> 'subject' from (select answer -> 'run' from again) as run (answer)),
  (select answer ->> 'subject' from (select answer -> 'run' from done) as run (answer)),
  'and gives the same pseudonym'
);

select * from finish();
rollback;
