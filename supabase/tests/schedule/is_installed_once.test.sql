begin;

select plan(8);

create function pg_temp.jobs()
returns bigint
language sql
as $$
  select count(*) from cron.job as job where job.jobname = 'runbook-tick';
$$;

select is(pg_temp.jobs(), 1::bigint, 'the migrations have made the schedule');

select is(runbook.install_schedule(), true, 'it may be made again');
select is(pg_temp.jobs(), 1::bigint, 'and is there once');

select is(
  (
    select job.schedule || ' ' || job.command
    from cron.job as job
    where job.jobname = 'runbook-tick'
  ),
  '* * * * * select runbook.tick()',
  'each minute it calls the tick'
);

select cron.alter_job(
  (select job.jobid from cron.job as job where job.jobname = 'runbook-tick'), active => false
);
select runbook.install_schedule();
select is(
  (select job.active from cron.job as job where job.jobname = 'runbook-tick'),
  false,
  'a job that was switched off stays off'
);

select throws_ok(
  $$ select runbook.set_functions_url('ftp://example.com') $$,
  '22023', null, 'an address that is not of the web is refused'
);

select throws_ok(
  $$ select runbook.set_functions_url('https://') $$,
  '22023', null, 'nor is one without a host'
);

select throws_ok(
  $$ set local role runbook_admin; select runbook.set_functions_url('https://evil.example') $$,
  '42501', null, 'no caller moves the bell'
);

select * from finish();
rollback;
