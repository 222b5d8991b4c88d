-- Who stands at the head of a queue of waiting sessions: one finding an incident, with the safest
-- way to let the others go on. A queue behind a change of a table has two to blame: the one that
-- holds the table, often idle in a transaction after a mere SELECT, and the ALTER TABLE that waits
-- for it and stops all who come later. Ending the wait of the second is harmless.
-- Relies on: runbook.lock_waits(), runbook.sessions().

-- The queues: one row for each root, a session or prepared transaction that others wait for and
-- that waits for none. A session behind several roots is counted at the one with the longest queue.
--
-- Cost: pg_locks once, pg_blocking_pids for each waiting session.
-- Misses: advisory locks that an application takes by trying again and again.
create function runbook.lock_queues()
returns table (
  root bigint,
  waiting integer,
  api_waiting integer,
  waits_since timestamptz,
  lock_types text[],
  relation oid,
  other_roots bigint[],
  middle integer,
  middle_frees integer,
  waiting_pids integer[]
)
language sql
stable
security invoker
set search_path = ''
as $$
  with recursive waits as materialized (
    select wts.pid, wts.waits_since, wts.lock_type, wts.lock_mode, wts.relation, wts.blockers
    from runbook.lock_waits() as wts
  ),
  edges as materialized (
    select distinct wts.pid::bigint as waiter, blk.blocker
    from waits as wts
    cross join lateral unnest(wts.blockers) as blk (blocker)
    where blk.blocker <> wts.pid
  ),
  roots as materialized (
    select distinct edg.blocker as root
    from edges as edg
    where edg.blocker not in (select wts.pid from waits as wts)
  ),
  behind as (
    select rts.root, rts.root as node
    from roots as rts
    union
    select bhd.root, edg.waiter
    from behind as bhd
    inner join edges as edg on edg.blocker = bhd.node
  ),
  -- Sessions that wait in a circle have no root: the first of them stands for it.
  circle as (
    select edg.waiter
    from edges as edg
    where edg.waiter not in (select bhd.node from behind as bhd)
  ),
  reached as materialized (
    select bhd.root, bhd.node
    from behind as bhd
    where bhd.node <> bhd.root
    union all
    select least_one.waiter, crc.waiter
    from circle as crc
    cross join (select min(one.waiter) as waiter from circle as one) as least_one
  ),
  ranked as (
    select
      rch.root,
      rch.node,
      row_number() over (
        partition by rch.node
        order by lengths.waiting desc, ses.xact_start, rch.root
      ) as place
    from reached as rch
    inner join (
      select one.root, count(*) as waiting
      from reached as one
      group by one.root
    ) as lengths on lengths.root = rch.root
    left join runbook.sessions() as ses on ses.pid = rch.root
  ),
  assigned as materialized (
    select rnk.root, rnk.node
    from ranked as rnk
    where rnk.place = 1
  ),
  -- In each queue the waiting change of a table that directly stops most of the others.
  middles as materialized (
    select distinct on (asg.root) asg.root, wts.pid
    from assigned as asg
    inner join waits as wts on wts.pid = asg.node
    inner join edges as edg on edg.blocker = wts.pid
    where wts.lock_type = 'relation'
      and wts.lock_mode in (
        'AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock'
      )
    group by asg.root, wts.pid
    order by asg.root, count(*) desc, wts.pid
  ),
  -- Who would still wait if those gave up.
  still_behind as (
    select rts.root as node
    from roots as rts
    union
    select edg.waiter
    from still_behind as stb
    inner join edges as edg on edg.blocker = stb.node
    where edg.waiter not in (select mid.pid from middles as mid)
  ),
  queues as (
    select
      asg.root,
      count(*)::integer as waiting,
      count(*) filter (where ses.is_api)::integer as api_waiting,
      min(wts.waits_since) as waits_since,
      array_agg(distinct wts.lock_type) as lock_types,
      (array_agg(wts.relation order by wts.waits_since) filter (where wts.relation is not null))[1]
        as relation,
      count(*) filter (
        where asg.node not in (select stb.node from still_behind as stb)
      )::integer as freed,
      array_agg(wts.pid order by wts.waits_since, wts.pid) as waiting_pids
    from assigned as asg
    inner join waits as wts on wts.pid = asg.node
    left join runbook.sessions() as ses on ses.pid = wts.pid
    group by asg.root
  )
  select
    que.root,
    que.waiting,
    que.api_waiting,
    que.waits_since,
    que.lock_types,
    que.relation,
    (
      select array_agg(distinct oth.root)
      from assigned as asg
      inner join reached as oth on oth.node = asg.node
      where asg.root = que.root
        and oth.root <> que.root
    ),
    mid.pid,
    -- The change itself is among the freed, and does not count.
    greatest(que.freed - 1, 0),
    que.waiting_pids
  from queues as que
  left join middles as mid on mid.root = que.root;
$$;

comment on function runbook.lock_queues() is
'One row for each session (or, as a negative number, prepared transaction) that others wait for: how
many, since when, for which table, and the waiting change in the middle with whom it stops.';
revoke all on function runbook.lock_queues() from public;

-- Who blocks whom, by the root of each queue. The value is the number of waiting sessions.
--
-- Cost: pg_locks once; pg_blocking_pids for the waiting only. Nothing when nobody waits.
-- Misses: waits for locks inside the server (LWLock), and for a client or a disk.
create function runbook.check_blocking(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_hidden constant text := runbook.sessions_hidden();
  v_after constant numeric := (check_blocking.settings ->> 'after_s')::numeric;
  v_critical constant numeric := (check_blocking.settings ->> 'critical_after_s')::numeric;
  v_api constant numeric := (check_blocking.settings ->> 'critical_api_s')::numeric;
  v_crowd constant numeric := (check_blocking.settings ->> 'critical_sessions')::numeric;
  v_patient constant numeric := (check_blocking.settings ->> 'patient_s')::numeric;
  v_now constant timestamptz := clock_timestamp();
  v_total integer := 0;
  v_queue record;
  v_root record;
  v_middle record;
  v_owner text;
  v_seconds numeric;
  v_severity text;
  v_what text;
  v_tail text;
  v_advice text;
  v_remediation text;
  v_params jsonb;
  v_findings runbook.finding[] := '{}';
begin
  if v_hidden is not null then
    return runbook.check_answer(null, runbook.skipped('blocking', v_hidden));
  end if;

  -- Mostly nobody waits, and this costs a tenth of what follows.
  if not exists (
    select
    from pg_catalog.pg_locks as lck
    where not lck.granted
  ) then
    return row(0, v_findings)::runbook.check_result;
  end if;

  for v_queue in
    select
      que.root,
      que.waiting,
      que.api_waiting,
      que.waits_since,
      que.lock_types,
      que.relation,
      que.other_roots,
      que.middle,
      que.middle_frees,
      que.waiting_pids
    from runbook.lock_queues() as que
    order by que.api_waiting desc, que.waiting desc, que.waits_since
    limit 100
  loop
    v_total := v_total + v_queue.waiting;
    v_seconds := extract(epoch from v_now - coalesce(v_queue.waits_since, v_now));

    -- A concurrent build of an index waits for old transactions by design, and an application may
    -- queue for an advisory lock on purpose.
    continue when v_seconds < v_after
      or (v_queue.lock_types <@ array['virtualxid'] and v_seconds < v_patient);

    v_severity := case
      when v_queue.lock_types <@ array['advisory'] and v_queue.api_waiting = 0 then 'info'
      when v_seconds >= v_critical
        or v_queue.waiting >= v_crowd
        or (v_queue.api_waiting > 0 and v_seconds >= v_api)
        then 'critical'
      else 'warning'
    end;

    select
      ses.pid,
      ses.backend_start,
      ses.label,
      ses.owner,
      ses.role_name,
      ses.backend_type,
      ses.application_name,
      ses.state,
      ses.is_superuser,
      ses.can_signal,
      ses.is_idle_in_transaction,
      ses.xact_start,
      ses.state_change,
      runbook.statement_gist(ses.query) as gist,
      ses.query like 'autovacuum:%(to prevent wraparound)' as is_wraparound
    into v_root
    from runbook.sessions() as ses
    where ses.pid = v_queue.root;

    select
      ses.pid,
      ses.backend_start,
      ses.label,
      ses.can_signal,
      runbook.statement_gist(ses.query) as gist
    into v_middle
    from runbook.sessions() as ses
    where ses.pid = v_queue.middle
      and v_queue.middle_frees > 0;

    v_remediation := null;
    v_params := null;

    if v_queue.root < 0 then
      select format('Prepared transaction %s of %s', left(pxa.gid, 60), pxa.owner)
      into v_what
      from pg_catalog.pg_prepared_xacts as pxa
      where pxa.transaction::text::bigint = -v_queue.root;

      v_what := coalesce(v_what, format('Prepared transaction %s', -v_queue.root));
      v_advice := 'Commit or roll back what was prepared, as its owner.';
    elsif v_queue.root = any (v_queue.waiting_pids) then
      v_what := format(
        '%s and others wait for each other: it', coalesce(v_root.label, 'A session')
      );
      v_advice := 'The server ends one of them after deadlock_timeout.';
    else
      v_what := format(
        '%s%s',
        left(coalesce(v_root.label, format('pid %s', v_queue.root)), 80),
        case
          when v_root.is_idle_in_transaction
            then format(
              ', idle in a transaction for %s,', runbook.duration_text(v_now - v_root.state_change)
            )
          when v_root.state = 'active'
            then format(
              ', at work for %s,', runbook.duration_text(v_now - v_root.xact_start)
            )
          when v_root.state = 'idle' then ', idle with a lock of its session,'
          else ''
        end
      );
      v_advice := case
        when v_queue.root = pg_backend_pid() then 'That is this session itself.'
        when v_root.pid is null then 'It has gone meanwhile.'
        when v_root.is_wraparound
          then 'It is a vacuum that the server needs: let it finish.'
        when v_root.backend_type = 'autovacuum worker' then 'It gives way by itself.'
        when v_root.is_superuser then 'It is a superuser''s: only the platform can end it.'
        when not v_root.can_signal then 'It is no client: it cannot be ended from here.'
        when v_root.state = 'active' then format('Cancel what pid %s runs.', v_root.pid)
        else format('End pid %s.', v_root.pid)
      end;

      if v_root.can_signal then
        v_remediation := case
          when v_root.state = 'active' then 'cancel-query'
          else 'terminate-connection'
        end;
        v_params := runbook.session_params(v_root.pid, v_root.backend_start);
      end if;
    end if;

    v_tail := '';

    if v_middle.pid is not null then
      v_tail := format(
        ', %s of them behind pid %s: %s',
        v_queue.middle_frees,
        v_middle.pid,
        left(v_middle.gist, 50)
      );

      -- When all that wait wait for the change, and only it for the root, ending the wait of the
      -- change costs nothing but the change.
      if v_middle.can_signal
        and (v_queue.middle_frees = v_queue.waiting - 1 or v_remediation is null)
      then
        v_remediation := 'cancel-query';
        v_params := runbook.session_params(v_middle.pid, v_middle.backend_start);
        v_advice := format('Safest: cancel pid %s, and the others go on.', v_middle.pid);
      end if;
    end if;

    v_findings := v_findings || row(
      'root_blocker',
      v_severity,
      case
        when v_queue.root < 0 then format('prepared transaction %s', -v_queue.root)
        else format('pid %s', v_queue.root)
      end,
      runbook.with_advice(
        format(
        '%s holds up %s%s%s for %s%s.',
        v_what,
        runbook.counted(v_queue.waiting, 'session'),
        case
          when v_queue.api_waiting > 0
            then format(' (%s)', runbook.counted(v_queue.api_waiting, 'API request'))
        end,
        coalesce(' on ' || left(runbook.relation_name(v_queue.relation), 60), ''),
        runbook.duration_text(make_interval(secs => v_seconds::double precision)),
        v_tail
        ),
        v_advice
      ),
      jsonb_strip_nulls(
        jsonb_build_object(
          'owner', v_root.owner,
          'role', v_root.role_name,
          'application', v_root.application_name,
          'state', v_root.state,
          'transaction_since', v_root.xact_start,
          'statement', v_root.gist,
          'waiting', v_queue.waiting,
          'api_requests', v_queue.api_waiting,
          'waiting_since', v_queue.waits_since,
          'lock_types', v_queue.lock_types,
          'table', runbook.relation_name(v_queue.relation),
          'queue_behind', case
            when v_middle.pid is not null
              then jsonb_build_object(
                'pid', v_middle.pid,
                'statement', v_middle.gist,
                'would_free', v_queue.middle_frees
              )
          end,
          'other_blockers', v_queue.other_roots[:10],
          'waiting_sessions', (
            select
              jsonb_agg(
                jsonb_build_object(
                  'pid', ses.pid,
                  'owner', ses.owner,
                  'statement', runbook.statement_gist(ses.query)
                )
                order by one.position
              )
            from unnest(v_queue.waiting_pids[:5]) with ordinality as one (pid, position)
            inner join runbook.sessions() as ses on ses.pid = one.pid
          )
        )
      ),
      'pg_blocking_pids of the waiting sessions, literals left out',
      v_remediation,
      v_params
    )::runbook.finding;
  end loop;

  return row(v_total, v_findings)::runbook.check_result;
end;
$$;

comment on function runbook.check_blocking(jsonb) is
'Who holds up whom, one finding for each queue, with the safest action: root_blocker.';
revoke all on function runbook.check_blocking(jsonb) from public;

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
    'blocking',
    'Blocked sessions',
    'Sessions that wait for a lock: who is at the head of the queue, and how to let them go on.',
    'runbook.check_blocking',
    150,
    'activity',
    'sessions waiting',
    -- After 1 s (deadlock_timeout) Postgres itself looks into a wait; the handbook calls a page
    -- that takes over 5 s degraded. The others are ours.
    '{
      "after_s": 1,
      "critical_after_s": 60,
      "critical_api_s": 5,
      "critical_sessions": 10,
      "patient_s": 60
    }',
    '{"root_blocker": "Sessions wait for a lock that this one holds."}'
  );
