-- Schemas, their owners and who may use them, and the rights that new objects in them get.
-- Default privileges come before the objects, so that each is born with the platform's grants.
-- The schemas cron, net and vault are made with their extensions, not here.
-- What the API roles get on new objects in `public` is the historic grant: projects made since
-- May 2026 have it withdrawn, and a migration that relies on it is wrong there.

grant usage on schema public to postgres, anon, authenticated, service_role;

create schema extensions authorization postgres;

grant usage on schema extensions to anon, authenticated, service_role;

grant all on schema extensions to dashboard_user;

create schema auth;

grant usage on schema auth to anon, authenticated, service_role, postgres;

grant all on schema auth to supabase_auth_admin, dashboard_user;

create schema storage;

grant usage on schema storage to postgres, anon, authenticated, service_role;

grant all on schema storage to supabase_storage_admin, dashboard_user;

create schema realtime authorization supabase_realtime_admin;

grant usage on schema realtime to postgres, anon, authenticated, service_role;

create schema graphql_public;

grant usage on schema graphql_public to postgres, anon, authenticated, service_role;

-- public: what `postgres` and the platform make is open to the API roles.
alter default privileges for role postgres, supabase_admin in schema public
grant all on tables to postgres, anon, authenticated, service_role;

alter default privileges for role postgres, supabase_admin in schema public
grant all on functions to postgres, anon, authenticated, service_role;

alter default privileges for role postgres, supabase_admin in schema public
grant all on sequences to postgres, anon, authenticated, service_role;

-- extensions: `postgres` may use everything and pass it on.
alter default privileges for role supabase_admin in schema extensions
grant all on tables to postgres with grant option;

alter default privileges for role supabase_admin in schema extensions
grant all on functions to postgres with grant option;

alter default privileges for role supabase_admin in schema extensions
grant all on sequences to postgres with grant option;

-- auth: row level security, not missing grants, is what closes it to the Data API.
alter default privileges for role supabase_auth_admin in schema auth
grant all on tables to postgres, dashboard_user;

alter default privileges for role supabase_auth_admin in schema auth
grant all on functions to postgres, dashboard_user;

alter default privileges for role supabase_auth_admin in schema auth
grant all on sequences to postgres, dashboard_user;

alter default privileges for role postgres in schema storage
grant all on tables to postgres, anon, authenticated, service_role;

alter default privileges for role postgres in schema storage
grant all on functions to postgres, anon, authenticated, service_role;

alter default privileges for role postgres in schema storage
grant all on sequences to postgres, anon, authenticated, service_role;

alter default privileges for role supabase_admin in schema realtime
grant all on tables to postgres, dashboard_user;

alter default privileges for role supabase_admin in schema realtime
grant all on functions to postgres, dashboard_user;

alter default privileges for role supabase_admin in schema realtime
grant all on sequences to postgres, dashboard_user;

alter default privileges for role supabase_admin in schema graphql_public
grant all on tables to postgres, anon, authenticated, service_role;

alter default privileges for role supabase_admin in schema graphql_public
grant all on functions to postgres, anon, authenticated, service_role;

alter default privileges for role supabase_admin in schema graphql_public
grant all on sequences to postgres, anon, authenticated, service_role;
