begin;

select plan(6);

create function pg_temp.detail_of_refusal(role_held text, role_required text)
returns jsonb
language plpgsql
as $$
declare
  v_detail text;
begin
  perform set_config('role', role_held, true);
  perform runbook.require_role(role_required);
  perform set_config('role', 'none', true);
  return null;
exception
  when sqlstate 'RB405' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return v_detail::jsonb;
end;
$$;

select is(
  pg_temp.detail_of_refusal('runbook_viewer', 'operator'),
  '{"required": "operator", "has": "viewer"}'::jsonb,
  'a viewer is no operator, and the detail says so'
);

select is(
  pg_temp.detail_of_refusal('runbook_operator', 'admin'),
  '{"required": "admin", "has": "operator"}'::jsonb,
  'an operator is no admin'
);

select is(
  pg_temp.detail_of_refusal('runbook_operator', 'viewer'),
  null,
  'an operator is a viewer as well'
);

select is(pg_temp.detail_of_refusal('runbook_admin', 'admin'), null, 'an admin is an admin');

select throws_ok(
  $$ select runbook.require_role('owner') $$,
  '22023', null, 'a role that does not exist is a mistake of the caller'
);

select throws_ok(
  'select runbook.require_role(null)',
  '22023', null, 'so is none'
);

select * from finish();
rollback;
