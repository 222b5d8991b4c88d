-- The extensions that every project has from the start, in schema `extensions`, and pgstattuple.
-- The schema's default privileges give `postgres` all rights on their objects, to pass on too.
-- `postgres` can create the trusted extensions itself; those that only supautils lets it create
-- (hypopg, plpgsql_check and others) need a superuser here, so pgstattuple is made beforehand: a
-- project of the platform adds it with one click, and without it bloat is only estimated.

create extension pgcrypto with schema extensions;

create extension "uuid-ossp" with schema extensions;

-- Without its library preloaded the extension installs and then fails at every read.
do $$
begin
  if current_setting('shared_preload_libraries') like '%pg_stat_statements%' then
    create extension pg_stat_statements with schema extensions;
  end if;
end
$$;

create extension pgstattuple with schema extensions;
