-- The way out: everything that the runbook brought goes away in one call.
--
-- Nothing of the runbook stands outside its schema but the roles, the jobs of pg_cron with their
-- log, and the record of the migrations.

-- Removes the jobs with their log, the schema with this function in it, the roles and the record
-- of the migrations.
--
-- The roles are of the whole cluster; when another database still uses one, it stays, and the
-- notice says so.
create function runbook.uninstall()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_job_id bigint;
  v_migrations text[];
  v_role text;
begin
  -- Waits for a tick that is under way, and keeps the next from starting.
  perform runbook.lock_for_transaction('tick');

  -- So do the other jobs: each begins with one of these, and holds it until its end. Without this
  -- it and the removal could wait for each other's tables.
  lock table runbook.check_group, runbook.collector in access exclusive mode;

  if to_regclass('cron.job') is not null then
    for v_job_id in
      execute '
        select job.jobid from cron.job as job where job.jobname = any ($1) and job.database = $2'
      using
        array(select job.name from runbook.scheduled_jobs() as job),
        current_database()
    loop
      execute 'select cron.unschedule($1)' using v_job_id;
    end loop;

    execute '
      delete from cron.job_run_details as det
      where det.command ~ $1 and det.database = current_database()'
    using runbook.own_commands();
  end if;

  if to_regclass('supabase_migrations.schema_migrations') is not null then
    select array_agg(migration.version)
    into v_migrations
    from runbook.release as rel
    cross join unnest(rel.migrations) as migration (version);

    execute 'delete from supabase_migrations.schema_migrations as mig where mig.version = any ($1)'
    using v_migrations;
  end if;

  drop schema runbook cascade;

  foreach v_role in array array['runbook_admin', 'runbook_operator', 'runbook_viewer'] loop
    begin
      execute format('drop owned by %I', v_role);
      execute format('drop role %I', v_role);
    exception
      when dependent_objects_still_exist then
        raise notice 'The role % stays: another database of the cluster uses it.', v_role;
    end;
  end loop;
end;
$$;

comment on function runbook.uninstall() is
'Removes the runbook from this database: jobs, schema, roles and the record of its migrations.';
revoke all on function runbook.uninstall() from public;
