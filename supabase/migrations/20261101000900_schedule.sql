-- The schedule: pg_cron calls three jobs each minute. One evaluates the groups of checks that are
-- due, one the collectors that are; the tick moves runs on and rings an edge function, which looks
-- outside (SQL cannot) and keeps what it saw as probes. The bell is pg_net, whose queue every login
-- can read. So what it carries is a ticket: valid once, for two minutes, for one endpoint, without
-- a role, and stored here as a hash only.
-- pg_cron and pg_net are looked for when called; nothing here depends on them.

create table runbook.ticket (
  hash bytea not null,
  endpoint text not null,
  issued_at timestamptz not null default clock_timestamp(),
  constraint ticket_pkey primary key (hash)
);

comment on table runbook.ticket is 'Tickets that were issued and not redeemed, as hashes.';

revoke all on table runbook.ticket from public;

create table runbook.heartbeat (
  id boolean not null default true,
  scheduled_at timestamptz,
  ticked_at timestamptz,
  rung_at timestamptz,
  bell_error jsonb,
  constraint heartbeat_pkey primary key (id),
  constraint heartbeat_has_one_row check (id)
);

comment on table runbook.heartbeat is
'One row: when the schedule was made, the last tick, and how its bell fared. Real clock.';
comment on column runbook.heartbeat.bell_error is
'{sqlstate, message} when the last bell could not be rung.';

revoke all on table runbook.heartbeat from public;
grant select on table runbook.heartbeat to runbook_viewer;

insert into runbook.heartbeat (id) values (true);

-- A hash of a ticket, as it is stored.
create function runbook.ticket_hash(ticket text)
returns bytea
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select sha256(convert_to(ticket_hash.ticket, 'UTF8'));
$$;

comment on function runbook.ticket_hash(text) is 'What is stored of a ticket.';
revoke all on function runbook.ticket_hash(text) from public;

-- Issues a ticket for one endpoint. Only the owner of the schema may.
create function runbook.issue_ticket(endpoint text)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  -- Two of them carry 244 random bits.
  v_ticket constant text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
begin
  insert into runbook.ticket (hash, endpoint)
  values (runbook.ticket_hash(v_ticket), issue_ticket.endpoint);

  return v_ticket;
end;
$$;

comment on function runbook.issue_ticket(text) is
'A new ticket for an endpoint, valid once and for two minutes.';
revoke all on function runbook.issue_ticket(text) from public;

-- Takes a ticket in. It opens one endpoint once and gives no role.
create function runbook.redeem_ticket(ticket text, endpoint text)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  delete from runbook.ticket as tkt
  where tkt.hash = runbook.ticket_hash(redeem_ticket.ticket)
    and tkt.endpoint = redeem_ticket.endpoint
    and tkt.issued_at > clock_timestamp() - interval '2 minutes';

  if not found then
    raise exception 'The ticket is not valid.'
      using errcode = 'RB401', hint = 'A ticket opens one endpoint, once, within two minutes.';
  end if;

  return jsonb_build_object('actor', 'ticket', 'endpoint', redeem_ticket.endpoint);
end;
$$;

comment on function runbook.redeem_ticket(text, text) is
'Takes a ticket in: {actor, endpoint}. Raises RB401 when it is unknown, used, too old or for
another endpoint.';
revoke all on function runbook.redeem_ticket(text, text) from public;

-- Tells the runbook where the edge functions are.
create function runbook.set_functions_url(url text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if set_functions_url.url !~ '^https?://[^\s/]+/?$' then
    raise exception 'This is not the address of a project: %.', quote_literal(set_functions_url.url)
      using errcode = '22023', hint = 'Like https://<project>.supabase.co, without a path.';
  end if;

  if set_functions_url.url is null then
    delete from runbook.setting as stg
    where stg.name = 'functions_url';
  else
    perform runbook.set_setting('functions_url', to_jsonb(rtrim(set_functions_url.url, '/')));
  end if;
end;
$$;

comment on function runbook.set_functions_url(text) is
'Where the bell rings: the project''s address, without /functions/v1. Null silences it.';
revoke all on function runbook.set_functions_url(text) from public;

-- Rings the edge function of an endpoint. A bell that cannot be rung must not stop the tick, and
-- must not be silent either: the check cron_alive tells of it.
create function runbook.ring(endpoint text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_url text := (
    select stg.value #>> '{}' from runbook.setting as stg where stg.name = 'functions_url'
  );
  v_rung_at timestamptz;
  v_error jsonb;
begin
  if v_url is not null and to_regnamespace('net') is not null then
    begin
      execute '
        select net.http_post(
          url := $1,
          body := $2,
          headers := $3,
          timeout_milliseconds := 20000
        )'
      using
        v_url || '/functions/v1/' || ring.endpoint,
        '{}'::jsonb,
        jsonb_build_object(
          'Content-Type', 'application/json',
          'x-runbook-ticket', runbook.issue_ticket(ring.endpoint)
        );
      v_rung_at := clock_timestamp();
    exception
      when assert_failure or others then
        v_error := jsonb_build_object('sqlstate', sqlstate, 'message', sqlerrm);
    end;
  end if;

  update runbook.heartbeat as hbt
  set
    rung_at = coalesce(v_rung_at, hbt.rung_at),
    bell_error = v_error
  where hbt.id;
end;
$$;

comment on function runbook.ring(text) is
'Queues a request to an edge function with a ticket, where pg_net and the address are there.';
revoke all on function runbook.ring(text) from public;

-- The jobs of the runbook. Several statements of one command have a time limit each (from Postgres
-- 13 on, and where pg_cron works over connections, as it does by default), so that a group of
-- checks that hangs leaves the others their own budget; they are one transaction.
create function runbook.scheduled_jobs()
returns table (name text, schedule text, command text)
language sql
stable
security invoker
set search_path = ''
as $$
  select 'runbook-tick', '* * * * *', 'select runbook.tick()'
  union all
  select
    'runbook-checks',
    '* * * * *',
    string_agg(
      format(
        'set statement_timeout = ''%sms''; select runbook.evaluate_group(%L); ',
        (1000 * extract(epoch from grp.budget))::integer,
        grp.name
      ),
      ''
      order by grp.position
    ) || 'set statement_timeout = ''10s''; select runbook.record_recorded()'
  from runbook.check_group as grp
  union all
  select
    'runbook-collect',
    '* * * * *',
    'set statement_timeout = ''10s''' || repeat('; select runbook.collect_next()', 5);
$$;

comment on function runbook.scheduled_jobs() is
'The jobs that pg_cron runs for the runbook: name, schedule and command.';
revoke all on function runbook.scheduled_jobs() from public;

-- What the commands of our jobs look like in the log of pg_cron, those of other versions included.
create function runbook.own_commands()
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select 'select runbook\.(tick|evaluate_group|collect_next)\(';
$$;

comment on function runbook.own_commands() is
'A regular expression for the commands of the runbook''s jobs.';
revoke all on function runbook.own_commands() from public;

-- Records the report of what the schedule last measured.
create function runbook.record_recorded()
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if current_setting('transaction_read_only')::boolean then
    raise notice 'The database is read-only, so no report was kept.';
    return null;
  end if;

  return runbook.record_report(runbook.recorded_report());
end;
$$;

comment on function runbook.record_recorded() is
'Records a report of the latest measurements and returns its id; null on a read-only database.';
revoke all on function runbook.record_recorded() from public;

-- Removes reports that are too old. Of a day that is over one each quarter of an hour is kept: the
-- days before are for looking back, and a report each minute would fill a small disk.
create function runbook.forget_old_reports(older_than interval)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  delete from runbook.report as rpt
  where rpt.recorded_at < clock_timestamp() - forget_old_reports.older_than
    or (
      rpt.recorded_at < clock_timestamp() - interval '1 day'
      and extract(minute from rpt.recorded_at)::integer % 15 <> 0
    );
$$;

comment on function runbook.forget_old_reports(interval) is
'Removes reports recorded longer ago, and after a day those between the quarters of an hour.';
revoke all on function runbook.forget_old_reports(interval) from public;

-- Removes the log of our own old runs: pg_cron keeps each run for ever, and ours come each minute.
--
-- Cost: reads cron.job_run_details whole, so the tick calls it once an hour.
create function runbook.forget_old_ticks(older_than interval)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if to_regclass('cron.job') is null then
    return;
  end if;

  execute '
    delete from cron.job_run_details as det
    where det.command ~ $1
      and det.database = current_database()
      and det.end_time < clock_timestamp() - $2'
  using runbook.own_commands(), forget_old_ticks.older_than;
end;
$$;

comment on function runbook.forget_old_ticks(interval) is
'Removes runs of our own jobs that ended longer ago from the log of pg_cron.';
revoke all on function runbook.forget_old_ticks(interval) from public;

-- What pg_cron calls each minute. One at a time: a second one leaves at once.
create function runbook.tick()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_kept_for constant interval := make_interval(
    days => coalesce(
      (
        select (stg.value #>> '{}')::integer
        from runbook.setting as stg
        where stg.name = 'report_days'
      ),
      7
    )
  );
begin
  if not pg_try_advisory_xact_lock(hashtextextended('runbook tick', 0)) then
    raise notice 'Another tick is under way.';
    return;
  end if;

  update runbook.heartbeat as hbt
  set ticked_at = clock_timestamp()
  where hbt.id;

  delete from runbook.ticket as tkt
  where tkt.issued_at <= clock_timestamp() - interval '2 minutes';

  if extract(minute from clock_timestamp()) = 0 then
    -- The log tells no more than the reports do, and each of its rows repeats the command.
    perform runbook.forget_old_ticks(least(v_kept_for, interval '1 day'));
    perform runbook.forget_old_reports(v_kept_for);
    perform runbook.forget_old_looks();
  end if;

  if runbook.calls_are_due() or exists (select from runbook.runs_to_follow()) then
    perform runbook.ring('deliver');
  end if;

  -- It sounds when the tick commits.
  perform runbook.ring('health-check');

  -- The job that evaluates the checks records the report. When it does not, the tick does, and the
  -- report says how old its measurements are.
  if not exists (
    select
    from runbook.report as rpt
    where rpt.recorded_at > clock_timestamp() - interval '90 seconds'
  ) then
    perform runbook.record_recorded();
  end if;

  -- Last: a batch locks rows of the application until the tick commits.
  perform runbook.advance_runs();
end;
$$;

comment on function runbook.tick() is
'Moves runs on that take their time, rings the edge functions, removes what is too old, and records
a report when the checks'' own job does not.';
revoke all on function runbook.tick() from public;

-- Makes the jobs of pg_cron, or brings them up to date. A job that an admin has switched off stays
-- off; the check cron_alive tells of it.
create function runbook.install_schedule()
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_job record;
  v_exists boolean;
  v_is_new boolean := false;
begin
  if to_regclass('cron.job') is null then
    raise notice 'pg_cron is not installed, so nothing was scheduled.'
      using hint = 'Install it, then select runbook.install_schedule();';
    return false;
  end if;

  for v_job in
    select
      job.name,
      job.schedule,
      job.command
    from runbook.scheduled_jobs() as job
  loop
    execute '
      select exists (select from cron.job as job where job.jobname = $1 and job.database = $2)'
    into v_exists
    using v_job.name, current_database();

    execute 'select cron.schedule($1, $2, $3)'
    using v_job.name, v_job.schedule, v_job.command;

    v_is_new := v_is_new or not v_exists;
  end loop;

  update runbook.heartbeat as hbt
  set scheduled_at = clock_timestamp()
  where hbt.id
    and (v_is_new or hbt.scheduled_at is null);

  return true;
end;
$$;

comment on function runbook.install_schedule() is
'Makes the jobs of pg_cron: runbook-tick, runbook-checks, runbook-collect. May be called again.
Returns false without pg_cron.';
revoke all on function runbook.install_schedule() from public;

-- Whether pg_cron's scheduler is there: a session of its own in newer versions, else a worker.
create function runbook.cron_scheduler_is_running()
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select exists (
    select
    from pg_catalog.pg_stat_activity as act
    where act.application_name ilike 'pg_cron scheduler'
      or act.backend_type ilike 'pg_cron launcher'
  );
$$;

comment on function runbook.cron_scheduler_is_running() is
'Whether the scheduler of pg_cron is among the server''s processes.';
revoke all on function runbook.cron_scheduler_is_running() from public;

-- When the server began; a tick that was due before could not come. A function, so that tests can
-- say otherwise.
create function runbook.server_started_at()
returns timestamptz
language sql
stable
parallel safe
security invoker
set search_path = ''
as $$
  select pg_catalog.pg_postmaster_start_time();
$$;

comment on function runbook.server_started_at() is
'When the database server began.';
revoke all on function runbook.server_started_at() from public;

-- A job of the runbook and its last run, as pg_cron knows them; null without the job.
--
-- Cost: the newest 20,000 rows of cron.job_run_details at most, by its primary key.
create function runbook.cron_state(job_name text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_state jsonb;
begin
  execute '
    select to_jsonb(job.*) || jsonb_build_object(''last_run'', run.content)
    from (
      select job.jobid, job.active, job.schedule
      from cron.job as job
      where job.jobname = $1
        and job.database = current_database()
      order by job.active desc
      limit 1
    ) as job
    left join lateral (
      select jsonb_build_object(
        ''status'', det.status,
        ''message'', det.return_message,
        ''started_at'', det.start_time,
        ''ended_at'', det.end_time
      ) as content
      from cron.job_run_details as det
      where det.jobid = job.jobid
        and det.runid > (select max(newest.runid) - 20000 from cron.job_run_details as newest)
      order by det.runid desc
      limit 1
    ) as run on true'
  into v_state
  using cron_state.job_name;

  return v_state;
end;
$$;

comment on function runbook.cron_state(text) is
'{jobid, active, schedule, last_run: {status, message, started_at, ended_at}}, or null.';
revoke all on function runbook.cron_state(text) from public;

-- Does the schedule run? Seconds since it last began.
--
-- Silent in the first minutes after the schedule was made or the server began (a project that was
-- paused). Platform times, so the real clock.
-- Cost: pg_stat_activity and the newest rows of pg_cron's log.
-- Misses: jobs of others; and, asked from within the tick, that no tick comes.
create function runbook.check_cron_alive(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_late_after constant interval := make_interval(
    secs => (check_cron_alive.settings ->> 'late_after_s')::double precision
  );
  v_findings runbook.finding[] := array[]::runbook.finding[];
  v_beat runbook.heartbeat;
  v_name text;
  v_job jsonb;
  v_last_run jsonb;
  v_last_at timestamptz;
begin
  if to_regclass('cron.job') is null then
    return row(
      null,
      array[runbook.not_applicable('cron_alive', 'pg_cron is not installed here.')]
    )::runbook.check_result;
  end if;

  if pg_is_in_recovery() then
    return runbook.check_answer(
      null,
      runbook.not_applicable('cron_alive', 'No job runs on a replica; ask the primary.')
    );
  end if;

  select hbt.*
  into v_beat
  from runbook.heartbeat as hbt;

  if not runbook.cron_scheduler_is_running() then
    v_findings := v_findings || row(
      'scheduler_missing',
      'critical',
      'pg_cron',
      'The scheduler of pg_cron is not running. Restarting the database brings it back.',
      '{}'::jsonb,
      'looked for in pg_stat_activity',
      null,
      null
    )::runbook.finding;
  end if;

  for v_name in
    select job.name
    from runbook.scheduled_jobs() as job
    order by job.name
  loop
    v_job := runbook.cron_state(v_name);
    v_last_run := v_job -> 'last_run';

    if v_job is null then
      v_findings := v_findings || row(
        'schedule_missing',
        'critical',
        v_name,
        format(
          'The job %s is not scheduled. Make it: select runbook.install_schedule().', v_name
        ),
        '{}'::jsonb,
        'looked for in cron.job',
        null,
        null
      )::runbook.finding;
    elsif not (v_job -> 'active')::boolean then
      v_findings := v_findings || row(
        'schedule_inactive',
        'critical',
        v_name,
        format(
          'The job %s is switched off. Switch it on: select cron.alter_job(%s, active => true).',
          v_name,
          v_job ->> 'jobid'
        ),
        v_job,
        'read from cron.job',
        null,
        null
      )::runbook.finding;
    end if;

    if v_name = 'runbook-tick' then
      -- Where pg_cron keeps no log, the tick's own trace tells.
      v_last_at := greatest((v_last_run ->> 'started_at')::timestamptz, v_beat.ticked_at);

      if (v_job -> 'active')::boolean
        and greatest(v_last_at, v_beat.scheduled_at, runbook.server_started_at())
          < clock_timestamp() - v_late_after
      then
        v_findings := v_findings || row(
          'tick_late',
          'critical',
          v_name,
          coalesce(
            format(
              'The last tick began at %s; one is due each minute. See cron.job_run_details.',
              runbook.utc_text(v_last_at)
            ),
            'There has been no tick since the job was made. See cron.job_run_details.'
          ),
          v_job || jsonb_build_object('ticked_at', v_beat.ticked_at),
          'read from cron.job_run_details',
          null,
          null
        )::runbook.finding;
      end if;
    end if;

    -- A run that a restart of the server cut off says nothing about the next.
    if v_last_run ->> 'status' = 'failed'
      and v_last_run ->> 'message' is distinct from 'server restarted'
    then
      v_findings := v_findings || row(
        'tick_failed',
        'critical',
        v_name,
        format(
          'The last run of %s failed: %s Its runs: select * from cron.job_run_details where '
          'jobid = %s order by runid desc limit 5;',
          v_name,
          coalesce(
            rtrim(left(runbook.first_line(v_last_run ->> 'message'), 120), '.') || '.',
            'no message.'
          ),
          v_job ->> 'jobid'
        ),
        v_job,
        'read from cron.job_run_details',
        null,
        null
      )::runbook.finding;
    end if;
  end loop;

  if v_beat.bell_error is not null then
    v_findings := v_findings || row(
      'doorbell_failed',
      'warning',
      'pg_net',
      format(
        'The edge function could not be rung: %s. What only it can see, such as Auth, is not looked '
        'at on schedule. See the check pg_net, and runbook.set_functions_url().',
        rtrim(left(v_beat.bell_error ->> 'message', 120), '.')
      ),
      v_beat.bell_error,
      'caught by the tick',
      null,
      null
    )::runbook.finding;
  end if;

  if v_last_at is null and v_findings = '{}' then
    return runbook.check_answer(
      null,
      runbook.not_applicable('cron_alive', 'The schedule was just made; the first tick is due.')
    );
  end if;

  return row(
    round(extract(epoch from clock_timestamp() - v_last_at)),
    v_findings
  )::runbook.check_result;
end;
$$;

comment on function runbook.check_cron_alive(jsonb) is
'Seconds since the last tick: scheduler_missing, schedule_missing, schedule_inactive, tick_late,
tick_failed, doorbell_failed.';
revoke all on function runbook.check_cron_alive(jsonb) from public;

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
  'cron_alive',
  'Schedule (pg_cron)',
  'pg_cron is there and called the tick within the last minutes, with success.',
  'runbook.check_cron_alive',
  60,
  'runbook',
  's since the last tick',
  '{"late_after_s": 180}',
  '{
    "scheduler_missing": "The scheduler''s process is not among the server''s.",
    "schedule_missing": "A job of the runbook does not exist.",
    "schedule_inactive": "A job of the runbook is switched off.",
    "tick_late": "The last tick began longer ago than late_after_s.",
    "tick_failed": "The last tick, or the last run of another job of the runbook, failed.",
    "doorbell_failed": "The edge function could not be rung."
  }'
);
