-- The health check: the entries of all checks as one report, kept, and written out for people.
--
-- The overall status cannot hide a disaster: it is the worst that was found, and `unknown` when
-- nothing bad was found but something could not be looked at. A report is made of entries that
-- were just measured, or of those that the schedule kept; each says when it was measured.

create table runbook.report (
  id bigint generated always as identity,
  status text not null,
  checked_at timestamptz not null,
  report jsonb not null,
  recorded_by text not null,
  recorded_at timestamptz not null default clock_timestamp(),
  constraint report_pkey primary key (id),
  constraint status_is_known check (status in ('ok', 'warning', 'critical', 'unknown'))
);

create index report_recorded_at_idx on runbook.report (recorded_at);

comment on table runbook.report is
'Reports of the scheduled health check, kept for the days of the setting report_days.';
comment on column runbook.report.checked_at is 'By the runbook''s clock; recorded_at is real.';

revoke all on table runbook.report from public;
grant select on table runbook.report to runbook_viewer;

create view runbook.latest_report
with (security_invoker = true)
as
select
  rpt.id,
  rpt.status,
  rpt.checked_at,
  rpt.recorded_at,
  rpt.report
from runbook.report as rpt
order by rpt.id desc
limit 1;

comment on view runbook.latest_report is 'The newest recorded report of the health check.';

revoke all on table runbook.latest_report from public;
grant select on table runbook.latest_report to runbook_viewer;

-- The overall status of a report's entries. A critical finding that is suppressed is still one to
-- be warned of: who suppressed it may be asleep.
create function runbook.overall_status(entries jsonb)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when bool_or(ent.content ->> 'status' = 'critical') then 'critical'
    when bool_or(
      ent.content ->> 'status' = 'warning'
      or ent.content -> 'suppressed' @> '[{"severity": "critical"}]'
    ) then 'warning'
    -- Whatever is not known to be well, a status that nobody knows included.
    when count(*) = 0 or bool_or(
      coalesce(ent.content ->> 'status', '') not in ('ok', 'not_applicable')
    ) then 'unknown'
    else 'ok'
  end
  from jsonb_array_elements(overall_status.entries) as ent (content);
$$;

comment on function runbook.overall_status(jsonb) is 'ok, warning, critical or unknown.';
revoke all on function runbook.overall_status(jsonb) from public;
grant execute on function runbook.overall_status(jsonb) to runbook_viewer;

-- Shortens an entry to its first findings, and says how many there are more.
create function runbook.shortened_entry(entry jsonb, finding_limit integer, with_evidence boolean)
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select
    shortened_entry.entry
    || jsonb_build_object(
      'findings', (
        select coalesce(
          jsonb_agg(
            case
              when shortened_entry.with_evidence then fnd.content
              else fnd.content - 'evidence'
            end
            order by fnd.position
          ),
          '[]'
        )
        from jsonb_array_elements(shortened_entry.entry -> 'findings') with ordinality
          as fnd (content, position)
        where fnd.position <= shortened_entry.finding_limit
      )
    )
    || case
      when jsonb_array_length(shortened_entry.entry -> 'findings') > shortened_entry.finding_limit
        then jsonb_build_object(
          'more_findings',
          jsonb_array_length(shortened_entry.entry -> 'findings') - shortened_entry.finding_limit
          + coalesce((shortened_entry.entry ->> 'more_findings')::integer, 0)
        )
      else '{}'
    end
    || case
      when jsonb_array_length(shortened_entry.entry -> 'suppressed') > 5
        then jsonb_build_object(
          'suppressed', jsonb_path_query_array(shortened_entry.entry, '$.suppressed[0 to 4]'),
          'more_suppressed', jsonb_array_length(shortened_entry.entry -> 'suppressed') - 5
        )
      else '{}'
    end;
$$;

comment on function runbook.shortened_entry(jsonb, integer, boolean) is
'An entry with so many findings at most, and the number of the others as more_findings.';
revoke all on function runbook.shortened_entry(jsonb, integer, boolean) from public;
grant execute on function runbook.shortened_entry(jsonb, integer, boolean) to runbook_viewer;

-- The entries of a report in the catalog's order, each with its group and the time at which it was
-- measured. A check of the catalog without an entry counts as skipped, unless only some were asked
-- for: silence is never health.
create function runbook.completed_entries(entries jsonb, is_partial boolean)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  with given as (
    select ent.content, ent.position
    from jsonb_array_elements(
      case
        when jsonb_typeof(completed_entries.entries) = 'array' then completed_entries.entries
        else '[]'
      end
    ) with ordinality as ent (content, position)
  ),
  complete as (
    select
      jsonb_build_object('findings', '[]'::jsonb, 'measured_at', clock_timestamp())
      || given.content
      || jsonb_build_object('group', chk.check_group) as content,
      coalesce(chk.position, 1000000) as place,
      given.position
    from given
    left join runbook.check as chk on chk.name = given.content ->> 'check'
    union all
    select
      runbook.check_entry(chk.name, 'skipped', null, null, 0, 'The check was not run.')
      || jsonb_build_object('group', chk.check_group, 'measured_at', null),
      chk.position,
      0
    from runbook.check as chk
    where not completed_entries.is_partial
      and not exists (
        select
        from given
        where given.content ->> 'check' = chk.name
      )
  )
  select coalesce(jsonb_agg(cmp.content order by cmp.place, cmp.position), '[]')
  from complete as cmp;
$$;

comment on function runbook.completed_entries(jsonb, boolean) is
'Entries with group and measured_at, in the catalog''s order; with those that are missing, unless
the report is partial.';
revoke all on function runbook.completed_entries(jsonb, boolean) from public;
grant execute on function runbook.completed_entries(jsonb, boolean) to runbook_viewer;

-- Makes a report of entries. Without `detail` it is bounded, whatever was found: it shows as many
-- findings a check, up to five, as fit into 56 kB, and leaves the evidence out where it must.
create function runbook.compose_report(
  entries jsonb,
  detail boolean default false,
  is_partial boolean default false
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
set timezone = 'UTC'
set lock_timeout = '100ms'
as $$
declare
  v_suppressions constant jsonb := (
    select coalesce(jsonb_agg(to_jsonb(sup)), '[]')
    from runbook.suppressions_in_force() as sup
  );
  v_entries jsonb := runbook.completed_entries(
    compose_report.entries, compose_report.is_partial
  );
  v_shown jsonb;
  v_level record;
  v_suppressed integer;
  v_took_ms numeric;
  v_scheduled_cost jsonb;
begin
  if v_suppressions <> '[]' then
    select coalesce(
      jsonb_agg(
        runbook.suppressed_entry(ent.content, v_suppressions) order by ent.position
      ),
      '[]'
    )
    into v_entries
    from jsonb_array_elements(v_entries) with ordinality as ent (content, position);
  end if;

  select
    coalesce(sum(jsonb_array_length(ent.content -> 'suppressed')), 0),
    coalesce(sum((ent.content ->> 'took_ms')::numeric), 0)
  into v_suppressed, v_took_ms
  from jsonb_array_elements(v_entries) as ent (content);

  if compose_report.detail then
    v_shown := v_entries;
  else
    for v_level in
      select
        lvl.finding_limit,
        lvl.with_evidence
      from (
        values (5, true), (5, false), (3, false), (2, false), (1, false), (0, false)
      ) as lvl (finding_limit, with_evidence)
    loop
      select coalesce(
        jsonb_agg(
          runbook.shortened_entry(ent.content, v_level.finding_limit, v_level.with_evidence)
          order by ent.position
        ),
        '[]'
      )
      into v_shown
      from jsonb_array_elements(v_entries) with ordinality as ent (content, position);

      exit when octet_length(v_shown::text) <= 56000;
    end loop;
  end if;

  begin
    v_scheduled_cost := runbook.scheduled_cost();
  exception
    -- Somebody changes the table of costs; the findings matter more.
    when lock_not_available then
      v_scheduled_cost := '{"reason": "A lock was not free."}';
  end;

  return jsonb_build_object(
    'status', runbook.overall_status(v_entries),
    'checked_at', runbook.now(),
    'took_ms', v_took_ms,
    'scheduled_cost', v_scheduled_cost,
    'suppressed', v_suppressed,
    'checks', v_shown
  ) || case
    when compose_report.is_partial then '{"partial": true}'::jsonb
    else '{}'
  end || case
    when compose_report.detail then '{"detail": true}'::jsonb
    else '{}'
  end;
end;
$$;

comment on function runbook.compose_report(jsonb, boolean, boolean) is
'Entries of checks as a report: {status, checked_at, took_ms, scheduled_cost, suppressed, checks,
partial?, detail?}. Detail lifts the limit of five findings a check and of 56 kB.';
revoke all on function runbook.compose_report(jsonb, boolean, boolean) from public;
grant execute on function runbook.compose_report(jsonb, boolean, boolean) to runbook_viewer;

-- The report of what the schedule last measured, each check with its own time.
create function runbook.recorded_report(detail boolean default false)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select runbook.compose_report(runbook.recorded_entries(), recorded_report.detail);
$$;

comment on function runbook.recorded_report(boolean) is
'The report of the schedule''s latest measurements. Runs no check.';
revoke all on function runbook.recorded_report(boolean) from public;
grant execute on function runbook.recorded_report(boolean) to runbook_viewer;

-- Keeps a report, and returns its id. For the schedule, so only for the owner of the schema.
create function runbook.record_report(report jsonb)
returns bigint
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into runbook.report (status, checked_at, report, recorded_by)
  select
    record_report.report ->> 'status',
    (record_report.report ->> 'checked_at')::timestamptz,
    record_report.report,
    cal.actor
  from runbook.caller() as cal
  returning id;
$$;

comment on function runbook.record_report(jsonb) is 'Records a report and returns its id.';
revoke all on function runbook.record_report(jsonb) from public;

-- Runs checks now and returns the report; what an admin calls in psql.
create function runbook.health_check(
  detail boolean default false,
  checks text[] default null,
  groups text[] default null
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select runbook.compose_report(
    runbook.run_checks(
      names => runbook.chosen_checks(health_check.checks, health_check.groups)
    ),
    health_check.detail,
    health_check.checks is not null or health_check.groups is not null
  );
$$;

comment on function runbook.health_check(boolean, text[], text[]) is
'Runs all checks, or those of the names and groups: {status, checked_at, took_ms, checks, …}.
`select runbook.report_text(runbook.health_check())` is for people. Raises RB400 for unknown names.';
revoke all on function runbook.health_check(boolean, text[], text[]) from public;
grant execute on function runbook.health_check(boolean, text[], text[]) to runbook_viewer;

-- Text as lines of at most so many characters, broken between words where there are any. Control
-- characters become blanks, so that what a finding quotes cannot paint the reader's terminal.
create function runbook.wrapped(content text, width integer)
returns setof text
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_word text;
  v_line text := '';
begin
  for v_word in
    select word.content
    from regexp_split_to_table(
      regexp_replace(wrapped.content, '[[:cntrl:][:space:]]+', ' ', 'g'),
      ' '
    ) as word (content)
    where word.content <> ''
  loop
    if v_line <> '' and char_length(v_line) + 1 + char_length(v_word) <= wrapped.width then
      v_line := v_line || ' ' || v_word;
      continue;
    end if;

    if v_line <> '' then
      return next v_line;
    end if;

    while char_length(v_word) > wrapped.width loop
      return next left(v_word, wrapped.width);
      v_word := substr(v_word, wrapped.width + 1);
    end loop;

    v_line := v_word;
  end loop;

  if v_line <> '' then
    return next v_line;
  end if;
end;
$$;

comment on function runbook.wrapped(text, integer) is 'Text in lines of a greatest width.';
revoke all on function runbook.wrapped(text, integer) from public;
grant execute on function runbook.wrapped(text, integer) to runbook_viewer;

-- A check's unit for a value: what is many is one where there is one.
create function runbook.unit_text(value text, unit text)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when unit_text.value = '1'
      then regexp_replace(
        replace(replace(unit_text.unit, 'indexes', 'index'), ' and ', ' or '),
        '([a-z]{2,}[^s])s\M',
        '\1',
        'g'
      )
    else unit_text.unit
  end;
$$;

comment on function runbook.unit_text(text, text) is
'The unit of a value: 2 tables, 1 table, 1 session waiting.';
revoke all on function runbook.unit_text(text, text) from public;
grant execute on function runbook.unit_text(text, text) to runbook_viewer;

-- One entry of a report in words, unwrapped: what was asked, then what there is to say about it.
create function runbook.entry_sentences(entry jsonb)
returns setof text
language sql
stable
security invoker
set search_path = ''
as $$
  with entry_title as (
    select
      coalesce(chk.title, entry_sentences.entry ->> 'check') as title,
      chk.unit
    from (values (entry_sentences.entry ->> 'check')) as asked (name)
    left join runbook.check as chk on chk.name = asked.name
  )
  select
    ttl.title || coalesce(
      ': ' || (entry_sentences.entry ->> 'value') || coalesce(
        ' ' || runbook.unit_text(entry_sentences.entry ->> 'value', ttl.unit),
        ''
      ),
      ''
    ) || coalesce(
      (
        select format(' (%s ago)', runbook.duration_text(age.value))
        from (
          select clock_timestamp() - (entry_sentences.entry ->> 'measured_at')::timestamptz
        ) as age (value)
        where age.value > interval '90 seconds'
      ),
      ''
    )
  from entry_title as ttl
  union all
  select entry_sentences.entry ->> 'reason'
  where entry_sentences.entry ? 'reason'
  union all
  select fnd.sentence
  from (
    select
      (fnd.content ->> 'summary')
      || coalesce(
        ' Remediation: '
        || (fnd.content ->> 'remediation')
        -- what is sent, so that no other answer is needed for it
        || coalesce(' ' || nullif(fnd.content ->> 'params', '{}'), '.'),
        ''
      ) as sentence
    from jsonb_array_elements(coalesce(entry_sentences.entry -> 'findings', '[]')) as fnd (content)
  ) as fnd
  union all
  select format('There are %s more findings.', entry_sentences.entry ->> 'more_findings')
  where entry_sentences.entry ? 'more_findings';
$$;

comment on function runbook.entry_sentences(jsonb) is
'What an entry of a report says, as sentences.';
revoke all on function runbook.entry_sentences(jsonb) from public;
grant execute on function runbook.entry_sentences(jsonb) to runbook_viewer;

-- What a status of a whole report means, in a sentence.
create function runbook.status_sentence(report jsonb)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case status_sentence.report ->> 'status'
    when 'ok' then case
      when (status_sentence.report ->> 'suppressed')::integer > 0
        then 'Nothing is wrong but what is suppressed.'
      else 'Everything that was looked at is in order.'
    end
    when 'warning' then case
      when status_sentence.report @? '$.checks[*] ? (@.status == "warning")'
        then 'Something needs attention soon.'
      else 'Something critical is suppressed.'
    end
    when 'critical' then 'Something needs attention now.'
    else 'Not everything could be looked at.'
  end;
$$;

comment on function runbook.status_sentence(jsonb) is 'A report''s status in a sentence.';
revoke all on function runbook.status_sentence(jsonb) from public;
grant execute on function runbook.status_sentence(jsonb) to runbook_viewer;

-- The parts of a report for people, in reading order, each with a label: problems in full, the
-- worst first; what is in order as one line a group; what does not exist here as one list. What is
-- told for information is counted, and in a report in detail told in full, as is why something
-- does not apply.
create function runbook.report_parts(report jsonb)
returns table (label text, sentence text)
language sql
stable
security invoker
set search_path = ''
as $$
  with entries as (
    select
      ent.content,
      ent.content ->> 'status' as status,
      ent.position,
      coalesce(chk.title, ent.content ->> 'check') as title,
      coalesce(grp.title, 'Others') as group_title,
      coalesce(grp.position, 1000) as group_position
    from jsonb_array_elements(report_parts.report -> 'checks') with ordinality
      as ent (content, position)
    left join runbook.check as chk on chk.name = ent.content ->> 'check'
    left join runbook.check_group as grp on grp.name = chk.check_group
  ),
  ranked as (
    select
      ent.content,
      ent.status,
      ent.position,
      ent.title,
      ent.group_title,
      ent.group_position,
      coalesce(
        array_position(
          array['critical', 'warning', 'error', 'skipped', 'others', 'ok', 'not_applicable'],
          ent.status
        ),
        5
      ) as rank,
      -- Nothing is known of it but the reason, which others may share.
      ent.status in ('error', 'skipped')
      and jsonb_array_length(ent.content -> 'findings') = 0
      and ent.content ? 'reason' as is_plain
    from entries as ent
  ),
  parts as (
    select
      rnk.rank,
      rnk.position,
      snt.position as line,
      case when snt.position = 1 then replace(rnk.status, '_', ' ') else '' end as label,
      snt.content as sentence
    from ranked as rnk
    cross join lateral runbook.entry_sentences(rnk.content) with ordinality
      as snt (content, position)
    where rnk.rank <= 5
      and not rnk.is_plain
    union all
    select
      pln.rank,
      pln.position,
      snt.position,
      case when snt.position = 1 then replace(pln.status, '_', ' ') else '' end,
      snt.content
    from (
      select
        rnk.rank,
        rnk.status,
        min(rnk.position) as position,
        string_agg(rnk.title, ', ' order by rnk.position) as titles,
        rnk.content ->> 'reason' as reason
      from ranked as rnk
      where rnk.is_plain
      group by rnk.rank, rnk.status, rnk.content ->> 'reason'
    ) as pln
    cross join lateral unnest(array[pln.titles, pln.reason]) with ordinality
      as snt (content, position)
    union all
    -- In order, and worth knowing all the same.
    select
      6,
      rnk.position,
      snt.position,
      case when snt.position = 1 then 'info' else '' end,
      snt.content
    from ranked as rnk
    cross join lateral runbook.entry_sentences(rnk.content) with ordinality
      as snt (content, position)
    where (report_parts.report -> 'detail')::boolean
      and rnk.status = 'ok'
      and jsonb_array_length(rnk.content -> 'findings') > 0
    union all
    select
      7,
      rnk.group_position,
      0,
      'ok',
      format(
        '%s: %s of %s',
        rnk.group_title,
        count(*) filter (where rnk.status = 'ok'),
        count(*)
      )
    from ranked as rnk
    group by rnk.group_title, rnk.group_position
    having count(*) filter (where rnk.status = 'ok') > 0
    union all
    select
      8,
      0,
      0,
      'info',
      format(
        'Worth knowing, and no problem: %s. health-check?detail=true tells it.',
        string_agg(rnk.title, ', ' order by rnk.position)
      )
    from ranked as rnk
    where (report_parts.report -> 'detail')::boolean is not true
      and rnk.status = 'ok'
      and (
        jsonb_array_length(rnk.content -> 'findings') > 0
        or rnk.content ? 'more_findings'
      )
    having count(*) > 0
    union all
    select
      9,
      0,
      0,
      'not applicable',
      string_agg(rnk.title, ', ' order by rnk.position)
    from ranked as rnk
    where (report_parts.report -> 'detail')::boolean is not true
      and rnk.status = 'not_applicable'
    having count(*) > 0
    union all
    select
      9,
      rnk.position,
      snt.position,
      case when snt.position = 1 then 'not applicable' else '' end,
      snt.content
    from ranked as rnk
    cross join lateral unnest(array[rnk.title, rnk.content ->> 'reason']) with ordinality
      as snt (content, position)
    where (report_parts.report -> 'detail')::boolean
      and rnk.status = 'not_applicable'
      and snt.content is not null
    union all
    select
      10,
      0,
      0,
      'suppressed',
      format(
        '%s: %s',
        report_parts.report ->> 'suppressed',
        string_agg(
          format(
            '%s%s (%s) until %s%s',
            case sup.content ->> 'severity' when 'critical' then 'critical: ' else '' end,
            sup.content ->> 'code',
            sup.content ->> 'subject',
            left(sup.content ->> 'until', 10),
            coalesce(', ' || left(sup.content ->> 'reason', 100), '')
          ),
          '; '
          order by rnk.position
        )
      )
    from ranked as rnk
    cross join lateral jsonb_array_elements(
      coalesce(rnk.content -> 'suppressed', '[]')
    ) as sup (content)
    having count(*) > 0
  )
  select
    case
      when prt.label = lag(prt.label) over (order by prt.rank, prt.position, prt.line)
        and prt.rank = 7 then ''
      else prt.label
    end,
    prt.sentence
  from parts as prt
  order by prt.rank, prt.position, prt.line;
$$;

comment on function runbook.report_parts(jsonb) is
'A report for people: a label and a sentence a row, in reading order.';
revoke all on function runbook.report_parts(jsonb) from public;
grant execute on function runbook.report_parts(jsonb) to runbook_viewer;

-- A report as plain text for people, 80 columns wide unless asked for another width. On a narrow
-- screen a status stands above what it is about and not beside it.
create function runbook.report_text(report jsonb, width integer default 80)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  with layout as (
    select
      report_text.width < 70 as is_narrow,
      case when report_text.width < 70 then 2 else 16 end as indent
  ),
  heading as (
    select
      array[
        format(
          'Health check: %s. %s',
          report_text.report ->> 'status',
          runbook.status_sentence(report_text.report)
        ),
        format(
          '%s, %s%s %s in %s ms',
          runbook.utc_text((report_text.report ->> 'checked_at')::timestamptz),
          case when (report_text.report -> 'partial')::boolean then 'only ' else '' end,
          jsonb_array_length(report_text.report -> 'checks'),
          case jsonb_array_length(report_text.report -> 'checks')
            when 1 then 'check'
            else 'checks'
          end,
          report_text.report ->> 'took_ms'
        ),
        'The schedule runs for '
        || (report_text.report #>> '{scheduled_cost,percent_of_one_core}')
        || ' % of the time, by the clock.'
      ] as sentences
  ),
  heading_lines as (
    select string_agg(wrp.line, e'\n' order by snt.position, wrp.position) as content
    from heading as hdg
    cross join lateral unnest(hdg.sentences) with ordinality as snt (content, position)
    cross join lateral runbook.wrapped(snt.content, report_text.width) with ordinality
      as wrp (line, position)
  ),
  lines as (
    select
      case
        when lay.is_narrow and wrp.position = 1 and prt.label <> ''
          then upper(prt.label) || e'\n' || repeat(' ', lay.indent)
        when wrp.position = 1 then rpad(prt.label, lay.indent)
        else repeat(' ', lay.indent)
      end || wrp.line as content,
      prt.position,
      wrp.position as line
    from layout as lay
    cross join runbook.report_parts(report_text.report) with ordinality
      as prt (label, sentence, position)
    cross join lateral runbook.wrapped(prt.sentence, report_text.width - lay.indent)
      with ordinality as wrp (line, position)
  )
  select hdl.content || coalesce(
    (
      select e'\n\n' || string_agg(lin.content, e'\n' order by lin.position, lin.line)
      from lines as lin
    ),
    ''
  )
  from heading_lines as hdl;
$$;

comment on function runbook.report_text(jsonb, integer) is
'A report for people: problems in full, the worst first, the rest in a few lines; 80 columns wide, or
as many as asked for, from 30 on.';
revoke all on function runbook.report_text(jsonb, integer) from public;
grant execute on function runbook.report_text(jsonb, integer) to runbook_viewer;
