-- For tests: become a person of the demo, or nobody, for the rest of the transaction, as the Data API
-- makes it so: the role and the claims of the token that Auth would issue.
-- They are here because every test runs on a connection of its own, and what is only for tests must not
-- be in a migration. They lend nobody a right: `set role` asks for the login's own memberships.
-- Relies on: nothing of the school.

create schema tests;

grant usage on schema tests to public;

-- None of them sets a search_path: the session's stays, as it does when the API changes the role.
create function tests.take_role(role text, claims jsonb) returns void
language sql
volatile
as $$
  select
    pg_catalog.set_config('role', take_role.role, true),
    pg_catalog.set_config('request.jwt.claims', take_role.claims::text, true);
$$;

-- Whom one becomes by address; `claims` are merged over the ones that Auth would put into the token.
create function tests.become(email text, claims jsonb default '{}') returns void
language plpgsql
volatile
as $$
declare
  _claims jsonb;
begin
  -- Only the login may read auth.users.
  perform tests.become_nobody();
  select
    pg_catalog.jsonb_build_object(
      'iss', 'http://127.0.0.1:54321/auth/v1',
      'sub', person.id,
      'aud', person.aud,
      'role', person.role,
      'email', coalesce(person.email, ''),
      'phone', coalesce(person.phone, ''),
      'iat', pg_catalog.floor(extract(epoch from pg_catalog.now())),
      'exp', pg_catalog.floor(extract(epoch from pg_catalog.now())) + 3600,
      'app_metadata', coalesce(person.raw_app_meta_data, '{}'),
      'user_metadata', coalesce(person.raw_user_meta_data, '{}'),
      'aal', 'aal1',
      'amr', pg_catalog.jsonb_build_array(
        pg_catalog.jsonb_build_object(
          'method', 'password',
          'timestamp', pg_catalog.floor(extract(epoch from pg_catalog.now()))
        )
      ),
      'session_id', pg_catalog.gen_random_uuid(),
      'is_anonymous', person.is_anonymous
    ) || become.claims
  into _claims
  from auth.users as person
  where pg_catalog.lower(person.email) = pg_catalog.lower(become.email)
    and not person.is_sso_user;
  if not found then
    raise exception 'Nobody in auth.users has the address %.', become.email
      using errcode = 'P0002', hint = 'supabase/demo/README.md lists the people of the demo.';
  end if;
  perform tests.take_role(_claims ->> 'role', _claims);
end;
$$;

-- A visitor who has not signed in: the claims of the publishable key.
create function tests.become_anon() returns void
language sql
volatile
as $$
  select tests.take_role('anon', '{"role": "anon"}');
$$;

-- A server with a secret key, which row level security does not hold.
create function tests.become_service_role() returns void
language sql
volatile
as $$
  select tests.take_role('service_role', '{"role": "service_role"}');
$$;

-- The login again, without claims.
create function tests.become_nobody() returns void
language sql
volatile
as $$
  select tests.take_role('none', null);
$$;
