-- The report of the health check as text, for people: worst first, wrapped to a screen's width, and
-- each remediation with what is sent to it. It tells what the report says, and judges nothing.
-- Relies on the shape of runbook.compose_report.

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
