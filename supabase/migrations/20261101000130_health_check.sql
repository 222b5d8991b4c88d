-- The health check: the entries of all checks as one report, kept, and written out for people.
--
-- The overall status cannot hide a disaster: it is the worst that was found, and `unknown` when
-- nothing bad was found but something could not be looked at.

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

-- The overall status of a report's entries.
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
    when bool_or(ent.content ->> 'status' = 'warning') then 'warning'
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

-- Shortens the findings of an entry to the first five, and says how many there are more.
create function runbook.shortened_entry(entry jsonb)
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when jsonb_array_length(shortened_entry.entry -> 'findings') > 5
      then shortened_entry.entry || jsonb_build_object(
        'findings', jsonb_path_query_array(shortened_entry.entry, '$.findings[0 to 4]'),
        'more_findings', jsonb_array_length(shortened_entry.entry -> 'findings') - 5
      )
    else shortened_entry.entry
  end;
$$;

comment on function runbook.shortened_entry(jsonb) is
'An entry with five findings at most, and the number of the others as more_findings.';
revoke all on function runbook.shortened_entry(jsonb) from public;
grant execute on function runbook.shortened_entry(jsonb) to runbook_viewer;

-- Makes a report of entries. A check of the catalog without an entry counts as skipped: silence is
-- never health.
create function runbook.compose_report(entries jsonb, detail boolean default false)
returns jsonb
language sql
stable
security invoker
set search_path = ''
set timezone = 'UTC'
as $$
  with given as (
    select ent.content, ent.position
    from jsonb_array_elements(
      case
        when jsonb_typeof(compose_report.entries) = 'array' then compose_report.entries
        else '[]'
      end
    ) with ordinality as ent (content, position)
  ),
  complete as (
    select given.content, given.position
    from given
    union all
    select
      runbook.check_entry(chk.name, 'skipped', null, null, 0, 'The check was not run.'),
      1000000 + chk.position
    from runbook.check as chk
    where not exists (
      select
      from given
      where given.content ->> 'check' = chk.name
    )
  ),
  counted as (
    select
      jsonb_agg(cmp.content order by cmp.position) as entries,
      jsonb_agg(
        case
          when compose_report.detail then cmp.content
          else runbook.shortened_entry(cmp.content)
        end
        order by cmp.position
      ) as shown,
      sum((cmp.content ->> 'took_ms')::numeric) as took_ms
    from complete as cmp
  )
  select jsonb_build_object(
    'status', runbook.overall_status(coalesce(counted.entries, '[]')),
    'checked_at', runbook.now(),
    'took_ms', coalesce(counted.took_ms, 0),
    'checks', coalesce(counted.shown, '[]')
  )
  from counted;
$$;

comment on function runbook.compose_report(jsonb, boolean) is
'Entries of checks as a report: {status, checked_at, took_ms, checks}. Detail lifts the limit of
five findings a check.';
revoke all on function runbook.compose_report(jsonb, boolean) from public;
grant execute on function runbook.compose_report(jsonb, boolean) to runbook_viewer;

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

-- Runs all checks now and returns the report; what an admin calls in psql.
create function runbook.health_check(detail boolean default false)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select runbook.compose_report(runbook.run_checks(), health_check.detail);
$$;

comment on function runbook.health_check(boolean) is
'Runs all checks: {status, checked_at, took_ms, checks}. `select runbook.report_text(
runbook.health_check())` is for people.';
revoke all on function runbook.health_check(boolean) from public;
grant execute on function runbook.health_check(boolean) to runbook_viewer;

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
      ': ' || (entry_sentences.entry ->> 'value') || coalesce(' ' || ttl.unit, ''),
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
      || coalesce(' Remediation: ' || (fnd.content ->> 'remediation') || '.', '') as sentence
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

-- A report as plain text for people, 80 columns wide at most.
create function runbook.report_text(report jsonb)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_indent constant integer := 16;
  v_lines text[];
  v_entry jsonb;
  v_line text;
  v_label text;
begin
  v_lines := array[
    format(
      'Health check: %s. %s',
      report_text.report ->> 'status',
      case report_text.report ->> 'status'
        when 'ok' then 'Everything that was looked at is in order.'
        when 'warning' then 'Something needs attention soon.'
        when 'critical' then 'Something needs attention now.'
        else 'Not everything could be looked at.'
      end
    ),
    format(
      '%s, %s checks in %s ms',
      runbook.utc_text((report_text.report ->> 'checked_at')::timestamptz),
      jsonb_array_length(report_text.report -> 'checks'),
      report_text.report ->> 'took_ms'
    ),
    ''
  ];

  for v_entry in
    select ent.content
    from jsonb_array_elements(report_text.report -> 'checks') with ordinality
      as ent (content, position)
    order by ent.position
  loop
    v_label := replace(v_entry ->> 'status', '_', ' ');

    for v_line in
      select wrp.line
      from runbook.entry_sentences(v_entry) with ordinality as snt (content, position)
      cross join lateral runbook.wrapped(snt.content, 80 - v_indent) with ordinality
        as wrp (line, position)
      order by snt.position, wrp.position
    loop
      v_lines := v_lines || (rpad(v_label, v_indent) || v_line);
      v_label := '';
    end loop;
  end loop;

  return array_to_string(v_lines, e'\n');
end;
$$;

comment on function runbook.report_text(jsonb) is
'A report for people: plain text, one line a check and its details, 80 columns at most.';
revoke all on function runbook.report_text(jsonb) from public;
grant execute on function runbook.report_text(jsonb) to runbook_viewer;
