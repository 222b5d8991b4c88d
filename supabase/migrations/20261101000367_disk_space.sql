-- How full the disk is, and when it will be.
--
-- SQL cannot know how large the disk is. An edge function asks the platform's Management API, where
-- it has a token, and records the probe `disk`; else an admin tells the size with the setting
-- disk_bytes. What the platform counts as used is all files, not the databases alone.
-- Relies on: the collector of sizes, for what the databases and the write-ahead log have of it.

create table runbook.disk_usage (
  measured_at timestamptz not null,
  seen_at timestamptz not null,
  size_bytes numeric not null,
  used_bytes numeric not null,
  available_bytes numeric not null,
  constraint disk_usage_pkey primary key (measured_at)
);

comment on table runbook.disk_usage is
'How full the disk was, as the platform told. Real clock.';
comment on column runbook.disk_usage.measured_at is 'When the platform says that it measured.';
comment on column runbook.disk_usage.seen_at is 'When an edge function was told so last.';
comment on column runbook.disk_usage.available_bytes is
'What may still be written; less than the rest where the file system keeps some for itself.';

revoke all on table runbook.disk_usage from public;
grant select on table runbook.disk_usage to runbook_viewer;

-- What a probe of the disk tells, or why it tells nothing.
create function runbook.disk_of_probe(
  probe runbook.probe,
  out size_bytes numeric,
  out used_bytes numeric,
  out available_bytes numeric,
  out measured_at timestamptz,
  out problem text
)
returns record
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_evidence constant jsonb := disk_of_probe.probe.evidence;
  v_status constant integer := (v_evidence ->> 'status')::integer;
  v_retry_s constant numeric := (v_evidence ->> 'retry_after_s')::numeric;
begin
  if disk_of_probe.probe.ok then
    disk_of_probe.size_bytes := (v_evidence ->> 'fs_size_bytes')::numeric;
    disk_of_probe.used_bytes := (v_evidence ->> 'fs_used_bytes')::numeric;
    disk_of_probe.available_bytes := (v_evidence ->> 'fs_avail_bytes')::numeric;
    -- By whichever clock is behind.
    disk_of_probe.measured_at := least(
      (v_evidence ->> 'measured_at')::timestamptz, disk_of_probe.probe.seen_at
    );
  end if;

  disk_of_probe.problem := case
    when disk_of_probe.probe.ok and not coalesce(
      disk_of_probe.size_bytes > 0
      and disk_of_probe.used_bytes > 0
      and disk_of_probe.available_bytes >= 0
      -- A file system keeps some for itself, so the sum may be less; more it cannot be.
      and disk_of_probe.used_bytes + disk_of_probe.available_bytes
        <= 1.01 * disk_of_probe.size_bytes,
      false
    ) then format(
      'told sizes that cannot be: %s of %s used and %s free',
      coalesce(pg_size_pretty(disk_of_probe.used_bytes), 'something'),
      coalesce(pg_size_pretty(disk_of_probe.size_bytes), 'something'),
      coalesce(pg_size_pretty(disk_of_probe.available_bytes), 'something')
    )
    when disk_of_probe.probe.ok then null
    when v_evidence ->> 'error' = 'timeout' then 'did not answer in time'
    when v_status is null then 'could not be reached'
    when v_status between 200 and 299 then 'sent something that is not the sizes of a disk'
    when v_status = 401 then
      'answered 401: RUNBOOK_MANAGEMENT_TOKEN is wrong, expired or revoked, or is an OAuth token, '
      'which may not ask this'
    when v_status = 403 then
      'answered 403: the token of RUNBOOK_MANAGEMENT_TOKEN lacks the permission '
      'infra_disk_config_read, or may not see this project'
    when v_status = 404 then
      'answered 404: it has no such project, or no disk of it; look at RUNBOOK_PROJECT_REF'
    when v_status = 429 then format(
      'answered 429: too many requests with the tokens of this account; it is asked again %s',
      case
        when v_retry_s is null then 'later'
        else 'in ' || runbook.duration_text(
          make_interval(secs => least(v_retry_s, 3600)::double precision)
        )
      end
    )
    when v_status >= 500
      then format('answered %s; the platform''s status page may know why', v_status)
    else format('answered %s', v_status)
  end;

  if disk_of_probe.problem is null then
    return;
  end if;

  disk_of_probe.problem := format(
    'The Management API, asked at %s for the disk of project %s, %s.',
    runbook.utc_text(disk_of_probe.probe.seen_at),
    coalesce(v_evidence ->> 'project_ref', '?'),
    disk_of_probe.problem
  );
end;
$$;

comment on function runbook.disk_of_probe(runbook.probe) is
'{size_bytes, used_bytes, available_bytes, measured_at} of a probe of the disk, or a `problem`.';
revoke all on function runbook.disk_of_probe(runbook.probe) from public;

-- Records what an edge function was told of the disk.
--
-- Cost: one row of runbook.probe, one row written.
create function runbook.collect_disk(keep interval)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_probe constant runbook.probe := runbook.fresh_probe('disk', '1 hour');
  v_disk record;
  v_written bigint;
begin
  delete from runbook.disk_usage as dsk
  where dsk.measured_at < (select clock_timestamp()) - collect_disk.keep;

  if v_probe.name is null then
    return 0;
  end if;

  v_disk := runbook.disk_of_probe(v_probe);

  insert into runbook.disk_usage as dsk (
    measured_at, seen_at, size_bytes, used_bytes, available_bytes
  )
  select
    v_disk.measured_at,
    v_probe.seen_at,
    v_disk.size_bytes,
    v_disk.used_bytes,
    v_disk.available_bytes
  where v_disk.problem is null
  on conflict on constraint disk_usage_pkey do update
  set
    seen_at = excluded.seen_at,
    size_bytes = excluded.size_bytes,
    used_bytes = excluded.used_bytes,
    available_bytes = excluded.available_bytes;

  get diagnostics v_written = row_count;

  return v_written;
end;
$$;

comment on function runbook.collect_disk(interval) is
'Records what the probe of the disk tells; returns how many rows, none where it tells nothing.';
revoke all on function runbook.collect_disk(interval) from public;

insert into runbook.collector (name, function, every, keep, description)
values (
  'disk',
  'runbook.collect_disk',
  -- As often as the disk is looked at.
  '5 minutes',
  '30 days',
  'Keeps how full the disk is, where the platform tells it.'
);

-- What the platform told of the disk: just now, or, where the last look failed, the look before it.
--
-- A figure does not count when nobody looked for too long, when the platform measured too long ago,
-- or when it is another project's: the databases of this server are larger than it.
create function runbook.told_disk(
  settings jsonb,
  databases_bytes numeric,
  out size_bytes numeric,
  out used_bytes numeric,
  out available_bytes numeric,
  out measured_at timestamptz,
  out is_set_up boolean,
  out problem text
)
returns record
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_max_age constant interval := make_interval(
    secs => (told_disk.settings ->> 'max_age_s')::double precision
  );
  v_probe constant runbook.probe := runbook.fresh_probe('disk', v_max_age);
  v_figure record;
  v_database_bytes bigint;
begin
  told_disk.is_set_up := case
    when v_probe.name is null then exists (
      select
      from runbook.probe as prb
      where prb.name = 'disk'
        and prb.evidence ->> 'error' is distinct from 'no_management_token'
    )
    else v_probe.evidence ->> 'error' is distinct from 'no_management_token'
  end;

  if not told_disk.is_set_up then
    return;
  end if;

  if v_probe.name is null then
    told_disk.problem := runbook.stale_reason('disk', v_max_age);
  else
    v_figure := runbook.disk_of_probe(v_probe);

    told_disk.problem := v_figure.problem;
  end if;

  if told_disk.problem is not null then
    select
      dsk.size_bytes,
      dsk.used_bytes,
      dsk.available_bytes,
      dsk.measured_at
    into v_figure
    from runbook.disk_usage as dsk
    where dsk.seen_at > (select clock_timestamp()) - v_max_age
    order by dsk.measured_at desc
    limit 1;

    if not found then
      return;
    end if;
  end if;

  if v_figure.measured_at <= clock_timestamp() - make_interval(
    secs => (told_disk.settings ->> 'figure_max_age_s')::double precision
  ) then
    told_disk.problem := format(
      'The Management API tells how full the disk was at %s, and nothing newer.',
      runbook.utc_text(v_figure.measured_at)
    );
    return;
  end if;

  -- The size that was kept may be of before a large deletion: then this database is asked.
  if told_disk.databases_bytes > 1.1 * v_figure.used_bytes then
    v_database_bytes := pg_database_size(current_database());

    if v_database_bytes > 1.1 * v_figure.used_bytes then
      told_disk.problem := format(
        'The Management API tells that %s of the disk are used, but this database alone has %s: it '
        'tells of another project. Look at RUNBOOK_PROJECT_REF.',
        pg_size_pretty(v_figure.used_bytes),
        pg_size_pretty(v_database_bytes)
      );
      return;
    end if;
  end if;

  told_disk.size_bytes := v_figure.size_bytes;
  told_disk.used_bytes := v_figure.used_bytes;
  told_disk.available_bytes := v_figure.available_bytes;
  told_disk.measured_at := v_figure.measured_at;
end;
$$;

comment on function runbook.told_disk(jsonb, numeric) is
'What the platform told of the disk; size_bytes is null where it told nothing that counts, and
`problem` says why.';
revoke all on function runbook.told_disk(jsonb, numeric) from public;

-- A straight line through what was used since an instant, of the whole disk or of the databases:
-- how steep it is, how many hours lie under it, and what share of the ups and downs it explains.
create function runbook.disk_growth(
  since timestamptz,
  of_databases boolean,
  out bytes_per_day numeric,
  out known_hours numeric,
  out fit numeric
)
returns record
language sql
stable
security invoker
set search_path = ''
as $$
  with points as (
    select
      extract(epoch from dsk.measured_at)::double precision as at,
      dsk.used_bytes::double precision as bytes
    from runbook.disk_usage as dsk
    where not disk_growth.of_databases
      and dsk.measured_at > disk_growth.since
    union all
    select
      extract(epoch from dsz.measured_at)::double precision,
      dsz.all_bytes::double precision
    from runbook.database_size as dsz
    where disk_growth.of_databases
      and dsz.measured_at > disk_growth.since
  )
  select
    (86400 * regr_slope(pnt.bytes, pnt.at))::numeric,
    ((max(pnt.at) - min(pnt.at)) / 3600)::numeric,
    regr_r2(pnt.bytes, pnt.at)::numeric
  from points as pnt;
$$;

comment on function runbook.disk_growth(timestamptz, boolean) is
'{bytes_per_day, known_hours, fit}: the line through what was used since then; fit is 0 to 1.';
revoke all on function runbook.disk_growth(timestamptz, boolean) from public;

-- When so many bytes are used up: by the line of the week, or by that of the last hours where it is
-- steeper and nearly straight, and does not leave a day.
create function runbook.disk_forecast(
  settings jsonb,
  left_bytes numeric,
  of_databases boolean,
  out hours_left numeric,
  out week_hours_left numeric,
  out bytes_per_day numeric,
  out is_fast boolean,
  out basis text
)
returns record
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_of_databases boolean := disk_forecast.of_databases;
  v_week record;
  v_hours record;
  v_fast_left numeric;
begin
  v_week := runbook.disk_growth(
    v_now - make_interval(days => (disk_forecast.settings ->> 'window_days')::integer),
    v_of_databases
  );

  -- The platform has not told for long yet: the databases are known for longer, perhaps.
  if not v_of_databases and coalesce(
    v_week.known_hours < (disk_forecast.settings ->> 'known_hours')::numeric, true
  ) then
    v_of_databases := true;

    v_week := runbook.disk_growth(
      v_now - make_interval(days => (disk_forecast.settings ->> 'window_days')::integer),
      true
    );
  end if;

  v_hours := runbook.disk_growth(
    v_now - make_interval(
      secs => 3600 * (disk_forecast.settings ->> 'fast_window_hours')::double precision
    ),
    disk_forecast.of_databases
  );

  disk_forecast.is_fast := false;
  disk_forecast.basis := case
    when coalesce(v_week.known_hours < (disk_forecast.settings ->> 'known_hours')::numeric, true)
      then 'unknown'
    when v_week.bytes_per_day <= 0 then 'none'
    when v_week.fit < (disk_forecast.settings ->> 'fit_share')::numeric then 'uneven'
    else format(
      '%s growth of %s the last %s days',
      case when v_week.fit >= 0.9 then 'steady' else 'uneven' end,
      case when v_of_databases then 'the databases in' else 'it in' end,
      round(v_week.known_hours / 24, 1)
    )
  end;

  if disk_forecast.basis not in ('unknown', 'none', 'uneven') then
    disk_forecast.bytes_per_day := v_week.bytes_per_day;
    disk_forecast.week_hours_left :=
      24 * greatest(0, disk_forecast.left_bytes) / v_week.bytes_per_day;
    disk_forecast.hours_left := disk_forecast.week_hours_left;
  end if;

  if v_hours.bytes_per_day > 0
    and v_hours.known_hours >= (disk_forecast.settings ->> 'fast_known_hours')::numeric
    and v_hours.fit >= (disk_forecast.settings ->> 'fast_fit_share')::numeric
  then
    v_fast_left := 24 * greatest(0, disk_forecast.left_bytes) / v_hours.bytes_per_day;

    if v_fast_left <= (disk_forecast.settings ->> 'fast_warning_hours')::numeric
      and v_fast_left < coalesce(disk_forecast.hours_left, v_fast_left + 1)
    then
      disk_forecast.is_fast := true;
      disk_forecast.hours_left := v_fast_left;
      disk_forecast.bytes_per_day := v_hours.bytes_per_day;
      disk_forecast.basis := format(
        'growth of the last %s hours', round(v_hours.known_hours, 1)
      );
    end if;
  end if;
end;
$$;

comment on function runbook.disk_forecast(jsonb, numeric, boolean) is
'When so many bytes are used up: {hours_left, week_hours_left, bytes_per_day, is_fast, basis}; the
hours are null where no line tells, and `basis` is then unknown, none or uneven.';
revoke all on function runbook.disk_forecast(jsonb, numeric, boolean) from public;

-- How full the disk is, and when it will be.
--
-- Cost: one row of a probe or setting, a week of hourly sizes and of what the platform told.
-- Misses: what else lies on the disk, unless the platform tells; a disk that is enlarged by itself;
-- a limit of the plan on the size of the database, as on Supabase's Free plan.
create function runbook.check_disk_space(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_read_only constant numeric := (check_disk_space.settings ->> 'read_only_percent')::numeric;
  v_sizes record;
  v_disk record;
  v_forecast record;
  v_is_told boolean;
  v_percent numeric;
  v_left numeric;
  v_severity text;
begin
  select
    dsz.all_bytes,
    dsz.wal_bytes
  into v_sizes
  from runbook.database_size as dsz
  where dsz.measured_at > v_now - interval '3 hours'
  order by dsz.measured_at desc
  limit 1;

  v_disk := runbook.told_disk(check_disk_space.settings, v_sizes.all_bytes);

  v_is_told := v_disk.size_bytes is not null;

  if not v_is_told then
    select (stg.value #>> '{}')::numeric
    into v_disk.size_bytes
    from runbook.setting as stg
    where stg.name = 'disk_bytes'
      and jsonb_typeof(stg.value) = 'number';

    v_disk.used_bytes := coalesce(
      v_sizes.all_bytes + coalesce(v_sizes.wal_bytes, 0),
      (
        select
          current_setting('block_size')::numeric * sum(rel.relpages)
          + coalesce(runbook.wal_bytes(), 0)
        from pg_catalog.pg_class as rel
        where rel.relkind in ('r', 'm', 'i', 't')
      )
    );
    v_disk.measured_at := v_now;
  end if;

  if coalesce(v_disk.size_bytes, 0) <= 0 then
    return row(
      null,
      array[
        case
          when v_disk.is_set_up then runbook.skipped(
            'disk_space',
            v_disk.problem || ' The dashboard shows the disk under Database, Settings.'
          )
          else runbook.not_applicable(
            'disk_space',
            'SQL cannot see how large the disk is. With RUNBOOK_MANAGEMENT_TOKEN, an access token '
            'with the permission infra_disk_config_read, the edge functions ask the platform. Or '
            'tell the size in bytes, like 8 GB: '
            'select runbook.set_setting(''disk_bytes'', ''8589934592'');'
          )
        end
      ]
    )::runbook.check_result;
  end if;

  v_percent := round(100 * v_disk.used_bytes / v_disk.size_bytes, 1);
  v_left := least(
    v_disk.size_bytes * v_read_only / 100 - v_disk.used_bytes, v_disk.available_bytes
  );

  v_forecast := runbook.disk_forecast(check_disk_space.settings, v_left, not v_is_told);

  v_severity := case
    when v_percent >= (check_disk_space.settings ->> 'critical')::numeric
      or v_left <= 0
      or v_forecast.week_hours_left
        <= 24 * (check_disk_space.settings ->> 'critical_days')::numeric
      or v_forecast.is_fast
      and v_forecast.hours_left
        <= (check_disk_space.settings ->> 'fast_critical_hours')::numeric
      then 'critical'
    when v_percent >= (check_disk_space.settings ->> 'warning')::numeric
      or v_forecast.is_fast
      or v_forecast.hours_left <= 24 * (check_disk_space.settings ->> 'warning_days')::numeric
      then 'warning'
    else 'info'
  end;

  return runbook.check_answer(
    v_percent,
    row(
      case v_severity when 'info' then 'disk_used' else 'disk_fills_up' end,
      v_severity,
      'disk',
      format(
        'At %s %s %% of the disk were used: %s of %s%s. %s%s',
        to_char(v_disk.measured_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'),
        v_percent,
        pg_size_pretty(v_disk.used_bytes),
        pg_size_pretty(v_disk.size_bytes),
        case
          when v_is_told and v_disk.used_bytes >= v_sizes.all_bytes + v_sizes.wal_bytes
            then format(
              ' (databases %s, WAL %s, other %s)',
              pg_size_pretty(v_sizes.all_bytes),
              pg_size_pretty(v_sizes.wal_bytes),
              pg_size_pretty(v_disk.used_bytes - v_sizes.all_bytes - v_sizes.wal_bytes)
            )
          else ''
        end,
        case
          when v_left <= 0 then format(
            'That is past the %s %% at which the platform makes the database read-only.',
            v_read_only
          )
          else format(
            'At %s %% the platform makes it read-only: %s from now%s.',
            v_read_only,
            pg_size_pretty(v_left),
            case
              when v_forecast.hours_left < 24 * 3650 then format(
                ', on %s by the %s (%s a day)',
                to_char(
                  (v_now + v_forecast.hours_left::double precision * interval '1 hour')
                  at time zone 'UTC',
                  case
                    when v_forecast.hours_left < 48 then 'YYYY-MM-DD HH24:MI "UTC"'
                    else 'YYYY-MM-DD'
                  end
                ),
                v_forecast.basis,
                pg_size_pretty(round(v_forecast.bytes_per_day))
              )
              when v_forecast.basis = 'unknown' then '; how fast it grows is not known yet'
              when v_forecast.basis = 'uneven' then '; it grows too unevenly to say when'
              else '; it does not grow'
            end
          )
        end,
        case v_severity when 'info' then '' else ' Make room or take a larger disk.' end
      ),
      jsonb_strip_nulls(
        jsonb_build_object(
          'used_bytes', v_disk.used_bytes,
          'size_bytes', v_disk.size_bytes,
          'available_bytes', v_disk.available_bytes,
          'databases_bytes', v_sizes.all_bytes,
          'wal_bytes', v_sizes.wal_bytes,
          'bytes_until_read_only', round(v_left),
          'bytes_per_day', round(v_forecast.bytes_per_day),
          'days_left', round(v_forecast.hours_left / 24, 2),
          'growth', v_forecast.basis,
          'measured_at', v_disk.measured_at,
          'age_s', round(extract(epoch from v_now - v_disk.measured_at)),
          'last_look', v_disk.problem
        )
      ),
      case
        when v_is_told
          then 'told by the platform''s Management API, of all files on the disk'
        else format(
          '%s and write-ahead log against the setting disk_bytes; files of the system are not seen',
          case
            when v_sizes.all_bytes is null then 'pages of this database'
            else 'databases'
          end
        )
      end || case
        when v_disk.problem is null then ''
        else '; the last look failed, see last_look'
      end,
      null,
      null
    )::runbook.finding
  );
end;
$$;

comment on function runbook.check_disk_space(jsonb) is
'How full the disk is, in percent, where its size is known: disk_fills_up, disk_used.';
revoke all on function runbook.check_disk_space(jsonb) from public;

-- Sources: 95 % is where Supabase makes a database read-only, and 90 % where it would enlarge a
-- paid project's disk by itself. The Management API gives a user 120 answers a minute of a project
-- and an endpoint, and the dashboard's own source says that this one is kept for five minutes: who
-- asks more often learns nothing new. The documentation says that disk metrics are renewed daily;
-- two hours more are patience. Ours: a line counts where it explains half of the ups and downs, one
-- of a few hours where it explains nine tenths.
insert into runbook.check (
  name,
  title,
  description,
  function,
  position,
  check_group,
  unit,
  thresholds,
  codes,
  probes
)
values
  (
    'disk_space',
    'Disk space',
    'How full the disk is, and when it will be by its growth of the last week and hours.',
    'runbook.check_disk_space',
    500,
    'storage',
    '% used',
    '{
      "warning": 80,
      "critical": 90,
      "warning_days": 14,
      "critical_days": 3,
      "read_only_percent": 95,
      "window_days": 7,
      "known_hours": 12,
      "fit_share": 0.5,
      "fast_window_hours": 6,
      "fast_known_hours": 3,
      "fast_fit_share": 0.9,
      "fast_warning_hours": 24,
      "fast_critical_hours": 6,
      "look_every_s": 300,
      "max_age_s": 3600,
      "figure_max_age_s": 93600
    }',
    '{
      "disk_fills_up": "The disk is nearly full, or will be within days.",
      "disk_used": "How full the disk is, when the figure is of, and what its growth leads to."
    }',
    array['disk']
  );
