-- Whether Realtime reads the log for those who listen, and whether it is well.
--
-- Its slots are temporary: they are made when somebody listens and go with the session that made
-- them. So no slot is no fault by itself; together with subscriptions it is.

create type runbook.realtime_slot as (
  name text,
  is_active boolean,
  is_temporary boolean,
  wal_status text,
  behind_bytes numeric,
  retained_bytes numeric,
  pid integer,
  backend_start timestamptz,
  role text,
  may_be_ended boolean
);

comment on type runbook.realtime_slot is
'A replication slot of Realtime: how far behind it is, who reads it, and whether we may end that.';

revoke all on type runbook.realtime_slot from public;

-- The slots of Realtime in this database, with how far behind they are and who reads them.
--
-- Cost: the server's shared memory; no lock on a table.
create function runbook.realtime_slots()
returns setof runbook.realtime_slot
language sql
stable
security invoker
set search_path = ''
as $$
  select
    slt.slot_name::text collate "default",
    slt.active,
    slt.temporary,
    slt.wal_status,
    pg_wal_lsn_diff(position.lsn, slt.confirmed_flush_lsn),
    pg_wal_lsn_diff(position.lsn, slt.restart_lsn),
    slt.active_pid,
    act.backend_start,
    act.usename::text collate "default",
    act.pid is not null
      and act.pid <> pg_backend_pid()
      and pg_has_role('pg_signal_backend', 'member')
      and not coalesce(rol.rolsuper, true)
  from pg_catalog.pg_replication_slots as slt
  cross join (
    select
      case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end
  ) as position (lsn)
  left join pg_catalog.pg_stat_activity as act on act.pid = slt.active_pid
  left join pg_catalog.pg_roles as rol on rol.oid = act.usesysid
  where slt.slot_name like 'supabase\_realtime%'
    and slt.database = current_database()
  order by slt.slot_name;
$$;

comment on function runbook.realtime_slots() is
'The replication slots of Realtime in this database.';
revoke all on function runbook.realtime_slots() from public;

-- What there is to say of one slot, of which the server keeps so many bytes of its log at most.
create function runbook.finding_of_realtime_slot(slot runbook.realtime_slot, keeps_bytes numeric)
returns runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  -- As Realtime itself complains (ReplicationSlotLagTooHigh): half of what the server keeps.
  v_share constant numeric := 0.5;
  v_slot constant runbook.realtime_slot := finding_of_realtime_slot.slot;
  v_behind constant numeric := greatest(v_slot.behind_bytes, v_slot.retained_bytes, 0);
  v_finding runbook.finding;
begin
  v_finding.subject := v_slot.name;
  v_finding.evidence := to_jsonb(v_slot) - array['role', 'may_be_ended'];
  v_finding.method := 'read from pg_replication_slots';
  v_finding.severity := 'warning';
  v_finding.remediation := 'restart-realtime';
  v_finding.params := '{}';

  if v_slot.wal_status in ('lost', 'unreserved') then
    v_finding.code := 'slot_lost';
    v_finding.severity := 'critical';
    v_finding.summary := format(
      'The slot %s is %s: the server no longer keeps all of the log that it needs.',
      v_slot.name,
      v_slot.wal_status
    );
  elsif not v_slot.is_active then
    v_finding.code := 'slot_inactive';
    v_finding.summary := format(
      'Nobody reads the slot %s, and the server keeps %s of its log for it.',
      v_slot.name,
      pg_size_pretty(v_behind)
    );
  elsif v_behind > v_share * finding_of_realtime_slot.keeps_bytes then
    v_finding.code := 'slot_behind';
    v_finding.summary := format(
      'The slot %s is %s behind; the server keeps %s at most, and then it is lost.',
      v_slot.name,
      pg_size_pretty(v_behind),
      pg_size_pretty(finding_of_realtime_slot.keeps_bytes)
    );
  else
    v_finding.code := 'slot_active';
    v_finding.severity := 'info';
    v_finding.remediation := null;
    v_finding.params := null;
    v_finding.summary := format(
      'The slot %s is read, and %s behind.',
      v_slot.name,
      pg_size_pretty(coalesce(v_slot.behind_bytes, v_behind))
    );
  end if;

  return v_finding;
end;
$$;

comment on function runbook.finding_of_realtime_slot(runbook.realtime_slot, numeric) is
'slot_lost, slot_inactive, slot_behind or slot_active.';
revoke all on function runbook.finding_of_realtime_slot(runbook.realtime_slot, numeric) from public;

-- Whether the log is read for those who listen: the slots, how far behind they are, and what is
-- left for further ones. Slots are temporary: where nobody listens there is none, which is right.
--
-- Cost: the server's shared memory.
create function runbook.findings_of_realtime_slots(
  subscriptions bigint,
  is_published boolean
)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  -- -1 means without a limit
  v_keeps constant numeric := pg_size_bytes(
    nullif(current_setting('max_slot_wal_keep_size'), '-1')
  );
  v_slot runbook.realtime_slot;
  v_active bigint := 0;
  v_free integer;
begin
  if current_setting('wal_level') <> 'logical' then
    return next row(
      'wal_level_too_low',
      'critical',
      'wal_level',
      format(
        'wal_level is %s; Realtime needs logical. It takes effect with a restart of the database.',
        current_setting('wal_level')
      ),
      jsonb_build_object('wal_level', current_setting('wal_level')),
      'read from the settings',
      null,
      null
    )::runbook.finding;
  end if;

  foreach v_slot in array array(select slt from runbook.realtime_slots() as slt) loop
    v_active := v_active + v_slot.is_active::integer;
    return next runbook.finding_of_realtime_slot(v_slot, v_keeps);
  end loop;

  if v_active = 0 and findings_of_realtime_slots.subscriptions > 0 then
    return next row(
      'realtime_not_following',
      'warning',
      'realtime',
      format(
        '%s, and nobody reads the log for it: Realtime has stopped, or left them behind.',
        case findings_of_realtime_slots.subscriptions
          when 1 then 'There is one subscription'
          else format('There are %s subscriptions', findings_of_realtime_slots.subscriptions)
        end
      ),
      jsonb_build_object('subscriptions', findings_of_realtime_slots.subscriptions),
      'counted in realtime.subscription, read from pg_replication_slots',
      'restart-realtime',
      '{}'::jsonb
    )::runbook.finding;
  elsif v_active = 0 then
    return next row(
      'nobody_listens',
      'info',
      'realtime',
      case
        when findings_of_realtime_slots.is_published
          then 'Nobody is subscribed to changes of tables, so there is no slot; that is no fault.'
        else 'Nothing is published and nobody subscribed, so there is no slot; that is no fault.'
      end,
      '{"subscriptions": 0}'::jsonb,
      'counted in realtime.subscription, read from pg_replication_slots',
      null,
      null
    )::runbook.finding;
  end if;

  v_free := current_setting('max_replication_slots')::integer
    - (select count(*) from pg_catalog.pg_replication_slots as slt);

  if v_free <= 0 and v_active = 0 then
    return next row(
      'replication_slots_used_up',
      'warning',
      'max_replication_slots',
      format(
        'All %s replication slots are taken, so Realtime cannot make its own. Drop one that nobody '
        'reads.',
        current_setting('max_replication_slots')
      ),
      jsonb_build_object('max_replication_slots', current_setting('max_replication_slots')),
      'counted in pg_replication_slots',
      null,
      null
    )::runbook.finding;
  end if;

  v_free := current_setting('max_wal_senders')::integer
    - (select count(*) from pg_stat_get_wal_senders() as snd);

  if v_free <= 0 then
    return next row(
      'wal_senders_used_up',
      'warning',
      'max_wal_senders',
      format(
        'All %s WAL senders are taken; Realtime''s next connection for replication is refused.',
        current_setting('max_wal_senders')
      ),
      jsonb_build_object('max_wal_senders', current_setting('max_wal_senders')),
      'counted in pg_stat_get_wal_senders()',
      null,
      null
    )::runbook.finding;
  end if;
end;
$$;

comment on function runbook.findings_of_realtime_slots(bigint, boolean) is
'Whether the log is read for those who listen: wal_level_too_low, slot_lost, slot_inactive,
slot_behind, slot_active, realtime_not_following, nobody_listens, replication_slots_used_up,
wal_senders_used_up.';
revoke all on function runbook.findings_of_realtime_slots(bigint, boolean) from public;

-- What an edge function saw of Realtime just before: asked through the Management API where it has
-- a token, else at Realtime''s own address.
create function runbook.finding_of_realtime_health()
returns runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_probe constant runbook.probe := runbook.fresh_probe('realtime_health');
  v_status constant integer := (v_probe.evidence ->> 'status')::integer;
  v_asked constant text := case v_probe.evidence ->> 'by'
    when 'management_api' then 'The Management API'
    else 'Realtime'
  end;
begin
  return case
    when v_probe.name is null then runbook.skipped(
      'realtime_unhealthy', runbook.stale_reason('realtime_health', '60 seconds')
    )
    when v_probe.ok then null
    -- Its address is not everywhere, and where it is, not open to every key.
    when v_status = 404 or v_asked = 'Realtime' and v_status in (401, 403)
      then runbook.not_applicable(
        'realtime_unhealthy',
        format(
          '%s does not tell the health of Realtime here: it answered %s. With '
          'RUNBOOK_MANAGEMENT_TOKEN the functions ask the Management API.',
          v_asked,
          v_status
        )
      )
    when v_probe.evidence ->> 'healthy' = 'false' or v_asked = 'Realtime' and (
      v_status >= 500 or v_status is null
    ) then row(
      'realtime_unhealthy',
      'critical',
      'realtime',
      format(
        '%s at %s. The platform''s status page may know.',
        case
          when v_probe.evidence ->> 'healthy' = 'false'
            then format('%s says that Realtime is not healthy,', v_asked)
          when v_status is null then 'Realtime did not answer'
          else format('Realtime answered %s', v_status)
        end,
        runbook.utc_text(v_probe.seen_at)
      ),
      v_probe.evidence || jsonb_build_object('seen_at', v_probe.seen_at),
      'probe of Realtime''s health by an edge function',
      'restart-realtime',
      '{}'::jsonb
    )::runbook.finding
    else runbook.skipped(
      'realtime_unhealthy',
      format(
        '%s %s instead of telling the health of Realtime.%s',
        v_asked,
        case
          when v_status is null then 'did not answer'
          when v_status between 200 and 299 then 'sent something unreadable'
          else format('answered %s', v_status)
        end,
        case when v_status in (401, 403) then ' Look at RUNBOOK_MANAGEMENT_TOKEN.' end
      )
    )
  end;
end;
$$;

comment on function runbook.finding_of_realtime_health() is
'What was seen of Realtime just before: realtime_unhealthy, a skipped row, or null.';
revoke all on function runbook.finding_of_realtime_health() from public;
