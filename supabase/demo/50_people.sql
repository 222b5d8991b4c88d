-- The people of the school: healthy ones, and those whose trouble 70_troubles.sql makes. Rows in auth
-- look as Supabase Auth writes them; the password is demo-password-1.
-- Does nothing where people exist already, so that it never lands among real users.
-- Relies on: auth.users with the trigger that makes a profile for each new user.

create temporary table demo_person (
  id uuid primary key,
  email text not null unique,
  full_name text not null,
  role text not null,
  member_for interval not null
);

insert into demo_person (id, email, full_name, role, member_for)
values
  -- Staff. The first three are also the runbook's members.
  ('10000000-0000-4000-8000-000000000001', 'admin@demo.example', 'Nadia el Amrani', 'admin', '730 days'),
  ('10000000-0000-4000-8000-000000000002', 'operator@demo.example', 'Joris van Dijk', 'admin', '700 days'),
  ('10000000-0000-4000-8000-000000000003', 'viewer@demo.example', 'Sanne Bakker', 'teacher', '650 days'),
  ('10000000-0000-4000-8000-000000000004', 'youssef@demo.example', 'Youssef Benali', 'teacher', '720 days'),
  ('10000000-0000-4000-8000-000000000005', 'khadija@demo.example', 'Khadija Mansouri', 'teacher', '500 days'),
  -- Students who can do everything they should.
  ('10000000-0000-4000-8000-000000000010', 'ok@demo.example', 'Fatima Zahra Ouali', 'student', '300 days'),
  -- Login.
  ('10000000-0000-4000-8000-000000000011', 'blocked@demo.example', 'Hamza Bouzidi', 'student', '280 days'),
  ('10000000-0000-4000-8000-000000000012', 'unconfirmed@demo.example', 'Lotte de Vries', 'student', '3 days'),
  ('10000000-0000-4000-8000-000000000013', 'banned@demo.example', 'Bilal Haddad', 'student', '200 days'),
  ('10000000-0000-4000-8000-000000000014', 'google@demo.example', 'Imane Tahiri', 'student', '150 days'),
  ('10000000-0000-4000-8000-000000000015', 'deleted@demo.example', 'Pieter Jansen', 'student', '400 days'),
  ('10000000-0000-4000-8000-000000000016', 'email-change@demo.example', 'Salma Idrissi', 'student', '220 days'),
  ('10000000-0000-4000-8000-000000000017', 'second-factor@demo.example', 'Thijs Visser', 'student', '180 days'),
  ('10000000-0000-4000-8000-000000000018', 'sso@partner-school.example', 'Meryem Yilmaz', 'student', '90 days'),
  -- Gmail allows no hyphen in a name, so this is nobody's mailbox.
  ('10000000-0000-4000-8000-000000000019', 'amina-demo@gmail.com', 'Amina Chafik', 'student', '120 days'),
  ('10000000-0000-4000-8000-000000000020', 'karim+arabisch@demo.example', 'Karim Saidi', 'student', '110 days'),
  ('10000000-0000-4000-8000-000000000021', 'was-banned@demo.example', 'Daan Mulder', 'student', '260 days'),
  ('10000000-0000-4000-8000-000000000022', 'was-blocked@demo.example', 'Zineb Lahlou', 'student', '240 days'),
  -- Class access.
  ('10000000-0000-4000-8000-000000000031', 'pending-payment@demo.example', 'Omar Bennani', 'student', '20 days'),
  ('10000000-0000-4000-8000-000000000032', 'no-enrollment@demo.example', 'Eva Smit', 'student', '15 days'),
  ('10000000-0000-4000-8000-000000000033', 'unpublished-class@demo.example', 'Rachid Ziani', 'student', '60 days'),
  ('10000000-0000-4000-8000-000000000034', 'refunded@demo.example', 'Marieke Hendriks', 'student', '190 days'),
  ('10000000-0000-4000-8000-000000000035', 'lost-policy@demo.example', 'Hafsa Berrada', 'student', '130 days'),
  -- Forum.
  ('10000000-0000-4000-8000-000000000041', 'empty-forum@demo.example', 'Noor Peters', 'student', '30 days'),
  ('10000000-0000-4000-8000-000000000042', 'hidden-posts@demo.example', 'Ilyas Amrani', 'student', '140 days');

-- Sixty more, so that classes are full: student001@demo.example to student060@demo.example.
insert into demo_person (id, email, full_name, role, member_for)
select
  ('10000000-0000-4000-8000-' || lpad((1000 + n)::text, 12, '0'))::uuid,
  'student' || lpad(n::text, 3, '0') || '@demo.example',
  (array[
    'Aya', 'Mohammed', 'Sofie', 'Younes', 'Layla', 'Bram', 'Hanane', 'Tariq', 'Femke', 'Ibrahim'
  ])[1 + n % 10] || ' ' || (array[
    'Alaoui', 'de Boer', 'Kaddouri', 'Meijer', 'Rahmani', 'Bos'
  ])[1 + n / 10 % 6],
  'student',
  interval '40 days' + n * interval '6 days'
from generate_series(1, 60) as n;

delete from demo_person
where exists (select 1 from auth.users);

-- One hash of the lowest cost that Auth leaves alone, shared by the sixty; the others get their own.
insert into auth.users (
  instance_id,
  id,
  aud,
  role,
  email,
  encrypted_password,
  email_confirmed_at,
  confirmation_token,
  confirmation_sent_at,
  recovery_token,
  email_change_token_new,
  email_change,
  last_sign_in_at,
  raw_app_meta_data,
  raw_user_meta_data,
  is_super_admin,
  created_at,
  updated_at
)
select
  '00000000-0000-0000-0000-000000000000',
  person.id,
  'authenticated',
  'authenticated',
  person.email,
  case
    when person.email like 'student0%' then shared.hash
    else extensions.crypt('demo-password-1', extensions.gen_salt('bf', 6))
  end,
  now() - person.member_for + interval '4 minutes',
  '',
  now() - person.member_for,
  '',
  '',
  '',
  now() - least(person.member_for, interval '2 days') / 2,
  '{"provider": "email", "providers": ["email"]}',
  jsonb_build_object(
    'sub', person.id,
    'email', person.email,
    'full_name', person.full_name,
    'email_verified', true,
    'phone_verified', false
  ),
  null,
  now() - person.member_for,
  now() - least(person.member_for, interval '2 days') / 2
from demo_person as person
cross join (
  select extensions.crypt('demo-password-1', extensions.gen_salt('bf', 6)) as hash
) as shared;

-- Auth writes email_verified into the identity when the address is confirmed.
insert into auth.identities (
  provider_id,
  user_id,
  identity_data,
  provider,
  last_sign_in_at,
  created_at,
  updated_at
)
select
  users.id::text,
  users.id,
  users.raw_user_meta_data,
  'email',
  users.created_at,
  users.created_at,
  users.created_at
from auth.users as users
join demo_person as person on person.id = users.id;

update public.profiles
set role = person.role
from demo_person as person
where profiles.id = person.id
  and profiles.role <> person.role;

-- Two people are signed in right now.
insert into auth.sessions (id, user_id, created_at, updated_at, aal, refreshed_at, user_agent, ip)
select
  ('14000000-0000-4000-8000-' || right(users.id::text, 12))::uuid,
  users.id,
  now() - interval '2 hours',
  now() - interval '20 minutes',
  'aal1',
  (now() - interval '20 minutes') at time zone 'UTC',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148',
  '192.0.2.10'
from auth.users
join demo_person as person on person.id = users.id
where users.email in ('ok@demo.example', 'banned@demo.example');

insert into auth.mfa_amr_claims (id, session_id, authentication_method, created_at, updated_at)
select
  ('15000000-0000-4000-8000-' || right(sessions.id::text, 12))::uuid,
  sessions.id,
  'password',
  sessions.created_at,
  sessions.created_at
from auth.sessions
join demo_person as person on person.id = sessions.user_id;

-- A refresh token is not a secret of anybody here: twelve characters, as Auth makes them.
insert into auth.refresh_tokens (
  instance_id,
  token,
  user_id,
  revoked,
  created_at,
  updated_at,
  session_id
)
select
  '00000000-0000-0000-0000-000000000000',
  'demo' || right(sessions.user_id::text, 8),
  sessions.user_id::text,
  false,
  sessions.created_at,
  sessions.updated_at,
  sessions.id
from auth.sessions
join demo_person as person on person.id = sessions.user_id;

insert into auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
select
  '00000000-0000-0000-0000-000000000000',
  ('16000000-0000-4000-8000-' || right(users.id::text, 12))::uuid,
  json_build_object(
    'action', 'login',
    'actor_id', users.id,
    'actor_username', users.email,
    'actor_via_sso', false,
    'log_type', 'account',
    'traits', json_build_object('provider', 'email')
  ),
  users.last_sign_in_at,
  ''
from auth.users
join demo_person as person on person.id = users.id;

drop table demo_person;
