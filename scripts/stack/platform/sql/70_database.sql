-- The database itself: its owner, its limits and the publication that Realtime reads.
-- `postgres` owns the database: it may set its parameters, create schemas and vacuum all of it.
-- The publication starts empty; `alter publication supabase_realtime add table` fills it.
-- Comes last, because what the files before make is made by the superuser.

alter database postgres owner to postgres;

alter database postgres set statement_timeout = '2min';

create publication supabase_realtime;

alter publication supabase_realtime owner to postgres;
