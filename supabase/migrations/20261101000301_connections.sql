-- How many connections are left, and who has them.
--
-- Relies on: runbook.sessions().

-- The limits on connections that are near: of the server, and of roles and databases with a limit
-- of their own. The value is the server's.
--
-- Cost: pg_stat_activity once; no lock.
-- Misses: what a pooler in front of the database holds back; limits of the platform's gateway.
create function runbook.check_connections(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
as $$
  with clients as materialized (
    select
      act.usename::text collate "default" as role_name,
      act.usesysid,
      act.datid,
      runbook.session_owner(act.application_name, act.usename::text, act.backend_type) as owner,
      coalesce(replace(act.state, ' (aborted)', ''), 'unknown') as state
    from pg_catalog.pg_stat_activity as act
    -- Walsenders and workers take no connection.
    where act.backend_type = 'client backend'
  ),
  limits as (
    select
      'connections' as subject,
      current_setting('max_connections')::integer
      -- These are for superusers, and from Postgres 16 on for pg_use_reserved_connections.
      - current_setting('superuser_reserved_connections')::integer
      - coalesce(current_setting('reserved_connections', true), '0')::integer as usable,
      null::oid as role_id,
      null::oid as database_id
    union all
    select
      format('role %I', rol.rolname) collate "default",
      rol.rolconnlimit,
      rol.oid,
      null
    from pg_catalog.pg_roles as rol
    -- A limit below 5 is for a role that is meant to be at it.
    where rol.rolconnlimit >= 5
      and rol.rolcanlogin
      and not rol.rolsuper
    union all
    select
      format('database %I', dat.datname) collate "default",
      dat.datconnlimit,
      null,
      dat.oid
    from pg_catalog.pg_database as dat
    where dat.datconnlimit >= 5
  ),
  measured as (
    select
      lim.subject,
      lim.usable,
      cli.used,
      cli.by_state,
      cli.by_owner,
      round(100.0 * cli.used / lim.usable, 1) as percent
    from limits as lim
    cross join lateral (
      select
        coalesce(sum(kin.used), 0)::integer as used,
        coalesce(jsonb_object_agg(kin.state, kin.used), '{}') as by_state,
        (
          select
            coalesce(
              jsonb_agg(
                jsonb_build_object(
                  'owner', grp.owner,
                  'role', grp.role_name,
                  'state', grp.state,
                  'connections', grp.used
                )
                order by grp.used desc, grp.owner, grp.role_name, grp.state
              ),
              '[]'
            )
          from (
            select one.owner, one.role_name, one.state, count(*) as used
            from clients as one
            where (lim.role_id is null or one.usesysid = lim.role_id)
              and (lim.database_id is null or one.datid = lim.database_id)
            group by one.owner, one.role_name, one.state
            order by used desc, one.owner, one.role_name, one.state
            limit 8
          ) as grp
        ) as by_owner
      from (
        select one.state, count(*) as used
        from clients as one
        where (lim.role_id is null or one.usesysid = lim.role_id)
          and (lim.database_id is null or one.datid = lim.database_id)
        group by one.state
      ) as kin
    ) as cli
  ),
  judged as (
    select
      mea.subject,
      mea.usable,
      mea.used,
      mea.percent,
      mea.by_state,
      mea.by_owner,
      case
        when mea.percent >= (check_connections.settings ->> 'critical')::numeric
          and mea.subject = 'connections' then 'critical'
        when mea.percent >= (check_connections.settings ->> 'warning')::numeric then 'warning'
      end as severity
    from measured as mea
  )
  select row(
    max(jdg.percent) filter (where jdg.subject = 'connections'),
    coalesce(
      array_agg(
        row(
          'connections_used_up',
          jdg.severity,
          jdg.subject,
          format(
            '%s of %s usable connections%s are taken (%s %%), %s of them idle in a transaction. '
            'The largest group: %s of %s as %s, %s. %s',
            jdg.used,
            jdg.usable,
            case when jdg.subject <> 'connections' then ' of ' || left(jdg.subject, 50) end,
            jdg.percent,
            coalesce((jdg.by_state ->> 'idle in transaction')::integer, 0),
            jdg.by_owner #>> '{0,connections}',
            jdg.by_owner #>> '{0,owner}',
            left(jdg.by_owner #>> '{0,role}', 40),
            jdg.by_owner #>> '{0,state}',
            case jdg.by_owner #>> '{0,state}'
              when 'idle' then 'Let it keep fewer open, or go through the pooler.'
              when 'active' then 'What the checks blocking and long_queries find comes first.'
              when 'idle in transaction' then 'Those to end are named by idle_in_transaction.'
              else 'Look at what it does.'
            end
          ),
          jsonb_build_object(
            'used', jdg.used,
            'usable', jdg.usable,
            'active', coalesce((jdg.by_state ->> 'active')::integer, 0),
            'idle', coalesce((jdg.by_state ->> 'idle')::integer, 0),
            'idle_in_transaction',
            coalesce((jdg.by_state ->> 'idle in transaction')::integer, 0),
            'largest', jdg.by_owner
          ),
          'counted in pg_stat_activity',
          null,
          null
        )::runbook.finding
        order by jdg.percent desc, jdg.subject
      ) filter (where jdg.severity is not null),
      '{}'
    )
  )::runbook.check_result
  from judged as jdg;
$$;

comment on function runbook.check_connections(jsonb) is
'Share of the usable connections that is taken, in percent: connections_used_up.';
revoke all on function runbook.check_connections(jsonb) from public;

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
    'connections',
    'Connections',
    'Connections by owner, role and state against the limits of server, roles and databases.',
    'runbook.check_connections',
    100,
    'activity',
    '% used',
    -- The handbook: pool usage below 80 %, an alert above 90 %.
    '{"warning": 80, "critical": 90}',
    '{"connections_used_up": "Few of the connections that ordinary roles may use are left."}'
  );
