begin;

select plan(15);

-- The stack may be at work: its ticks leave at once, and what it writes waits until this test has
-- rolled back.
select runbook.lock_for_transaction('tick');
lock table cron.job_run_details in share row exclusive mode;

create function pg_temp.codes()
returns text
language sql
as $$
  select coalesce(string_agg(fnd.content ->> 'code', ' ' order by fnd.content ->> 'code'), '')
  from jsonb_array_elements(runbook.run_check('cron_alive') -> 'findings') as fnd (content);
$$;

create function pg_temp.run(status text, message text, ago interval)
returns void
language sql
as $$
  insert into cron.job_run_details (
    jobid, runid, job_pid, database, username, command, status, return_message, start_time, end_time
  )
  select
    job.jobid,
    (select coalesce(max(det.runid), 0) + 1 from cron.job_run_details as det),
    0, job.database, job.username, job.command, run.status, run.message,
    clock_timestamp() - run.ago,
    clock_timestamp() - run.ago
  from cron.job as job
  where job.jobname = 'runbook-tick';
$$;

create or replace function runbook.server_started_at()
returns timestamptz
language sql
stable
as $$ select clock_timestamp() - interval '1 day'; $$;

-- The scheduler is a process of its own; here this session stands in for it.
set local application_name = 'pg_cron scheduler';
select runbook.install_schedule();
delete from cron.job_run_details where true;
update runbook.heartbeat set scheduled_at = clock_timestamp(), ticked_at = null, bell_error = null;

select is(pg_temp.codes(), '', 'a schedule that was just made is silent');

update runbook.heartbeat set scheduled_at = clock_timestamp() - interval '4 minutes';
select is(pg_temp.codes(), 'tick_late', 'one that never ran within minutes is late');

select pg_temp.run('succeeded', '1 row', '181 seconds');
select is(pg_temp.codes(), 'tick_late', 'a run of more than three minutes ago is late');

create or replace function runbook.server_started_at()
returns timestamptz
language sql
stable
as $$ select clock_timestamp() - interval '1 minute'; $$;

select is(pg_temp.codes(), '', 'but for a server that began since: it could not come');

create or replace function runbook.server_started_at()
returns timestamptz
language sql
stable
as $$ select clock_timestamp() - interval '1 day'; $$;

select pg_temp.run('succeeded', '1 row', '170 seconds');
select is(pg_temp.codes(), '', 'a run within three minutes is not');

select cmp_ok(
  (runbook.run_check('cron_alive') ->> 'value')::numeric, '>=', 170.0,
  'the value is its age in seconds'
);

select pg_temp.run('failed', 'ERROR: no', '10 seconds');
select is(pg_temp.codes(), 'tick_failed', 'a run that failed is a finding');

select pg_temp.run('failed', 'server restarted', '9 seconds');
select is(pg_temp.codes(), '', 'a run that a restart cut off is not');

select pg_temp.run('running', null, '1 second');
select is(pg_temp.codes(), '', 'nor is one that is under way');

update runbook.heartbeat set bell_error = '{"sqlstate": "42501", "message": "no"}';
select is(
  runbook.run_check('cron_alive') ->> 'status',
  'warning',
  'a bell that could not be rung is a warning'
);
update runbook.heartbeat set bell_error = null;

select cron.alter_job(
  (select job.jobid from cron.job as job where job.jobname = 'runbook-tick'), active => false
);
select is(pg_temp.codes(), 'schedule_inactive', 'a job that is switched off is a finding');

select cron.unschedule('runbook-tick');
select is(pg_temp.codes(), 'schedule_missing', 'so is one that is gone');

create or replace function runbook.cron_scheduler_is_running()
returns boolean
language sql
stable
as 'select false';
select is(
  pg_temp.codes(), 'schedule_missing scheduler_missing', 'so is a scheduler that is not running'
);

select runbook.install_schedule();
select is(pg_temp.codes(), 'scheduler_missing', 'making the schedule again cures the first');

select is(runbook.run_check('cron_alive') ->> 'status', 'critical', 'a dead schedule is critical');

select * from finish();
rollback;
