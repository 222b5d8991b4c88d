begin;

select plan(2);

create function pg_temp.plan_of(statement text)
returns text
language plpgsql
as $$
declare
  v_line text;
  v_plan text := '';
begin
  for v_line in execute 'explain ' || statement loop
    v_plan := v_plan || v_line || ' ';
  end loop;
  return v_plan;
end;
$$;

-- A table of a few rows is read whole, rightly. What counts is that the index can be used at all.
set local enable_seqscan = off;

select matches(
  pg_temp.plan_of($$
    select usr.id
    from auth.users as usr
    where usr.instance_id = '00000000-0000-0000-0000-000000000000'
      and lower(usr.email::text) = 'a@test.example'
      and not usr.is_sso_user
  $$),
  'Index Cond: .*instance_id = .* AND \(lower\(\(email\)::text\)',
  'the condition that runbook.diagnose_login has uses both columns of the index'
);

select matches(
  pg_get_functiondef('runbook.diagnose_login(jsonb)'::regprocedure),
  'usr\.instance_id = ''00000000-0000-0000-0000-000000000000''\s+and lower\(usr\.email::text\) =',
  'and it has that condition'
);

select * from finish();
rollback;
