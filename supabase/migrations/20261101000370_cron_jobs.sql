-- The application's jobs of pg_cron: do they fail, do they come when they are due, and is their log
-- small enough? The runbook's own jobs have their own check, cron_alive.
--
-- pg_cron's tables are read in plpgsql only, so that nothing depends on them. Its log has an index
-- on the run's number and no other, and can hold millions of rows: only the newest are read.

-- The values that a field of a cron schedule stands for; null for what is none.
create function runbook.cron_values(field text, lowest integer, highest integer, names text[])
returns integer[]
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_field text := lower(cron_values.field);
  v_part text;
  v_match text[];
  v_from integer;
  v_to integer;
  v_values integer[] := array[]::integer[];
begin
  for i in 1 .. coalesce(cardinality(cron_values.names), 0) loop
    v_field := replace(v_field, cron_values.names[i], (cron_values.lowest + i - 1)::text);
  end loop;

  foreach v_part in array string_to_array(v_field, ',') loop
    v_match := regexp_match(v_part, '^(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,3}))?$');

    if v_match is null or v_match[3]::integer = 0 then
      return null;
    end if;

    v_from := coalesce(v_match[1]::integer, cron_values.lowest);
    v_to := coalesce(
      v_match[2]::integer,
      case
        when v_match[1] is null or v_match[3] is not null then cron_values.highest
        else v_from
      end
    );

    if v_from < cron_values.lowest or v_to > cron_values.highest or v_from > v_to then
      return null;
    end if;

    v_values := v_values || array(
      select srs.value
      from generate_series(v_from, v_to, coalesce(v_match[3]::integer, 1)) as srs (value)
    );
  end loop;

  return nullif(v_values, '{}');
end;
$$;

comment on function runbook.cron_values(text, integer, integer, text[]) is
'The numbers that a field of a cron schedule stands for, or null if it is none. Names are those of
the values from the lowest on.';
revoke all on function runbook.cron_values(text, integer, integer, text[]) from public;

-- When a schedule of pg_cron was last due at or before an instant; null for @reboot, for what is no
-- schedule, and for what was not due for a year.
create function runbook.cron_last_due(schedule text, at timestamptz, zone text)
returns timestamptz
language plpgsql
stable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_fields text[] := regexp_split_to_array(
    btrim(
      case lower(btrim(cron_last_due.schedule))
        when '@hourly' then '0 * * * *'
        when '@daily' then '0 0 * * *'
        when '@midnight' then '0 0 * * *'
        when '@weekly' then '0 0 * * 0'
        when '@monthly' then '0 0 1 * *'
        when '@annually' then '0 0 1 1 *'
        when '@yearly' then '0 0 1 1 *'
        else cron_last_due.schedule
      end
    ),
    '\s+'
  );
  v_local constant timestamp := cron_last_due.at at time zone cron_last_due.zone;
  v_minutes integer[];
  v_hours integer[];
  v_month_days integer[];
  v_months integer[];
  v_week_days integer[];
  v_is_last_day boolean;
  v_any_day boolean;
  v_day date := v_local::date;
  v_fits boolean;
  v_time integer;
begin
  if cron_last_due.schedule ~* '^\s*[1-5]?[0-9]\s+seconds?\s*$' then
    return cron_last_due.at - make_interval(secs => v_fields[1]::integer);
  end if;

  if cardinality(v_fields) is distinct from 5 then
    return null;
  end if;

  v_is_last_day := v_fields[3] = '$';
  -- Both days must fit if one of them is left open, else either will do.
  v_any_day := v_fields[3] !~ '^\*' and v_fields[5] !~ '^\*';
  v_minutes := runbook.cron_values(v_fields[1], 0, 59, null);
  v_hours := runbook.cron_values(v_fields[2], 0, 23, null);
  v_month_days := case
    when v_is_last_day then array[]::integer[]
    else runbook.cron_values(v_fields[3], 1, 31, null)
  end;
  v_months := runbook.cron_values(
    v_fields[4],
    1,
    12,
    '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'
  );
  v_week_days := runbook.cron_values(v_fields[5], 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');

  if v_minutes is null or v_hours is null or v_month_days is null or v_months is null
    or v_week_days is null
  then
    return null;
  end if;

  while v_day > v_local::date - 367 loop
    v_fits := (
      select
        case
          when v_any_day then day.month_fits or day.week_fits
          else day.month_fits and day.week_fits
        end
      from (
        select
          extract(day from v_day) = any (v_month_days)
          or (v_is_last_day and extract(day from v_day + 1) = 1),
          extract(dow from v_day) = any (v_week_days)
          or extract(isodow from v_day) = any (v_week_days)
      ) as day (month_fits, week_fits)
    );

    if v_fits and extract(month from v_day) = any (v_months) then
      select max(60 * hrs.value + mns.value)
      into v_time
      from unnest(v_hours) as hrs (value)
      cross join unnest(v_minutes) as mns (value)
      where v_day < v_local::date
        or 60 * hrs.value + mns.value
          <= 60 * extract(hour from v_local) + extract(minute from v_local);

      if v_time is not null then
        return (v_day + make_interval(mins => v_time)) at time zone cron_last_due.zone;
      end if;
    end if;

    v_day := v_day - 1;
  end loop;

  return null;
end;
$$;

comment on function runbook.cron_last_due(text, timestamptz, text) is
'The last time at or before an instant at which a schedule of pg_cron was due, or null.';
revoke all on function runbook.cron_last_due(text, timestamptz, text) from public;

-- The first line of an error: what follows (DETAIL, CONTEXT) quotes values of rows, which are
-- people's data.
create function runbook.first_line(message text)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select nullif(btrim(split_part(replace(first_line.message, e'\r', e'\n'), e'\n', 1)), '');
$$;

comment on function runbook.first_line(text) is
'The first line of an error''s text, or null.';
revoke all on function runbook.first_line(text) from public;

-- The active jobs with what the newest rows of the log say about them.
create function runbook.cron_job_runs(runs bigint)
returns table (
  job_id bigint,
  name text,
  schedule text,
  last_status text,
  last_message text,
  last_started_at timestamptz,
  failures bigint,
  failing_since timestamptz
)
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
begin
  return query execute '
    with newest as materialized (
      select det.jobid, det.runid, det.status, det.return_message, det.start_time
      from cron.job_run_details as det
      where det.runid > (
        select max(last.runid) - $1 from cron.job_run_details as last
      )
    ),
    latest as (
      select distinct on (new.jobid)
        new.jobid, new.status, new.return_message, new.start_time
      from newest as new
      order by new.jobid, new.runid desc
    ),
    succeeded as (
      select new.jobid, max(new.runid) as runid
      from newest as new
      where new.status = ''succeeded''
      group by new.jobid
    ),
    failed as (
      select new.jobid, count(*) as failures, min(new.start_time) as since
      from newest as new
      left join succeeded as suc on suc.jobid = new.jobid
      where new.status = ''failed''
        -- a restart says nothing about the job
        and new.return_message is distinct from ''server restarted''
        and new.runid > coalesce(suc.runid, 0)
      group by new.jobid
    )
    select
      job.jobid,
      coalesce(job.jobname::text, ''job '' || job.jobid) collate "default",
      job.schedule,
      lat.status,
      left(lat.return_message, 200),
      lat.start_time,
      coalesce(fld.failures, 0),
      fld.since
    from cron.job as job
    left join latest as lat on lat.jobid = job.jobid
    left join failed as fld on fld.jobid = job.jobid
    where job.active
      and job.command !~ $2'
  using cron_job_runs.runs, runbook.own_commands();
end;
$$;

comment on function runbook.cron_job_runs(bigint) is
'One row an active job of pg_cron but the runbook''s own ones: its last run and its failures since the
last success, as far as the newest runs of the log tell.';
revoke all on function runbook.cron_job_runs(bigint) from public;

-- Jobs of pg_cron that fail, do not come when they are due, or log without end.
--
-- Platform times, so the real clock. A job without a run in the log may be new, and is not late.
-- Cost: the newest rows of cron.job_run_details, by its primary key; no row of the rest.
-- Misses: jobs whose last run lies further back in the log, jobs that succeed and do nothing (such
-- as a net.http_post whose answer is an error), and what was due before its schedule was changed.
create function runbook.check_cron_jobs(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_due_by constant timestamptz := clock_timestamp() - make_interval(
    secs => (check_cron_jobs.settings ->> 'late_after_s')::double precision
  );
  v_zone constant text := coalesce(current_setting('cron.timezone', true), 'GMT');
  v_findings runbook.finding[] := array[]::runbook.finding[];
  v_is_running boolean;
  v_job record;
  v_due timestamptz;
  v_log record;
begin
  if to_regclass('cron.job') is null then
    return row(
      null,
      array[runbook.not_applicable('cron_jobs', 'pg_cron is not installed here.')]
    )::runbook.check_result;
  end if;

  if pg_is_in_recovery() then
    return runbook.check_answer(
      null,
      runbook.not_applicable('cron_jobs', 'No job runs on a replica; ask the primary.')
    );
  end if;

  v_is_running := runbook.cron_scheduler_is_running();

  for v_job in
    select
      run.job_id,
      run.name,
      run.schedule,
      run.last_status,
      run.last_message,
      run.last_started_at,
      run.failures,
      run.failing_since
    from runbook.cron_job_runs((check_cron_jobs.settings ->> 'runs')::bigint) as run
    order by run.failures desc, run.job_id
  loop
    if v_job.failures > 0 then
      v_findings := v_findings || row(
        'cron_job_failing',
        'warning',
        v_job.name,
        format(
          'The job %s (%s) has failed %s since %s: %s See what it runs: select command from cron.job '
          'where jobid = %s;',
          left(v_job.name, 60),
          v_job.job_id,
          case v_job.failures
            when 1 then 'once'
            else format('%s times in a row', v_job.failures)
          end,
          runbook.utc_text(v_job.failing_since),
          coalesce(
            rtrim(left(runbook.first_line(v_job.last_message), 90), '.') || '.', 'no message.'
          ),
          v_job.job_id
        ),
        jsonb_build_object(
          'job_id', v_job.job_id,
          'schedule', v_job.schedule,
          'failures', v_job.failures,
          'since', v_job.failing_since,
          'message', runbook.first_line(v_job.last_message)
        ),
        'read from cron.job_run_details',
        null,
        null
      )::runbook.finding;
    end if;

    -- Without a scheduler no job comes; the check cron_alive tells that once for all.
    if v_is_running and v_job.last_started_at < v_due_by then
      v_due := runbook.cron_last_due(v_job.schedule, v_due_by, v_zone);

      if v_job.last_started_at < v_due and runbook.server_started_at() < v_due then
        v_findings := v_findings || row(
          'cron_job_late',
          'warning',
          v_job.name,
          case
            when v_job.last_status in ('starting', 'running', 'connecting', 'sending')
              then format(
                'The job %s (%s) has been at work since %s and was due again at %s: its runs queue up. '
                'pg_stat_activity shows what it does.',
                v_job.name,
                v_job.job_id,
                runbook.utc_text(v_job.last_started_at),
                runbook.utc_text(v_due)
              )
            else format(
              'The job %s (%s) was due at %s and last began at %s. See whether other jobs take all '
              'of cron.max_running_jobs.',
              v_job.name,
              v_job.job_id,
              runbook.utc_text(v_due),
              runbook.utc_text(v_job.last_started_at)
            )
          end,
          jsonb_build_object(
            'job_id', v_job.job_id,
            'schedule', v_job.schedule,
            'due_at', v_due,
            'last_started_at', v_job.last_started_at,
            'last_status', v_job.last_status
          ),
          'the schedule compared with cron.job_run_details',
          null,
          null
        )::runbook.finding;
      end if;
    end if;
  end loop;

  execute '
    select
      (select max(det.runid) - min(det.runid) + 1 from cron.job_run_details as det) as span,
      rel.reltuples as counted,
      current_setting(''block_size'')::bigint * rel.relpages as bytes
    from pg_catalog.pg_class as rel
    where rel.oid = to_regclass(''cron.job_run_details'')'
  into v_log;

  -- Run numbers have gaps where rows were removed, so their span is only an upper bound.
  if v_log.bytes >= (check_cron_jobs.settings ->> 'history_bytes')::numeric
    or coalesce(nullif(v_log.counted, -1), v_log.span)
      >= (check_cron_jobs.settings ->> 'history_rows')::numeric
  then
    v_findings := v_findings || row(
      'cron_history_large',
      'warning',
      'cron.job_run_details',
      format(
        'The log of pg_cron holds about %s runs%s; nothing removes them. Schedule: %s',
        round(coalesce(nullif(v_log.counted, -1), v_log.span)),
        case when v_log.bytes > 0 then format(' (%s)', pg_size_pretty(v_log.bytes)) else '' end,
        'delete from cron.job_run_details where end_time < now() - interval ''7 days'''
      ),
      jsonb_build_object(
        'runs', round(coalesce(nullif(v_log.counted, -1), v_log.span)),
        'bytes', v_log.bytes
      ),
      case
        when v_log.counted >= 0 then 'pages and rows as of the last VACUUM or ANALYZE'
        else 'first and last number of a run'
      end,
      null,
      null
    )::runbook.finding;
  end if;

  if cardinality(v_findings) = 0 and current_setting('cron.log_run', true) = 'off' then
    return runbook.check_answer(
      null,
      runbook.skipped('cron_jobs', 'pg_cron keeps no log of its runs, because cron.log_run is off.')
    );
  end if;

  return row(cardinality(v_findings), v_findings[1:100])::runbook.check_result;
end;
$$;

comment on function runbook.check_cron_jobs(jsonb) is
'How many troubles the jobs of pg_cron have: cron_job_failing, cron_job_late, cron_history_large.';
revoke all on function runbook.check_cron_jobs(jsonb) from public;

-- Sources: a job that is queued behind others begins within minutes on a healthy server; a job of
-- each minute logs half a million runs a year, and citusdata/pg_cron#416 tells of 12 MB a day.
insert into runbook.check (
  name,
  title,
  description,
  function,
  position,
  check_group,
  unit,
  thresholds,
  codes
)
values (
  'cron_jobs',
  'Jobs of pg_cron',
  'The application''s jobs succeed, begin when they are due, and their log is small enough.',
  'runbook.check_cron_jobs',
  620,
  'platform',
  'troubles',
  '{"runs": 10000, "late_after_s": 300, "history_rows": 1000000, "history_bytes": 104857600}',
  '{
    "cron_job_failing": "The last run of a job failed.",
    "cron_job_late": "A job did not begin when it was due.",
    "cron_history_large": "The log of pg_cron has grown large."
  }'
);
