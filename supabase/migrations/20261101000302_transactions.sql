-- Transactions that stay open: idle ones, long ones, and what keeps vacuum from removing dead rows.
-- And statements that run for long.
--
-- Relies on: runbook.sessions(), runbook.lock_waits().

-- Sessions that hold a transaction open and do nothing in it.
--
-- Cost: pg_stat_activity; and only when there is such a session, pg_locks.
-- Misses: what the application waits for; the last statement is all that the server knows.
create function runbook.check_idle_in_transaction(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_hidden constant text := runbook.sessions_hidden();
  v_after constant interval := make_interval(
    secs => (check_idle_in_transaction.settings ->> 'after_s')::double precision
  );
  v_critical constant interval := make_interval(
    secs => (check_idle_in_transaction.settings ->> 'critical_after_s')::double precision
  );
  v_now constant timestamptz := clock_timestamp();
  v_total integer;
  v_findings runbook.finding[] := '{}';
begin
  if v_hidden is not null then
    return runbook.check_answer(null, runbook.skipped('idle_in_transaction', v_hidden));
  end if;

  select count(*)
  into v_total
  from runbook.sessions() as ses
  where ses.is_idle_in_transaction
    and ses.state_change < v_now - v_after;

  if v_total = 0 then
    return runbook.check_answer(0, runbook.sessions_untracked('idle_in_transaction'));
  end if;

  with waits as materialized (
    select wts.pid, blk.blocker
    from runbook.lock_waits() as wts
    cross join lateral unnest(wts.blockers) as blk (blocker)
  ),
  idle as (
    select
      ses.pid,
      ses.backend_start,
      ses.label,
      ses.is_superuser,
      ses.can_signal,
      ses.state,
      ses.xact_start,
      ses.state_change,
      runbook.statement_gist(ses.query) as gist,
      (
        select count(distinct wts.pid)
        from waits as wts
        where wts.blocker = ses.pid
      ) as blocks
    from runbook.sessions() as ses
    where ses.is_idle_in_transaction
      and ses.state_change < v_now - v_after
    order by blocks desc, ses.state_change
    limit 100
  )
  select array_agg(
    row(
      'idle_in_transaction',
      case
        when idl.blocks > 0 or idl.state_change < v_now - v_critical then 'critical'
        else 'warning'
      end,
      'pid ' || idl.pid,
      format(
        '%s has been idle in a transaction for %s%s%s. %s',
        left(idl.label, 90),
        runbook.duration_text(v_now - idl.state_change),
        coalesce(' after: ' || left(idl.gist, 60), ''),
        case when idl.blocks > 0 then '; it blocks ' || runbook.counted(idl.blocks, 'session') end,
        case
          when idl.can_signal then 'End it.'
          else 'It is a superuser''s, which only the platform can end: restart what holds it.'
        end
      ),
      jsonb_build_object(
        'state', idl.state,
        'idle_since', idl.state_change,
        'transaction_since', idl.xact_start,
        'last_statement', idl.gist,
        'blocks', idl.blocks
      ),
      'pg_stat_activity, literals left out',
      case when idl.can_signal then 'terminate-connection' end,
      case when idl.can_signal then runbook.session_params(idl.pid, idl.backend_start) end
    )::runbook.finding
    order by idl.blocks desc, idl.state_change
  )
  into v_findings
  from idle as idl;

  return row(v_total, v_findings)::runbook.check_result;
end;
$$;

comment on function runbook.check_idle_in_transaction(jsonb) is
'Sessions that are idle in a transaction for too long: idle_in_transaction.';
revoke all on function runbook.check_idle_in_transaction(jsonb) from public;

-- Transactions that have been open for long and are at work. An idle one is left to
-- check_idle_in_transaction, a single long statement to check_long_queries.
--
-- Cost: pg_stat_activity; no lock.
-- Misses: transactions of the server's own workers, which have no client.
create function runbook.check_long_transactions(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_hidden constant text := runbook.sessions_hidden();
  v_after constant interval := make_interval(
    secs => (check_long_transactions.settings ->> 'after_s')::double precision
  );
  v_critical constant interval := make_interval(
    secs => (check_long_transactions.settings ->> 'critical_after_s')::double precision
  );
  v_idle constant interval := make_interval(
    secs => (runbook.thresholds_of('idle_in_transaction') ->> 'after_s')::double precision
  );
  v_now constant timestamptz := clock_timestamp();
begin
  if v_hidden is not null then
    return runbook.check_answer(null, runbook.skipped('long_transactions', v_hidden));
  end if;

  return (
    with open as (
      select
        ses.pid,
        ses.backend_start,
        ses.label,
        ses.can_signal,
        ses.state,
        ses.xact_start,
        ses.state_change,
        runbook.statement_gist(ses.query) as gist,
        ses.application_name in ('pg_dump', 'pg_dumpall') as is_dump,
        count(*) over () as total
      from runbook.sessions() as ses
      where ses.backend_type = 'client backend'
        and ses.xact_start < v_now - v_after
        and not (ses.is_idle_in_transaction and ses.state_change < v_now - v_idle)
        -- Begun with the statement that it is still running: that is one long statement.
        and (ses.state <> 'active' or ses.query_start > ses.xact_start + interval '1 second')
      order by ses.xact_start
      limit 100
    )
    select row(
      coalesce(max(opn.total), 0),
      coalesce(
        array_agg(
          row(
            'long_transaction',
            case
              when opn.is_dump then 'info'
              when opn.xact_start < v_now - v_critical then 'critical'
              else 'warning'
            end,
            'pid ' || opn.pid,
            format(
              '%s has had a transaction open for %s%s. %s',
              left(opn.label, 90),
              runbook.duration_text(v_now - opn.xact_start),
              coalesce(', now at: ' || left(opn.gist, 60), ''),
              case
                when opn.is_dump then 'A dump takes its time; vacuum waits for it.'
                when opn.can_signal
                  then 'It keeps its locks, and dead rows from vacuum. End it if it is not wanted.'
                else 'It is a superuser''s, which only the platform can end.'
              end
            ),
            jsonb_build_object(
              'state', opn.state,
              'transaction_since', opn.xact_start,
              'statement', opn.gist
            ),
            'pg_stat_activity, literals left out',
            case when opn.can_signal then 'terminate-connection' end,
            case when opn.can_signal then runbook.session_params(opn.pid, opn.backend_start) end
          )::runbook.finding
          order by opn.is_dump, opn.xact_start
        ),
        (runbook.check_answer(0, runbook.sessions_untracked('long_transactions'))).findings
      )
    )::runbook.check_result
    from open as opn
  );
end;
$$;

comment on function runbook.check_long_transactions(jsonb) is
'Transactions of several statements that stay open for long: long_transaction.';
revoke all on function runbook.check_long_transactions(jsonb) from public;

-- Statements that have been running for long. Not those that wait for a lock, which check_blocking
-- tells, and not what takes its time by nature: vacuum, builds of indexes, dumps, replication.
--
-- Cost: pg_stat_activity; no lock.
-- Misses: statements that came and went between two looks; pg_stat_statements knows of them.
create function runbook.check_long_queries(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_hidden constant text := runbook.sessions_hidden();
  v_after constant interval := make_interval(
    secs => (check_long_queries.settings ->> 'after_s')::double precision
  );
  v_critical constant interval := make_interval(
    secs => (check_long_queries.settings ->> 'critical_after_s')::double precision
  );
  v_job constant interval := make_interval(
    secs => (check_long_queries.settings ->> 'job_after_s')::double precision
  );
  v_now constant timestamptz := clock_timestamp();
begin
  if v_hidden is not null then
    return runbook.check_answer(null, runbook.skipped('long_queries', v_hidden));
  end if;

  return (
    with running as (
      select
        ses.pid,
        ses.backend_start,
        ses.label,
        ses.can_signal,
        ses.query_start,
        ses.wait_event_type,
        runbook.statement_gist(ses.query) as gist,
        count(*) over () as total
      from runbook.sessions() as ses
      where ses.backend_type in ('client backend', 'pg_cron')
        and ses.state = 'active'
        and ses.query_start < v_now - case when ses.owner = 'pg_cron' then v_job else v_after end
        and ses.wait_event_type is distinct from 'Lock'
        and ses.application_name not in ('pg_dump', 'pg_dumpall')
        -- What runbook.statement performs is followed by the run that it belongs to.
        and ses.application_name not like 'runbook run %'
        and ses.query !~* (
          '^[[:space:]]*(vacuum|analyze|reindex|cluster|copy|'
          'create[[:space:]]+(unique[[:space:]]+)?index|'
          'refresh[[:space:]]+materialized|start_replication|base_backup|listen)\M'
        )
      order by ses.query_start
      limit 100
    )
    select row(
      coalesce(max(run.total), 0),
      coalesce(
        array_agg(
          row(
            'long_running_query',
            case when run.query_start < v_now - v_critical then 'critical' else 'warning' end,
            'pid ' || run.pid,
            format(
              '%s has been running a statement for %s: %s. %s',
              left(run.label, 90),
              runbook.duration_text(v_now - run.query_start),
              left(run.gist, 80),
              case
                when run.can_signal then 'Cancel it if nobody waits for it.'
                else 'It cannot be cancelled from here.'
              end
            ),
            jsonb_build_object(
              'running_since', run.query_start,
              'waits_for', run.wait_event_type,
              'statement', run.gist
            ),
            'pg_stat_activity, literals left out',
            case when run.can_signal then 'cancel-query' end,
            case when run.can_signal then runbook.session_params(run.pid, run.backend_start) end
          )::runbook.finding
          order by run.query_start
        ),
        (runbook.check_answer(0, runbook.sessions_untracked('long_queries'))).findings
      )
    )::runbook.check_result
    from running as run
  );
end;
$$;

comment on function runbook.check_long_queries(jsonb) is
'Statements that have been running for longer than the handbook allows: long_running_query.';
revoke all on function runbook.check_long_queries(jsonb) from public;

-- What keeps vacuum from removing rows that died since: the oldest transaction that somebody may
-- still look at. The value is its age in transactions.
--
-- Who queues behind a session holds nearly the same: that is one cause and one finding, of the
-- oldest who does not itself wait for a lock. The others are counted, since the next of them holds
-- vacuum back as soon as the first is gone. What holds back only the catalogs is told apart.
--
-- Cost: pg_stat_activity, pg_replication_slots, pg_prepared_xacts, pg_stat_replication.
-- Misses: a standby's query behind a slot; the slot is named, not the query. Temporary tables.
create function runbook.check_vacuum_horizon(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_hidden constant text := runbook.sessions_hidden();
  v_warning constant numeric := (check_vacuum_horizon.settings ->> 'warning')::numeric;
  v_critical constant numeric := (check_vacuum_horizon.settings ->> 'critical')::numeric;
  v_after constant interval := make_interval(
    secs => (check_vacuum_horizon.settings ->> 'after_s')::double precision
  );
  -- Ages are sorted into steps of this factor, from the oldest down.
  v_step constant double precision := 1 - least(
    99, greatest(0.001, (check_vacuum_horizon.settings ->> 'close_percent')::double precision)
  ) / 100;
  v_now constant timestamptz := clock_timestamp();
begin
  if v_hidden is not null then
    return runbook.check_answer(null, runbook.skipped('vacuum_horizon', v_hidden));
  end if;

  return (
    with here as (
      select dat.oid
      from pg_catalog.pg_database as dat
      where dat.datname = current_database()
    ),
    holders as (
      select
        'pid ' || act.pid as subject,
        format('session %s', ses.label) as who,
        greatest(age(act.backend_xmin), age(act.backend_xid)) as transactions,
        act.xact_start as since,
        case when ses.can_signal then 'terminate-connection' end as remediation,
        case when ses.can_signal
          then runbook.session_params(act.pid, act.backend_start)
        end as params,
        case when ses.can_signal then 'End it.' else 'Only the platform can end it.' end as advice,
        act.wait_event_type is not distinct from 'Lock' as is_waiting,
        false as is_of_catalogs
      from pg_catalog.pg_stat_activity as act
      inner join runbook.sessions() as ses on ses.pid = act.pid
      where coalesce(act.backend_xmin, act.backend_xid) is not null
        -- A session of another database holds back only what all databases share.
        and (act.datid is null or act.datid in (select here.oid from here))
        -- The server does not count vacuum itself; a standby comes below.
        and act.backend_type not in ('autovacuum worker', 'walsender')
        and not exists (
          select
          from pg_catalog.pg_stat_progress_vacuum as vac
          where vac.pid = act.pid
        )
      union all
      select
        format('slot %s', slt.slot_name),
        format('replication slot %s', slt.slot_name),
        greatest(age(slt.xmin), age(slt.catalog_xmin)),
        null,
        null,
        null,
        case
          when slt.xmin is null then 'It holds back the catalogs only. '
          else ''
        end || 'Let its consumer catch up, or drop the slot.',
        false,
        slt.xmin is null
      from pg_catalog.pg_replication_slots as slt
      where coalesce(slt.xmin, slt.catalog_xmin) is not null
      union all
      select
        format('prepared transaction %s', left(pxa.gid, 60)),
        format('prepared transaction %s of %s', left(pxa.gid, 60), pxa.owner),
        age(pxa.transaction),
        pxa.prepared,
        null,
        null,
        'Commit or roll it back.',
        false,
        false
      from pg_catalog.pg_prepared_xacts as pxa
      where pxa.database = current_database()
      union all
      select
        format('standby %s', coalesce(nullif(rep.application_name, ''), rep.pid::text)),
        format('standby %s', coalesce(nullif(rep.application_name, ''), rep.pid::text)),
        age(rep.backend_xmin),
        null,
        null,
        null,
        'Look for a long query on the standby.',
        false,
        false
      from pg_catalog.pg_stat_replication as rep
      where rep.backend_xmin is not null
    ),
    old as (
      select
        hld.subject,
        hld.who,
        hld.transactions,
        hld.since,
        hld.remediation,
        hld.params,
        hld.advice,
        hld.is_waiting,
        hld.is_of_catalogs,
        floor(
          ln(
            (max(hld.transactions) over (partition by hld.is_of_catalogs))::double precision
            / hld.transactions
          ) / -ln(v_step)
        ) as step
      from holders as hld
      where hld.transactions >= greatest(v_warning, 1)
        and (hld.since is null or hld.since < v_now - v_after)
    ),
    ranked as (
      select
        old.subject,
        old.who,
        old.transactions,
        old.since,
        old.remediation,
        old.params,
        old.advice,
        old.is_of_catalogs,
        row_number() over worst_first as place,
        count(*) over same_cause - 1 as others,
        array_agg(left(old.who, 110)) over (
          worst_first rows between 1 following and 10 following
        ) as close_behind
      from old
      window
        same_cause as (partition by old.is_of_catalogs, old.step),
        worst_first as (
          partition by old.is_of_catalogs, old.step
          order by old.is_waiting, old.transactions desc, old.since, old.subject
        )
    ),
    guilty as (
      select
        rnk.subject,
        rnk.who,
        rnk.transactions,
        rnk.since,
        rnk.remediation,
        rnk.params,
        rnk.advice,
        rnk.others,
        rnk.close_behind,
        rnk.is_of_catalogs
      from ranked as rnk
      where rnk.place = 1
      order by rnk.transactions desc, rnk.is_of_catalogs
      limit 100
    )
    select row(
      (select coalesce(max(hld.transactions), 0) from holders as hld),
      coalesce(
        (
          select array_agg(
            row(
              'vacuum_held_back',
              case when gty.transactions >= v_critical then 'critical' else 'warning' end,
              gty.subject,
              format(
                'Rows that died in the last %s transactions%s cannot be vacuumed: %s may still '
                'look at them. %s%s',
                to_char(gty.transactions, 'FM999,999,999,999'),
                coalesce(' (' || runbook.duration_text(v_now - gty.since) || ')', ''),
                left(gty.who, 110),
                gty.advice,
                case gty.others
                  when 0 then ''
                  when 1 then ' Another one is close behind.'
                  else format(' %s others are close behind.', gty.others)
                end
              ),
              jsonb_build_object(
                'transactions', gty.transactions,
                'since', gty.since,
                'others', gty.others,
                'close_behind', coalesce(to_jsonb(gty.close_behind), '[]')
              ),
              'the oldest xmin and xid, compared with the next transaction id',
              gty.remediation,
              gty.params
            )::runbook.finding
            order by gty.transactions desc, gty.is_of_catalogs
          )
          from guilty as gty
        ),
        '{}'
      )
    )::runbook.check_result
  );
end;
$$;

comment on function runbook.check_vacuum_horizon(jsonb) is
'Who keeps vacuum from removing dead rows, by session, slot, prepared transaction or standby:
vacuum_held_back.';
revoke all on function runbook.check_vacuum_horizon(jsonb) from public;

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
    'idle_in_transaction',
    'Idle in transaction',
    'Sessions that hold a transaction open and do nothing: since when, and whom they block.',
    'runbook.check_idle_in_transaction',
    110,
    'activity',
    'sessions',
    -- Supabase ends Auth's own sessions after 60 s of it (idle_in_transaction_session_timeout).
    '{"after_s": 60, "critical_after_s": 600}',
    '{"idle_in_transaction": "A session is idle in a transaction for too long."}'
  ),
  (
    'long_queries',
    'Long-running queries',
    'Statements that run for longer than the handbook allows, jobs of pg_cron for ten minutes.',
    'runbook.check_long_queries',
    120,
    'activity',
    'statements',
    -- The handbook alerts above 5 s; Supabase advises 10 min at most for a job of pg_cron; twice
    -- the platform's statement_timeout of 2 min is reached only where somebody has lifted it.
    '{"after_s": 5, "critical_after_s": 240, "job_after_s": 600}',
    '{"long_running_query": "A statement has been running for longer than the handbook allows."}'
  ),
  (
    'long_transactions',
    'Long transactions',
    'Transactions of several statements that stay open.',
    'runbook.check_long_transactions',
    130,
    'activity',
    'transactions',
    -- Ours: no request of an application lives for ten minutes; after an hour autovacuum has missed
    -- some sixty rounds (autovacuum_naptime is a minute).
    '{"after_s": 600, "critical_after_s": 3600}',
    '{"long_transaction": "A transaction at work stays open for long."}'
  ),
  (
    'vacuum_horizon',
    'What vacuum waits for',
    'Sessions, slots, prepared transactions and standbys that keep dead rows from vacuum.',
    'runbook.check_vacuum_horizon',
    140,
    'activity',
    'transactions',
    -- Ours: 1 and 10 million of the 200 million at which autovacuum_freeze_max_age forces a vacuum.
    -- Holders within a tenth of each other are one finding: to be rid of one gains no more.
    '{"warning": 1000000, "critical": 10000000, "after_s": 300, "close_percent": 10}',
    '{"vacuum_held_back": "Dead rows of many transactions cannot be removed."}'
  );
