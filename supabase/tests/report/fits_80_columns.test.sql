begin;

select plan(23);

create function pg_temp.text_of(
  summary text,
  check_name text default 'connections',
  status text default 'warning'
)
returns text
language sql
as $$
  select runbook.report_text(
    runbook.compose_report(
      is_partial => true,
      entries => jsonb_build_array(
        jsonb_build_object(
          'check', check_name,
          'status', status,
          'value', 12.5,
          'took_ms', 1,
          'reason', summary,
          'findings', jsonb_build_array(
            jsonb_build_object('summary', summary, 'remediation', 'unblock-login')
          )
        )
      )
    )
  );
$$;

select runbook.keep_entries('[{"check": "connections", "status": "ok", "took_ms": 6}]');

create function pg_temp.widest(content text)
returns integer
language sql
as $$
  select max(char_length(lin.content))
  from string_to_table(content, e'\n') as lin (content);
$$;

select cmp_ok(
  pg_temp.widest(runbook.report_text(runbook.health_check())), '<=', 80,
  'a real report fits'
);

select cmp_ok(
  pg_temp.widest(runbook.report_text(runbook.health_check(), asked.width)), '<=', asked.width,
  'and on a telephone'
)
from (values (40), (30), (200)) as asked (width);

select alike(
  runbook.report_text(
    runbook.compose_report(
      '[{"check": "connections", "status": "critical", "value": 99, "took_ms": 1}]',
      is_partial => true
    ),
    40
  ),
  e'%\nCRITICAL\n  Connections: 99 \\% used%',
  'where a status stands above what it is about'
);

select cmp_ok(
  pg_temp.widest(pg_temp.text_of(repeat('ab ', 500))), '<=', 80,
  'long sentences are wrapped'
);

select is(
  pg_temp.widest(pg_temp.text_of(repeat('x', 1000))), 80,
  'a word without an end is cut'
);

select cmp_ok(
  pg_temp.widest(pg_temp.text_of('short', repeat('long_name_', 20))), '<=', 80,
  'a check of a long name fits'
);

select unalike(
  pg_temp.text_of(e'\x1b[31mred\x1b[0m\r\n\tand\x07 bells'),
  '%' || chr(27) || '%',
  'control characters do not reach the terminal'
);

select alike(
  pg_temp.text_of('short'),
  '%warning         Connections: 12.5 \% used' || e'\n' || repeat(' ', 16) || 'short' || e'\n'
  || repeat(' ', 16) || 'short Remediation: unblock-login.%',
  'a problem is one line, and its details are indented'
);

select is(
  array(
    select runbook.entry_sentences(
      jsonb_build_object('check', 'connections', 'status', 'warning', 'findings', '[
        {"summary": "Long.", "remediation": "cancel-query", "params": {"pid": 7}},
        {"summary": "Old.", "remediation": "reset-query-statistics", "params": {}},
        {"summary": "Odd.", "remediation": null, "params": null}
      ]'::jsonb)
    )
  ),
  array[
    'Connections',
    'Long. Remediation: cancel-query {"pid": 7}',
    'Old. Remediation: reset-query-statistics.',
    'Odd.'
  ],
  'a remediation is named with what is sent to it'
);

select alike(
  pg_temp.text_of('short'), '%, only 1 check in%', 'a partial report says that it is partial'
);

select alike(
  pg_temp.text_of('short'),
  e'%\nThe schedule runs for % of the time, by the clock.\n%',
  'and what the runbook itself costs'
);

create temporary table mixed as
select runbook.report_text(
  runbook.compose_report(
    (
      select jsonb_agg(
        jsonb_build_object('check', ent.name, 'took_ms', 1, 'status', ent.status)
        || jsonb_strip_nulls(jsonb_build_object('reason', ent.reason))
      )
      from (
        values
          ('clock_not_shifted', 'ok', null),
          ('database_writable', 'skipped', 'budget spent'),
          ('auth_reachable', 'not_applicable', 'There is no Auth.'),
          ('versions_agree', 'ok', null),
          ('connections', 'critical', null),
          ('cron_alive', 'skipped', 'budget spent')
      ) as ent (name, status, reason)
    ),
    is_partial => true
  )
) as content;

select alike(
  (select mix.content from mixed as mix),
  e'%\n\ncritical        Connections\n%',
  'the worst comes first'
);

select alike(
  (select mix.content from mixed as mix),
  e'%\nskipped         Writing to the database, Schedule (pg\\_cron)\n%budget spent\n%',
  'checks that say the same share a line'
);

select alike(
  (select mix.content from mixed as mix),
  e'%\nok              Runbook: 2 of 3\n%',
  'what is in order is counted'
);

select alike(
  (select mix.content from mixed as mix),
  e'%\nnot applicable  Auth',
  'what does not exist here is listed at the end'
);

select is(runbook.unit_text(asked.value, asked.unit), asked.text, 'one is not many')
from (
  values
    ('2', 'tables and indexes', 'tables and indexes'),
    ('1', 'tables and indexes', 'table or index'),
    ('1', 'sessions waiting', 'session waiting'),
    ('1', 'times', 'time'),
    ('1', 'ms', 'ms')
) as asked (value, unit, text);

select is(
  runbook.report_text('{"status": "unknown", "checked_at": null, "took_ms": 0, "checks": []}')
  is not null,
  true,
  'an empty report has a text'
);

select * from finish();
rollback;
