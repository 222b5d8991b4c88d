-- Schema `runbook`, its three roles, and the question "who is calling?".
--
-- Every right of the runbook hangs on these roles. They are cluster-wide, so another database of
-- the cluster may have made them already. The schema is not exposed through the Data API, and the
-- API's roles get nothing in it.

create schema runbook;

comment on schema runbook is
'Diagnoses, remediations and checks of the operations runbook. Not for the Data API.';

revoke all on schema runbook from public;

do $$
declare
  v_role text;
begin
  foreach v_role in array array['runbook_viewer', 'runbook_operator', 'runbook_admin'] loop
    if to_regrole(v_role) is null then
      execute format('create role %I nologin', v_role);
    end if;
    -- From Postgres 16 on the creator of a role may grant it and, without this, not use it.
    execute format('grant %I to current_user', v_role);
  end loop;
end;
$$;

comment on role runbook_viewer is 'May diagnose and read the health check of the runbook.';
comment on role runbook_operator is 'May also apply the runbook''s remediations of low risk.';
comment on role runbook_admin is 'May also apply remediations of high risk and manage members.';

grant runbook_viewer to runbook_operator;
grant runbook_operator to runbook_admin;

grant usage on schema runbook to runbook_viewer;

create table runbook.release (
  version text not null,
  migrations text[] not null,
  installed_at timestamptz not null default clock_timestamp(),
  constraint release_pkey primary key (version)
);

comment on table runbook.release is
'One row a release of the runbook that was installed here, with the migrations that made it.';
comment on column runbook.release.migrations is
'Versions in supabase_migrations.schema_migrations, so that uninstalling can forget them.';

revoke all on table runbook.release from public;
grant select on table runbook.release to runbook_viewer;

-- The version of the schema; the edge functions carry the one that they want.
create function runbook.version()
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select rel.version
  from runbook.release as rel
  order by rel.installed_at desc
  limit 1;
$$;

comment on function runbook.version() is 'The installed version of the runbook''s schema.';
revoke all on function runbook.version() from public;
grant execute on function runbook.version() to runbook_viewer;

-- Who calls, with which right, in which request. The role is read from `set role` and the login,
-- which a caller cannot forge and which a security definer function does not hide. The name that
-- runbook.enter left in a setting counts only below the login that owns the schema: another login
-- could write that setting, but it cannot enter.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.caller(out actor text, out role text, out request_id text)
returns record
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_name constant text := coalesce(
    nullif(current_setting('role', true), 'none'),
    session_user::text
  );
  v_may_enter boolean;
  v_entered jsonb;
begin
  select pg_has_role(session_user, nsp.nspowner, 'member')
  into v_may_enter
  from pg_catalog.pg_namespace as nsp
  where nsp.nspname = 'runbook';

  if v_may_enter and v_name in ('runbook_viewer', 'runbook_operator', 'runbook_admin') then
    v_entered := nullif(current_setting('runbook.caller', true), '')::jsonb;
  end if;

  caller.actor := coalesce(v_entered ->> 'actor', 'database:' || session_user);
  caller.request_id := v_entered ->> 'request_id';
  caller.role := case
    when pg_has_role(v_name, 'runbook_admin', 'member') then 'admin'
    when pg_has_role(v_name, 'runbook_operator', 'member') then 'operator'
    when pg_has_role(v_name, 'runbook_viewer', 'member') then 'viewer'
  end;
end;
$$;

comment on function runbook.caller() is
'Who calls (user:<id>, key:<name> or database:<login>), the highest role held, and the request.';
revoke all on function runbook.caller() from public;
grant execute on function runbook.caller() to runbook_viewer;

-- Refuses a caller whose role is below the required one.
create function runbook.require_role(role text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_ranks constant text[] := array['viewer', 'operator', 'admin'];
  v_has text := (select cal.role from runbook.caller() as cal);
begin
  if array_position(v_ranks, require_role.role) is null then
    raise exception 'There is no role %.', coalesce(quote_literal(require_role.role), 'null')
      using errcode = '22023', hint = 'The roles are viewer, operator and admin.';
  end if;

  if coalesce(array_position(v_ranks, v_has), 0) < array_position(v_ranks, require_role.role) then
    raise exception 'This needs the role %; the caller has %.',
      require_role.role, coalesce(v_has, 'none')
      using
        errcode = 'RB405',
        detail = jsonb_build_object('required', require_role.role, 'has', v_has)::text,
        hint = 'Ask an admin of the runbook, or for the role.';
  end if;
end;
$$;

comment on function runbook.require_role(text) is
'Raises RB405 when the caller''s role is below the required one; the detail names both as JSON.';
revoke all on function runbook.require_role(text) from public;
grant execute on function runbook.require_role(text) to runbook_viewer;
