-- Who may use the runbook: the first three of the staff, one in each role.
-- Relies on: schema runbook. Without it, or without these people, there is nothing to do.

do $$
declare
  _member record;
begin
  if to_regprocedure('runbook.add_member(text, text)') is null then
    return;
  end if;
  for _member in
    select
      users.email,
      plan.role
    from auth.users
    join (
      values
        ('10000000-0000-4000-8000-000000000001'::uuid, 'admin'),
        ('10000000-0000-4000-8000-000000000002'::uuid, 'operator'),
        ('10000000-0000-4000-8000-000000000003'::uuid, 'viewer')
    ) as plan (id, role) on plan.id = users.id
  loop
    execute 'select runbook.add_member($1, $2)' using _member.email, _member.role;
  end loop;
end;
$$;
