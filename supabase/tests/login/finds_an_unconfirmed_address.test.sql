begin;

select plan(6);

create function pg_temp.finding()
returns jsonb
language sql
as $$
  select runbook.diagnose('login', '{"email": "bilal@test.example"}') #> '{findings,0}';
$$;

insert into auth.users (instance_id, id, aud, email, email_confirmed_at, confirmation_sent_at)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000003',
  'authenticated',
  'bilal@test.example',
  now(),
  '2026-01-02 03:04:05+00'
);

select is(pg_temp.finding(), null, 'a confirmed address is no finding');

update auth.users
set email_confirmed_at = null
where id = 'bbbbbbbb-0000-4000-8000-000000000003';

select is(pg_temp.finding() ->> 'code', 'unconfirmed', 'an address that was not confirmed is one');

select is(
  (pg_temp.finding() #>> '{evidence,confirmation_sent_at}')::timestamptz,
  '2026-01-02 03:04:05+00',
  'the evidence says when the mail went out'
);

select ok(
  pg_temp.finding() ->> 'summary' like '%2026-01-02 03:04:05 UTC%',
  'so does the summary'
);

select is(pg_temp.finding() -> 'remediation', 'null', 'there is no remediation for it yet');

update auth.users
set email_confirmed_at = now()
where id = 'bbbbbbbb-0000-4000-8000-000000000003';

select is(pg_temp.finding(), null, 'once it is confirmed, nothing is found');

select * from finish();
rollback;
