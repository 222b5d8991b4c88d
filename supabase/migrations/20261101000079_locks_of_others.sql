-- Waiting for locks of others within a bound, and saying who holds them when that was not enough:
-- of a row, of a table, of the runbook's own tables.
-- Relies on pg_locks, which waits for nobody.

-- From now on no lock is waited for beyond an instant.
create function runbook.lock_until(deadline timestamptz)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform set_config(
    'lock_timeout',
    greatest(1, round(1000 * extract(epoch from lock_until.deadline - clock_timestamp())))::text,
    true
  );
end;
$$;

comment on function runbook.lock_until(timestamptz) is
'Sets lock_timeout to the time left until an instant, for the function around it.';
revoke all on function runbook.lock_until(timestamptz) from public;

-- Says who holds a lock that was not free: sessions by process, never by what they run.
create function runbook.raise_blocked(what text, pids integer[])
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_blockers jsonb;
  v_names text;
begin
  select
    jsonb_agg(
      jsonb_build_object(
        'pid', act.pid,
        'user', act.usename,
        'application', act.application_name,
        'state', act.state,
        'since', act.state_change,
        'transaction_since', act.xact_start
      )
      order by act.xact_start
    ),
    string_agg(
      format(
        'session %s (%s), %s since %s',
        act.pid,
        coalesce(nullif(act.application_name, ''), 'without a name'),
        coalesce(act.state, 'of unknown state'),
        runbook.utc_text(act.state_change)
      ),
      '; ' order by act.xact_start
    )
  into v_blockers, v_names
  from pg_catalog.pg_stat_activity as act
  where act.pid = any (raise_blocked.pids[1:5])
    and act.pid <> pg_backend_pid();

  raise exception '% is locked%.', raise_blocked.what, coalesce(' by ' || v_names, '')
    using
      errcode = '55P03',
      detail = jsonb_build_object('blockers', coalesce(v_blockers, '[]'))::text,
      hint = 'Try again, or end that session if it was forgotten.';
end;
$$;

comment on function runbook.raise_blocked(text, integer[]) is
'Raises 55P03 with the sessions that hold a lock: {blockers: [{pid, user, application, state,
since, transaction_since}]}.';
revoke all on function runbook.raise_blocked(text, integer[]) from public;

-- The transaction that has written to or locked a row; null when the table itself is locked.
create function runbook.row_locker(shape runbook.row_shape, key jsonb)
returns xid
language plpgsql
volatile
security invoker
set search_path = public, extensions, pg_temp
as $$
declare
  v_locker xid;
begin
  execute pg_catalog.format(
    'select target.xmax
     from %s as target
     inner join pg_catalog.jsonb_to_record($1) as wanted (%s) on %s',
    row_locker.shape.name,
    runbook.column_definitions(row_locker.shape, row_locker.key),
    runbook.key_condition(row_locker.shape, row_locker.key)
  )
  into v_locker
  using row_locker.key;

  return v_locker;
exception
  when lock_not_available then
    return null;
end;
$$;

comment on function runbook.row_locker(runbook.row_shape, jsonb) is
'The transaction on record in a row as its last locker, or null.';
revoke all on function runbook.row_locker(runbook.row_shape, jsonb) from public;

-- Says who holds the lock of a row: whoever has locked the table, else the row, else whoever has
-- the table open for writing.
--
-- Cost: pg_locks; one row by its key, waiting 100 ms at most.
create function runbook.raise_locked(shape runbook.row_shape, key jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_pids integer[];
  v_locker xid;
begin
  select array_agg(distinct lck.pid)
  into v_pids
  from pg_catalog.pg_locks as lck
  where lck.locktype = 'relation'
    and lck.database = (
      select dat.oid from pg_catalog.pg_database as dat where dat.datname = current_database()
    )
    and lck.relation = raise_locked.shape.relation
    and lck.granted
    and lck.pid <> pg_backend_pid()
    and lck.mode in (
      'AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock'
    );

  if v_pids is null and raise_locked.key is not null then
    perform set_config('lock_timeout', '100', true);
    v_locker := runbook.row_locker(raise_locked.shape, raise_locked.key);

    select array_agg(distinct lck.pid)
    into v_pids
    from pg_catalog.pg_locks as lck
    where lck.locktype = 'transactionid'
      and lck.transactionid = v_locker
      and lck.granted
      and lck.pid <> pg_backend_pid();
  end if;

  if v_pids is null then
    select array_agg(distinct lck.pid)
    into v_pids
    from pg_catalog.pg_locks as lck
    where lck.locktype = 'relation'
      and lck.relation = raise_locked.shape.relation
      and lck.granted
      and lck.pid <> pg_backend_pid()
      and lck.mode in ('RowShareLock', 'RowExclusiveLock');
  end if;

  perform runbook.raise_blocked(
    coalesce('A row of ' || raise_locked.shape.name, 'A row'), v_pids
  );
end;
$$;

comment on function runbook.raise_locked(runbook.row_shape, jsonb) is
'Raises 55P03 with the sessions that hold the lock of a row.';
revoke all on function runbook.raise_locked(runbook.row_shape, jsonb) from public;

-- Says who holds a table as a whole, when a lock was not free and nothing more is known of it.
-- Nothing happens when nobody does.
create function runbook.raise_table_locked()
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_pids integer[];
  v_names text;
begin
  select array_agg(distinct lck.pid), string_agg(distinct cls.relname, ', ')
  into v_pids, v_names
  from pg_catalog.pg_locks as lck
  inner join pg_catalog.pg_class as cls on cls.oid = lck.relation
  where lck.locktype = 'relation'
    and lck.granted
    and lck.pid <> pg_backend_pid()
    and lck.mode in ('AccessExclusiveLock', 'ExclusiveLock')
    and cls.relkind in ('r', 'p')
    and cls.relnamespace <> 'pg_catalog'::regnamespace;

  if v_pids is not null then
    perform runbook.raise_blocked(format('A table (%s)', v_names), v_pids);
  end if;
end;
$$;

comment on function runbook.raise_table_locked() is
'Raises 55P03 with the sessions that hold tables as a whole, if there are any.';
revoke all on function runbook.raise_table_locked() from public;

-- The same for the runbook's own tables, for requests that need nothing but these.
create function runbook.raise_own_table_locked()
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_pids integer[];
  v_names text;
begin
  select array_agg(distinct lck.pid), string_agg(distinct cls.relname, ', ')
  into v_pids, v_names
  from pg_catalog.pg_locks as lck
  inner join pg_catalog.pg_class as cls on cls.oid = lck.relation
  where lck.locktype = 'relation'
    and lck.granted
    and lck.pid <> pg_backend_pid()
    and lck.mode = 'AccessExclusiveLock'
    and cls.relkind in ('r', 'p')
    and cls.relnamespace = 'runbook'::regnamespace;

  if v_pids is not null then
    perform runbook.raise_blocked(format('The runbook''s own table (%s)', v_names), v_pids);
  end if;
end;
$$;

comment on function runbook.raise_own_table_locked() is
'Raises 55P03 with the sessions that hold tables of the runbook as a whole, if there are any.';
revoke all on function runbook.raise_own_table_locked() from public;
