-- Roles of the platform: attributes, settings and memberships as a Supabase project has them.
-- Everything later hangs on these: `postgres` is a role with many rights, but no superuser.
-- Runs as supabase_admin, initdb's bootstrap superuser, and needs Postgres 15 or newer.
-- Not here: supautils, which on the platform guards the reserved roles and lets `postgres` create
-- extensions that are not trusted; and safeupdate, which keeps the Data API from updating without
-- a `where`.

alter role supabase_admin set search_path = '\$user', public, auth, extensions;

-- The roles that the API switches to.
create role anon nologin inherit;

create role authenticated nologin inherit;

create role service_role nologin inherit bypassrls;

-- The role that the API logs in as. On the platform it also preloads safeupdate, a library that
-- neither npm nor Debian offers; naming it here would make every login fail.
create role authenticator login noinherit;

alter role anon set statement_timeout = '3s';

alter role authenticated set statement_timeout = '8s';

alter role authenticator set statement_timeout = '8s';

alter role authenticator set lock_timeout = '8s';

-- The role of the project's owner. The backslash is the platform's own: `$user` never expands.
create role postgres login inherit createrole createdb replication bypassrls password 'postgres';

alter role postgres set search_path = '\$user', public, extensions;

-- The roles of the services.
create role supabase_auth_admin login noinherit createrole;

alter role supabase_auth_admin set search_path = auth;

alter role supabase_auth_admin set idle_in_transaction_session_timeout = 60000;

create role supabase_storage_admin login noinherit createrole;

alter role supabase_storage_admin set search_path = storage;

create role supabase_realtime_admin login noinherit createrole replication;

create role supabase_functions_admin login noinherit createrole;

create role supabase_replication_admin login inherit replication;

create role supabase_read_only_user login inherit bypassrls;

create role dashboard_user nologin inherit createrole createdb replication;

create role pgbouncer login inherit;

grant anon, authenticated, service_role to authenticator;

grant authenticator to supabase_storage_admin;

grant pg_read_all_data to supabase_read_only_user;

grant anon, authenticated, service_role to postgres;

grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;

-- From Postgres 16 on, createrole alone no longer lets a role hand out memberships: the platform's
-- newer images give `postgres` the admin option, and two memberships more.
do $$
begin
  if current_setting('server_version_num')::integer >= 160000 then
    grant anon, authenticated, service_role, authenticator to postgres with admin option;
    grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres with admin option;
    grant pg_create_subscription to postgres;
  end if;
end
$$;

-- supautils lets `postgres` set these superuser settings; a grant does the same without it.
grant set on parameter
  log_lock_waits,
  log_min_duration_statement,
  log_min_messages,
  log_parameter_max_length,
  log_replication_commands,
  log_statement,
  log_temp_files,
  session_replication_role,
  track_io_timing,
  wal_compression
to postgres;
