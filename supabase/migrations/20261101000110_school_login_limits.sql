-- The school's pack, login: its own limiter keeps `public.auth_rate_limits`, and an address that
-- is blocked there cannot sign in whatever Auth says; and `public.profiles` keeps the address of an
-- account that was deleted, which Auth itself forgets.
--
-- The tables are the application's. They are looked for when a function is called; where they are
-- absent the pack answers `not_applicable`.

-- The limiter's table, if it stands here with the columns that the handbook names.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.login_limits_table()
returns regclass
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select cls.oid::regclass
    from pg_catalog.pg_class as cls
    where cls.oid = to_regclass('public.auth_rate_limits')
      and cls.relkind in ('r', 'p')
      and 2 = (
        select count(*)
        from pg_catalog.pg_attribute as att
        where att.attrelid = cls.oid
          and att.attname in ('identifier', 'blocked_until')
          and not att.attisdropped
      )
  );
end;
$$;

comment on function runbook.login_limits_table() is
'The school''s table of blocked sign-ins, or null where there is none.';
revoke all on function runbook.login_limits_table() from public;

-- The rows that block an address now, as JSON. The school writes identifiers as people typed them,
-- so letters are compared without case; its `blocked_until` is compared with the real clock.
--
-- Cost: reads the limiter's table, whole unless it has an index on lower(identifier).
create function runbook.login_blocks(email text)
returns setof jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_table constant regclass := runbook.login_limits_table();
begin
  if v_table is null then
    return;
  end if;

  return query execute format(
    'select to_jsonb(lim.*)
     from %s as lim
     where lower(btrim(lim.identifier::text)) = $1
       and lim.blocked_until > clock_timestamp()
     order by lim.blocked_until desc',
    v_table
  )
  using runbook.normal_email(login_blocks.email);
end;
$$;

comment on function runbook.login_blocks(text) is
'The rows of the school''s limiter that block an address now.';
revoke all on function runbook.login_blocks(text) from public;

-- Whether the school's limiter blocks an address, which need not have an account.
--
-- Cost: that of runbook.login_blocks; AccessShareLock on public.auth_rate_limits.
-- Misses: limits by anything but the address.
create function runbook.diagnose_login_limits(params jsonb)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_account constant runbook.account := runbook.account_of(diagnose_login_limits.params);
  v_email constant text := coalesce(v_account.asked_email, v_account.email);
  v_rows bigint;
  v_until timestamptz;
  v_identifiers jsonb;
begin
  if runbook.login_limits_table() is null then
    return next runbook.not_applicable(
      'rate_limited',
      'There is no table public.auth_rate_limits (identifier, blocked_until) here.'
    );
    return;
  end if;

  select
    count(*),
    max((blk.content ->> 'blocked_until')::timestamptz),
    jsonb_agg(distinct blk.content -> 'identifier')
  into v_rows, v_until, v_identifiers
  from runbook.login_blocks(v_email) as blk (content);

  if v_rows > 0 then
    return next row(
      'rate_limited',
      'warning',
      v_email,
      format('Too many attempts: sign-in is blocked until %s.', runbook.utc_text(v_until)),
      jsonb_build_object(
        'blocked_until', v_until,
        'rows', v_rows,
        'identifiers', v_identifiers
      ),
      'read from public.auth_rate_limits',
      'unblock-login',
      jsonb_build_object('email', v_email)
    )::runbook.finding;
  end if;
end;
$$;

comment on function runbook.diagnose_login_limits(jsonb) is
'Whether the school''s login limiter blocks an address: rate_limited.';
revoke all on function runbook.diagnose_login_limits(jsonb) from public;

-- The application's profiles, if they keep an id and an e-mail address, with the condition that
-- finds an address: by an index, or by reading all of a small table. None where there is neither.
create function runbook.profile_source(out relation regclass, out condition text)
returns record
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_small_bytes constant bigint := 8 * 1024 * 1024;
  v_indexed text[];
begin
  select cls.oid::regclass
  into profile_source.relation
  from pg_catalog.pg_class as cls
  where cls.oid = to_regclass('public.profiles')
    and cls.relkind in ('r', 'p')
    and 2 = (
      select count(*)
      from pg_catalog.pg_attribute as att
      where att.attrelid = cls.oid
        and (att.attname, att.atttypid) in (
          ('id', 'uuid'::regtype), ('email', 'text'::regtype), ('email', 'varchar'::regtype)
        )
        and not att.attisdropped
    );

  if not found then
    return;
  end if;

  v_indexed := array(
    select pg_get_indexdef(idx.indexrelid, 1, true)
    from pg_catalog.pg_index as idx
    where idx.indrelid = profile_source.relation
      and idx.indisvalid
      and idx.indpred is null
  );

  profile_source.condition := case
    when v_indexed && array['lower(email)', 'lower(email::text)'] then 'lower(prf.email) = $1'
    when 'email' = any (v_indexed) then 'prf.email = $1'
    when pg_relation_size(profile_source.relation) <= v_small_bytes then 'lower(prf.email) = $1'
  end;
end;
$$;

comment on function runbook.profile_source() is
'The table public.profiles (id, email) and the condition that finds an address $1 in it quickly.';
revoke all on function runbook.profile_source() from public;

-- Whether an address without an account is that of one that was deleted: Auth keeps the row and
-- replaces the address by a hash over the id and the address, and the profile still has it.
--
-- Cost: a probe of an index on public.profiles (email), or the table whole when it is small, and a
-- probe of the primary key of auth.users. Nothing where the address has an account.
-- Misses: profiles that were removed or changed with the account.
create function runbook.diagnose_login_profile(params jsonb)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_account constant runbook.account := runbook.account_of(diagnose_login_profile.params);
  v_source record;
  v_ids uuid[];
  v_user record;
begin
  if v_account.id is not null or v_account.asked_email is null then
    return;
  end if;

  select src.relation, src.condition
  into v_source
  from runbook.profile_source() as src;

  if v_source.relation is null then
    return next runbook.not_applicable(
      'deleted',
      'There is no table public.profiles (id, email) here, which could know a deleted account.'
    );
    return;
  elsif v_source.condition is null then
    return next runbook.skipped(
      'deleted',
      'public.profiles is large and has no index on email, so it was not searched.'
    );
    return;
  end if;

  execute format(
    'select array(select prf.id from %s as prf where %s limit 10)',
    v_source.relation,
    v_source.condition
  )
  into v_ids
  using v_account.asked_email;

  for v_user in
    select
      usr.id,
      usr.deleted_at,
      usr.email = rtrim(
        translate(
          encode(sha256(convert_to(usr.id || v_account.asked_email, 'UTF8')), 'base64'),
          '+/',
          '-_'
        ),
        '='
      ) as hash_fits
    from auth.users as usr
    where usr.id = any (v_ids)
      and usr.deleted_at is not null
  loop
    return next row(
      'deleted',
      'warning',
      v_account.subject,
      format('The account was deleted at %s.', runbook.utc_text(v_user.deleted_at)),
      jsonb_build_object(
        'user_id', v_user.id,
        'deleted_at', v_user.deleted_at,
        'hash_fits', v_user.hash_fits
      ),
      'found through public.profiles, read from auth.users',
      null,
      null
    )::runbook.finding;
  end loop;
end;
$$;

comment on function runbook.diagnose_login_profile(jsonb) is
'Whether the address is that of a deleted account which the school''s profiles remember: deleted.';
revoke all on function runbook.diagnose_login_profile(jsonb) from public;

-- Declares the deletion of the limiter's rows that block an address now.
create function runbook.unblock_login(params jsonb)
returns setof runbook.declared_step
language sql
stable
security invoker
set search_path = ''
as $$
  select runbook.delete_step(
    lim.relation,
    runbook.key_of(lim.relation, blk.content),
    format(
      'Delete the block of %s that lasts until %s.',
      blk.content ->> 'identifier',
      runbook.utc_text((blk.content ->> 'blocked_until')::timestamptz)
    )
  )
  from (select runbook.login_limits_table() as relation) as lim
  cross join runbook.login_blocks(unblock_login.params ->> 'email') as blk (content)
  where lim.relation is not null;
$$;

comment on function runbook.unblock_login(jsonb) is
'Declares which rows of the school''s login limiter to delete, so that an address may try again.';
revoke all on function runbook.unblock_login(jsonb) from public;

insert into runbook.issue_part (issue, function, codes, pack)
values
  (
    'login',
    'runbook.diagnose_login_limits',
    '{"rate_limited": "The school''s limiter blocks the address after too many attempts."}',
    'school'
  ),
  (
    'login',
    'runbook.diagnose_login_profile',
    '{"deleted": "The account was deleted, and the school''s profiles remember its address."}',
    'school'
  );

insert into runbook.remediation (
  name,
  title,
  description,
  parameters,
  subject_keys,
  function,
  risk,
  issue,
  cures,
  pack
)
values (
  'unblock-login',
  'Clear the login limit of an address',
  'Deletes the rows of the school''s login limiter that block the address now.',
  '{
    "type": "object",
    "properties": {
      "email": {
        "type": "string",
        "minLength": 1,
        "maxLength": 320,
        "description": "The blocked address; it need not have an account."
      }
    },
    "required": ["email"],
    "additionalProperties": false
  }',
  array['email'],
  'runbook.unblock_login',
  'low',
  'login',
  array['rate_limited'],
  'school'
);
