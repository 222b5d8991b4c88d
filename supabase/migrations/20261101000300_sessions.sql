-- Sessions: who is behind a backend, what it runs without the values in it, how it can be ended,
-- and who waits for whom. What the checks of the group activity have in common.
--
-- Relies on: pg_monitor for the other sessions' statements; without it these checks are `skipped`.

-- What a statement does, without its values: literals, comments and bodies are left out, because
-- they hold people's data. Also right for a text that the server cut off in the middle.
--
-- Misses: a session with standard_conforming_strings off, where a backslash hides a quote.
create function runbook.statement_gist(statement text, length integer default 120)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $gist$
  with tokens as (
    select tok.content[1] as content, tok.position
    from regexp_matches(
      left(statement_gist.statement, 1500),
      '("(?:[^"]|"")*(?:"|$)'
      '|--[^\n]*'
      '|/\*(?:[^*]|\*+[^*/])*(?:\*+/|\**$)'
      '|[eE]''(?:[^''\\]|\\.|'''')*(?:''|$)'
      '|''(?:[^'']|'''')*(?:''|$)'
      '|\$[0-9]+'
      '|\$(?:[[:alpha:]_][[:alnum:]_]*)?\$.*'
      '|[0-9][[:alnum:]_.]*'
      '|[[:alpha:]_][[:alnum:]_$]*'
      '|[[:space:]]+'
      '|.)',
      'g'
    ) with ordinality as tok (content, position)
  ),
  -- A body, or a comment in a comment: whatever follows is not told apart any more.
  cut as (
    select min(tok.position) as position
    from tokens as tok
    where tok.content ~ '^\$([^0-9]|$)' or tok.content ~ '^/\*.*/\*'
  ),
  told as (
    select
      string_agg(
        case
          when tok.content ~ '^"' then tok.content
          when tok.content ~ '^(--|/\*|[[:space:]])' then ' '
          when tok.content ~ '^([eE]?''|[0-9])' then '?'
          else tok.content
        end,
        ''
        order by tok.position
      ) as content
    from tokens as tok
    cross join cut
    where cut.position is null or tok.position < cut.position
  ),
  short as (
    select
      btrim(
        regexp_replace(
          regexp_replace(told.content, '[[:space:][:cntrl:]]+', ' ', 'g'),
          '\?( ?, ?\?)+',
          '?, ..',
          'g'
        ),
        -- The statement's end is not a sentence's.
        ' ;'
      )
      -- Something was there, and is not told.
      || case when cut.position is not null and told.content is not null then ' ..' else '' end
        as content
    from told
    cross join cut
  )
  select case
    when char_length(short.content) > statement_gist.length
      then left(short.content, statement_gist.length - 2) || '..'
    else nullif(short.content, '')
  end
  from short;
$gist$;

comment on function runbook.statement_gist(text, integer) is
'The beginning of a statement without literals, comments and bodies; null when nothing is left.';
revoke all on function runbook.statement_gist(text, integer) from public;

-- A number of things, for people.
create function runbook.counted(number bigint, thing text)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select format(
    '%s %s%s',
    btrim(to_char(counted.number, '999,999,999,999,999,999,999')),
    counted.thing,
    case when counted.number <> 1 then 's' end
  );
$$;

comment on function runbook.counted(bigint, text) is '1 session, 12,345 sessions.';
revoke all on function runbook.counted(bigint, text) from public;

-- Who is behind a session, in the words of the platform. The application name is what the client
-- says of itself.
create function runbook.session_owner(application_name text, role_name text, backend_type text)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when session_owner.backend_type = 'walsender' then 'replication'
    when session_owner.backend_type = 'autovacuum worker' then 'autovacuum'
    when session_owner.backend_type = 'pg_cron' or session_owner.application_name like 'pg_cron%'
      then 'pg_cron'
    when session_owner.backend_type like 'pg_net%' or session_owner.application_name like 'pg_net%'
      then 'pg_net'
    when session_owner.application_name like 'runbook%' then 'the runbook'
    when session_owner.application_name ilike 'supavisor%' then 'Supavisor (pooler)'
    when session_owner.application_name ilike 'pgbouncer%' then 'PgBouncer (pooler)'
    when session_owner.application_name ilike 'postgrest%'
      or session_owner.role_name = 'authenticator'
      then 'PostgREST (Data API)'
    when session_owner.application_name like 'realtime%'
      or session_owner.role_name = 'supabase_realtime_admin'
      then 'Realtime'
    when session_owner.role_name = 'supabase_auth_admin' then 'Auth'
    when session_owner.role_name = 'supabase_storage_admin' then 'Storage'
    when session_owner.application_name like 'supabase/dashboard%'
      or session_owner.application_name like 'postgres-meta%'
      then 'dashboard'
    when session_owner.application_name = 'mgmt-api' then 'Management API'
    when session_owner.application_name = 'postgres_exporter' then 'metrics'
    when session_owner.application_name = 'postgres.js' then 'edge function or server (postgres.js)'
    when session_owner.application_name <> ''
      then left(session_owner.application_name, 40)
    else coalesce(session_owner.backend_type, 'unknown')
  end collate "default";
$$;

comment on function runbook.session_owner(text, text, text) is
'PostgREST, Auth, Supavisor, pg_cron, dashboard and so on; else what the application calls itself.';
revoke all on function runbook.session_owner(text, text, text) from public;

-- The sessions of other clients and workers, one row each, for the checks. `can_signal`: whether
-- `postgres` may end it and the runbook would: a client's session, neither of a superuser nor ours.
--
-- Cost: pg_stat_activity once; no lock. Within one transaction the server shows one and the same
-- moment.
create function runbook.sessions()
returns table (
  pid integer,
  backend_start timestamptz,
  database oid,
  owner text,
  role_name text,
  label text,
  backend_type text,
  application_name text,
  state text,
  is_idle_in_transaction boolean,
  is_superuser boolean,
  can_signal boolean,
  is_api boolean,
  wait_event_type text,
  xact_start timestamptz,
  query_start timestamptz,
  state_change timestamptz,
  query text
)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    act.pid,
    act.backend_start,
    act.datid,
    who.owner,
    who.role_name,
    format('pid %s (%s as %s)', act.pid, who.owner, who.role_name),
    act.backend_type,
    act.application_name,
    act.state,
    coalesce(act.state like 'idle in transaction%', false),
    coalesce(rol.rolsuper, true),
    act.backend_type = 'client backend' and not coalesce(rol.rolsuper, true),
    coalesce(act.usename in ('authenticator', 'anon', 'authenticated'), false),
    act.wait_event_type,
    act.xact_start,
    act.query_start,
    act.state_change,
    act.query
  from pg_catalog.pg_stat_activity as act
  left join pg_catalog.pg_roles as rol on rol.oid = act.usesysid
  cross join lateral (
    select
      runbook.session_owner(act.application_name, act.usename::text, act.backend_type) as owner,
      coalesce(act.usename::text, 'no role') collate "default" as role_name
  ) as who
  where act.pid <> pg_backend_pid()
    -- The leader speaks for its parallel workers.
    and act.leader_pid is null;
$$;

comment on function runbook.sessions() is
'Sessions other than our own: who they are, what they do since when, and whether they can be
signalled.';
revoke all on function runbook.sessions() from public;

-- Why the statistics of other sessions cannot be read; null when they can.
create function runbook.sessions_hidden()
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when not pg_has_role(current_user, 'pg_read_all_stats', 'usage')
      then format(
        'Role %s may not read the statistics of other sessions: grant pg_monitor to it.',
        quote_ident(current_user)
      )
  end;
$$;

comment on function runbook.sessions_hidden() is
'Why the sessions of others cannot be looked at, or null.';
revoke all on function runbook.sessions_hidden() from public;

-- The row of a check for sessions that do not say what they do; null where all of them do.
create function runbook.sessions_untracked(check_name text)
returns runbook.finding
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when count(*) > 0
      then runbook.skipped(
        sessions_untracked.check_name,
        format(
          'What %s cannot be seen: track_activities is off. Switch it on.',
          case count(*) when 1 then 'one session does' else count(*) || ' sessions do' end
        )
      )
  end
  from runbook.sessions() as ses
  where ses.state = 'disabled';
$$;

comment on function runbook.sessions_untracked(text) is
'That some sessions do not say what they do (track_activities), or null.';
revoke all on function runbook.sessions_untracked(text) from public;

-- The parameters of cancel-query and terminate-connection for a session.
create function runbook.session_params(pid integer, backend_start timestamptz)
returns jsonb
language sql
stable
parallel safe
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'pid', session_params.pid,
    'backend_start', session_params.backend_start
  );
$$;

comment on function runbook.session_params(integer, timestamptz) is
'{pid, backend_start}: exactly this session, not another that gets its number later.';
revoke all on function runbook.session_params(integer, timestamptz) from public;

-- The sessions that wait for a lock, the longest first, and what each of them waits for. In
-- `blockers` a positive number is a pid, a negative one a prepared transaction's id.
--
-- Cost: pg_locks once; pg_blocking_pids for the waiting only, 500 at most.
-- Misses: those who wait for a lock inside the server (LWLock, buffer pins).
create function runbook.lock_waits()
returns table (
  pid integer,
  waits_since timestamptz,
  lock_type text,
  lock_mode text,
  relation oid,
  blockers bigint[]
)
language sql
stable
security invoker
set search_path = ''
as $$
  with locks as materialized (
    select
      lck.locktype,
      lck.database,
      lck.relation,
      lck.page,
      lck.tuple,
      lck.virtualxid,
      lck.transactionid,
      lck.classid,
      lck.objid,
      lck.objsubid,
      lck.virtualtransaction,
      lck.pid,
      lck.mode,
      lck.granted,
      lck.waitstart
    from pg_catalog.pg_locks as lck
  ),
  waiting as materialized (
    select
      coalesce(act.leader_pid, lck.pid) as pid,
      lck.pid as process,
      coalesce(lck.waitstart, act.query_start) as waits_since,
      lck.locktype,
      lck.database,
      lck.relation,
      lck.page,
      lck.tuple,
      lck.virtualxid,
      lck.transactionid,
      lck.classid,
      lck.objid,
      lck.objsubid,
      lck.mode
    from locks as lck
    left join pg_catalog.pg_stat_activity as act on act.pid = lck.pid
    where not lck.granted
      and lck.pid <> pg_backend_pid()
    order by coalesce(lck.waitstart, act.query_start)
    limit 500
  ),
  blocked as materialized (
    select
      wtg.pid,
      wtg.process,
      array_agg(distinct blk.pid) as blockers
    from waiting as wtg
    cross join lateral unnest(pg_blocking_pids(wtg.process)) as blk (pid)
    where blk.pid <> wtg.pid
    group by wtg.pid, wtg.process
  )
  select
    wtg.pid,
    wtg.waits_since,
    wtg.locktype,
    wtg.mode,
    -- Who waits for a transaction to end has mostly locked the row before.
    coalesce(
      wtg.relation,
      (
        select lck.relation
        from locks as lck
        where lck.pid = wtg.process
          and lck.locktype = 'tuple'
          and lck.granted
        limit 1
      )
    ),
    (
      select array_agg(one.blocker)
      from (
        select blk.pid::bigint as blocker
        from unnest(bld.blockers) as blk (pid)
        where blk.pid <> 0
        union
        -- The server gives a prepared transaction the pid 0; the lock on its id says which it is.
        select -own.transactionid::text::bigint
        from locks as lck
        inner join locks as own on own.virtualtransaction = lck.virtualtransaction
          and own.locktype = 'transactionid'
          and own.pid is null
          and own.granted
        where 0 = any (bld.blockers)
          and lck.granted
          and lck.pid is null
          and (
            lck.locktype, lck.database, lck.relation, lck.page, lck.tuple, lck.virtualxid,
            lck.transactionid, lck.classid, lck.objid, lck.objsubid
          ) is not distinct from (
            wtg.locktype, wtg.database, wtg.relation, wtg.page, wtg.tuple, wtg.virtualxid,
            wtg.transactionid, wtg.classid, wtg.objid, wtg.objsubid
          )
      ) as one
    )
  from waiting as wtg
  inner join blocked as bld on bld.process = wtg.process;
$$;

comment on function runbook.lock_waits() is
'One row for each session that waits for a lock: since when, for what, and who is in its way: a pid,
or the id of a prepared transaction with a minus.';
revoke all on function runbook.lock_waits() from public;
