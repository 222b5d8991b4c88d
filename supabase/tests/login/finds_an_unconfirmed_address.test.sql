begin;

select plan(10);

create function pg_temp.codes()
returns text
language sql
as $$
  select coalesce(string_agg(fnd.content ->> 'code', ' ' order by fnd.content ->> 'code'), '')
  from jsonb_array_elements(
    runbook.diagnose('login', '{"email": "bilal@test.example"}') -> 'findings'
  ) as fnd (content);
$$;

create function pg_temp.finding(code text)
returns jsonb
language sql
as $$
  select fnd.content
  from jsonb_array_elements(
    runbook.diagnose('login', '{"email": "bilal@test.example"}') -> 'findings'
  ) as fnd (content)
  where fnd.content ->> 'code' = finding.code;
$$;

insert into auth.users (
  instance_id, id, aud, email, email_confirmed_at, confirmation_sent_at, encrypted_password
)
values (
  '00000000-0000-0000-0000-000000000000',
  'bbbbbbbb-0000-4000-8000-000000000003',
  'authenticated',
  'bilal@test.example',
  now(),
  '2026-01-02 03:04:05+00',
  'x'
);

select is(pg_temp.codes(), '', 'a confirmed address is no finding, however old its mail');

update auth.users
set email_confirmed_at = null
where id = 'bbbbbbbb-0000-4000-8000-000000000003';

select is(
  pg_temp.codes(),
  'confirmation_expired unconfirmed',
  'an address that was not confirmed is one, and a link that is older than any lives is another'
);

select is(
  (pg_temp.finding('unconfirmed') #>> '{evidence,confirmation_sent_at}')::timestamptz,
  '2026-01-02 03:04:05+00',
  'the evidence says when the mail went out'
);

select ok(
  pg_temp.finding('unconfirmed') ->> 'summary' like '%2026-01-02 03:04:05 UTC%',
  'so does the summary'
);

select is(
  jsonb_build_object(
    'unconfirmed', pg_temp.finding('unconfirmed') -> 'remediation',
    'confirmation_expired', pg_temp.finding('confirmation_expired') -> 'remediation'
  ),
  '{"unconfirmed": "confirm-email", "confirmation_expired": "resend-confirmation"}',
  'each names the remediation that cures it'
);

select is(
  pg_temp.finding('unconfirmed') -> 'params',
  '{"user_id": "bbbbbbbb-0000-4000-8000-000000000003"}',
  'ready to be sent'
);

update auth.users
set confirmation_sent_at = now() - interval '23 hours'
where id = 'bbbbbbbb-0000-4000-8000-000000000003';
select is(pg_temp.codes(), 'unconfirmed', 'a link of today may still work');

update auth.users
set confirmation_sent_at = now() - interval '25 hours'
where id = 'bbbbbbbb-0000-4000-8000-000000000003';
select is(pg_temp.codes(), 'confirmation_expired unconfirmed', 'one of yesterday does not');

update auth.users
set confirmation_sent_at = null
where id = 'bbbbbbbb-0000-4000-8000-000000000003';
select is(pg_temp.codes(), 'confirmation_expired unconfirmed', 'no mail at all is no link either');

update auth.users
set email_confirmed_at = now()
where id = 'bbbbbbbb-0000-4000-8000-000000000003';
select is(pg_temp.codes(), '', 'once it is confirmed, nothing is found');

select * from finish();
rollback;
