begin;

select plan(14);

-- Two checks whose findings the test chooses: [[code, severity, subject], ...] by check.
create function public.test_found(name text)
returns runbook.check_result
language sql
stable
as $$
  select row(
    null,
    array_agg(
      row(
        fnd.c ->> 0, fnd.c ->> 1, fnd.c ->> 2, coalesce(fnd.c ->> 3, 'So.'), '{}', 'made up',
        'cancel-query', jsonb_build_object('pid', fnd.place)
      )::runbook.finding
      order by fnd.place
    )
  )::runbook.check_result
  from jsonb_array_elements(current_setting('test.found')::jsonb -> test_found.name)
    with ordinality as fnd (c, place);
$$;
create function public.test_root(settings jsonb)
returns runbook.check_result
language sql
stable
as $$ select public.test_found('root'); $$;
create function public.test_rest(settings jsonb)
returns runbook.check_result
language sql
stable
as $$ select public.test_found('rest'); $$;

insert into runbook.check (name, title, description, function, position)
values
  ('test_rest', 'Rest', 'T.', 'public.test_rest', 1000),
  ('test_root', 'Root', 'T.', 'public.test_root', 1001);
delete from runbook.cause where issue = 'memory';
insert into runbook.cause (issue, position, check_name, code)
values
  ('memory', 1, 'test_root', 'root'),
  ('memory', 2, 'test_rest', 'rest'),
  ('memory', 3, 'test_root', 'last');

create function pg_temp.ask(found jsonb)
returns jsonb
language sql
as $$
  select set_config('test.found', found::text, true);
  select runbook.diagnose('memory', '{}');
$$;

create function pg_temp.order(diagnosis jsonb)
returns text
language sql
as $$
  select string_agg(
    (fnd.content ->> 'code') || ' ' || coalesce(fnd.content ->> 'subject', ''), ', '
    order by fnd.place
  )
  from jsonb_array_elements(diagnosis -> 'findings') with ordinality as fnd (content, place);
$$;

select is(
  pg_temp.ask('{}') - 'took_ms' - 'blind_spots',
  '{
    "issue": "memory", "subject": null, "verdict": "ok", "findings": [], "skipped": [],
    "not_applicable": []
  }',
  'nothing found is ok'
);

select is(
  pg_temp.order(
    pg_temp.ask(
      '{
        "rest": [["rest", "critical", "a"], ["rest", "warning", "b"]],
        "root": [["last", "critical", "c"], ["root", "warning", "d"]]
      }'
    )
  ),
  'root d, rest a, rest b, last c',
  'a cause comes before what follows from it, however bad that is'
);

select is(
  pg_temp.order(
    pg_temp.ask('{"rest": [["rest", "warning", "a"]], "root": [["root", "info", "b"]]}')
  ),
  'rest a, root b',
  'facts that ask for nothing come last'
);

select is(
  pg_temp.ask('{"root": [["root", "warning", "a"]]}') #> '{findings,0,params}',
  '{"pid": 1}',
  'a finding keeps its cure, ready to be sent'
);

select is(
  pg_temp.ask('{"root": [["root", "warning", "a"], ["other", "critical", "b"]]}') ->> 'verdict',
  'problem',
  'a finding is a problem'
);
select is(
  pg_temp.order(pg_temp.ask('{"root": [["other", "critical", "b"]]}')),
  null,
  'what is no cause of this issue is left to the health check'
);

create temporary table many as
select pg_temp.ask(
  jsonb_build_object('rest', jsonb_agg(jsonb_build_array('rest', 'warning', num.n)))
) as diagnosis
from generate_series(1, 150) as num (n);

select is(
  (select jsonb_array_length(man.diagnosis -> 'findings') from many as man),
  11,
  'of many ten are told'
);
select is(
  (select man.diagnosis #> '{findings,10,evidence}' from many as man),
  '{"more": 140}',
  'and how many there are more'
);

select is(
  pg_temp.ask('{"rest": [["x", "skipped", "a", "It was locked."]]}') -> 'skipped',
  '[{"check": "test_rest", "reason": "It was locked."}]',
  'a check that could not look is told with its reason'
);
select is(
  pg_temp.ask('{"rest": [["x", "not_applicable", "a", "Not here."]]}') -> 'not_applicable',
  '[{"check": "test_rest", "reason": "Not here."}]',
  'so is one that does not apply'
);

update runbook.check set function = 'public.gone' where name = 'test_rest';
select is(
  pg_temp.ask('{}') ->> 'verdict', 'unknown', 'a check that fails leaves the verdict unknown'
);

delete from runbook.check where name = 'test_rest';
select is(
  pg_temp.ask('{"root": [["root", "warning", "d"]]}') -> 'skipped',
  '[{"check": "test_rest", "reason": "The catalog has no such check."}]',
  'a check that is missing is told too'
);

set transaction read only;
select is(
  runbook.diagnose('slow-queries', '{}') ->> 'issue',
  'slow-queries',
  'it answers on a read-only database'
);

select throws_ok(
  $$ select runbook.diagnose('slow-queries', '{"table": "x"}') $$, 'RB400', null,
  'it takes no parameters'
);

select * from finish();
rollback;
