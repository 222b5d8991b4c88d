-- Replication slots: a slot that nobody reads keeps the server's log, until the disk is full or,
-- with a limit, until the slot is lost.
--
-- Relies on: runbook.counted_since() for how fast the log grows.

-- The slots with what they keep. The one place that knows what which version of Postgres tells.
-- `inactive_since` is exact from Postgres 17 on; before, the first hourly look that found nobody
-- reading, as `is_since_exact` says; null when there was no look yet.
--
-- Cost: pg_replication_slots; the snapshots of a week for slots that nobody reads.
-- Misses: on a replica, slots of its primary.
create function runbook.slot_states()
returns table (
  slot_name text,
  slot_type text,
  plugin text,
  database text,
  is_temporary boolean,
  is_active boolean,
  is_synced boolean,
  is_invalid boolean,
  invalid_reason text,
  wal_status text,
  retained_bytes numeric,
  safe_bytes numeric,
  inactive_since timestamptz,
  is_since_exact boolean,
  last_seen_active timestamptz
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_version constant integer := current_setting('server_version_num')::integer;
begin
  return query execute format(
    $query$
      select
        slt.slot_name::text collate "default",
        slt.slot_type,
        slt.plugin::text collate "default",
        slt.database::text collate "default",
        slt.temporary,
        slt.active,
        %s,
        coalesce(slt.wal_status = 'lost', false) or %s is not null,
        %s,
        slt.wal_status,
        case
          when slt.restart_lsn is not null
            then greatest($1 - pg_catalog.pg_wal_lsn_diff(slt.restart_lsn, '0/0'), 0)
        end,
        slt.safe_wal_size::numeric,
        case when not slt.active then coalesce(%s, seen.inactive_since) end,
        %s is not null,
        seen.active_at
      from pg_catalog.pg_replication_slots as slt
      left join lateral (
        select
          seen_active.at as active_at,
          min(snp.taken_at) filter (
            where slt.slot_name = any (snp.inactive_slots)
              and (seen_active.at is null or snp.taken_at > seen_active.at)
          ) as inactive_since
        from runbook.counter_snapshot as snp
        cross join (
          select max(snp.taken_at) as at
          from runbook.counter_snapshot as snp
          where slt.slot_name = any (snp.active_slots)
        ) as seen_active
        group by seen_active.at
      ) as seen on not slt.active
    $query$,
    case when v_version >= 170000 then 'slt.synced' else 'false' end,
    case when v_version >= 170000 then 'slt.invalidation_reason' else 'null::text' end,
    case when v_version >= 170000 then 'slt.invalidation_reason' else 'null::text' end,
    case when v_version >= 170000 then 'slt.inactive_since' else 'null::timestamptz' end,
    case when v_version >= 170000 then 'slt.inactive_since' else 'null::timestamptz' end
  )
  using runbook.wal_position();
end;
$$;

comment on function runbook.slot_states() is
'Replication slots: who reads them, what they keep of the log, and since when nobody reads.';
revoke all on function runbook.slot_states() from public;

-- Slots that are lost, that keep much of the log, or that nobody reads. The value is what the slots
-- keep at most, in MB. Temporary slots, as Realtime's, end with their session and are no fault.
--
-- Cost: pg_replication_slots.
-- Misses: the size of the disk; only the limit max_slot_wal_keep_size is known here.
create function runbook.check_replication_slots(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  -- In MB; -1 for no limit.
  v_keep constant numeric := (
    select stg.setting::numeric
    from pg_catalog.pg_settings as stg
    where stg.name = 'max_slot_wal_keep_size'
  );
  v_bytes_per_day numeric;
  v_result runbook.check_result;
begin
  select cnt.wal_bytes / cnt.seconds * 86400
  into v_bytes_per_day
  from runbook.counted_since('1 day') as cnt
  where cnt.has_snapshot
    and cnt.seconds >= 3600;

  with slots as (
    select
      slt.slot_name,
      slt.slot_type,
      slt.plugin,
      slt.is_active,
      slt.is_invalid,
      slt.invalid_reason,
      slt.wal_status,
      round(slt.retained_bytes / 1048576) as megabytes,
      slt.inactive_since,
      slt.is_since_exact,
      case
        when v_keep >= 0 then round(100 * slt.retained_bytes / nullif(v_keep * 1048576, 0))
      end as percent,
      -- Only a slot that nobody reads falls behind as fast as the log grows.
      case
        when not slt.is_active then round(slt.safe_bytes / nullif(v_bytes_per_day, 0), 1)
      end as days_left,
      -- Right after a restart or a short look away nothing is wrong.
      not slt.is_active
      and slt.retained_bytes is not null
      and (
        slt.inactive_since < v_now - make_interval(
          secs => (check_replication_slots.settings ->> 'inactive_after_s')::double precision
        )
        or (slt.inactive_since is null and slt.last_seen_active is null)
      ) as is_abandoned
    from runbook.slot_states() as slt
    where not slt.is_temporary
      and not slt.is_synced
  ),
  judged as (
    -- One finding a slot: the worst.
    select distinct on (fnd.slot_name)
      fnd.code,
      fnd.severity,
      fnd.slot_name,
      fnd.story,
      fnd.megabytes,
      fnd.days_left
    from (
    select
      1 as place,
      'slot_lost' as code,
      'critical' as severity,
      slt.slot_name,
      format(
        'it has lost a part of the log that its consumer needed%s, and cannot go on. Drop it, and '
        'let the consumer begin anew.',
        ' (' || slt.invalid_reason || ')'
      ) as story,
      slt.megabytes,
      slt.days_left
    from slots as slt
    where slt.is_invalid
    union all
    select
      2,
      'slot_retains_wal',
      case
        when slt.wal_status = 'unreserved'
          or slt.percent >= (check_replication_slots.settings ->> 'critical')::numeric
          or (
            slt.percent is null
            and slt.megabytes
              >= (check_replication_slots.settings ->> 'unlimited_critical_mb')::numeric
          )
          then 'critical'
        else 'warning'
      end,
      slt.slot_name,
      format(
        'it keeps %s MB of the log%s%s.%s %s',
        slt.megabytes,
        coalesce(', ' || slt.percent || ' % of what it may', ', without a limit'),
        '; at this rate it is lost in ' || slt.days_left || ' days',
        case when slt.is_active then ' Its consumer is slow.' else ' Nobody reads it.' end,
        case
          when slt.is_active then 'Look at the consumer.'
          else 'Bring the consumer back, or drop the slot.'
        end
      ),
      slt.megabytes,
      slt.days_left
    from slots as slt
    where not slt.is_invalid
      and (
        slt.wal_status = 'unreserved'
        or slt.percent >= (check_replication_slots.settings ->> 'warning')::numeric
        or (
          slt.percent is null
          and slt.megabytes
            >= (check_replication_slots.settings ->> 'unlimited_warning_mb')::numeric
        )
      )
    union all
    select
      3,
      'slot_inactive',
      'warning',
      slt.slot_name,
      format(
        'nobody reads it%s. It keeps %s MB of the log%s. Bring the consumer back, or drop '
        'it.',
        case
          when slt.inactive_since is null then ''
          else format(
            ' since %s%s',
            runbook.utc_text(slt.inactive_since),
            case when not slt.is_since_exact then ' or earlier' end
          )
        end,
        slt.megabytes,
        '; at this rate it is lost in ' || slt.days_left || ' days'
      ),
      slt.megabytes,
      slt.days_left
    from slots as slt
    where not slt.is_invalid
      and slt.is_abandoned
    ) as fnd
    order by fnd.slot_name, fnd.place
  )
  select
    (select coalesce(max(slt.megabytes), 0) from slots as slt),
    coalesce(
      (
        select array_agg(
          row(
            jdg.code,
            jdg.severity,
            format('slot %s', jdg.slot_name),
            format('Slot %s: %s', jdg.slot_name, jdg.story),
            jsonb_strip_nulls(
              jsonb_build_object(
                'slot', jdg.slot_name,
                'type', slt.slot_type,
                'plugin', slt.plugin,
                'active', slt.is_active,
                'wal_status', slt.wal_status,
                'retained_mb', jdg.megabytes,
                'limit_mb', nullif(v_keep, -1),
                'inactive_since', slt.inactive_since,
                'days_left', jdg.days_left
              )
            ),
            case
              when slt.inactive_since is null or slt.is_since_exact
                then 'pg_replication_slots against the present end of the log'
              else 'pg_replication_slots; since when nobody reads by hourly looks'
            end,
            null,
            null
          )::runbook.finding
          order by
            jdg.severity,
            array_position(array['slot_lost', 'slot_retains_wal', 'slot_inactive'], jdg.code),
            jdg.megabytes desc,
            jdg.slot_name
        )
        from judged as jdg
        inner join slots as slt on slt.slot_name = jdg.slot_name
      ),
      '{}'
    )
  into v_result.value, v_result.findings;

  return v_result;
end;
$$;

comment on function runbook.check_replication_slots(jsonb) is
'Replication slots that keep the log, nobody reads or are lost: slot_inactive, slot_retains_wal,
slot_lost.';
revoke all on function runbook.check_replication_slots(jsonb) from public;

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
    'replication_slots',
    'Replication slots',
    'What slots keep of the server''s log, whether somebody reads them, and for how long it lasts.',
    'runbook.check_replication_slots',
    220,
    'limits',
    'MB kept',
    -- Realtime complains above half of max_slot_wal_keep_size (ReplicationSlotLagTooHigh). The
    -- others are ours; a consumer that is restarted is back within five minutes.
    '{
      "warning": 50,
      "critical": 80,
      "unlimited_warning_mb": 1024,
      "unlimited_critical_mb": 10240,
      "inactive_after_s": 300
    }',
    '{
      "slot_inactive": "Nobody reads a slot, and the log is kept for it.",
      "slot_retains_wal": "A slot keeps much of the log.",
      "slot_lost": "A slot has lost what its consumer needed."
    }'
  );
