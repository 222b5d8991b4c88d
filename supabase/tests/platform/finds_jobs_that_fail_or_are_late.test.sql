begin;

select plan(16);

-- The stack may be at work: its ticks leave at once, and what it writes waits until this test has
-- rolled back.
select runbook.lock_for_transaction('tick');
lock table cron.job_run_details in share row exclusive mode;
delete from cron.job_run_details where true;

create function pg_temp.found()
returns text
language sql
as $$
  select coalesce(
    string_agg((fnd.content ->> 'code') || ' ' || (fnd.content ->> 'subject'), ', '), ''
  )
  from jsonb_array_elements(runbook.run_check('cron_jobs') -> 'findings') as fnd (content);
$$;

create procedure pg_temp.run(status text, message text, ago interval)
language sql
as $$
  insert into cron.job_run_details (
    jobid, runid, job_pid, database, username, command, status, return_message, start_time, end_time
  )
  select
    job.jobid,
    (select coalesce(max(det.runid), 0) + 1 from cron.job_run_details as det),
    0, job.database, job.username, job.command, run.status, run.message,
    clock_timestamp() - run.ago, clock_timestamp() - run.ago
  from cron.job as job
  where job.jobname = 'night''s "work"';
$$;

create or replace function runbook.server_started_at()
returns timestamptz
language sql
stable
as $$ select clock_timestamp() - interval '9 days'; $$;

create or replace function runbook.cron_scheduler_is_running()
returns boolean
language sql
stable
as 'select true';

select cron.schedule('night''s "work"', '* * * * *', 'select 1');
select is(pg_temp.found(), '', 'a job without a run may be new, and is silent');

call pg_temp.run('failed', 'ERROR: no', '2 hours');
call pg_temp.run('succeeded', '1 row', '1 minute');
select is(pg_temp.found(), '', 'a failure before a success is silent');

call pg_temp.run('failed', 'server restarted', '30 seconds');
select is(pg_temp.found(), '', 'so is a run that a restart cut off');

call pg_temp.run('failed', e'ERROR: no\nDETAIL: Key (email)=(jan@school.example) exists.', '20 s');
select matches(
  runbook.run_check('cron_jobs') #>> '{findings,0,summary}',
  ' has failed once since .* UTC: ERROR: no\. See what it runs: select command from cron\.job ',
  'a failure is found, with what to look at'
);
select is(
  strpos((runbook.run_check('cron_jobs') -> 'findings')::text, 'jan@school.example'), 0,
  'and without the values that its error quotes'
);
call pg_temp.run('failed', 'ERROR: no', '10 seconds');
select is(
  pg_temp.found(), 'cron_job_failing night''s "work"', 'failures since the last success are found'
);
select is(
  runbook.run_check('cron_jobs') #> '{findings,0,evidence,failures}', '2', 'and counted'
);

call pg_temp.run('succeeded', '1 row', '5 seconds');
select is(pg_temp.found(), '', 'the next success cures it');

update cron.job_run_details set start_time = start_time - interval '280 seconds';
select is(pg_temp.found(), '', 'a run that is due since less than five minutes is silent');

update cron.job_run_details set start_time = start_time - interval '80 seconds';
select is(pg_temp.found(), 'cron_job_late night''s "work"', 'one that did not come is late');

call pg_temp.run('running', null, '365 seconds');
select matches(
  runbook.run_check('cron_jobs') #>> '{findings,0,summary}', 'runs queue up',
  'one that is still at work is told so'
);

select cron.alter_job(
  (select job.jobid from cron.job as job where job.jobname = 'night''s "work"'), active => false
);
select is(pg_temp.found(), '', 'a job that is switched off is silent');

insert into cron.job_run_details (
  jobid, runid, job_pid, database, username, command, status, return_message, start_time, end_time
)
select job.jobid, 1000 + job.jobid, 0, job.database, job.username, job.command, 'failed', 'no',
  clock_timestamp(), clock_timestamp()
from cron.job as job
where job.jobname in ('runbook-checks', 'runbook-collect', 'runbook-tick');
select is(pg_temp.found(), '', 'the runbook''s own jobs are told by the check cron_alive');
delete from cron.job_run_details where runid > 1000;

analyze cron.job_run_details;
select runbook.tune_check('cron_jobs', '{"history_rows": 8}');
select is(pg_temp.found(), '', 'a log of seven runs is small where eight are large');
select runbook.tune_check('cron_jobs', '{"history_rows": 7}');
select is(
  pg_temp.found(), 'cron_history_large cron.job_run_details', 'a log that has grown large is found'
);

delete from cron.job_run_details where runid < 6;
analyze cron.job_run_details;
select is(pg_temp.found(), '', 'cleared it is silent');

select * from finish();
rollback;
