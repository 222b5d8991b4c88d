begin;

select plan(9);

-- The functions that checks name, and those of ours that they call, however deep.
create temporary table asking as
with recursive ours as (
  select fun.oid, fun.proname, fun.prosrc
  from pg_catalog.pg_proc as fun
  where fun.pronamespace = 'runbook'::regnamespace
),
reached as (
  select chk.name, ours.oid, ours.prosrc
  from runbook.check as chk
  inner join ours on ours.oid = to_regprocedure(chk.function || '(jsonb)')
  union
  select reached.name, ours.oid, ours.prosrc
  from reached
  inner join ours on position('runbook.' || ours.proname || '(' in reached.prosrc) > 0
)
select reached.* from reached;

select is_empty(
  $$
  select chk.name
  from runbook.check as chk
  left join pg_catalog.pg_proc as fun on fun.oid = to_regprocedure(chk.function || '(jsonb)')
  where fun.prorettype is distinct from 'runbook.check_result'::regtype
    or fun.provolatile <> 's'
    or fun.proretset
  $$,
  'each check has a stable function (settings jsonb) that returns one check_result'
);

select is_empty(
  $$
  select chk.name, code.key
  from runbook.check as chk
  cross join lateral jsonb_object_keys(chk.codes) as code (key)
  where not exists (
    select
    from asking as ask
    where ask.name = chk.name
      and position(quote_literal(code.key) in ask.prosrc) > 0
  )
    -- Only an edge function can find it: without a connection no SQL runs.
    and code.key <> 'database_unreachable'
  $$,
  'each code that a check promises stands in its function, or in one that this calls'
);

select is_empty(
  $$
  select chk.name, thr.key
  from runbook.check as chk
  cross join lateral jsonb_each(chk.thresholds) as thr (key, value)
  where jsonb_typeof(thr.value) <> 'number'
  $$,
  'each threshold is a number'
);

select is_empty(
  $$
  select chk.name, thr.key
  from runbook.check as chk
  cross join lateral jsonb_object_keys(chk.thresholds) as thr (key)
  where case
    -- In the unit of the check's value.
    when thr.key in ('warning', 'critical') then chk.unit is null
    else thr.key !~ (
      '(^|_)(s|ms|hours?|h|days?|years?|minutes|percent|ratio|factor|multiple|bytes|rows?|pages'
      || '|calls|scans|runs|answers|length|sessions|transactions|connections|files|points|indexes'
      || '|tables|statements|sequences|cost|reads|count|blocks|mb|times|distinct|correlation|share'
      || '|size)($|_)'
    )
  end
  $$,
  'each threshold has its unit in its name'
);

select is_empty(
  $$
  select ask.name, word.found[1]
  from asking as ask
  cross join lateral regexp_matches(ask.prosrc, '''([a-z]+(?:-[a-z]+)+)''', 'g') as word (found)
  where word.found[1] not in (select rem.name from runbook.remediation as rem)
    -- Names of our jobs, and other names that are no remediation's.
    and word.found[1] not like 'runbook-%'
    and word.found[1] not in ('health-check', 'mgmt-api', 'x-runbook-ticket')
  $$,
  'each remediation that a check names is in the catalog'
);

select is_empty(
  $$
  select rem.name, req.key
  from runbook.remediation as rem
  cross join lateral jsonb_array_elements_text(
    coalesce(rem.parameters -> 'required', '[]')
  ) as req (key)
  where rem.name in (
    select word.found[1]
    from asking as ask
    cross join lateral regexp_matches(ask.prosrc, '''([a-z]+(?:-[a-z]+)+)''', 'g') as word (found)
  )
    and not exists (
      select
      from asking as ask
      where position(quote_literal(rem.name) in ask.prosrc) > 0
        and position(quote_literal(req.key) in ask.prosrc) > 0
    )
  $$,
  'whoever names one sends the parameters that it requires'
);

select is_empty(
  $$
  select cau.issue, cau.check_name, cau.code
  from runbook.cause as cau
  left join runbook.check as chk on chk.name = cau.check_name
  where chk.codes is null
    or not chk.codes ? cau.code
  $$,
  'each cause of an issue is a code of a check'
);

select is_empty(
  $$
  select cau.issue, cau.code
  from runbook.cause as cau
  left join runbook.issue as iss on iss.name = cau.issue
  where iss.codes is null
    or iss.codes -> cau.code is distinct from (
      select chk.codes -> cau.code
      from runbook.check as chk
      where chk.name = cau.check_name
    )
  $$,
  'and one of the issue, with the meaning that the check gives it'
);

-- What was really found, in whatever state the database is in.
select is_empty(
  $$
  with entries as materialized (
    select ent.content
    from jsonb_array_elements(runbook.run_checks()) as ent (content)
  )
  select
    ent.content ->> 'check',
    fnd.content ->> 'code'
  from entries as ent
  cross join lateral jsonb_array_elements(ent.content -> 'findings') as fnd (content)
  inner join runbook.check as chk on chk.name = ent.content ->> 'check'
  where not chk.codes ? (fnd.content ->> 'code')
    or fnd.content ->> 'summary' is null
    or fnd.content ->> 'subject' is null
    or fnd.content ->> 'method' is null
    or (fnd.content ->> 'remediation' is null) <> (fnd.content ->> 'params' is null)
  $$,
  'what checks find has a code of theirs, subject, summary and method, and a cure its parameters'
);

select * from finish();
rollback;
