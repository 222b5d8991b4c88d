-- What the server counts since its statistics were reset, kept hourly, so that the checks can say
-- what happened in the last day instead of ever: cache, temporary files, deadlocks, checkpoints.
--
-- Relies on: runbook.collector, whose schedule calls runbook.collect_database_counters(). Before it
-- has run, the time since the reset of the statistics counts, as far as the server knows it.

create table runbook.counter_snapshot (
  taken_at timestamptz not null,
  database_since timestamptz,
  blocks_hit bigint not null,
  blocks_read bigint not null,
  temp_files bigint not null,
  temp_bytes bigint not null,
  deadlocks bigint not null,
  checkpoints_since timestamptz,
  checkpoints_timed bigint not null,
  checkpoints_requested bigint not null,
  wal_bytes numeric,
  active_slots text[] not null,
  inactive_slots text[] not null,
  constraint counter_snapshot_pkey primary key (taken_at)
);

comment on table runbook.counter_snapshot is
'The counters of this database and the server at an instant, and the replication slots with
and without a reader.';
comment on column runbook.counter_snapshot.database_since is
'When the counters of the database were reset, where the server knows it.';
comment on column runbook.counter_snapshot.wal_bytes is
'Position in the log, in bytes from its start.';

revoke all on table runbook.counter_snapshot from public;

-- Why the server's counters say nothing, as a finding's row; null where it counts.
create function runbook.counters_obstacle(check_name text)
returns runbook.finding
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when not current_setting('track_counts')::boolean
      then runbook.skipped(
        counters_obstacle.check_name,
        'The server counts nothing, because track_counts is off. Switch it on.'
      )
  end;
$$;

comment on function runbook.counters_obstacle(text) is
'Why nothing can be told from the server''s counters, or null.';
revoke all on function runbook.counters_obstacle(text) from public;

-- Where the server writes its log now, in bytes from the beginning; on a replica, what it received.
create function runbook.wal_position()
returns numeric
language sql
stable
security invoker
set search_path = ''
as $$
  select pg_wal_lsn_diff(
    case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end,
    '0/0'
  );
$$;

comment on function runbook.wal_position() is
'Position in the log in bytes; null on a replica that receives nothing.';
revoke all on function runbook.wal_position() from public;

-- The counters now. The one place that knows where which version of Postgres keeps them.
--
-- Cost: counters in shared memory; no lock.
-- Misses: other databases of the server, but for checkpoints and the log, which all share.
create function runbook.counters_now()
returns runbook.counter_snapshot
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_now runbook.counter_snapshot;
begin
  select
    clock_timestamp(),
    sta.stats_reset,
    sta.blks_hit,
    sta.blks_read,
    sta.temp_files,
    sta.temp_bytes,
    sta.deadlocks
  into
    v_now.taken_at,
    v_now.database_since,
    v_now.blocks_hit,
    v_now.blocks_read,
    v_now.temp_files,
    v_now.temp_bytes,
    v_now.deadlocks
  from pg_catalog.pg_stat_database as sta
  where sta.datname = current_database();

  -- Postgres 17 moved them out of pg_stat_bgwriter.
  execute case
    when current_setting('server_version_num')::integer >= 170000
      then 'select chk.stats_reset, chk.num_timed, chk.num_requested '
        'from pg_catalog.pg_stat_checkpointer as chk'
    else 'select bgw.stats_reset, bgw.checkpoints_timed, bgw.checkpoints_req '
      'from pg_catalog.pg_stat_bgwriter as bgw'
  end
  into v_now.checkpoints_since, v_now.checkpoints_timed, v_now.checkpoints_requested;

  v_now.wal_bytes := runbook.wal_position();

  select
    coalesce(array_agg(slt.slot_name::text collate "default") filter (where slt.active), '{}'),
    coalesce(array_agg(slt.slot_name::text collate "default") filter (where not slt.active), '{}')
  into v_now.active_slots, v_now.inactive_slots
  from pg_catalog.pg_replication_slots as slt
  where not slt.temporary;

  return v_now;
end;
$$;

comment on function runbook.counters_now() is
'The counters of this database and the server as they stand now.';
revoke all on function runbook.counters_now() from public;

-- What was counted lately: since the snapshot that is nearest to this age, else since the reset of
-- the statistics. Seconds are null when the server does not know since when it counts.
--
-- Cost: runbook.counters_now(), and the snapshots of eight days.
-- Misses: what was counted before a crash, which begins from nought.
create function runbook.counted_since(age interval)
returns table (
  has_snapshot boolean,
  seconds numeric,
  blocks_hit bigint,
  blocks_read bigint,
  temp_files bigint,
  temp_bytes bigint,
  deadlocks bigint,
  checkpoint_seconds numeric,
  checkpoints_timed bigint,
  checkpoints_requested bigint,
  wal_bytes numeric
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_now constant runbook.counter_snapshot := runbook.counters_now();
  v_base runbook.counter_snapshot;
begin
  select snp.*
  into v_base
  from runbook.counter_snapshot as snp
  -- After a reset, or a crash, the older ones say nothing.
  where snp.database_since is not distinct from v_now.database_since
    and snp.checkpoints_since is not distinct from v_now.checkpoints_since
    and snp.blocks_hit <= v_now.blocks_hit
    and snp.blocks_read <= v_now.blocks_read
    and snp.temp_bytes <= v_now.temp_bytes
    and snp.deadlocks <= v_now.deadlocks
    and snp.checkpoints_timed <= v_now.checkpoints_timed
    and snp.checkpoints_requested <= v_now.checkpoints_requested
  order by abs(extract(epoch from v_now.taken_at - counted_since.age - snp.taken_at))
  limit 1;

  return query
    select
      v_base.taken_at is not null,
      extract(epoch from v_now.taken_at - coalesce(v_base.taken_at, v_now.database_since)),
      v_now.blocks_hit - coalesce(v_base.blocks_hit, 0),
      v_now.blocks_read - coalesce(v_base.blocks_read, 0),
      v_now.temp_files - coalesce(v_base.temp_files, 0),
      v_now.temp_bytes - coalesce(v_base.temp_bytes, 0),
      v_now.deadlocks - coalesce(v_base.deadlocks, 0),
      extract(epoch from v_now.taken_at - coalesce(v_base.taken_at, v_now.checkpoints_since)),
      v_now.checkpoints_timed - coalesce(v_base.checkpoints_timed, 0),
      v_now.checkpoints_requested - coalesce(v_base.checkpoints_requested, 0),
      v_now.wal_bytes - v_base.wal_bytes;
end;
$$;

comment on function runbook.counted_since(interval) is
'What this database and the server counted in about the given time up to now.';
revoke all on function runbook.counted_since(interval) from public;

-- A count as one a day: what a shorter time counted is not made larger by guessing. Nor do the
-- checks below say of minutes what they are asked of hours: each has the least time that it judges.
create function runbook.per_day(number numeric, seconds numeric)
returns numeric
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select round(per_day.number / greatest(coalesce(per_day.seconds, 0) / 86400, 1), 1);
$$;

comment on function runbook.per_day(numeric, numeric) is
'So many a day; for less than a day, or an unknown time, the number itself.';
revoke all on function runbook.per_day(numeric, numeric) from public;

-- How it is known what was counted.
create function runbook.counting_method(has_snapshot boolean)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when counting_method.has_snapshot then 'counters of the server against an earlier snapshot'
    else 'counters of the server since its statistics were reset'
  end;
$$;

comment on function runbook.counting_method(boolean) is 'The method of a finding over counters.';
revoke all on function runbook.counting_method(boolean) from public;

-- The time that was looked at, for people.
create function runbook.in_the_last(seconds numeric)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select coalesce(
    ' in the last '
    || runbook.duration_text(make_interval(secs => in_the_last.seconds::double precision)),
    ''
  );
$$;

comment on function runbook.in_the_last(numeric) is '" in the last 23 h 4 min", or nothing.';
revoke all on function runbook.in_the_last(numeric) from public;

-- What a figure of runbook.per_day is said of: the time itself, as long as it is less than a day.
create function runbook.a_day_or_less(seconds numeric)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when a_day_or_less.seconds <= 86400 then runbook.in_the_last(a_day_or_less.seconds)
    else ' a day'
  end;
$$;

comment on function runbook.a_day_or_less(numeric) is '" in the last 5 h 0 min", or " a day".';
revoke all on function runbook.a_day_or_less(numeric) from public;

-- The row of a check that has not been counting for long enough; null where it has. An unknown
-- time is as long as the server has been running since its statistics were made.
create function runbook.counted_too_shortly(
  check_name text,
  seconds numeric,
  least_seconds numeric
)
returns runbook.finding
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when counted_too_shortly.seconds < counted_too_shortly.least_seconds
      then runbook.not_applicable(
        counted_too_shortly.check_name,
        format(
          'It has been counted for %s; it can be told from %s on.',
          runbook.duration_text(
            make_interval(secs => counted_too_shortly.seconds::double precision)
          ),
          runbook.duration_text(
            make_interval(secs => counted_too_shortly.least_seconds::double precision)
          )
        )
      )
  end;
$$;

comment on function runbook.counted_too_shortly(text, numeric, numeric) is
'Why a check of counters cannot tell yet, as a finding''s row; null where it can.';
revoke all on function runbook.counted_too_shortly(text, numeric, numeric) from public;

-- Keeps the counters, one row a call.
create function runbook.collect_database_counters(keep interval)
returns bigint
language sql
volatile
security invoker
set search_path = ''
as $$
  delete from runbook.counter_snapshot as snp
  where snp.taken_at < clock_timestamp() - collect_database_counters.keep;

  insert into runbook.counter_snapshot
  select (runbook.counters_now()).*;

  select 1::bigint;
$$;

comment on function runbook.collect_database_counters(interval) is
'The collector database_counters: cache, temporary files, deadlocks, checkpoints, the log.';
revoke all on function runbook.collect_database_counters(interval) from public;

insert into runbook.collector (name, function, every, keep, description)
values (
  'database_counters',
  'runbook.collect_database_counters',
  '1 hour',
  '8 days',
  'What the server counts, to tell what happened in the last hour, day and week.'
);

-- How many of the blocks that were asked for in the last day were found in shared buffers, in
-- percent. With too little traffic, or too little time, there is nothing to tell: what has just
-- been started, restored or emptied reads everything once.
--
-- Cost: counters; no lock.
-- Misses: what the operating system had in its own cache, which is not as slow as a disk.
create function runbook.check_cache_hit(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_counted record;
  v_percent numeric;
  v_obstacle runbook.finding := runbook.counters_obstacle('cache_hit');
begin
  if v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  select cnt.has_snapshot, cnt.seconds, cnt.blocks_hit, cnt.blocks_read
  into v_counted
  from runbook.counted_since('1 day') as cnt;

  v_obstacle := runbook.counted_too_shortly(
    'cache_hit', v_counted.seconds, (check_cache_hit.settings ->> 'least_s')::numeric
  );

  if v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  if v_counted.blocks_hit + v_counted.blocks_read
    < (check_cache_hit.settings ->> 'least_blocks')::numeric
  then
    return runbook.check_answer(
      null,
      runbook.not_applicable(
        'cache_hit',
        format(
          'Too little was read to tell: %s%s.',
          runbook.counted(v_counted.blocks_hit + v_counted.blocks_read, 'block'),
          runbook.in_the_last(v_counted.seconds)
        )
      )
    );
  end if;

  v_percent := trunc(
    100.0 * v_counted.blocks_hit / (v_counted.blocks_hit + v_counted.blocks_read), 1
  );

  return runbook.check_answer(
    v_percent,
    case
      when v_percent < (check_cache_hit.settings ->> 'warning')::numeric
        then row(
          'cache_hit_low',
          'warning',
          'cache',
          format(
            'Only %s %% of the blocks came from shared buffers%s; %s had to be read. Look at the '
            'statements that read most, then at the memory of the plan.',
            v_percent,
            runbook.in_the_last(v_counted.seconds),
            runbook.counted(v_counted.blocks_read, 'block')
          ),
          jsonb_build_object(
            'percent', v_percent,
            'blocks_hit', v_counted.blocks_hit,
            'blocks_read', v_counted.blocks_read,
            'seconds', round(v_counted.seconds),
            'shared_buffers', current_setting('shared_buffers')
          ),
          runbook.counting_method(v_counted.has_snapshot),
          null,
          null
        )::runbook.finding
    end
  );
end;
$$;

comment on function runbook.check_cache_hit(jsonb) is
'Share of blocks that came from shared buffers in the last day, in percent: cache_hit_low.';
revoke all on function runbook.check_cache_hit(jsonb) from public;

-- What a day's statements wrote to temporary files because their memory was too small, in MB.
--
-- Cost: counters; no lock.
-- Misses: which statements; those that are slow by it are among the slow statements.
create function runbook.check_temporary_files(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_limit constant numeric := (check_temporary_files.settings ->> 'warning')::numeric;
  v_counted record;
  v_megabytes numeric;
  v_obstacle runbook.finding := runbook.counters_obstacle('temporary_files');
begin
  if v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  select cnt.has_snapshot, cnt.seconds, cnt.temp_files, cnt.temp_bytes
  into v_counted
  from runbook.counted_since('1 day') as cnt;

  v_megabytes := runbook.per_day(trunc(v_counted.temp_bytes / 1048576.0), v_counted.seconds);

  v_obstacle := runbook.counted_too_shortly(
    'temporary_files', v_counted.seconds, (check_temporary_files.settings ->> 'least_s')::numeric
  );

  -- Much in a short time is much; little says nothing yet.
  if v_megabytes < v_limit and v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  if v_megabytes >= v_limit and v_counted.seconds is null then
    return runbook.check_answer(
      null,
      runbook.skipped(
        'temporary_files',
        'The server does not know since when it counts; from the second hour on it can be told.'
      )
    );
  end if;

  return runbook.check_answer(
    v_megabytes,
    case
      when v_megabytes >= v_limit
        then row(
          'temporary_files_large',
          'warning',
          'temporary files',
          format(
            'Statements wrote %s MB%s to %s, because sorting and joining did not fit into '
            'work_mem (%s). Give the statements an index, or one role more work_mem.',
            v_megabytes,
            runbook.a_day_or_less(v_counted.seconds),
            runbook.counted(v_counted.temp_files, 'temporary file'),
            current_setting('work_mem')
          ),
          jsonb_build_object(
            'megabytes', v_megabytes,
            'files', v_counted.temp_files,
            'seconds', round(v_counted.seconds),
            'work_mem', current_setting('work_mem')
          ),
          runbook.counting_method(v_counted.has_snapshot),
          null,
          null
        )::runbook.finding
    end
  );
end;
$$;

comment on function runbook.check_temporary_files(jsonb) is
'What statements write to temporary files a day, in MB: temporary_files_large.';
revoke all on function runbook.check_temporary_files(jsonb) from public;

-- How many transactions a day the server ended because they waited for each other.
--
-- Cost: counters; no lock.
-- Misses: which statements; the server's log has them.
create function runbook.check_deadlocks(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_limit constant numeric := (check_deadlocks.settings ->> 'warning')::numeric;
  v_counted record;
  v_deadlocks numeric;
  v_obstacle runbook.finding := runbook.counters_obstacle('deadlocks');
begin
  if v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  select cnt.has_snapshot, cnt.seconds, cnt.deadlocks
  into v_counted
  from runbook.counted_since('1 day') as cnt;

  v_deadlocks := runbook.per_day(v_counted.deadlocks, v_counted.seconds);

  v_obstacle := runbook.counted_too_shortly(
    'deadlocks', v_counted.seconds, (check_deadlocks.settings ->> 'least_s')::numeric
  );

  -- Much in a short time is much; little says nothing yet.
  if v_deadlocks < v_limit and v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  if v_deadlocks >= v_limit and v_counted.seconds is null then
    return runbook.check_answer(
      null,
      runbook.skipped(
        'deadlocks',
        'The server does not know since when it counts; from the second hour on it can be told.'
      )
    );
  end if;

  return runbook.check_answer(
    v_deadlocks,
    case
      when v_deadlocks >= v_limit
        then row(
          'deadlocks_happen',
          'warning',
          'deadlocks',
          format(
            '%s%s: transactions lock the same rows in different orders, and one is ended. The '
            'server''s log names the statements (search it for "deadlock detected").',
            runbook.counted(trunc(v_deadlocks)::bigint, 'deadlock'),
            runbook.a_day_or_less(v_counted.seconds)
          ),
          jsonb_build_object(
            'deadlocks', v_counted.deadlocks,
            'seconds', round(v_counted.seconds)
          ),
          runbook.counting_method(v_counted.has_snapshot),
          null,
          null
        )::runbook.finding
    end
  );
end;
$$;

comment on function runbook.check_deadlocks(jsonb) is
'Deadlocks a day: deadlocks_happen.';
revoke all on function runbook.check_deadlocks(jsonb) from public;

-- How many checkpoints an hour came before their time, because the log had grown to max_wal_size.
-- Of less than an hour it is their number, so that one burst makes no rate.
--
-- Cost: counters; no lock.
-- Misses: why the log grew; a backup or a CHECKPOINT by hand counts as requested, too.
create function runbook.check_checkpoints(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_counted record;
  v_per_hour numeric;
  v_obstacle runbook.finding;
begin
  select
    cnt.has_snapshot,
    cnt.checkpoint_seconds,
    cnt.checkpoints_timed,
    cnt.checkpoints_requested
  into v_counted
  from runbook.counted_since('1 hour') as cnt;

  v_obstacle := runbook.counted_too_shortly(
    'checkpoints',
    coalesce(v_counted.checkpoint_seconds, 0),
    (check_checkpoints.settings ->> 'least_s')::numeric
  );

  if v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  v_per_hour := round(
    v_counted.checkpoints_requested / greatest(v_counted.checkpoint_seconds / 3600, 1), 1
  );

  return runbook.check_answer(
    v_per_hour,
    case
      when v_per_hour >= (check_checkpoints.settings ->> 'warning')::numeric
        and v_counted.checkpoints_requested > v_counted.checkpoints_timed
        then row(
          'checkpoints_too_frequent',
          'warning',
          'checkpoints',
          format(
            '%s checkpoints were forced%s, %s came in their time: the log reaches '
            'max_wal_size (%s) too soon. Raise it, or look at what writes so much.',
            v_counted.checkpoints_requested,
            runbook.in_the_last(v_counted.checkpoint_seconds),
            v_counted.checkpoints_timed,
            current_setting('max_wal_size')
          ),
          jsonb_build_object(
            'requested', v_counted.checkpoints_requested,
            'timed', v_counted.checkpoints_timed,
            'seconds', round(v_counted.checkpoint_seconds),
            'max_wal_size', current_setting('max_wal_size'),
            'checkpoint_timeout', current_setting('checkpoint_timeout')
          ),
          runbook.counting_method(v_counted.has_snapshot),
          null,
          null
        )::runbook.finding
    end
  );
end;
$$;

comment on function runbook.check_checkpoints(jsonb) is
'Checkpoints an hour that were forced by the growth of the log: checkpoints_too_frequent.';
revoke all on function runbook.check_checkpoints(jsonb) from public;

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
    'cache_hit',
    'Cache',
    'Blocks of the last day that were found in shared buffers, where there was traffic to tell.',
    'runbook.check_cache_hit',
    260,
    'limits',
    '% hit',
    -- Supabase's guide wants 99 %; a night with a report or a restart in it comes to less, so the
    -- warning is at 95. Below 50,000 blocks the figure is noise (measured), and within a quarter of
    -- an hour one report makes it.
    '{"warning": 95, "least_blocks": 50000, "least_s": 900}',
    '{"cache_hit_low": "Many blocks are not found in shared buffers."}'
  ),
  (
    'temporary_files',
    'Temporary files',
    'What statements of the last day wrote to disk because their memory was too small.',
    'runbook.check_temporary_files',
    261,
    'limits',
    'MB a day',
    -- Ours: more than the 8 GB disk that a small project comes with, written and thrown away.
    '{"warning": 8192, "least_s": 900}',
    '{"temporary_files_large": "Statements write much to temporary files."}'
  ),
  (
    'deadlocks',
    'Deadlocks',
    'Transactions of the last day that the server ended because they waited for each other.',
    'runbook.check_deadlocks',
    262,
    'limits',
    'a day',
    -- Ours: a single one is retried and forgotten; five are a pattern.
    '{"warning": 5, "least_s": 900}',
    '{"deadlocks_happen": "Transactions lock rows in different orders."}'
  ),
  (
    'checkpoints',
    'Checkpoints',
    'Checkpoints of the last hour that came early because the log had grown.',
    'runbook.check_checkpoints',
    263,
    'limits',
    'forced an hour',
    -- One in five minutes: as often as checkpoint_timeout makes them in quiet hours.
    -- Below half an hour a backup and a restart are most of them.
    '{"warning": 12, "least_s": 1800}',
    '{"checkpoints_too_frequent": "The log grows so fast that checkpoints are forced."}'
  );
