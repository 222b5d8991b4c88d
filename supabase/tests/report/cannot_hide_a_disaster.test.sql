begin;

select plan(12);

create function pg_temp.overall(variadic statuses text[])
returns text
language sql
as $$
  select runbook.overall_status(
    (
      select jsonb_agg(jsonb_build_object('check', 'c', 'status', sts.name))
      from unnest(statuses) as sts (name)
    )
  );
$$;

select is(pg_temp.overall('ok', 'ok'), 'ok', 'all well is ok');
select is(pg_temp.overall('ok', 'not_applicable'), 'ok', 'what is absent changes nothing');
select is(pg_temp.overall('ok', 'skipped'), 'unknown', 'not looking is not health');
select is(pg_temp.overall('ok', 'error'), 'unknown', 'nor is an error');
select is(pg_temp.overall('ok', 'fine'), 'unknown', 'nor a status that nobody knows');
select is(pg_temp.overall('skipped', 'warning'), 'warning', 'a problem outweighs not knowing');
select is(pg_temp.overall('warning', 'critical', 'error'), 'critical', 'the worst counts');
select is(runbook.overall_status('[]'), 'unknown', 'a report without checks is no health');

select is(
  runbook.compose_report('[]') ->> 'status',
  'unknown',
  'checks that nobody ran are not health either'
);

select bag_eq(
  $$
  select (ent.content ->> 'check') collate "default"
  from jsonb_array_elements(runbook.compose_report('[]') -> 'checks') as ent (content)
  where ent.content ->> 'status' = 'skipped'
  $$,
  'select unnest(runbook.check_names())',
  'they are named as skipped'
);

create temporary table crowded as
select jsonb_build_array(
  jsonb_build_object(
    'check', 'connections',
    'status', 'warning',
    'took_ms', 1.5,
    'findings', jsonb_agg(jsonb_build_object('code', 'c', 'summary', num.n::text))
  )
) as entries
from generate_series(1, 1000) as num (n);

select is(
  (
    select jsonb_build_object(
      'shown', jsonb_array_length(rpt.content #> '{checks,0,findings}'),
      'more', rpt.content #> '{checks,0,more_findings}',
      'took_ms', rpt.content -> 'took_ms'
    )
    from crowded as crd
    cross join lateral runbook.compose_report(crd.entries, is_partial => true) as rpt (content)
  ),
  '{"shown": 5, "more": 995, "took_ms": 1.5}',
  'of many findings five are shown, and how many there are more'
);

select is(
  (
    select jsonb_array_length(rpt.content #> '{checks,0,findings}')
    from crowded as crd
    cross join lateral runbook.compose_report(
      crd.entries, detail => true, is_partial => true
    ) as rpt (content)
  ),
  1000,
  'detail shows them all'
);

select * from finish();
rollback;
