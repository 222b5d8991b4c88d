-- The members of the runbook, and the one door that every request comes through.
--
-- A token outlives a ban, a deleted account and a sign-out by up to an hour. The tables of Auth
-- know at once, and we stand beside them: `enter` looks each time.

create table runbook.member (
  user_id uuid not null,
  role text not null,
  added_by text not null,
  added_at timestamptz not null default clock_timestamp(),
  constraint member_pkey primary key (user_id),
  constraint role_is_known check (role in ('viewer', 'operator', 'admin'))
);

comment on table runbook.member is
'Who may call the runbook over HTTP, and as what. No foreign key: deleting an account in Auth must
never wait for the runbook, and a member without an account cannot enter.';

revoke all on table runbook.member from public;

-- An address as Auth keeps it: lower case. White space around it comes from a phone's keyboard.
create function runbook.normal_email(email text)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select lower(btrim(normal_email.email, E' \t\n\r\f\x0b'));
$$;

comment on function runbook.normal_email(text) is
'An e-mail address in the form in which Auth looks for it.';
revoke all on function runbook.normal_email(text) from public;

-- The id of the one account with an address.
--
-- Cost: one probe of auth.users_instance_id_email_idx. `email =` and `lower(email) =` alone would
-- read the whole table.
create function runbook.user_id_of(email text)
returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_ids uuid[];
begin
  select array_agg(usr.id)
  into v_ids
  from auth.users as usr
  where usr.instance_id = '00000000-0000-0000-0000-000000000000'
    and lower(usr.email::text) = runbook.normal_email(user_id_of.email)
    and usr.deleted_at is null;

  if v_ids is null then
    raise exception 'No account has this address.'
      using
        errcode = 'P0002',
        detail = '{"refused": true}',
        hint = 'The person signs up first; then add them.';
  end if;

  if cardinality(v_ids) > 1 then
    raise exception '% accounts have this address.', cardinality(v_ids)
      using
        errcode = '55000',
        detail = '{"refused": true}',
        hint = 'An account by single sign-on and one by password may share an address; remove one.';
  end if;

  return v_ids[1];
end;
$$;

comment on function runbook.user_id_of(text) is
'The account with an e-mail address. Raises P0002 when there is none, 55000 when there are several.';
revoke all on function runbook.user_id_of(text) from public;

-- Definer: lends an admin the right to write runbook.member and to look for an address in Auth.
create function runbook.add_member(email text, role text)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid;
  v_actor text := (select cal.actor from runbook.caller() as cal);
begin
  perform runbook.require_role('admin');

  if add_member.role is null or add_member.role not in ('viewer', 'operator', 'admin') then
    perform runbook.refuse_problems(
      '[{"path": "role", "message": "must be viewer, operator or admin"}]'
    );
  end if;

  v_user_id := runbook.user_id_of(add_member.email);

  insert into runbook.member as mem (user_id, role, added_by)
  values (v_user_id, add_member.role, v_actor)
  on conflict on constraint member_pkey do update
  set role = excluded.role, added_by = excluded.added_by, added_at = clock_timestamp();

  return v_user_id;
end;
$$;

comment on function runbook.add_member(text, text) is
'Makes a person a member with a role, or changes the role. Returns the id of the account.';
revoke all on function runbook.add_member(text, text) from public;
grant execute on function runbook.add_member(text, text) to runbook_admin;

-- Definer: lends an admin the right to delete from runbook.member.
create function runbook.remove_member(email text)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid;
begin
  perform runbook.require_role('admin');

  -- By the id as well: a member whose account is gone has no address any more.
  delete from runbook.member as mem
  where mem.user_id::text = lower(btrim(remove_member.email))
    or mem.user_id in (
      select usr.id
      from auth.users as usr
      where usr.instance_id = '00000000-0000-0000-0000-000000000000'
        and lower(usr.email::text) = runbook.normal_email(remove_member.email)
    )
  returning mem.user_id into v_user_id;

  if not found then
    raise exception 'No member has this address.'
      using
        errcode = 'P0002',
        detail = '{"refused": true}',
        hint = 'One whose account is gone is removed by id: select user_id from runbook.member.';
  end if;

  return v_user_id;
end;
$$;

comment on function runbook.remove_member(text) is
'Removes a member, by address or by id, whose next request is refused. Returns the id.';
revoke all on function runbook.remove_member(text) from public;
grant execute on function runbook.remove_member(text) to runbook_admin;

-- The account behind the claims of a user's token, if it may still act: it exists, is not banned,
-- and the session of the token has not ended. Null otherwise, and the caller learns no more.
--
-- Cost: two primary keys.
-- Misses: Auth's time box and inactivity limit, which are settings of the Auth server.
create function runbook.living_user(claims jsonb)
returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_uuid constant text := '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$';
begin
  if coalesce(living_user.claims ->> 'sub', '') !~ v_uuid
    or coalesce(living_user.claims ->> 'session_id', '') !~ v_uuid
  then
    return null;
  end if;

  return (
    select usr.id
    from auth.users as usr
    inner join auth.sessions as ses on ses.user_id = usr.id
    where usr.id = (living_user.claims ->> 'sub')::uuid
      and ses.id = (living_user.claims ->> 'session_id')::uuid
      and usr.deleted_at is null
      and (usr.banned_until is null or usr.banned_until <= clock_timestamp())
      and (ses.not_after is null or ses.not_after > clock_timestamp())
  );
end;
$$;

comment on function runbook.living_user(jsonb) is
'The id of the user of verified claims whose account and session are alive, else null.';
revoke all on function runbook.living_user(jsonb) from public;

-- The door: takes the verified claims of a request, and gives the rest of the transaction the
-- role and the name of the caller. Invoker, since a security definer function cannot set a role;
-- nobody but the owner of the schema may call it.
create function runbook.enter(claims jsonb, request_id text)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid;
  v_actor text;
  v_role text;
  v_version text := runbook.version();
begin
  if enter.claims ->> 'role' = 'service_role'
    and not enter.claims ? 'sub'
    and enter.claims ->> 'key_name' <> ''
  then
    v_actor := 'key:' || (enter.claims ->> 'key_name');
    v_role := 'admin';
  else
    v_user_id := runbook.living_user(enter.claims);

    if v_user_id is null then
      raise exception 'The session has ended.'
        using errcode = 'RB401', hint = 'Sign in again.';
    end if;

    select 'user:' || mem.user_id, mem.role
    into v_actor, v_role
    from runbook.member as mem
    where mem.user_id = v_user_id;

    if not found then
      raise exception 'The caller is not a member of the runbook.'
        using
          errcode = 'RB403',
          hint = 'An admin adds members with runbook.add_member(email, role).';
    end if;
  end if;

  perform set_config(
    'runbook.caller',
    jsonb_build_object('actor', v_actor, 'request_id', left(enter.request_id, 200))::text,
    true
  );
  -- Last: what follows runs with the caller's rights.
  perform set_config('role', 'runbook_' || v_role, true);

  return jsonb_build_object('actor', v_actor, 'role', v_role, 'version', v_version);
end;
$$;

comment on function runbook.enter(jsonb, text) is
'Begins a request: sets the caller''s role and name for the transaction and returns actor, role and
version. Raises RB401 when the account or session has ended, RB403 when it is no member''s.';
revoke all on function runbook.enter(jsonb, text) from public;
