begin;

select plan(5);

set local client_min_messages = warning;

-- Enough people that an index is cheaper than reading all of them.
insert into auth.users (
  instance_id, id, aud, email, email_confirmed_at, encrypted_password, raw_user_meta_data
)
select
  '00000000-0000-0000-0000-000000000000',
  ('bbbbbbbb-0000-4000-9000-' || lpad(n::text, 12, '0'))::uuid,
  'authenticated',
  'many' || n || '@many.example',
  now(),
  'x',
  jsonb_build_object('note', repeat('.', 200))
from generate_series(1, 4000) as n;

insert into auth.identities (provider_id, user_id, identity_data, provider)
select usr.id::text, usr.id, jsonb_build_object('email', usr.email), 'email'
from auth.users as usr
where usr.id::text like 'bbbbbbbb-0000-4000-9000-%';

insert into auth.sessions (id, user_id, created_at, updated_at)
select usr.id, usr.id, now(), now()
from auth.users as usr
where usr.id::text like 'bbbbbbbb-0000-4000-9000-%';

insert into auth.mfa_factors (id, user_id, factor_type, status, created_at, updated_at, secret)
select usr.id, usr.id, 'totp', 'unverified', now(), now(), repeat('A', 32)
from auth.users as usr
where usr.id::text like 'bbbbbbbb-0000-4000-9000-%';

insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to)
select usr.id, usr.id, 'confirmation_token', usr.id, usr.email
from auth.users as usr
where usr.id::text like 'bbbbbbbb-0000-4000-9000-%';

analyze auth.users;
analyze auth.identities;
analyze auth.sessions;
analyze auth.mfa_factors;
analyze auth.one_time_tokens;

create function pg_temp.whole_reads()
returns bigint
language sql
as $$
  select sum(sta.seq_scan)
  from pg_catalog.pg_stat_xact_user_tables as sta
  where sta.schemaname = 'auth'
    -- A few domains are read whole, rightly.
    and sta.relname <> 'sso_domains';
$$;

create temporary table before as
select pg_temp.whole_reads() as whole_reads;

-- Six times each: from then on a function may use a plan that does not know the values.
create temporary table asked as
select
  asked.params,
  array(
    select runbook.diagnose('login', asked.params) #>> '{findings,0,code}'
    from generate_series(1, 7) as again
    where again > 0 and asked.params is not null
  ) as codes
from (
  values
    ('{"email": "many7@many.example"}'::jsonb),
    ('{"user_id": "bbbbbbbb-0000-4000-9000-000000000007"}'),
    ('{"email": "many@nothing.example"}'),
    ('{"email": "m.any7+x@gmail.com"}'),
    ('{"email": "many7@mayn.example"}')
) as asked (params);

select is(
  (select max(ask.codes[7]) from asked as ask where ask.params ->> 'email' like '%mayn%'),
  'no_such_user',
  'the questions were asked'
);

select is(
  (
    select count(*)
    from asked as ask
    where array_length(ask.codes, 1) = 7
  ),
  5::bigint,
  'seven times each'
);

select is(
  pg_temp.whole_reads(),
  (select bef.whole_reads from before as bef),
  'no table of Auth was read whole'
);

-- The index begins with the instance: without it, it would be read from one end to the other.
select is_empty(
  $$
  select fun.proname
  from pg_catalog.pg_proc as fun
  where fun.pronamespace = 'runbook'::regnamespace
    and regexp_replace(
      fun.prosrc, 'usr\.instance_id = ''[0-]+''\s+and lower\(usr\.email::text\)', '', 'g'
    ) like '%lower(usr.email::text)%'
  $$,
  'no address is looked up without its instance'
);

select is_empty(
  $$
  select fun.proname
  from pg_catalog.pg_proc as fun
  where fun.pronamespace = 'runbook'::regnamespace
    and fun.prosrc like '%audit_log_entries%'
  $$,
  'no function reads the audit log'
);

select * from finish();
rollback;
