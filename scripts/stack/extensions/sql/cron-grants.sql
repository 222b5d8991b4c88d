-- What Supabase lets `postgres` do with pg_cron, the real one or the stand-in: read every job,
-- change jobs through the functions only, and keep the run details in order.

grant usage on schema cron to postgres with grant option;

alter default privileges for role supabase_admin in schema cron
grant all on tables to postgres with grant option;

alter default privileges for role supabase_admin in schema cron
grant all on functions to postgres with grant option;

alter default privileges for role supabase_admin in schema cron
grant all on sequences to postgres with grant option;

grant all on all tables in schema cron to postgres with grant option;

revoke all on cron.job from postgres;

grant select on cron.job to postgres with grant option;

grant all on all functions in schema cron to postgres with grant option;
