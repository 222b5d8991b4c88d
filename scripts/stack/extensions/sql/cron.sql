-- The stand-in of pg_cron 1.6: schema cron with the tables, functions, rights and refusals of the
-- real one, where the server has none; cron-scheduler.ts runs the jobs. The real functions write
-- with their owner's rights and still know who called. Here the caller inserts into the view
-- stand_in.cron_request: one trigger, which runs as the caller, notes the caller's name, the next
-- one, which runs as the owner, checks it and does the work. So no role can act for another one,
-- whether it calls cron.schedule or the view. Relies on schedule.sql.

create schema cron;

create sequence cron.jobid_seq;

create table cron.job (
  jobid bigint primary key default nextval('cron.jobid_seq'),
  schedule text not null,
  command text not null,
  nodename text not null default 'localhost',
  nodeport integer not null default inet_server_port(),
  database text not null default current_database(),
  username text not null default current_user,
  active boolean not null default true,
  jobname name,
  constraint jobname_username_uniq unique (jobname, username)
);

alter table cron.job enable row level security;

create policy cron_job_policy on cron.job using (username = current_user);

grant select on cron.job to public;

grant select on sequence cron.jobid_seq to public;

create sequence cron.runid_seq;

create table cron.job_run_details (
  jobid bigint,
  runid bigint primary key default nextval('cron.runid_seq'),
  job_pid integer,
  database text,
  username text,
  command text,
  status text,
  return_message text,
  start_time timestamptz,
  end_time timestamptz
);

alter table cron.job_run_details enable row level security;

create policy cron_job_run_details_policy on cron.job_run_details using (username = current_user);

grant select, delete on cron.job_run_details to public;

grant select on sequence cron.runid_seq to public;

-- Tells the scheduler, at commit, that the jobs changed. The real one invalidates the cache of its
-- worker.
create function cron.job_cache_invalidate()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform pg_notify('pg_cron_jobs', '');
  return null;
end
$$;

comment on function cron.job_cache_invalidate() is 'invalidate job cache';

create trigger cron_job_cache_invalidate
after insert or update or delete or truncate on cron.job
for each statement
execute function cron.job_cache_invalidate();

-- One inserted row is one call of a function of schema cron; the row comes back with the caller and
-- the job's number.
create view stand_in.cron_request as
select
  null::name as caller,
  null::text as entry,
  null::bigint as job_id,
  null::text as job_name,
  null::text as schedule,
  null::text as command,
  null::text as database,
  null::text as username,
  null::boolean as active
where false;

comment on view stand_in.cron_request is
  'Where the functions of schema cron hand in what their caller wants; holds no rows.';

grant select, insert on stand_in.cron_request to public;

-- Runs as the caller, because a function with its owner's rights cannot see who called it.
create function stand_in.note_cron_caller()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  new.caller := current_user;
  return new;
end
$$;

comment on function stand_in.note_cron_caller() is
  'Writes into a request who made it, whatever the request says.';

-- Whether a role that is named by text may connect to the database, with the errors of pg_cron.
create function stand_in.require_cron_connect(username text, database text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if not exists (
    select
    from pg_catalog.pg_database as dat
    where dat.datname = require_cron_connect.database
  ) then
    raise exception 'database "%" does not exist', require_cron_connect.database
      using errcode = 'invalid_catalog_name';
  end if;
  if not has_database_privilege(
    require_cron_connect.username,
    require_cron_connect.database,
    'connect'
  )
  then
    raise exception 'User % does not have CONNECT privilege on %',
      require_cron_connect.username,
      require_cron_connect.database
      using errcode = 'internal_error';
  end if;
end
$$;

comment on function stand_in.require_cron_connect(text, text) is
  'Refuses a job that could not connect to its database.';

-- Refuses a job for another role, with the errors of pg_cron: only a superuser may name one, and it
-- must be able to log in.
create function stand_in.require_cron_role(caller name, username text, refusal text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_can_login boolean;
begin
  if not (
    select rol.rolsuper
    from pg_catalog.pg_roles as rol
    where rol.rolname = require_cron_role.caller
  ) then
    raise exception '%', require_cron_role.refusal using errcode = 'internal_error';
  end if;
  select rol.rolcanlogin
  into v_can_login
  from pg_catalog.pg_roles as rol
  where rol.rolname = require_cron_role.username;
  if v_can_login is null then
    raise exception 'role "%" does not exist', require_cron_role.username
      using errcode = 'internal_error';
  end if;
  if not v_can_login then
    raise exception 'role "%" can not log in', require_cron_role.username
      using
        errcode = 'internal_error',
        detail = 'Jobs may only be run by roles that have the LOGIN attribute.';
  end if;
end
$$;

comment on function stand_in.require_cron_role(name, text, text) is
  'Refuses a role that the caller may not give a job to.';

create function stand_in.require_schedule(schedule text)
returns void
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if stand_in.read_schedule(require_schedule.schedule) is null then
    raise exception 'invalid schedule: %', require_schedule.schedule
      using
        errcode = 'invalid_parameter_value',
        hint = 'Use cron format (e.g. 5 4 * * *), or interval format ''[1-59] seconds''';
  end if;
end
$$;

comment on function stand_in.require_schedule(text) is 'Refuses a schedule that pg_cron refuses.';

-- One call makes a job, or changes the job that has the same name and role already; that one stays
-- active or inactive, as it was. Returns the job's number.
create function stand_in.schedule_cron_job(request stand_in.cron_request)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_database text := coalesce((schedule_cron_job.request).database, current_database());
  v_username text := coalesce(
    (schedule_cron_job.request).username,
    (schedule_cron_job.request).caller
  );
  v_job_id bigint;
begin
  if (schedule_cron_job.request).entry <> 'cron.schedule(text,text)'
    and (schedule_cron_job.request).job_name is null
  then
    raise exception 'job_name can not be NULL' using errcode = 'internal_error';
  end if;
  if (schedule_cron_job.request).schedule is null then
    raise exception 'schedule can not be NULL' using errcode = 'internal_error';
  end if;
  if (schedule_cron_job.request).command is null then
    raise exception 'command can not be NULL' using errcode = 'internal_error';
  end if;
  perform stand_in.require_schedule((schedule_cron_job.request).schedule);
  if (schedule_cron_job.request).username is not null then
    perform stand_in.require_cron_role(
      (schedule_cron_job.request).caller,
      (schedule_cron_job.request).username,
      'must be superuser to create a job for another role'
    );
  end if;
  perform stand_in.require_cron_connect(v_username, v_database);
  insert into cron.job as job (
    schedule,
    command,
    nodename,
    nodeport,
    database,
    username,
    active,
    jobname
  )
  values (
    (schedule_cron_job.request).schedule,
    (schedule_cron_job.request).command,
    'localhost',
    current_setting('port')::integer,
    v_database,
    v_username,
    coalesce((schedule_cron_job.request).active, true),
    (schedule_cron_job.request).job_name
  )
  on conflict on constraint jobname_username_uniq do update
  set
    schedule = excluded.schedule,
    command = excluded.command,
    database = excluded.database
  returning job.jobid into v_job_id;
  return v_job_id;
end
$$;

comment on function stand_in.schedule_cron_job(stand_in.cron_request) is
  'Makes or changes the job that a request asks for.';

-- One call removes one job: by number, or by name among the caller's own.
create function stand_in.unschedule_cron_job(request stand_in.cron_request)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_job_id bigint;
  v_username text;
begin
  if (unschedule_cron_job.request).entry = 'cron.unschedule(name)' then
    select job.jobid, job.username
    into v_job_id, v_username
    from cron.job as job
    where
      job.jobname = (unschedule_cron_job.request).job_name::name
      and job.username = (unschedule_cron_job.request).caller;
    if v_job_id is null then
      raise exception 'could not find valid entry for job ''%''',
        (unschedule_cron_job.request).job_name
        using errcode = 'internal_error';
    end if;
  else
    select job.jobid, job.username
    into v_job_id, v_username
    from cron.job as job
    where job.jobid = (unschedule_cron_job.request).job_id;
    if v_job_id is null then
      raise exception 'could not find valid entry for job %', (unschedule_cron_job.request).job_id
        using errcode = 'internal_error';
    end if;
  end if;
  if lower(v_username) <> lower((unschedule_cron_job.request).caller)
    and not has_table_privilege((unschedule_cron_job.request).caller, 'cron.job', 'delete')
  then
    raise exception 'permission denied for table job' using errcode = 'insufficient_privilege';
  end if;
  delete from cron.job as job
  where job.jobid = v_job_id;
  return v_job_id;
end
$$;

comment on function stand_in.unschedule_cron_job(stand_in.cron_request) is
  'Removes the job that a request names.';

-- One call changes what a request names of one job and leaves the rest; only a superuser may change
-- another role's job.
create function stand_in.alter_cron_job(request stand_in.cron_request)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_job_id bigint;
begin
  if (alter_cron_job.request).job_id is null then
    raise exception 'job_id can not be NULL' using errcode = 'internal_error';
  end if;
  if (alter_cron_job.request).username is not null then
    perform stand_in.require_cron_role(
      (alter_cron_job.request).caller,
      (alter_cron_job.request).username,
      'must be superuser to alter username'
    );
  end if;
  if (alter_cron_job.request).database is not null then
    perform stand_in.require_cron_connect(
      coalesce((alter_cron_job.request).username, (alter_cron_job.request).caller),
      (alter_cron_job.request).database
    );
  end if;
  if (alter_cron_job.request).schedule is not null then
    perform stand_in.require_schedule((alter_cron_job.request).schedule);
  end if;
  if num_nonnulls(
    (alter_cron_job.request).schedule,
    (alter_cron_job.request).command,
    (alter_cron_job.request).database,
    (alter_cron_job.request).username,
    (alter_cron_job.request).active
  ) = 0
  then
    raise exception 'no updates specified'
      using
        errcode = 'internal_error',
        hint = 'You must specify at least one job attribute to change when calling alter_job';
  end if;
  update cron.job as job
  set
    schedule = coalesce((alter_cron_job.request).schedule, job.schedule),
    command = coalesce((alter_cron_job.request).command, job.command),
    database = coalesce((alter_cron_job.request).database, job.database),
    username = coalesce((alter_cron_job.request).username, job.username),
    active = coalesce((alter_cron_job.request).active, job.active)
  where
    job.jobid = (alter_cron_job.request).job_id
    and (
      job.username = (alter_cron_job.request).caller
      or (
        select rol.rolsuper
        from pg_catalog.pg_roles as rol
        where rol.rolname = (alter_cron_job.request).caller
      )
    )
  returning job.jobid into v_job_id;
  if v_job_id is null then
    raise exception 'Job % does not exist or you don''t own it', (alter_cron_job.request).job_id
      using errcode = 'internal_error';
  end if;
  return v_job_id;
end
$$;

comment on function stand_in.alter_cron_job(stand_in.cron_request) is
  'Changes the job that a request names.';

-- Lends the right to write cron.job, to nobody who may not execute the function of schema cron that
-- the request names.
create function stand_in.perform_cron_request()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if not coalesce(
    new.entry in (
      'cron.schedule(text,text)',
      'cron.schedule(text,text,text)',
      'cron.schedule_in_database(text,text,text,text,text,boolean)',
      'cron.unschedule(bigint)',
      'cron.unschedule(name)',
      'cron.alter_job(bigint,text,text,text,text,boolean)'
    )
    and has_schema_privilege(new.caller, 'cron', 'usage')
    and has_function_privilege(new.caller, new.entry, 'execute'),
    false
  )
  then
    raise exception 'permission denied for function %', new.entry
      using errcode = 'insufficient_privilege';
  end if;
  case new.entry
    when 'cron.schedule(text,text)' then
      -- This one names neither a job nor another role.
      new.job_name := null;
      new.database := null;
      new.username := null;
      new.active := null;
      new.job_id := stand_in.schedule_cron_job(new);
    when 'cron.schedule(text,text,text)' then
      new.database := null;
      new.username := null;
      new.active := null;
      new.job_id := stand_in.schedule_cron_job(new);
    when 'cron.schedule_in_database(text,text,text,text,text,boolean)' then
      new.job_id := stand_in.schedule_cron_job(new);
    when 'cron.unschedule(bigint)' then
      new.job_id := stand_in.unschedule_cron_job(new);
    when 'cron.unschedule(name)' then
      new.job_id := stand_in.unschedule_cron_job(new);
    when 'cron.alter_job(bigint,text,text,text,text,boolean)' then
      new.job_id := stand_in.alter_cron_job(new);
  end case;
  return new;
end
$$;

comment on function stand_in.perform_cron_request() is
  'Does what a request asks for, when its caller may.';

-- Triggers of one event fire in the order of their names: first the caller is noted, then the
-- request is performed.
create trigger caller_is_noted
instead of insert on stand_in.cron_request
for each row
execute function stand_in.note_cron_caller();

create trigger request_is_performed
instead of insert on stand_in.cron_request
for each row
execute function stand_in.perform_cron_request();

revoke all on function stand_in.note_cron_caller() from public;

revoke all on function stand_in.require_cron_connect(text, text) from public;

revoke all on function stand_in.require_cron_role(name, text, text) from public;

revoke all on function stand_in.require_schedule(text) from public;

revoke all on function stand_in.schedule_cron_job(stand_in.cron_request) from public;

revoke all on function stand_in.unschedule_cron_job(stand_in.cron_request) from public;

revoke all on function stand_in.alter_cron_job(stand_in.cron_request) from public;

revoke all on function stand_in.perform_cron_request() from public;

create function cron.schedule(schedule text, command text)
returns bigint
language sql
volatile
strict
security invoker
set search_path = ''
as $$
  insert into stand_in.cron_request (entry, schedule, command)
  values ('cron.schedule(text,text)', schedule.schedule, schedule.command)
  returning job_id
$$;

comment on function cron.schedule(text, text) is 'schedule a pg_cron job';

create function cron.schedule(job_name text, schedule text, command text)
returns bigint
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into stand_in.cron_request (entry, job_name, schedule, command)
  values ('cron.schedule(text,text,text)', schedule.job_name, schedule.schedule, schedule.command)
  returning job_id
$$;

comment on function cron.schedule(text, text, text) is 'schedule a pg_cron job';

create function cron.schedule_in_database(
  job_name text,
  schedule text,
  command text,
  database text,
  username text default null,
  active boolean default true
)
returns bigint
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into stand_in.cron_request (entry, job_name, schedule, command, database, username, active)
  values (
    'cron.schedule_in_database(text,text,text,text,text,boolean)',
    schedule_in_database.job_name,
    schedule_in_database.schedule,
    schedule_in_database.command,
    schedule_in_database.database,
    schedule_in_database.username,
    schedule_in_database.active
  )
  returning job_id
$$;

comment on function cron.schedule_in_database(text, text, text, text, text, boolean) is
  'schedule a pg_cron job';

revoke all on function cron.schedule_in_database(text, text, text, text, text, boolean) from public;

create function cron.unschedule(job_id bigint)
returns boolean
language sql
volatile
strict
security invoker
set search_path = ''
as $$
  insert into stand_in.cron_request as req (entry, job_id)
  values ('cron.unschedule(bigint)', unschedule.job_id)
  returning req.job_id is not null
$$;

comment on function cron.unschedule(bigint) is 'unschedule a pg_cron job';

create function cron.unschedule(job_name name)
returns boolean
language sql
volatile
strict
security invoker
set search_path = ''
as $$
  insert into stand_in.cron_request as req (entry, job_name)
  values ('cron.unschedule(name)', unschedule.job_name)
  returning req.job_id is not null
$$;

comment on function cron.unschedule(name) is 'unschedule a pg_cron job';

create function cron.alter_job(
  job_id bigint,
  schedule text default null,
  command text default null,
  database text default null,
  username text default null,
  active boolean default null
)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into stand_in.cron_request (entry, job_id, schedule, command, database, username, active)
  values (
    'cron.alter_job(bigint,text,text,text,text,boolean)',
    alter_job.job_id,
    alter_job.schedule,
    alter_job.command,
    alter_job.database,
    alter_job.username,
    alter_job.active
  )
$$;

comment on function cron.alter_job(bigint, text, text, text, text, boolean) is
  'Alter the job identified by job_id. Any option left as NULL will not be modified.';

revoke all on function cron.alter_job(bigint, text, text, text, text, boolean) from public;
