-- Everything that is wrong in the demo, each trouble under the handbook's issue that it belongs to;
-- README.md beside this file lists them with the person to try.
-- Relies on: the healthy school of the files before. A second run breaks again what was mended since.

-- "User cannot login" ------------------------------------------------------------------------------

-- Blocked by the login limiter for the fifth time, so for the next hours; and a visitor who keeps
-- mistyping an address that no user has. The last two are free to try: a block that is over, and
-- failures that are too few for one.
insert into public.auth_rate_limits (
  identifier,
  failed_attempts,
  window_started_at,
  blocked_until,
  times_blocked,
  created_at
)
values
  (
    'blocked@demo.example', 0, now() - interval '8 minutes',
    now() + interval '3 hours 52 minutes', 5, now() - interval '9 hours'
  ),
  (
    'ghost@demo.example', 0, now() - interval '3 minutes',
    now() + interval '57 minutes', 3, now() - interval '2 hours'
  ),
  (
    'was-blocked@demo.example', 0, now() - interval '3 hours',
    now() - interval '2 hours 45 minutes', 1, now() - interval '3 hours'
  ),
  ('student001@demo.example', 3, now() - interval '4 minutes', null, 0, now() - interval '4 minutes')
on conflict (identifier) do update set
  failed_attempts = excluded.failed_attempts,
  window_started_at = excluded.window_started_at,
  blocked_until = excluded.blocked_until,
  times_blocked = excluded.times_blocked;

-- Signed up three days ago and never opened the mail. The token is of no use to anybody.
update auth.users
set
  email_confirmed_at = null,
  last_sign_in_at = null,
  confirmation_token = encode(sha224('unconfirmed@demo.example'::bytea), 'hex'),
  raw_user_meta_data = raw_user_meta_data || '{"email_verified": false}',
  updated_at = confirmation_sent_at
where id = '10000000-0000-4000-8000-000000000012'
  and confirmation_token = '';

update auth.identities
set identity_data = identity_data || '{"email_verified": false}'
where user_id = '10000000-0000-4000-8000-000000000012';

insert into auth.one_time_tokens (
  id,
  user_id,
  token_type,
  token_hash,
  relates_to,
  created_at,
  updated_at
)
select
  '13000000-0000-4000-8000-000000000012',
  users.id,
  'confirmation_token',
  users.confirmation_token,
  users.email,
  users.confirmation_sent_at at time zone 'UTC',
  users.confirmation_sent_at at time zone 'UTC'
from auth.users
where users.id = '10000000-0000-4000-8000-000000000012'
on conflict do nothing;

-- Banned for two more weeks, with a session from before the ban; and one whose ban is over.
update auth.users
set banned_until = now() + interval '14 days'
where id = '10000000-0000-4000-8000-000000000013';

update auth.users
set banned_until = now() - interval '1 day'
where id = '10000000-0000-4000-8000-000000000021';

-- Signed up with Google: no password to sign in with.
update auth.users
set
  encrypted_password = '',
  raw_app_meta_data = '{"provider": "google", "providers": ["google"]}',
  raw_user_meta_data = jsonb_build_object(
    'iss', 'https://accounts.google.com',
    'sub', '100000000000000000014',
    'provider_id', '100000000000000000014',
    'name', 'Imane Tahiri',
    'full_name', 'Imane Tahiri',
    'email', 'google@demo.example',
    'email_verified', true,
    'phone_verified', false
  )
where id = '10000000-0000-4000-8000-000000000014';

update auth.identities
set
  provider = 'google',
  provider_id = '100000000000000000014',
  identity_data = users.raw_user_meta_data
from auth.users
where identities.user_id = users.id
  and users.id = '10000000-0000-4000-8000-000000000014';

-- Soft-deleted as Auth does it: e-mail and identity are replaced by a hash over the id and the old
-- value, so only the profile still knows who it was.
update auth.users
set
  email = rtrim(
    translate(encode(sha256((id || 'deleted@demo.example')::bytea), 'base64'), '+/', '-_'),
    '='
  ),
  phone = left(translate(encode(sha256(id::text::bytea), 'base64'), '+/', '-_'), 15),
  email_change = rtrim(translate(encode(sha256(id::text::bytea), 'base64'), '+/', '-_'), '='),
  phone_change = left(translate(encode(sha256(id::text::bytea), 'base64'), '+/', '-_'), 15),
  encrypted_password = null,
  raw_app_meta_data = '{}',
  raw_user_meta_data = '{}',
  deleted_at = now() - interval '10 days',
  updated_at = now() - interval '10 days'
where id = '10000000-0000-4000-8000-000000000015'
  and deleted_at is null;

update auth.identities
set
  identity_data = '{}',
  provider_id = rtrim(
    translate(
      encode(sha256((user_id || provider || ':' || provider_id)::bytea), 'base64'),
      '+/',
      '-_'
    ),
    '='
  )
where user_id = '10000000-0000-4000-8000-000000000015'
  and identity_data <> '{}';

-- Asked for a new address an hour ago, confirmed neither mail, and types the new one.
update auth.users
set
  email_change = 'salma-nieuw@demo.example',
  email_change_sent_at = now() - interval '1 hour',
  email_change_token_new = encode(sha224('salma-nieuw@demo.example'::bytea), 'hex'),
  email_change_token_current = encode(sha224('email-change@demo.example'::bytea), 'hex')
where id = '10000000-0000-4000-8000-000000000016'
  and email_change = '';

insert into auth.one_time_tokens (
  id,
  user_id,
  token_type,
  token_hash,
  relates_to,
  created_at,
  updated_at
)
select
  token.id::uuid,
  users.id,
  token.type::auth.one_time_token_type,
  case token.type
    when 'email_change_token_new' then users.email_change_token_new
    else users.email_change_token_current
  end,
  case token.type when 'email_change_token_new' then users.email_change else users.email end,
  users.email_change_sent_at at time zone 'UTC',
  users.email_change_sent_at at time zone 'UTC'
from auth.users
cross join (
  values
    ('13000000-0000-4000-8000-000000000016', 'email_change_token_current'),
    ('13000000-0000-4000-8000-000000000116', 'email_change_token_new')
) as token (id, type)
where users.id = '10000000-0000-4000-8000-000000000016'
on conflict do nothing;

-- A second factor: the password is right, and still the code is asked for.
insert into auth.mfa_factors (
  id,
  user_id,
  friendly_name,
  factor_type,
  status,
  created_at,
  updated_at,
  secret
)
select
  '12000000-0000-4000-8000-000000000017',
  users.id,
  'Telefoon van Thijs',
  'totp',
  'verified',
  users.created_at + interval '1 day',
  users.created_at + interval '1 day',
  'DEMODEMODEMODEMODEMODEMODEMODEMO'
from auth.users
where users.id = '10000000-0000-4000-8000-000000000017'
on conflict do nothing;

-- Comes through the partner school's single sign-on: Auth does not find such users by e-mail.
insert into auth.sso_providers (id, created_at, updated_at)
select
  '17000000-0000-4000-8000-000000000001',
  now() - interval '95 days',
  now() - interval '95 days'
from auth.users
where users.id = '10000000-0000-4000-8000-000000000018'
on conflict do nothing;

insert into auth.sso_domains (id, sso_provider_id, domain, created_at, updated_at)
select
  '17000000-0000-4000-8000-000000000002',
  sso_providers.id,
  'partner-school.example',
  sso_providers.created_at,
  sso_providers.created_at
from auth.sso_providers
where sso_providers.id = '17000000-0000-4000-8000-000000000001'
on conflict do nothing;

update auth.users
set
  is_sso_user = true,
  encrypted_password = '',
  raw_app_meta_data = jsonb_build_object(
    'provider', 'sso:17000000-0000-4000-8000-000000000001',
    'providers', jsonb_build_array('sso:17000000-0000-4000-8000-000000000001')
  )
where id = '10000000-0000-4000-8000-000000000018';

update auth.identities
set
  provider = 'sso:17000000-0000-4000-8000-000000000001',
  provider_id = 'sso@partner-school.example'
where user_id = '10000000-0000-4000-8000-000000000018';

-- "Student cannot see class content" -----------------------------------------------------------------

update public.inschrijvingen
set
  payment_status = 'pending',
  paid_at = null
where id = '40000000-0000-4000-8000-000000000031'
  and payment_status <> 'pending';

update public.inschrijvingen
set payment_status = 'refunded'
where id = '40000000-0000-4000-8000-000000000034'
  and payment_status <> 'refunded';

update public.klassen
set published = false
where id = '30000000-0000-4000-8000-000000000006'
  and published;

-- Somebody rewrote the policies of recordings and forgot the students: row level security without a
-- policy for them shows nothing, and says nothing. The class for recitation is nothing but recordings.
drop policy if exists "Students can view recordings of their classes" on public.recordings;

-- "Forum posts not loading" --------------------------------------------------------------------------

-- Moderation was switched on for Conversatie and nobody approves; Kalligrafie has no posts, which is
-- no trouble at all.
update public.forum_posts
set is_approved = false
where class_id = '30000000-0000-4000-8000-000000000003'
  and is_approved;

-- forum_threads was made anew once, and nobody put it back among the published tables.
do $$
begin
  if exists (
    select 1
    from pg_publication_tables
    where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'forum_threads'
  ) then
    alter publication supabase_realtime drop table public.forum_threads;
  end if;
end;
$$;

-- "Slow database queries" ----------------------------------------------------------------------------

-- The rollback script of the handbook was run, and the index of 6,000 posts by thread never came back.
drop index if exists public.idx_forum_posts_thread_id;

-- Two people added the same index; a third added one that no query uses.
create index if not exists idx_enrollments_class on public.inschrijvingen (class_id);

create index if not exists idx_analytics_events_user_agent
on public.analytics_events (user_agent, page, id);

-- A report reads the vitals visit by visit, and each visit reads all of analytics_events.
do $$
declare
  _visit integer;
begin
  for _visit in 1 .. 12 loop
    perform public.session_vitals('visit-' || lpad((_visit * 100)::text, 5, '0'));
  end loop;
end;
$$;

-- "High memory usage" --------------------------------------------------------------------------------

-- autovacuum was switched off "for speed" on the table that the player writes all day: after five
-- updates of each row five sixths of it are dead. analytics_events needs nothing more: a tenth of it
-- is older than a year.
alter table public.lesson_progress set (autovacuum_enabled = false);

insert into public.lesson_progress (student_id, recording_id)
select
  student.id,
  recordings.id
from public.profiles as student
cross join public.recordings
where student.email like 'student0__@demo.example'
  and recordings.class_id = '30000000-0000-4000-8000-000000000004'
  and not exists (select 1 from public.lesson_progress);

do $$
begin
  if exists (select 1 from public.lesson_progress where seconds_watched > 0) then
    return;
  end if;
  for _round in 1 .. 5 loop
    update public.lesson_progress
    set
      seconds_watched = _round * 300,
      updated_at = now() - (6 - _round) * interval '10 minutes'
    where student_id is not null;
  end loop;
end;
$$;

analyze public.analytics_events, public.forum_posts, public.submissions, public.inschrijvingen;
