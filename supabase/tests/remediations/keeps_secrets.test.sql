begin;

select plan(6);

set local client_min_messages = warning;
-- A remediation that declares what the test puts into a table.
create table public.test_wanted (
  id bigint generated always as identity primary key,
  declared runbook.declared_step
);
create function public.test_remedy(params jsonb)
returns setof runbook.declared_step
language sql
stable
as $$ select (wtd.declared).* from public.test_wanted as wtd order by wtd.id $$;
insert into runbook.remediation
  (name, title, description, parameters, subject_keys, function, risk, issue, cures)
values (
  'test-remedy', 'Test', 'Test.', '{"type": "object", "properties": {}}', '{}',
  'public.test_remedy', 'low', null, '{}'
);

-- A canary in every column of Auth that holds a secret.
insert into auth.users (
  instance_id, id, email, aud, role, encrypted_password, confirmation_token, recovery_token,
  email_change_token_new, email_change_token_current, phone_change_token, reauthentication_token
)
values (
  '00000000-0000-0000-0000-000000000000', '22222222-2222-4333-8444-555555555555',
  'secrets@test.example', 'authenticated', 'authenticated', 'canary-1', 'canary-2', 'canary-3',
  'canary-4', 'canary-5', 'canary-6', 'canary-7'
);
insert into auth.sessions (id, user_id, refresh_token_hmac_key)
values (
  '33333333-2222-4333-8444-555555555555', '22222222-2222-4333-8444-555555555555', 'canary-8'
);
insert into auth.refresh_tokens (instance_id, id, token, user_id, session_id, parent)
values (
  '00000000-0000-0000-0000-000000000000', 9000000001, 'canary-9',
  '22222222-2222-4333-8444-555555555555', '33333333-2222-4333-8444-555555555555', 'canary-10'
);
insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to)
values (
  '44444444-2222-4333-8444-555555555555', '22222222-2222-4333-8444-555555555555',
  'recovery_token', 'canary-11', 'x'
);
insert into auth.mfa_factors (id, user_id, factor_type, status, created_at, updated_at, secret)
values (
  '55555555-2222-4333-8444-555555555555', '22222222-2222-4333-8444-555555555555', 'totp',
  'verified', now(), now(), 'canary-12'
);

insert into public.test_wanted (declared)
values
  (runbook.update_step(
    'auth.users', '{"id": "22222222-2222-4333-8444-555555555555"}',
    '{"phone": "+31000", "recovery_token": "canary-13"}', 'Change.'
  )),
  (runbook.delete_step(
    'auth.sessions', '{"id": "33333333-2222-4333-8444-555555555555"}', 'Sign out.'
  ));

create temporary table said as
select runbook.remediate('test-remedy', '{}', dry_run => true) as answer
union all
select runbook.remediate('test-remedy', '{}', reason => 'test');

select is(
  (select jsonb_agg(answer -> 'state') from said), '["planned", "succeeded"]', 'both are done'
);
select ok(
  (select bool_and(answer::text not like '%canary%') from said), 'no answer has a canary'
);

create function pg_temp.written()
returns text
language sql
as $$
  select concat(
    (select string_agg(to_jsonb(run)::text, ' ') from runbook.run as run),
    (select string_agg(to_jsonb(stp)::text, ' ') from runbook.step as stp),
    (select string_agg(to_jsonb(cll)::text, ' ') from runbook.call as cll)
  );
$$;
select ok(pg_temp.written() not like '%canary%', 'the record has none');

delete from public.test_wanted where true;
insert into public.test_wanted (declared)
values (runbook.delete_step(
  'auth.users', '{"id": "22222222-2222-4333-8444-555555555555"}', 'Delete the account.'
));
insert into said select runbook.remediate('test-remedy', '{}', reason => 'test');
select ok(
  (select bool_and(answer::text not like '%canary%') from said)
  and pg_temp.written() not like '%canary%',
  'nor when an account goes with all that hangs on it'
);
select cmp_ok(
  (select max(jsonb_array_length(answer -> 'steps')) from said), '>=', 3,
  'which are steps of their own'
);

create table public.test_hidden (token_hash text primary key, note text);
insert into public.test_hidden values ('canary-14', 'x');
delete from public.test_wanted where true;
insert into public.test_wanted (declared)
values (runbook.delete_step('public.test_hidden', '{"token_hash": "canary-14"}', 'Delete.'));
select ok(
  runbook.remediate('test-remedy', '{}', reason => 'test')::text not like '%canary%'
  and pg_temp.written() not like '%canary%',
  'a row whose key is a secret is not touched, and not named'
);

select * from finish();
rollback;
