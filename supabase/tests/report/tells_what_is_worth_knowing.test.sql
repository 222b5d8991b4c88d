begin;

select plan(9);

create function pg_temp.report(detail boolean)
returns text
language sql
as $$
  select runbook.report_text(
    runbook.compose_report(
      is_partial => true,
      detail => report.detail,
      entries => '[
        {"check": "settings", "status": "ok", "value": 1, "took_ms": 1, "findings": [
          {"code": "a", "severity": "info", "summary": "A fact about settings."}
        ]},
        {"check": "old_rows", "status": "ok", "value": 0, "took_ms": 1, "findings": []},
        {"check": "connections", "status": "warning", "value": 90, "took_ms": 1, "findings": [
          {"code": "b", "severity": "info", "summary": "A fact beside a problem."}
        ]},
        {"check": "disk_space", "status": "not_applicable", "took_ms": 1, "findings": [],
          "reason": "Nobody told how large it is."}
      ]'
    )
  );
$$;

create temporary table short as select pg_temp.report(false) as content;
create temporary table long as select pg_temp.report(true) as content;

select alike(
  (select shr.content from short as shr),
  e'%\ninfo            Worth knowing, and no problem: Settings.\n%health-check?detail=true tells it.\n%',
  'a short report says where there is more to know'
);
select unalike(
  (select shr.content from short as shr), '%A fact about settings.%', 'and leaves it out'
);
select alike(
  (select shr.content from short as shr), '%A fact beside a problem.%', 'but not beside a problem'
);
select alike(
  (select shr.content from short as shr),
  e'%\nnot applicable  Disk space',
  'and lists what does not apply'
);
select alike(
  (select lng.content from long as lng),
  e'%\ninfo            Settings: 1 setting\n                A fact about settings.\n%',
  'in detail it is told in full'
);
select unalike((select lng.content from long as lng), '%Worth knowing%', 'and not counted');
select alike(
  (select lng.content from long as lng),
  e'%\nnot applicable  Disk space\n                Nobody told how large it is.',
  'with the reason why something does not apply'
);
select alike(
  (select lng.content from long as lng), e'%\nok              Limits: 1 of 1\n%',
  'what is told for information is in order'
);
select is(
  (select count(*) from string_to_table((select lng.content from long as lng), 'A fact about')),
  2::bigint,
  'each is told once'
);

select * from finish();
rollback;
