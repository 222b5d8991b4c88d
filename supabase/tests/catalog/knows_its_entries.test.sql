begin;

select plan(7);

select is(
  runbook.parameters('login') #> '{properties,email,maxLength}',
  '320',
  'an issue tells its parameters'
);

select is(
  runbook.parameters('unblock-login') -> 'required',
  '["email"]',
  'so does a remediation'
);

select throws_ok(
  $$ select runbook.parameters('make-coffee') $$,
  'RB404', null, 'an unknown entry is refused'
);

select throws_ok(
  $$ select runbook.diagnose('unblock-login', '{"email": "a"}') $$,
  'RB404', null, 'a remediation is no issue'
);

select throws_ok(
  $$ select runbook.remediate('login', '{"email": "a"}', true) $$,
  'RB404', null, 'an issue is no remediation'
);

select is_empty(
  $$
  select rem.name, cured.code
  from runbook.remediation as rem
  cross join unnest(rem.cures) as cured (code)
  where not exists (
    select
    from (
      select iss.name, iss.codes from runbook.issue as iss
      union all
      select prt.issue, prt.codes from runbook.issue_part as prt
    ) as ent
    where ent.name = rem.issue
      and ent.codes ? cured.code
  )
    and not exists (
      select
      from runbook.check as chk
      where chk.name = any (rem.checks)
        and chk.codes ? cured.code
    )
  $$,
  'every code that a remediation cures is one that its issue or one of its checks can find'
);

select is_empty(
  $$
  select rem.name, verifying.name
  from runbook.remediation as rem
  cross join unnest(rem.checks) as verifying (name)
  left join runbook.check as chk on chk.name = verifying.name
  where chk.name is null
  $$,
  'every check that verifies a remediation exists'
);

select * from finish();
rollback;
