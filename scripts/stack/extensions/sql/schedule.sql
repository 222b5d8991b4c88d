-- How pg_cron reads a schedule: what it accepts, what it refuses, and when a schedule is due. It is
-- the only reader of schedules here: cron.schedule asks it, and so does the scheduler of the stack.
-- Relies on stand-in.sql.

-- One call reads one field of a cron schedule ("1,5-20/5,mon") into the sorted numbers that it
-- names; null when pg_cron refuses it. As in pg_cron, what follows a complete list without a comma
-- is ignored, and a range that runs backwards is accepted and names nothing.
create function stand_in.read_cron_field(field text, low integer, high integer, names text[])
returns integer[]
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_rest text := read_cron_field.field;
  v_words text[];
  v_numbers integer[];
  v_step text;
  v_found integer[] := '{}';
begin
  loop
    if v_rest like '*%' then
      v_numbers := array[read_cron_field.low, read_cron_field.high];
      v_rest := substr(v_rest, 2);
    else
      v_words := regexp_match(v_rest, '^([0-9A-Za-z]+)(-?)([0-9A-Za-z]*)');
      if v_words is null or (v_words[2] = '-' and v_words[3] = '') then
        return null;
      end if;
      v_rest := substr(v_rest, length(v_words[1] || v_words[2] || v_words[3]) + 1);
      select array_agg(
        case
          when array_position(read_cron_field.names, lower(word.text)) is not null
            then array_position(read_cron_field.names, lower(word.text)) - 1 + read_cron_field.low
          when word.text ~ '^0*[0-9]{1,9}$'
            then word.text::bigint::integer
          else -1
        end
        order by word.position
      )
      into v_numbers
      from unnest(array_remove(array[v_words[1], v_words[3]], ''))
        with ordinality as word (text, position);
      if exists (
        select
        from unnest(v_numbers) as number
        where number not between read_cron_field.low and read_cron_field.high
      ) then
        return null;
      end if;
    end if;
    if v_rest like '/%' then
      v_step := substring(v_rest from '^/([0-9]+)(?![0-9A-Za-z])');
      -- A step needs a range in front of it.
      if cardinality(v_numbers) = 1 or v_step is null or v_step !~ '^0*[1-9][0-9]{0,8}$' then
        return null;
      end if;
      v_rest := substr(v_rest, length(v_step) + 2);
    else
      v_step := '1';
    end if;
    v_found := v_found || array(
      select number
      from generate_series(
        v_numbers[1],
        v_numbers[cardinality(v_numbers)],
        v_step::bigint::integer
      ) as number
    );
    exit when v_rest not like ',%';
    v_rest := substr(v_rest, 2);
  end loop;
  return array(
    select distinct number
    from unnest(v_found) as number
    order by number
  );
end
$$;

comment on function stand_in.read_cron_field(text, integer, integer, text[]) is
  'The numbers that one field of a cron schedule names, or null when pg_cron refuses the field.';

-- One call puts the fields of an accepted schedule into the form that stand_in.read_schedule
-- returns.
create function stand_in.describe_minutes(
  minutes integer[],
  hours integer[],
  days integer[],
  months integer[],
  weekdays integer[],
  last_day boolean,
  dom_and_dow boolean
)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_days text := case
    when describe_minutes.last_day then 'L'
    else array_to_string(describe_minutes.days, ',')
  end;
  -- 7 is Sunday too.
  v_weekdays text := array_to_string(
    array(
      select distinct weekday % 7
      from unnest(describe_minutes.weekdays) as weekday
      order by weekday % 7
    ),
    ','
  );
  v_dom_and_dow boolean := describe_minutes.dom_and_dow;
begin
  -- Where either one is enough, a field that names no day leaves the decision to the other.
  if not v_dom_and_dow and v_days = '' then
    v_days := '*';
    v_dom_and_dow := true;
  elsif not v_dom_and_dow and v_weekdays = '' then
    v_weekdays := '*';
    v_dom_and_dow := true;
  end if;
  if v_days = ''
    or v_weekdays = ''
    or cardinality(describe_minutes.minutes) = 0
    or cardinality(describe_minutes.hours) = 0
    or cardinality(describe_minutes.months) = 0
  then
    return '{"kind": "never"}';
  end if;
  return jsonb_build_object(
    'kind', 'minutes',
    'pattern', concat_ws(
      ' ',
      array_to_string(describe_minutes.minutes, ','),
      array_to_string(describe_minutes.hours, ','),
      v_days,
      array_to_string(describe_minutes.months, ','),
      v_weekdays
    ),
    'dom_and_dow', v_dom_and_dow
  );
end
$$;

comment on function stand_in.describe_minutes(
  integer[],
  integer[],
  integer[],
  integer[],
  integer[],
  boolean,
  boolean
) is
  'The description of a schedule whose fields are known.';

-- One call reads one schedule. Null: pg_cron refuses it. Otherwise one of
--   {"kind": "reboot"}                       once, whenever the scheduler starts
--   {"kind": "seconds", "seconds": 5}        5 s after the last start
--   {"kind": "never"}                        accepted, but no minute fits
--   {"kind": "minutes", "pattern": "0 3 L * *", "dom_and_dow": true}
-- where the pattern has plain numbers only and dom_and_dow says whether day of month and day of
-- week must both fit: in cron they must when one of the two begins with a star, otherwise either
-- one is enough.
create function stand_in.read_schedule(schedule text)
returns jsonb
language plpgsql
immutable
strict
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_line text;
  v_fields text[];
  v_minutes integer[];
  v_hours integer[];
  v_days integer[];
  v_months integer[];
  v_weekdays integer[];
  v_seconds text;
begin
  -- Comments and blank lines may stand in front; only the first line after them counts.
  v_line := split_part(
    regexp_replace(read_schedule.schedule, '^([ \t]*(#[^\n]*)?\n)*[ \t]*', ''),
    E'\n',
    1
  );
  if octet_length(read_schedule.schedule) < 1000 then
    if v_line like '@%' then
      v_line := case split_part(replace(substr(v_line, 2), E'\t', ' '), ' ', 1)
        when 'reboot' then '@reboot'
        when 'restart' then '@reboot'
        when 'yearly' then '0 0 1 1 *'
        when 'annually' then '0 0 1 1 *'
        when 'monthly' then '0 0 1 * *'
        when 'weekly' then '0 0 * * 0'
        when 'daily' then '0 0 * * *'
        when 'midnight' then '0 0 * * *'
        when 'hourly' then '0 * * * *'
      end;
      if v_line = '@reboot' then
        return '{"kind": "reboot"}';
      end if;
    end if;
    v_fields := regexp_split_to_array(v_line, '[ \t]+');
    v_minutes := stand_in.read_cron_field(v_fields[1], 0, 59, '{}');
    v_hours := stand_in.read_cron_field(v_fields[2], 0, 23, '{}');
    if v_fields[3] = '$' then
      v_days := '{}';
    else
      v_days := stand_in.read_cron_field(v_fields[3], 1, 31, '{}');
    end if;
    v_months := stand_in.read_cron_field(
      v_fields[4],
      1,
      12,
      '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'
    );
    v_weekdays := stand_in.read_cron_field(v_fields[5], 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');
    if num_nulls(v_minutes, v_hours, v_days, v_months, v_weekdays) = 0 then
      return stand_in.describe_minutes(
        v_minutes,
        v_hours,
        v_days,
        v_months,
        v_weekdays,
        v_fields[3] = '$',
        v_fields[3] like '*%' or v_fields[5] like '*%'
      );
    end if;
  end if;
  v_seconds := substring(
    lower(read_schedule.schedule) from '^\s*\+?0*([1-9]|[1-5][0-9])\s*second(?:s\s*)?$'
  );
  if v_seconds is null then
    return null;
  end if;
  return jsonb_build_object('kind', 'seconds', 'seconds', v_seconds::integer);
end
$$;

comment on function stand_in.read_schedule(text) is
  'What a schedule means to pg_cron 1.6, or null when pg_cron refuses it.';
