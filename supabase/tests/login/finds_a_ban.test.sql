begin;

select plan(8);

create function pg_temp.finding()
returns jsonb
language sql
as $$
  select runbook.diagnose('login', '{"email": "chadi@test.example"}') #> '{findings,0}';
$$;

create function pg_temp.ban_until(until timestamptz)
returns void
language sql
as $$
  update auth.users
  set banned_until = until
  where id = 'bbbbbbbb-0000-4000-8000-000000000004';
$$;

insert into auth.users (
  instance_id, id, aud, email, email_confirmed_at, encrypted_password
)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000004',
  'authenticated',
  'chadi@test.example',
  now(),
  'x'
);

select is(pg_temp.finding(), null, 'an account without a ban is no finding');

select pg_temp.ban_until(clock_timestamp() - interval '1 second');
select is(pg_temp.finding(), null, 'nor is one whose ban is over');

select pg_temp.ban_until('2999-01-01 00:00:00+00');
select is(pg_temp.finding() ->> 'code', 'banned', 'a banned account is one');

select is(
  jsonb_build_object(
    'remediation', pg_temp.finding() -> 'remediation',
    'params', pg_temp.finding() -> 'params'
  ),
  '{
    "remediation": "unban-user",
    "params": {"user_id": "bbbbbbbb-0000-4000-8000-000000000004"}
  }',
  'the finding names its remediation, ready to be sent'
);

select is(
  (pg_temp.finding() #>> '{evidence,banned_until}')::timestamptz,
  '2999-01-01 00:00:00+00',
  'the evidence says until when'
);

select runbook.shift_clock('2000 years');
select is(pg_temp.finding() ->> 'code', 'banned', 'the real clock decides, not the runbook''s');

select pg_temp.ban_until('infinity');
select is(pg_temp.finding() ->> 'code', 'banned', 'a ban without end is one too');

select pg_temp.ban_until(null);
select is(pg_temp.finding(), null, 'once it is lifted, nothing is found');

select * from finish();
rollback;
