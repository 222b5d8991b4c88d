-- The schema for what the stand-ins of pg_cron and Vault need and the real extensions do not have.
-- Everyone may use it, because functions of cron and vault call into it as their caller; each
-- object in it says who may do what.

create schema if not exists stand_in;

comment on schema stand_in is
  'What the stand-ins of pg_cron and Vault need and the real extensions do not have.';

grant usage on schema stand_in to public;
