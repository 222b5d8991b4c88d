-- Checks: questions about the system, each answered by one function with a number, findings or
-- both. A check never waits: a lock that is not free within 100 ms makes it `skipped`. A check
-- never raises: what goes wrong in it makes it `error`, and the others still answer.

create type runbook.check_result as (
  value numeric,
  findings runbook.finding[]
);

comment on type runbook.check_result is
'What a check found: a number in the catalog''s unit, if it has one, and findings.';

revoke all on type runbook.check_result from public;

-- One result from a number and a finding that may be null.
create function runbook.check_answer(value numeric, found runbook.finding)
returns runbook.check_result
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    check_answer.value,
    case when (check_answer.found).code is null then '{}' else array[check_answer.found] end
  )::runbook.check_result;
$$;

comment on function runbook.check_answer(numeric, runbook.finding) is
'A check''s result with a number and at most one finding.';
revoke all on function runbook.check_answer(numeric, runbook.finding) from public;

-- Whether this server replays the log of another. A function, so that tests can say otherwise.
create function runbook.is_replica()
returns boolean
language sql
stable
parallel safe
security invoker
set search_path = ''
as $$
  select pg_is_in_recovery();
$$;

comment on function runbook.is_replica() is 'Whether the server is in recovery: a replica.';
revoke all on function runbook.is_replica() from public;

-- Why a check of what only a primary does or counts says nothing, as a finding's row; null on a
-- primary.
create function runbook.replica_obstacle(check_name text)
returns runbook.finding
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when runbook.is_replica()
      then runbook.not_applicable(
        replica_obstacle.check_name, 'This is a replica, which cannot tell: ask the primary.'
      )
  end;
$$;

comment on function runbook.replica_obstacle(text) is
'That a replica cannot tell what a check asks for, or null.';
revoke all on function runbook.replica_obstacle(text) from public;

-- Can the database be written to? That it can be reached is shown by the answer.
--
-- Cost: settings only.
-- Misses: a disk that is full but not yet reported by the platform.
create function runbook.check_database_writable(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
as $$
  select runbook.check_answer(
    null,
    case
      when runbook.is_replica()
        then row(
          'database_in_recovery',
          'critical',
          'database',
          'The database is in recovery, and accepts no writes: a replica, or a restart that is not '
          'over. Wait a few minutes, or ask the primary.',
          jsonb_build_object('in_recovery', true),
          'pg_is_in_recovery()',
          null,
          null
        )::runbook.finding
      when fresh.is_read_only
        then row(
          'database_read_only',
          'critical',
          'database',
          'New sessions are read-only by default. The platform does this when the disk is full: take '
          'a larger disk, or make room in a session of yours, after: set session characteristics as '
          'transaction read write;',
          jsonb_build_object('default_transaction_read_only', 'on'),
          'default_transaction_read_only, as new sessions get it',
          null,
          null
        )::runbook.finding
    end
  )
  from (
    select coalesce(
      -- What is set for the database or the role holds for new sessions, and not for this one when
      -- it began before. The narrowest holds.
      (
        select split_part(cfg.setting, '=', 2)::boolean
        from pg_catalog.pg_db_role_setting as drs
        left join pg_catalog.pg_database as dat on dat.oid = drs.setdatabase
        left join pg_catalog.pg_roles as rol on rol.oid = drs.setrole
        cross join lateral unnest(drs.setconfig) as cfg (setting)
        where (drs.setdatabase = 0 or dat.datname = current_database())
          and (drs.setrole = 0 or rol.rolname = session_user)
          and cfg.setting like 'default_transaction_read_only=%'
        order by drs.setrole <> 0 desc, drs.setdatabase <> 0 desc
        limit 1
      ),
      (
        select stg.reset_val::boolean
        from pg_catalog.pg_settings as stg
        where stg.name = 'default_transaction_read_only'
          -- Taken back since this session began.
          and stg.source not in ('database', 'user', 'database user')
      ),
      false
    ) as is_read_only
  ) as fresh;
$$;

comment on function runbook.check_database_writable(jsonb) is
'Whether the database accepts writes: database_in_recovery, database_read_only.';
revoke all on function runbook.check_database_writable(jsonb) from public;

-- How old a probe may be for this evaluation. A scheduled one uses what the bell of the minute
-- before fetched; one on demand has just fetched its own.
create function runbook.probe_age_limit(settings jsonb)
returns interval
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select make_interval(
    secs => (
      probe_age_limit.settings ->> case
        when (probe_age_limit.settings -> 'scheduled')::boolean then 'scheduled_max_age_s'
        else 'max_age_s'
      end
    )::double precision
  );
$$;

comment on function runbook.probe_age_limit(jsonb) is
'The greatest age of a probe that counts, from a check''s settings.';
revoke all on function runbook.probe_age_limit(jsonb) from public;

-- The probes that are to be refreshed now, of those that checks name. A service that asked for
-- patience with its last answer gets it, for an hour at most.
create function runbook.due_probes()
returns text[]
language sql
stable
security invoker
set search_path = ''
as $$
  with named as (
    select
      prb.name,
      min(coalesce((runbook.thresholds_of(chk.name) ->> 'look_every_s')::numeric, 0)) as every_s
    from runbook.check as chk
    cross join lateral unnest(chk.probes) as prb (name)
    group by prb.name
  )
  select coalesce(array_agg(nam.name order by nam.name), '{}')
  from named as nam
  left join runbook.probe as prb on prb.name = nam.name
  where prb.name is null
    -- The schedule comes on the minute, give or take a moment.
    or prb.seen_at <= (select clock_timestamp()) + interval '10 seconds' - make_interval(
      secs => greatest(
        nam.every_s, least(coalesce((prb.evidence ->> 'retry_after_s')::numeric, 0), 3600)
      )::double precision
    );
$$;

comment on function runbook.due_probes() is
'The probes that checks name and whose interval has passed; what a health check looks at.';
revoke all on function runbook.due_probes() from public;
grant execute on function runbook.due_probes() to runbook_viewer;

-- Does Auth answer? By the probe of an edge function.
--
-- Cost: one row of runbook.probe.
-- Misses: whether Auth can sign people in; its health page does not say.
create function runbook.check_auth_reachable(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_max_age constant interval := runbook.probe_age_limit(check_auth_reachable.settings);
  v_probe constant runbook.probe := runbook.fresh_probe('auth_health', v_max_age);
begin
  return runbook.check_answer(
    (v_probe.evidence ->> 'took_ms')::numeric,
    case
      when v_probe.name is null
        then runbook.skipped('auth_reachable', runbook.stale_reason('auth_health', v_max_age))
      else runbook.auth_health_finding(v_probe)
    end
  );
end;
$$;

comment on function runbook.check_auth_reachable(jsonb) is
'Whether Auth answers, and in how many milliseconds: auth_unreachable.';
revoke all on function runbook.check_auth_reachable(jsonb) from public;

-- Do the deployed edge functions belong to the installed schema? By their own word.
--
-- Cost: one row of runbook.probe.
-- Misses: a function that was deployed apart from the one that looked.
create function runbook.check_versions_agree(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_max_age constant interval := runbook.probe_age_limit(check_versions_agree.settings);
  v_probe constant runbook.probe := runbook.fresh_probe('functions_version', v_max_age);
  v_schema constant text := runbook.version();
begin
  return runbook.check_answer(
    null,
    case
      when v_probe.name is null
        then runbook.skipped(
          'versions_agree',
          runbook.stale_reason('functions_version', v_max_age)
        )
      when v_probe.evidence ->> 'version' is distinct from v_schema
        then row(
          'versions_differ',
          'critical',
          'versions',
          format(
            'The edge functions are of version %s, the schema is of version %s. Bring the older side '
            'up: supabase functions deploy, or supabase db push.',
            coalesce(v_probe.evidence ->> 'version', 'unknown'),
            v_schema
          ),
          jsonb_build_object(
            'functions', v_probe.evidence ->> 'version',
            'schema', v_schema,
            'seen_at', v_probe.seen_at
          ),
          'told by the edge function',
          null,
          null
        )::runbook.finding
    end
  );
end;
$$;

comment on function runbook.check_versions_agree(jsonb) is
'Whether edge functions and schema are of one version: versions_differ.';
revoke all on function runbook.check_versions_agree(jsonb) from public;

-- Does the runbook go by the real time? How far it is off, in seconds.
--
-- Cost: one row of runbook.clock.
-- Misses: a server whose own clock is wrong.
create function runbook.check_clock_not_shifted(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
as $$
  select runbook.check_answer(
    trim_scale(round(extract(epoch from runbook.now() - pg_catalog.now()), 3)),
    case
      when runbook.now() <> pg_catalog.now()
        then row(
          'clock_shifted',
          'critical',
          'clock',
          format(
            'The clock of the runbook is shifted by %s. Set it right: select %s.',
            runbook.now() - pg_catalog.now(),
            'runbook.shift_clock(null)'
          ),
          jsonb_build_object('runbook_now', runbook.now(), 'now', pg_catalog.now()),
          'runbook.now() compared with now()',
          null,
          null
        )::runbook.finding
    end
  );
$$;

comment on function runbook.check_clock_not_shifted(jsonb) is
'How many seconds runbook.now() is off: clock_shifted.';
revoke all on function runbook.check_clock_not_shifted(jsonb) from public;

insert into runbook.check (
  name,
  title,
  description,
  function,
  position,
  check_group,
  unit,
  thresholds,
  codes,
  probes
)
values
  (
    'clock_not_shifted',
    'Clock of the runbook',
    'The runbook''s clock can be moved for tests; in production it must not be.',
    'runbook.check_clock_not_shifted',
    10,
    'runbook',
    's off',
    '{}',
    '{"clock_shifted": "runbook.now() is not the real time."}',
    default
  ),
  (
    'database_writable',
    'Writing to the database',
    'The database answers, and is neither in recovery nor read-only by default.',
    'runbook.check_database_writable',
    20,
    'platform',
    null,
    '{}',
    '{
      "database_in_recovery": "The server replays a log and accepts no writes.",
      "database_read_only": "New sessions are read-only by default.",
      "database_unreachable": "No connection can be made; only an edge function can tell."
    }',
    default
  ),
  (
    'auth_reachable',
    'Auth',
    'An edge function asked Auth for its health.',
    'runbook.check_auth_reachable',
    30,
    'platform',
    'ms',
    '{"max_age_s": 60, "scheduled_max_age_s": 130}',
    '{"auth_unreachable": "Auth did not answer, or not with success."}',
    array['auth_health']
  ),
  (
    'versions_agree',
    'Versions of functions and schema',
    'Edge functions and schema are released together and must be of one version.',
    'runbook.check_versions_agree',
    40,
    'runbook',
    null,
    '{"max_age_s": 60, "scheduled_max_age_s": 130}',
    '{"versions_differ": "Edge functions and schema are of different versions."}',
    array['functions_version']
  );
