begin;

select plan(7);

create function pg_temp.text_of(summary text, check_name text default 'connections')
returns text
language sql
as $$
  select runbook.report_text(
    runbook.compose_report(
      jsonb_build_array(
        jsonb_build_object(
          'check', check_name,
          'status', 'not_applicable',
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
  '%not applicable  Connections: 12.5 \% used' || e'\n' || repeat(' ', 16) || 'short' || e'\n'
  || repeat(' ', 16) || 'short Remediation: unblock-login.%',
  'a check is one line, and its details are indented'
);

select is(
  runbook.report_text('{"status": "unknown", "checked_at": null, "took_ms": 0, "checks": []}')
  is not null,
  true,
  'an empty report has a text'
);

select * from finish();
rollback;
