-- Sequences that run out: by the type of the column that they feed, which is often smaller than the
-- sequence itself, and with the day on which the last number goes, from how fast they grow.
--
-- Relies on: runbook.collector, whose schedule calls runbook.collect_sequence_values().

create table runbook.sequence_survey (
  taken_at timestamptz not null default clock_timestamp(),
  sequences integer not null,
  constraint sequence_survey_pkey primary key (taken_at)
);

comment on table runbook.sequence_survey is
'When all sequences were looked at, and how many could run out at all.';

revoke all on table runbook.sequence_survey from public;

create table runbook.sequence_snapshot (
  taken_at timestamptz not null,
  sequence oid not null,
  last_value numeric not null,
  constraint sequence_snapshot_pkey primary key (sequence, taken_at),
  constraint sequence_snapshot_taken_at_fkey foreign key (taken_at)
    references runbook.sequence_survey (taken_at) on delete cascade
);

create index sequence_snapshot_taken_at_idx on runbook.sequence_snapshot (taken_at);

comment on table runbook.sequence_snapshot is
'What a sequence had come to at a survey; only those that have used a twentieth of their numbers.';

revoke all on table runbook.sequence_snapshot from public;

-- Sequences with the numbers that they and the columns they feed allow. One row a sequence: where
-- it feeds several columns, the one with the fewest numbers. Only those with less than 2^53,
-- since others outlive us all. `first` and `final` are the bounds in the direction it runs.
--
-- Cost: pg_sequence, pg_depend, pg_attribute; no lock.
-- Misses: a sequence that is called in a trigger or by the application; such has its own bounds.
create function runbook.sequence_uses(sequences oid[])
returns table (
  sequence oid,
  relation oid,
  column_name text,
  column_type text,
  columns integer,
  first numeric,
  final numeric,
  step bigint
)
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
begin
  return query
    with fed as (
      -- Columns that own their sequence: identity and serial.
      select dep.objid as sequence, dep.refobjid as relation, dep.refobjsubid as column_number
      from pg_catalog.pg_depend as dep
      where dep.classid = 'pg_catalog.pg_class'::regclass
        and dep.objid = any (sequence_uses.sequences)
        and dep.objsubid = 0
        and dep.refclassid = 'pg_catalog.pg_class'::regclass
        and dep.refobjsubid > 0
        and dep.deptype in ('a', 'i')
      union
      -- Columns whose default calls it, whoever owns it.
      select dep.refobjid, def.adrelid, def.adnum::integer
      from pg_catalog.pg_attrdef as def
      inner join pg_catalog.pg_depend as dep on dep.objid = def.oid
      where dep.classid = 'pg_catalog.pg_attrdef'::regclass
        and dep.refclassid = 'pg_catalog.pg_class'::regclass
        and dep.deptype = 'n'
    ),
    bounded as (
      select
        seq.seqrelid,
        seq.seqincrement,
        seq.seqcycle,
        seq.seqmin::numeric as least_number,
        seq.seqmax::numeric as greatest_number,
        fed.relation,
        att.attname::text collate "default" as column_name,
        -- A domain stands for its type.
        coalesce(nullif(typ.typbasetype, 0), att.atttypid) as type_oid,
        case coalesce(nullif(typ.typbasetype, 0), att.atttypid)
          when 'int2'::regtype then 32767
          when 'int4'::regtype then 2147483647
        end::numeric as column_limit
      from pg_catalog.pg_sequence as seq
      left join fed on fed.sequence = seq.seqrelid
      left join pg_catalog.pg_attribute as att on att.attrelid = fed.relation
        and att.attnum = fed.column_number
        and not att.attisdropped
      left join pg_catalog.pg_type as typ on typ.oid = att.atttypid
      where seq.seqrelid = any (sequence_uses.sequences)
        -- What has more than 2^53 numbers is sorted out here, before anything is computed.
        and (
          case
            when seq.seqincrement > 0 then seq.seqmax < 9007199254740992
            else seq.seqmin > -9007199254740992
          end
          or att.atttypid in ('int2'::regtype, 'int4'::regtype)
          or typ.typbasetype in ('int2'::regtype, 'int4'::regtype)
        )
    ),
    limited as (
      select
        bnd.seqrelid,
        bnd.relation,
        bnd.column_name,
        bnd.type_oid,
        bnd.seqincrement,
        case
          when bnd.seqincrement > 0 then greatest(bnd.least_number, -bnd.column_limit - 1)
          else least(bnd.greatest_number, bnd.column_limit)
        end as first_number,
        case
          when bnd.seqincrement > 0 then least(bnd.greatest_number, bnd.column_limit)
          else greatest(bnd.least_number, -bnd.column_limit - 1)
        end as final_number,
        -- One that begins again when it is through never ends, unless the column ends before it.
        bnd.seqcycle
        and coalesce(bnd.greatest_number <= bnd.column_limit, true)
        and coalesce(bnd.least_number >= -bnd.column_limit - 1, true) as begins_again
      from bounded as bnd
    )
    select distinct on (lim.seqrelid)
      lim.seqrelid,
      lim.relation,
      lim.column_name,
      format_type(lim.type_oid, null),
      count(*) over (partition by lim.seqrelid)::integer,
      lim.first_number,
      lim.final_number,
      lim.seqincrement
    from limited as lim
    where not lim.begins_again
      and abs(lim.final_number - lim.first_number) < 9007199254740992
    order by lim.seqrelid, abs(lim.final_number - lim.first_number), lim.relation, lim.column_name;
end;
$$;

comment on function runbook.sequence_uses(oid[]) is
'Which of these sequences can run out, for which column, from which number to which.';
revoke all on function runbook.sequence_uses(oid[]) from public;

-- The sequences and tables that another session is changing, or waits to change.
--
-- Cost: pg_locks once.
create function runbook.relations_being_altered()
returns oid[]
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(array_agg(distinct lck.relation), '{}')
  from pg_catalog.pg_locks as lck
  inner join pg_catalog.pg_database as dat on dat.oid = lck.database
  where lck.locktype = 'relation'
    and dat.datname = current_database()
    and lck.pid is distinct from pg_backend_pid()
    and lck.mode in (
      'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'
    );
$$;

comment on function runbook.relations_being_altered() is
'Relations with a lock, held or awaited by others, that stands in the way of writing to them.';
revoke all on function runbook.relations_being_altered() from public;

-- What of these sequences is used, in percent. Sequences that somebody is altering are left out:
-- to read one takes a lock that waits for the change.
--
-- Cost: beside runbook.sequence_uses() a page and a lock for each sequence.
-- Misses: temporary sequences of other sessions.
create function runbook.sequence_states(sequences oid[])
returns table (
  sequence oid,
  relation oid,
  column_name text,
  column_type text,
  columns integer,
  last_value numeric,
  final numeric,
  percent numeric
)
language sql
stable
security invoker
set search_path = ''
as $$
  with altered as materialized (
    select runbook.relations_being_altered() as relations
  ),
  readable as materialized (
    select
      use.sequence,
      use.relation,
      use.column_name,
      use.column_type,
      use.columns,
      use.first,
      use.final
    from runbook.sequence_uses(sequence_states.sequences) as use
    inner join pg_catalog.pg_class as rel on rel.oid = use.sequence
    where rel.relpersistence <> 't'
      and not (rel.relpersistence = 'u' and pg_is_in_recovery())
      and not use.sequence = any ((select altered.relations from altered)::oid[])
  ),
  valued as materialized (
    select
      rdb.sequence,
      rdb.relation,
      rdb.column_name,
      rdb.column_type,
      rdb.columns,
      rdb.first,
      rdb.final,
      case
        when has_sequence_privilege(rdb.sequence, 'usage, select')
          then pg_sequence_last_value(rdb.sequence)::numeric
      end as last_value
    from readable as rdb
  )
  select
    val.sequence,
    val.relation,
    val.column_name,
    val.column_type,
    val.columns,
    val.last_value,
    val.final,
    trim_scale(
      trunc(
        100 * (abs(val.last_value - val.first) + 1) / (abs(val.final - val.first) + 1),
        1
      )
    )
  from valued as val
  where val.last_value is not null;
$$;

comment on function runbook.sequence_states(oid[]) is
'How far these sequences have come, in percent of the numbers that sequence and column allow.';
revoke all on function runbook.sequence_states(oid[]) from public;

-- Keeps how far sequences have come, for those that have used a twentieth. At most 2,000 a survey.
create function runbook.collect_sequence_values(keep interval)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_taken_at constant timestamptz := clock_timestamp();
  v_sequences constant oid[] := array(select seq.seqrelid from pg_catalog.pg_sequence as seq);
  v_rows bigint;
begin
  delete from runbook.sequence_survey as svy
  where svy.taken_at < v_taken_at - collect_sequence_values.keep;

  insert into runbook.sequence_survey (taken_at, sequences)
  values (v_taken_at, cardinality(v_sequences));

  insert into runbook.sequence_snapshot (taken_at, sequence, last_value)
  select v_taken_at, sta.sequence, sta.last_value
  from runbook.sequence_states(v_sequences) as sta
  where sta.percent >= 5
  order by sta.percent desc, sta.sequence
  limit 2000;

  get diagnostics v_rows = row_count;

  return v_rows;
end;
$$;

comment on function runbook.collect_sequence_values(interval) is
'The collector sequence_values: how far sequences have come.';
revoke all on function runbook.collect_sequence_values(interval) from public;

insert into runbook.collector (name, function, every, keep, description)
values (
  'sequence_values',
  'runbook.collect_sequence_values',
  '6 hours',
  '30 days',
  'How far sequences have come, to tell the day on which one is used up.'
);

-- Sequences that are nearly used up, or will be soon. The value is the number of them.
--
-- Cost: beside the catalogs a page for each sequence. Above sequences_at_once only those that the
-- survey of the last day found worth a look; before there is one, those with the fewest numbers,
-- which is said.
-- Misses: sequences that are called in triggers or by the application beyond their column's type.
create function runbook.check_sequences(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_warning constant numeric := (check_sequences.settings ->> 'warning')::numeric;
  v_critical constant numeric := (check_sequences.settings ->> 'critical')::numeric;
  v_soon constant numeric := (check_sequences.settings ->> 'warning_days')::numeric;
  v_very_soon constant numeric := (check_sequences.settings ->> 'critical_days')::numeric;
  v_at_once constant integer := (check_sequences.settings ->> 'sequences_at_once')::integer;
  v_surveyed_at timestamptz;
  v_sequences oid[];
  v_left_out integer := 0;
  v_altered oid[];
  v_findings runbook.finding[];
  v_total integer;
begin
  v_sequences := array(select seq.seqrelid from pg_catalog.pg_sequence as seq);

  if cardinality(v_sequences) > v_at_once then
    select max(svy.taken_at)
    into v_surveyed_at
    from runbook.sequence_survey as svy
    where svy.taken_at > clock_timestamp() - interval '1 day';

    if v_surveyed_at is not null then
      v_sequences := array(
        select snp.sequence
        from runbook.sequence_snapshot as snp
        where snp.taken_at = v_surveyed_at
      );
    else
      v_left_out := cardinality(v_sequences) - v_at_once;
      v_sequences := array(
        select seq.seqrelid
        from pg_catalog.pg_sequence as seq
        order by seq.seqmax::numeric - seq.seqmin, seq.seqrelid
        limit v_at_once
      );
    end if;
  end if;

  with grown as materialized (
    select
      sta.sequence,
      sta.relation,
      sta.column_name,
      sta.column_type,
      sta.columns,
      sta.last_value,
      sta.final,
      sta.percent,
      (
        -- The rate since the oldest survey that a day or more has passed since.
        select
          abs(sta.final - sta.last_value)
          / nullif(abs(sta.last_value - snp.last_value), 0)
          * extract(epoch from clock_timestamp() - snp.taken_at)
          / 86400
        from runbook.sequence_snapshot as snp
        where snp.sequence = sta.sequence
          and snp.taken_at < clock_timestamp() - interval '1 day'
          -- One that was set back has no rate.
          and abs(sta.final - snp.last_value) > abs(sta.final - sta.last_value)
        order by snp.taken_at
        limit 1
      ) as days_left
    from runbook.sequence_states(v_sequences) as sta
    where sta.percent >= least(50, v_warning)
  ),
  judged as (
    select
      grw.sequence,
      grw.relation,
      grw.column_name,
      grw.column_type,
      grw.columns,
      grw.last_value,
      grw.final,
      grw.percent,
      case when grw.days_left < 36500 then grw.days_left end as days_left,
      case
        when grw.percent >= v_critical or grw.days_left < v_very_soon then 'critical'
        when grw.percent >= v_warning or grw.days_left < v_soon then 'warning'
      end as severity
    from grown as grw
  ),
  worst as (
    select
      jdg.severity,
      coalesce(
        runbook.relation_name(jdg.relation) || '.' || quote_ident(jdg.column_name),
        runbook.relation_name(jdg.sequence)
      ) as subject,
      runbook.relation_name(jdg.sequence) as sequence_name,
      jdg.column_type,
      jdg.columns,
      jdg.last_value,
      jdg.final,
      jdg.percent,
      jdg.days_left,
      count(*) over () as total
    from judged as jdg
    where jdg.severity is not null
    order by jdg.severity, jdg.percent desc
    limit 100
  )
  select
    max(wst.total),
    array_agg(
      row(
        'sequence_nearly_exhausted',
        wst.severity,
        wst.subject,
        format(
          '%s%s has used %s %% of its numbers: %s of %s%s. %s',
          left(wst.subject, 100),
          coalesce(' (' || wst.column_type || ')', ''),
          wst.percent,
          wst.last_value,
          wst.final,
          '; at this rate the last is used on ' || to_char(
            clock_timestamp() + make_interval(days => wst.days_left::integer), 'YYYY-MM-DD'
          ),
          case
            when wst.final in (32767, 2147483647, -32768, -2147483648)
              and wst.column_type in ('integer', 'smallint')
              then 'Make the column bigint in time.'
            else 'Raise the limit of the sequence.'
          end
        ),
        jsonb_build_object(
          'sequence', wst.sequence_name,
          'column_type', wst.column_type,
          'columns_fed', wst.columns,
          'last_value', wst.last_value,
          'limit', wst.final,
          'percent', wst.percent,
          'days_left', round(wst.days_left)
        ),
        'the sequence''s last value against the bounds of sequence and column',
        null,
        null
      )::runbook.finding
      order by wst.severity, wst.percent desc, wst.subject
    )
  into v_total, v_findings
  from worst as wst;

  v_altered := array(
    select one.sequence
    from unnest(v_sequences) as one (sequence)
    where one.sequence = any ((select runbook.relations_being_altered())::oid[])
  );

  if cardinality(v_altered) > 0 then
    v_findings := v_findings || runbook.skipped(
      'sequences',
      format(
        '%s is being altered, and was not looked at.', runbook.relation_name(v_altered[1])
      )
    );
  end if;

  if v_left_out > 0 then
    v_findings := v_findings || runbook.skipped(
      'sequences',
      format(
        '%s sequences with more numbers than the others were not looked at: that is for the '
        'collector sequence_values, which has not run in the last day.',
        v_left_out
      )
    );
  end if;

  return row(coalesce(v_total, 0), coalesce(v_findings, '{}'))::runbook.check_result;
end;
$$;

comment on function runbook.check_sequences(jsonb) is
'Sequences that their column or they themselves will soon end: sequence_nearly_exhausted.';
revoke all on function runbook.check_sequences(jsonb) from public;

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
    'sequences',
    'Sequences',
    'Sequences and identities against what the column that they feed can hold, and until when.',
    'runbook.check_sequences',
    250,
    'limits',
    'sequences',
    -- Ours, but for the first two, which lie around the defaults of check_postgres (85 and 95):
    -- to rewrite a large column takes weeks of preparation. Days count from 50 % on. To read 2,000
    -- sequences takes some 20 ms (measured).
    '{
      "warning": 80,
      "critical": 90,
      "warning_days": 90,
      "critical_days": 14,
      "sequences_at_once": 2000
    }',
    '{"sequence_nearly_exhausted": "Soon there are no numbers left for new rows."}'
  );
