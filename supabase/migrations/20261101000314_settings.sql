-- Settings that do not fit: those that can be shown to be wrong from SQL, and time limits of the
-- API's roles that are missing. What the platform ships, hosted or self-hosted, is never complained
-- about.
--
-- Relies on: pg_settings, pg_db_role_setting.

-- A time as a setting writes it (8s, 2min, 3000), in milliseconds; null for what is none.
create function runbook.setting_ms(value text)
returns numeric
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select trim_scale(
    parts.matched[1]::numeric * case coalesce(parts.matched[2], '')
      when '' then 1
      when 'us' then 0.001
      when 'ms' then 1
      when 's' then 1000
      when 'min' then 60000
      when 'h' then 3600000
      when 'd' then 86400000
    end
  )
  from regexp_match(
    btrim(setting_ms.value), '^([0-9]+(?:\.[0-9]+)?)[[:space:]]*(us|ms|s|min|h|d)?$'
  ) as parts (matched);
$$;

comment on function runbook.setting_ms(text) is
'Milliseconds of a time as settings write it, or null.';
revoke all on function runbook.setting_ms(text) from public;

-- What is set for roles and databases, one row for each setting: in the order in which they win.
create function runbook.role_settings(name text)
returns table (
  role_name text,
  database_name text,
  value text,
  place integer
)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    rol.rolname::text collate "default",
    dat.datname::text collate "default",
    substr(one.setting, strpos(one.setting, '=') + 1),
    case
      when drs.setrole <> 0 and drs.setdatabase <> 0 then 1
      when drs.setrole <> 0 then 2
      when drs.setdatabase <> 0 then 3
      else 4
    end
  from pg_catalog.pg_db_role_setting as drs
  cross join lateral unnest(drs.setconfig) as one (setting)
  left join pg_catalog.pg_roles as rol on rol.oid = drs.setrole
  left join pg_catalog.pg_database as dat on dat.oid = drs.setdatabase
  where split_part(one.setting, '=', 1) = role_settings.name
    and (drs.setdatabase = 0 or dat.datname = current_database());
$$;

comment on function runbook.role_settings(text) is
'What a setting is set to for roles and for this database; the lowest place wins.';
revoke all on function runbook.role_settings(text) from public;

-- The time limits that a request through the Data API has. PostgREST logs in as authenticator,
-- whose limit is the session's, and applies the limit of the role that it takes on for the request.
--
-- Cost: pg_db_role_setting, pg_settings; no lock.
-- Misses: limits that a function sets for itself; those of service_role, which has none on purpose;
-- the server's own limit where the role that installed the runbook has another.
create function runbook.check_statement_timeouts(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_most constant numeric := (check_statement_timeouts.settings ->> 'most_s')::numeric;
  v_result runbook.check_result;
begin
  if not exists (
    select
    from pg_catalog.pg_roles as rol
    where rol.rolname in ('authenticator', 'anon', 'authenticated')
  ) then
    return runbook.check_answer(
      null,
      runbook.not_applicable('statement_timeouts', 'The roles of the Data API do not exist here.')
    );
  end if;

  with limits as (
    select
      rol.rolname::text collate "default" as role_name,
      own.value,
      own.set_for,
      trim_scale(runbook.setting_ms(own.value) / 1000) as seconds
    from pg_catalog.pg_roles as rol
    cross join lateral (
      select opt.value, opt.set_for
      from (
        select one.value, one.place, rol.rolname::text as set_for
        from runbook.role_settings('statement_timeout') as one
        where one.role_name = rol.rolname
        union all
        -- The session's, which the login role has set.
        select one.value, one.place + 10, one.role_name
        from runbook.role_settings('statement_timeout') as one
        where one.role_name = 'authenticator'
        union all
        select one.value, one.place + 20, 'database'
        from runbook.role_settings('statement_timeout') as one
        where one.role_name is null
        union all
        select stg.reset_val, 100, 'server'
        from pg_catalog.pg_settings as stg
        where stg.name = 'statement_timeout'
      ) as opt
      order by opt.place
      limit 1
    ) as own
    where rol.rolname in ('authenticator', 'anon', 'authenticated')
  )
  select
    max(lim.seconds) filter (where lim.seconds > 0),
    coalesce(
      array_agg(
        row(
          'statement_timeout_missing',
          'warning',
          format('role %s', lim.role_name),
          format(
            'Statements of %s may run for %s (statement_timeout %s, set for the %s): a slow one '
            'keeps its connection. Set it: alter role %s set statement_timeout = ''%ss'';',
            lim.role_name,
            case
              when lim.seconds = 0 then 'ever'
              else runbook.duration_text(make_interval(secs => lim.seconds::double precision))
            end,
            lim.value,
            case
              when lim.set_for in ('database', 'server') then lim.set_for
              else 'role ' || lim.set_for
            end,
            lim.role_name,
            case when lim.role_name = 'anon' then 3 else 8 end
          ),
          jsonb_build_object('value', lim.value, 'set_for', lim.set_for),
          'settings of roles, database and server, in the order in which they win',
          null,
          null
        )::runbook.finding
        order by lim.role_name
      ) filter (where lim.seconds = 0 or lim.seconds > v_most),
      '{}'
    )
  into v_result.value, v_result.findings
  from limits as lim;

  return v_result;
end;
$$;

comment on function runbook.check_statement_timeouts(jsonb) is
'Roles of the Data API whose statements may run for ever, or for long: statement_timeout_missing.';
revoke all on function runbook.check_statement_timeouts(jsonb) from public;

-- Settings that can be shown to be wrong. How much memory the server has is not told to SQL: it is
-- taken from shared_buffers (a quarter of it, as Supabase and the manual have it) or
-- effective_cache_size (three quarters), whichever says more.
--
-- Cost: pg_settings, pg_db_role_setting; no lock.
-- Misses: the real memory and disk; fsync and its like, which nobody can change on Supabase.
create function runbook.check_settings(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_share constant numeric := (check_settings.settings ->> 'work_mem_percent')::numeric;
  v_maintenance constant numeric := (check_settings.settings ->> 'maintenance_percent')::numeric;
  v_result runbook.check_result;
begin
  with given as materialized (
    select
      stg.name,
      stg.setting,
      stg.reset_val,
      stg.unit,
      stg.source,
      stg.pending_restart,
      -- What a database has set for itself is not among the server's, but ours as well.
      case stg.unit
        when 'kB' then stg.reset_val::numeric / 1024
        when '8kB' then stg.reset_val::numeric / 128
        when 'MB' then stg.reset_val::numeric
      end as megabytes
    from pg_catalog.pg_settings as stg
    where stg.pending_restart
      or stg.name in (
        'shared_buffers', 'effective_cache_size', 'work_mem', 'maintenance_work_mem',
        'autovacuum_work_mem', 'autovacuum_max_workers', 'max_connections', 'autovacuum',
        'track_counts', 'random_page_cost'
      )
  ),
  memory as (
    select
      round(
        greatest(
          max(4 * giv.megabytes) filter (where giv.name = 'shared_buffers'),
          max(giv.megabytes / 0.75) filter (
            where giv.name = 'effective_cache_size' and giv.source <> 'default'
          )
        )
      ) as megabytes,
      max(giv.setting::numeric) filter (where giv.name = 'max_connections') as connections,
      max(giv.setting::numeric) filter (where giv.name = 'autovacuum_max_workers') as workers
    from given as giv
  ),
  -- The memory for one sort, of those roles that have many connections at once.
  work_memory as (
    select 'work_mem' as subject, 'every role' as whose, giv.megabytes
    from given as giv
    where giv.name = 'work_mem'
    union all
    select
      format('work_mem of role %s', one.role_name),
      format('role %s', one.role_name),
      pg_size_bytes(
        case when one.value ~ '^[0-9]+$' then one.value || 'kB' else one.value end
      ) / 1048576.0
    from runbook.role_settings('work_mem') as one
    where one.role_name in ('authenticator', 'anon', 'authenticated', 'service_role')
      and one.value ~ '^[0-9]+ *(kB|MB|GB|TB)?$'
  ),
  found as (
    select
      1 as place,
      'critical' as severity,
      giv.name as subject,
      format(
        '%s is off: tables are never vacuumed or analyzed by themselves, and transaction ids run '
        'out. Switch it on.',
        giv.name
      ) as summary,
      jsonb_build_object('value', giv.setting) as evidence,
      'pg_settings' as method
    from given as giv
    where giv.name in ('autovacuum', 'track_counts')
      and giv.setting = 'off'
    union all
    select
      2,
      'warning',
      wmm.subject,
      format(
        'work_mem for %s is %s MB, and %s connections may each take it several times: that is %s '
        'MB, the server has about %s. Lower it, and give it to single roles or statements.',
        wmm.whose,
        round(wmm.megabytes),
        mem.connections,
        round(wmm.megabytes * mem.connections),
        mem.megabytes
      ),
      jsonb_build_object(
        'work_mem_mb', round(wmm.megabytes, 1),
        'max_connections', mem.connections,
        'memory_mb', mem.megabytes
      ),
      'memory estimated from shared_buffers and effective_cache_size'
    from work_memory as wmm
    cross join memory as mem
    where wmm.megabytes * mem.connections > mem.megabytes * v_share / 100
    union all
    select
      3,
      'warning',
      mwm.name,
      format(
        '%s is %s MB, and %s workers of autovacuum may each take it: that is %s MB, the server has '
        'about %s. Lower it.',
        mwm.name,
        round(mwm.megabytes),
        mem.workers,
        round(mwm.megabytes * mem.workers),
        mem.megabytes
      ),
      jsonb_build_object(
        'megabytes', round(mwm.megabytes),
        'workers', mem.workers,
        'memory_mb', mem.megabytes
      ),
      'memory estimated from shared_buffers and effective_cache_size'
    from (
      select giv.name, giv.megabytes
      from given as giv
      where giv.name in ('maintenance_work_mem', 'autovacuum_work_mem')
        -- -1 stands for maintenance_work_mem.
        and giv.setting <> '-1'
      order by giv.name
      limit 1
    ) as mwm
    cross join memory as mem
    where mwm.megabytes * mem.workers > mem.megabytes * v_maintenance / 100
    union all
    select
      4,
      'warning',
      'effective_cache_size',
      format(
        'effective_cache_size (%s MB) is less than shared_buffers (%s MB), which it includes: the '
        'planner avoids indexes. Set it to about three quarters of the memory.',
        round(ecs.megabytes),
        round(shb.megabytes)
      ),
      jsonb_build_object(
        'effective_cache_size_mb', round(ecs.megabytes),
        'shared_buffers_mb', round(shb.megabytes)
      ),
      'pg_settings'
    from given as ecs
    cross join given as shb
    where ecs.name = 'effective_cache_size'
      and shb.name = 'shared_buffers'
      and ecs.megabytes < shb.megabytes
    union all
    select
      5,
      'info',
      giv.name,
      format('%s has been changed, and waits for a restart to count.', giv.name),
      jsonb_build_object('value', giv.setting),
      'pg_settings'
    from given as giv
    where giv.pending_restart
    union all
    select
      6,
      'info',
      giv.name,
      format(
        'random_page_cost is 4, which is for spinning disks; on an SSD 1.1 makes the planner use '
        'indexes more: alter database %I set random_page_cost = 1.1;',
        current_database()
      ),
      jsonb_build_object('value', giv.reset_val),
      'pg_settings; the kind of disk is not known'
    from given as giv
    where giv.name = 'random_page_cost'
      and giv.source = 'default'
      and giv.reset_val = '4'
  )
  select
    count(*),
    coalesce(
      array_agg(
        row(
          'setting_unfit',
          fnd.severity,
          fnd.subject,
          fnd.summary,
          fnd.evidence,
          fnd.method,
          null,
          null
        )::runbook.finding
        order by fnd.place, fnd.subject
      ),
      '{}'
    )
  into v_result.value, v_result.findings
  from found as fnd;

  return v_result;
end;
$$;

comment on function runbook.check_settings(jsonb) is
'Settings that can be shown to be wrong for the memory or at all: setting_unfit.';
revoke all on function runbook.check_settings(jsonb) from public;

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
values
  (
    'statement_timeouts',
    'Time limits of the API',
    'How long statements of the Data API''s roles may run.',
    'runbook.check_statement_timeouts',
    230,
    'limits',
    's at most',
    -- Supabase gives anon 3 s, authenticated and authenticator 8 s; its gateway ends a request
    -- after 60 s, so that what runs longer runs for nobody.
    '{"most_s": 60}',
    '{"statement_timeout_missing": "A role of the Data API may let a statement run for ever."}'
  ),
  (
    'settings',
    'Settings',
    'Settings that can be shown to be wrong, for the memory or at all.',
    'runbook.check_settings',
    240,
    'limits',
    'settings',
    -- Ours: not every connection sorts at once, so twice the memory is a fault, and Supabase's
    -- self-hosted image (128 MB of shared_buffers, 4 MB, 100 connections) is not; autovacuum may
    -- take a half.
    '{"work_mem_percent": 200, "maintenance_percent": 50}',
    '{"setting_unfit": "A setting does not fit this server."}'
  );
