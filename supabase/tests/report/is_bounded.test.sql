begin;

select plan(9);

create function public.test_check(settings jsonb)
returns runbook.check_result
language sql
stable
as $$
  select row(
    30000,
    array_agg(
      row(
        'test_found',
        'warning',
        format('public.%s_%s', repeat('t', 300), num.n),
        repeat('Ä long sentence. ', 100),
        jsonb_build_object('text', repeat('x', case when num.n % 2 = 0 then 1500 else 9000 end)),
        repeat('m', 500),
        'drop-index',
        jsonb_build_object('index', num.n)
      )::runbook.finding
      order by num.n
    )
  )::runbook.check_result
  from generate_series(1, 150) as num (n);
$$;

insert into runbook.check_group (name, title, position, every, budget, largest_share)
values ('tried', 'Tried', 900, '5 minutes', '10 seconds', 0.001);
insert into runbook.check (name, title, description, function, position, check_group)
select 'test_' || num.n, 'Test', 'T.', 'public.test_check', 1000 + num.n, 'tried'
from generate_series(1, 45) as num (n);

create temporary table reported as
select
  runbook.run_check('test_1') as entry,
  runbook.health_check(groups => array['tried']) as report;

select is(
  (select jsonb_array_length(rpt.entry -> 'findings') from reported as rpt),
  100,
  'a check has at most a hundred findings'
);

select is(
  (select rpt.entry -> 'more_findings' from reported as rpt), '50', 'and says that there are more'
);

select is((select rpt.entry -> 'value' from reported as rpt), '30000', 'its value is the total');

select is(
  (select char_length(rpt.entry #>> '{findings,0,summary}') from reported as rpt),
  300,
  'a summary is cut'
);

select is(
  (select rpt.entry #>> '{findings,0,evidence,left_out}' from reported as rpt),
  '9012 bytes',
  'evidence that is too large is left out, which is said'
);

select cmp_ok(
  (select octet_length(rpt.report::text) from reported as rpt), '<', 64000,
  'however much 45 checks find, the report is less than 64 kB'
);

select is(
  (
    select jsonb_path_query_first(
      rpt.report, '$.checks[*] ? (@.check == "test_1").more_findings'
    )
    from reported as rpt
  ),
  '149',
  'each check shows its worst and counts the others'
);

select cmp_ok(
  jsonb_array_length(
    runbook.health_check(detail => true, checks => array['test_1']) #> '{checks,0,findings}'
  ),
  '=', 100,
  'detail shows what the check gave'
);

select cmp_ok(
  (
    select octet_length(
      runbook.health_check(checks => array['test_1']) #>> '{checks,0,findings}'
    )
  ),
  '>', 5000,
  'a single check has the room for five with their evidence'
);

select * from finish();
rollback;
