begin;

select plan(2);

-- The stack may be at work: its ticks leave at once, and what it writes waits until this test has
-- rolled back.
select runbook.lock_for_transaction('tick');
lock table cron.job_run_details in share row exclusive mode;

delete from cron.job_run_details where true;

insert into cron.job_run_details (
  jobid, runid, job_pid, database, username, command, status, start_time, end_time
)
select
  job.jobid,
  -log.id,
  0,
  job.database,
  job.username,
  log.command,
  'succeeded',
  clock_timestamp() - log.age,
  clock_timestamp() - log.age
from cron.job as job
cross join (
  values
    (1, 'select runbook.tick()', interval '8 days'),
    (2, 'select runbook.tick()', interval '6 days'),
    (3, 'select public.something_else()', interval '8 days')
) as log (id, command, age)
where job.jobname = 'runbook-tick';

select lives_ok($$ select runbook.forget_old_ticks('7 days') $$, 'the log is tidied');

select bag_eq(
  'select -det.runid from cron.job_run_details as det where det.runid < 0',
  array[2, 3]::bigint[],
  'of the runs that are our own and old, and of no others'
);

select * from finish();
rollback;
