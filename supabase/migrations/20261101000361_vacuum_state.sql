-- What autovacuum goes by, for each table and each TOAST table: its counters, and the triggers that
-- count for it after settings and storage parameters. Checks of dead rows, of statistics and of
-- bloat read it, so that they say "due" exactly where autovacuum would.
--
-- The counters are read one by one through pg_stat_get_*: the views cost four times as much.

-- A storage parameter of a relation as text, like autovacuum_enabled.
create function runbook.storage_parameter(options text[], name text)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select substr(opt.content, length(storage_parameter.name) + 2)
  from unnest(storage_parameter.options) as opt (content)
  where starts_with(opt.content, storage_parameter.name || '=')
  limit 1;
$$;

comment on function runbook.storage_parameter(text[], text) is
'The value of a storage parameter in pg_class.reloptions, or null.';
revoke all on function runbook.storage_parameter(text[], text) from public;

-- Whose a TOAST table is, by the dependency between them: one row, or none for null.
create function runbook.toast_owner(toast oid)
returns table (relation oid, schema oid, options text[])
language sql
stable
strict
rows 1
security invoker
set search_path = ''
as $$
  select rel.oid, rel.relnamespace, rel.reloptions
  from pg_catalog.pg_depend as dep
  inner join pg_catalog.pg_class as rel on rel.oid = dep.refobjid
  where dep.classid = 'pg_catalog.pg_class'::regclass
    and dep.objid = toast_owner.toast
    and dep.objsubid = 0
    and dep.refclassid = 'pg_catalog.pg_class'::regclass
    and dep.deptype = 'i'
  limit 1;
$$;

comment on function runbook.toast_owner(oid) is
'The table that a TOAST table belongs to, with its schema and storage parameters. Takes no lock.';
revoke all on function runbook.toast_owner(oid) from public;

-- Conditions on relation, pages, counters and row counts are met before the owner of a TOAST table
-- is looked up, so ask for those first.
create view runbook.vacuum_state
with (security_invoker = true)
as
select
  rel.oid as relation,
  coalesce(own.relation, rel.oid) as table_oid,
  rel.relkind = 't' as is_toast,
  coalesce(own.schema, rel.relnamespace) as schema,
  rel.relpages as pages,
  rel.relallvisible as visible_pages,
  eff.row_count,
  eff.options,
  pg_stat_get_live_tuples(rel.oid) as live_rows,
  pg_stat_get_dead_tuples(rel.oid) as dead_rows,
  pg_stat_get_mod_since_analyze(rel.oid) as changed_rows,
  pg_stat_get_ins_since_vacuum(rel.oid) as inserted_rows,
  case
    when eff.options is null then srv.is_on
    else srv.is_on
      and coalesce(runbook.storage_parameter(eff.options, 'autovacuum_enabled')::boolean, true)
  end as autovacuum_is_on,
  case
    when eff.options is null
      then least(
        srv.dead_base + srv.dead_scale * eff.row_count, nullif(srv.dead_max, -1)
      )
    else least(
      coalesce(
        runbook.storage_parameter(eff.options, 'autovacuum_vacuum_threshold')::numeric,
        srv.dead_base
      )
      + coalesce(
        runbook.storage_parameter(eff.options, 'autovacuum_vacuum_scale_factor')::numeric,
        srv.dead_scale
      ) * eff.row_count,
      nullif(
        coalesce(
          runbook.storage_parameter(eff.options, 'autovacuum_vacuum_max_threshold')::numeric,
          srv.dead_max
        ),
        -1
      )
    )
  end as dead_trigger,
  case
    when eff.options is null
      then nullif(srv.inserted_base, -1) + srv.inserted_scale * eff.row_count
    else nullif(
      coalesce(
        runbook.storage_parameter(eff.options, 'autovacuum_vacuum_insert_threshold')::numeric,
        srv.inserted_base
      ),
      -1
    )
    + coalesce(
      runbook.storage_parameter(eff.options, 'autovacuum_vacuum_insert_scale_factor')::numeric,
      srv.inserted_scale
    ) * eff.row_count
  end as inserted_trigger,
  case
    when eff.options is null
      then srv.changed_base + srv.changed_scale * eff.row_count
    else coalesce(
      runbook.storage_parameter(eff.options, 'autovacuum_analyze_threshold')::numeric,
      srv.changed_base
    )
    + coalesce(
      runbook.storage_parameter(eff.options, 'autovacuum_analyze_scale_factor')::numeric,
      srv.changed_scale
    ) * eff.row_count
  end as changed_trigger
from pg_catalog.pg_class as rel
cross join (
  select
    current_setting('autovacuum')::boolean
    and current_setting('track_counts')::boolean as is_on,
    current_setting('autovacuum_vacuum_threshold')::numeric as dead_base,
    current_setting('autovacuum_vacuum_scale_factor')::numeric as dead_scale,
    -- from Postgres 18 on; -1 stands for none
    coalesce(current_setting('autovacuum_vacuum_max_threshold', true), '-1')::numeric as dead_max,
    current_setting('autovacuum_vacuum_insert_threshold')::numeric as inserted_base,
    current_setting('autovacuum_vacuum_insert_scale_factor')::numeric as inserted_scale,
    current_setting('autovacuum_analyze_threshold')::numeric as changed_base,
    current_setting('autovacuum_analyze_scale_factor')::numeric as changed_scale
) as srv
left join lateral runbook.toast_owner(case when rel.relkind = 't' then rel.oid end) as own on true
cross join lateral (
  -- Autovacuum takes the table's parameters where the TOAST table has none.
  select
    coalesce(rel.reloptions, own.options) as options,
    greatest(rel.reltuples, 0)::numeric as row_count
) as eff
where rel.relkind in ('r', 'm', 't')
  and rel.relpersistence <> 't'
  and rel.relnamespace not in (
    'pg_catalog'::regnamespace, 'information_schema'::regnamespace
  )
  and coalesce(own.schema, rel.relnamespace) not in (
    'pg_catalog'::regnamespace, 'information_schema'::regnamespace
  );

comment on view runbook.vacuum_state is
'One row a table or TOAST table outside the catalogs: rows that are live, dead, changed since ANALYZE
and inserted since VACUUM, and from how many on autovacuum comes.';
comment on column runbook.vacuum_state.table_oid is 'The table; for a TOAST table, whose it is.';
comment on column runbook.vacuum_state.row_count is
'As Postgres last counted; 0 where it never did, as autovacuum takes it.';
comment on column runbook.vacuum_state.inserted_trigger is
'Null where inserts alone do not call autovacuum.';

revoke all on table runbook.vacuum_state from public;
grant select on table runbook.vacuum_state to runbook_viewer;

-- What is being vacuumed or analyzed at this moment, by autovacuum or by hand. A function, so that
-- tests can say otherwise.
create function runbook.maintenance_under_way()
returns table (relation oid, command text, pid integer)
language sql
stable
security invoker
set search_path = ''
as $$
  select prg.relid, 'vacuum', prg.pid
  from pg_catalog.pg_stat_progress_vacuum as prg
  where prg.datname = current_database()
  union all
  select prg.relid, 'analyze', prg.pid
  from pg_catalog.pg_stat_progress_analyze as prg
  where prg.datname = current_database();
$$;

comment on function runbook.maintenance_under_way() is
'One row for each relation of this database that is being vacuumed or analyzed: relation, command,
pid.';
revoke all on function runbook.maintenance_under_way() from public;

-- Since when a table has been past a trigger of autovacuum: the server's counters say that it is,
-- and not since when. Without it each bulk change looks like a failure of autovacuum.
create table runbook.autovacuum_due (
  relation oid not null,
  work text not null,
  since timestamptz not null,
  constraint autovacuum_due_pkey primary key (relation, work),
  constraint work_is_known check (work in ('vacuum', 'analyze'))
)
with (fillfactor = 50);

comment on table runbook.autovacuum_due is
'One table, or TOAST table, past a trigger of autovacuum. Real clock.';
comment on column runbook.autovacuum_due.since is
'When a collector first saw it past the trigger since it was last vacuumed, or analyzed.';

revoke all on table runbook.autovacuum_due from public;
grant select on table runbook.autovacuum_due to runbook_viewer;

-- Keeps which tables are past a trigger. A vacuum, or an ANALYZE, begins their time anew: what is
-- due again after it came is due since then.
--
-- Cost: four counters a table and a TOAST table; no lock.
create function runbook.collect_autovacuum_due(keep interval)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_written bigint;
begin
  -- Two at once would write the same rows.
  lock table runbook.autovacuum_due in share row exclusive mode;

  with due as materialized (
    select
      vst.relation,
      wrk.work,
      wrk.done_at
    from runbook.vacuum_state as vst
    cross join lateral (
      values
        (
          'vacuum',
          vst.dead_rows > vst.dead_trigger,
          greatest(
            pg_stat_get_last_vacuum_time(vst.relation),
            pg_stat_get_last_autovacuum_time(vst.relation)
          )
        ),
        (
          'analyze',
          vst.changed_rows > vst.changed_trigger and not vst.is_toast,
          greatest(
            pg_stat_get_last_analyze_time(vst.relation),
            pg_stat_get_last_autoanalyze_time(vst.relation)
          )
        )
    ) as wrk (work, is_due, done_at)
    where wrk.is_due
  ),
  over as (
    delete from runbook.autovacuum_due as old
    where not exists (
      select
      from due
      where due.relation = old.relation
        and due.work = old.work
    )
  )
  insert into runbook.autovacuum_due as old (relation, work, since)
  select due.relation, due.work, v_now
  from due
  on conflict on constraint autovacuum_due_pkey do update
  set since = excluded.since
  where old.since <= (
    select due.done_at
    from due
    where due.relation = old.relation
      and due.work = old.work
  );

  get diagnostics v_written = row_count;

  return v_written;
end;
$$;

comment on function runbook.collect_autovacuum_due(interval) is
'The collector autovacuum_due: which tables are past a trigger of autovacuum since when. Returns how
many came.';
revoke all on function runbook.collect_autovacuum_due(interval) from public;

insert into runbook.collector (name, function, every, keep, description)
values (
  'autovacuum_due',
  'runbook.collect_autovacuum_due',
  '5 minutes',
  -- as long as they are due
  '0 seconds',
  'Since when tables are past a trigger of autovacuum, to tell whether it had time to come.'
);

-- Which tables autovacuum had time for and has not come to, and since when they are due. The time
-- is so many rounds: the launcher looks at each database once an autovacuum_naptime.
--
-- A vacuum by hand does not end it before the collector has looked again: whoever vacuumed and
-- asks whether it helped must not be told so because he vacuumed. An ANALYZE always helps.
create function runbook.autovacuum_missed(rounds numeric)
returns table (relation oid, work text, since timestamptz)
language sql
stable
security invoker
set search_path = ''
as $$
  select due.relation, due.work, due.since
  from runbook.autovacuum_due as due
  where due.since <= clock_timestamp() - autovacuum_missed.rounds::double precision
    * current_setting('autovacuum_naptime')::interval
    and due.since > coalesce(
      case due.work
        when 'vacuum' then pg_stat_get_last_autovacuum_time(due.relation)
        else greatest(
          pg_stat_get_last_analyze_time(due.relation),
          pg_stat_get_last_autoanalyze_time(due.relation)
        )
      end,
      '-infinity'
    );
$$;

comment on function runbook.autovacuum_missed(numeric) is
'Tables that have been past a trigger of autovacuum for so many of its rounds: relation, work
(vacuum or analyze), since.';
revoke all on function runbook.autovacuum_missed(numeric) from public;

-- How it is with the collector that tells since when a table is due: null where it looks, else why
-- it cannot be told whether autovacuum had time.
create function runbook.autovacuum_due_unknown()
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when stt.succeeded_at > clock_timestamp() - 3 * col.every then null
    else format(
      'since when is not known: the collector autovacuum_due %s (see the check collectors).',
      coalesce(
        'last looked at ' || runbook.utc_text(stt.succeeded_at), 'has not looked yet'
      )
    )
  end
  from runbook.collector as col
  left join runbook.collector_state as stt on stt.collector_name = col.name
  where col.name = 'autovacuum_due';
$$;

comment on function runbook.autovacuum_due_unknown() is
'Why it is not known whether autovacuum had time for the tables that are due, or null.';
revoke all on function runbook.autovacuum_due_unknown() from public;

-- What autovacuum is doing instead, for a finding that it does not come; null while a worker is
-- free. A function, so that tests can say otherwise.
create function runbook.autovacuum_is_busy()
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when count(*) >= current_setting('autovacuum_max_workers')::integer
      then format('all %s of its workers are busy with other tables', count(*))
  end
  from pg_catalog.pg_stat_activity as act
  where act.backend_type = 'autovacuum worker';
$$;

comment on function runbook.autovacuum_is_busy() is
'"all 3 of its workers are busy with other tables", or null.';
revoke all on function runbook.autovacuum_is_busy() from public;

-- Who keeps vacuum from removing dead rows, the oldest of them. Transactions count from an age on.
-- The check vacuum_horizon tells more; here it is the cause of a finding.
create function runbook.oldest_horizon(
  older_than interval,
  out since timestamptz,
  out description text
)
returns record
language sql
stable
security invoker
set search_path = ''
as $$
  with holders as (
    select
      greatest(age(act.backend_xmin), age(act.backend_xid)) as age,
      act.xact_start as since,
      format(
        'pid %s (%s, %s), whose transaction began at %s',
        act.pid,
        act.usename,
        coalesce(nullif(act.application_name, ''), act.backend_type),
        runbook.utc_text(act.xact_start)
      ) as description
    from pg_catalog.pg_stat_activity as act
    where coalesce(act.backend_xmin, act.backend_xid) is not null
      and act.pid <> pg_backend_pid()
      and act.xact_start < clock_timestamp() - oldest_horizon.older_than
    union all
    select
      age(xct.transaction),
      xct.prepared,
      format('the prepared transaction %L of %s', xct.gid, runbook.utc_text(xct.prepared))
    from pg_catalog.pg_prepared_xacts as xct
    where xct.prepared < clock_timestamp() - oldest_horizon.older_than
    union all
    select age(slt.xmin), null, format('the replication slot %I', slt.slot_name)
    from pg_catalog.pg_replication_slots as slt
    where slt.xmin is not null
    union all
    select age(rep.backend_xmin), null, format('the standby %L', rep.application_name)
    from pg_catalog.pg_stat_replication as rep
    where rep.backend_xmin is not null
  )
  select hld.since, hld.description collate "default"
  from holders as hld
  order by hld.age desc, hld.since
  limit 1;
$$;

comment on function runbook.oldest_horizon(interval) is
'{since, description} of the oldest transaction, prepared transaction, slot or standby that holds
back vacuum; nulls where there is none.';
revoke all on function runbook.oldest_horizon(interval) from public;
