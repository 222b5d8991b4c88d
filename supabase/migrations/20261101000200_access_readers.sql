-- The three readers, which run statements as anon, authenticated or service_role and roll them
-- back; and as whom a question is asked: account, claims, role.
--
-- `set role` is refused below a definer function, and elsewhere the statement could set it back. So
-- each reader is owned by the role it reads as: that role's rights and row level security hold,
-- and an attempt to change the role gets 42501. The owner of the schema alone may call them.

do $$
declare
  v_role text;
begin
  foreach v_role in array array['anon', 'authenticated', 'service_role'] loop
    execute format(
      $create$
      create function runbook.read_as_%1$s(
        source anyarray,
        statements text[],
        content jsonb,
        settings jsonb,
        until timestamptz
      )
      returns jsonb[]
      language plpgsql
      volatile
      security definer
      set search_path = public, extensions, pg_temp
      as $body$
      declare
        v_answers jsonb[] := array[]::jsonb[];
        v_answer jsonb;
        v_started_at timestamptz;
        v_is_done boolean;
        v_is_cancelled boolean := false;
        v_state text;
        v_message text;
        v_context text;
      begin
        for v_index in 1..pg_catalog.cardinality(read_as_%1$s.statements) loop
          if v_is_cancelled or pg_catalog.clock_timestamp() > read_as_%1$s.until then
            -- Not looked at.
            v_answers := v_answers || null::jsonb;
            continue;
          end if;

          v_started_at := pg_catalog.clock_timestamp();
          v_is_done := false;
          v_answer := null;

          begin
            perform pg_catalog.set_config(stg.key, stg.value, true)
            from pg_catalog.jsonb_each_text(read_as_%1$s.settings) as stg (key, value);

            execute read_as_%1$s.statements[v_index]
            into v_answer
            using read_as_%1$s.source, read_as_%1$s.content;

            v_is_done := true;
            -- Back to where it was, whatever the statement did.
            raise exception 'rolled back' using errcode = 'RB000', hint = 'Caught below.';
          exception
            when assert_failure or query_canceled or others then
              if not v_is_done then
                get stacked diagnostics
                  v_state = returned_sqlstate,
                  v_message = message_text,
                  v_context = pg_exception_context;
                v_is_cancelled := v_state = '57014';
                v_answer := pg_catalog.jsonb_build_object(
                  'sqlstate', v_state,
                  'message', v_message,
                  -- Raised by the statement itself and not by a function that it calls: nothing
                  -- stands above this function but the statement's own text.
                  'is_own', pg_catalog.replace(
                    pg_catalog.split_part(v_context, 'runbook.read_as_', 1),
                    read_as_%1$s.statements[v_index],
                    ''
                  ) ~ '^([^\n]*""\n)?[^\n]*$'
                );
              end if;
          end;

          v_answers := v_answers || pg_catalog.jsonb_build_object(
            'answer', v_answer,
            'failed', not v_is_done,
            'took_ms', pg_catalog.round(
              1000 * extract(epoch from pg_catalog.clock_timestamp() - v_started_at), 2
            )
          );
        end loop;

        return v_answers;
      end;
      $body$
      $create$,
      v_role
    );

    execute format(
      'comment on function runbook.read_as_%1$s(anyarray, text[], jsonb, jsonb, timestamptz) is %2$L',
      v_role,
      'Runs each statement as ' || v_role || ' with $1 (source) and $2 (content) under settings, and
rolls it back: {answer, failed, took_ms} each, null for what was not begun until then.'
    );
    execute format(
      'revoke all on function
         runbook.read_as_%1$s(anyarray, text[], jsonb, jsonb, timestamptz) from public',
      v_role
    );

    -- A new owner must be able to create in the schema, so for a moment it may.
    execute format('grant create on schema runbook to %I', v_role);
    execute format(
      'alter function runbook.read_as_%1$s(anyarray, text[], jsonb, jsonb, timestamptz)
       owner to %1$I',
      v_role
    );
    execute format('revoke create on schema runbook from %I', v_role);
    execute format(
      'grant execute on function
         runbook.read_as_%1$s(anyarray, text[], jsonb, jsonb, timestamptz) to current_user',
      v_role
    );
    execute format(
      'revoke all on function
         runbook.read_as_%1$s(anyarray, text[], jsonb, jsonb, timestamptz) from %1$I',
      v_role
    );
  end loop;
end;
$$;

-- Answers of a reader without the values that Postgres quotes when one does not fit its type: they
-- may stand in any row that a policy reads. What the claims hold is known to whoever asks.
create function runbook.without_values(answers jsonb[], settings jsonb)
returns jsonb[]
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return array(
    select case
      -- Class 22 are data exceptions.
      when got.answer #>> '{answer,sqlstate}' like '22%'
        and strpos(
          coalesce(without_values.settings ->> 'request.jwt.claims', ''),
          coalesce(
            to_jsonb(substring(got.answer #>> '{answer,message}' from '"(.*)"'))::text, ''
          )
        ) = 0
        then jsonb_set(
          got.answer,
          '{answer,message}',
          to_jsonb(regexp_replace(got.answer #>> '{answer,message}', '".*"', '"…"'))
        )
      else got.answer
    end
    from unnest(without_values.answers) with ordinality as got (answer, position)
    order by got.position
  );
end;
$$;

comment on function runbook.without_values(jsonb[], jsonb) is
'Answers of a reader without quoted values in the messages of data exceptions, those of the claims
apart.';
revoke all on function runbook.without_values(jsonb[], jsonb) from public;

-- One gate of an explanation.
create function runbook.access_gate(gate text, state text, summary text, evidence jsonb)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'gate', access_gate.gate,
      'state', access_gate.state,
      'summary', access_gate.summary,
      'evidence', coalesce(access_gate.evidence, '{}')
    )
  );
end;
$$;

comment on function runbook.access_gate(text, text, text, jsonb) is
'{gate, state, summary, evidence}; the state is pass, fail, unknown or not_reached.';
revoke all on function runbook.access_gate(text, text, text, jsonb) from public;

-- The ids of the accounts that somebody means by an address or an id.
--
-- Cost: one probe of an index of auth.users.
create function runbook.accounts_of(who text)
returns uuid[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_uuid constant text := '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$';
begin
  if btrim(accounts_of.who) ~ v_uuid then
    return array(
      select usr.id from auth.users as usr where usr.id = btrim(accounts_of.who)::uuid
    );
  end if;

  return array(
    select usr.id
    from auth.users as usr
    where usr.instance_id = '00000000-0000-0000-0000-000000000000'
      and lower(usr.email::text) = runbook.normal_email(accounts_of.who)
    order by usr.deleted_at nulls first, usr.is_sso_user, usr.id
  );
end;
$$;

comment on function runbook.accounts_of(text) is
'The accounts with this address, or with this id; an account that is in use comes first.';
revoke all on function runbook.accounts_of(text) from public;

-- Functions that look like a hook that changes the claims of a token: Auth alone may call them, and
-- their name says so.
--
-- Cost: reads pg_proc's names.
-- Misses: a hook by another name, and one that is an address on the web.
create function runbook.token_hooks()
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if to_regrole('supabase_auth_admin') is null then
    return '{}';
  end if;

  return array(
    with candidates as materialized (
      select fun.oid, fun.proname, fun.pronamespace
      from pg_catalog.pg_proc as fun
      where fun.pronargs = 1
        and fun.prorettype = 'jsonb'::regtype
        and fun.proargtypes[0] = 'jsonb'::regtype
    )
    select format('%I.%I', nsp.nspname, fun.proname) collate "default"
    from candidates as fun
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = fun.pronamespace
    where fun.proname ~* 'token_hook|access_token'
      and nsp.nspname not in ('auth', 'runbook', 'pg_catalog')
      and has_function_privilege('supabase_auth_admin', fun.oid, 'execute')
    order by 1
  );
end;
$$;

comment on function runbook.token_hooks() is
'Functions (event jsonb) returning jsonb that seem to be hooks which change a token''s claims.';
revoke all on function runbook.token_hooks() from public;

-- The claims of the access token that Auth would issue to an account now. A hook that adds to them
-- runs in Auth and cannot be foreseen, so a database that seems to have one gets `unknown`.
create function runbook.claims_of(user_id uuid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select jsonb_strip_nulls(
      jsonb_build_object(
        'iss', (
          select (stg.value #>> '{}') || '/auth/v1'
          from runbook.setting as stg
          where stg.name = 'functions_url'
        ),
        'session_id', ses.id
      )
    ) || jsonb_build_object(
      'sub', usr.id,
      'aud', usr.aud,
      'iat', floor(extract(epoch from clock_timestamp())),
      'exp', floor(extract(epoch from clock_timestamp())) + 3600,
      'email', coalesce(usr.email, ''),
      'phone', coalesce(usr.phone, ''),
      'app_metadata', coalesce(usr.raw_app_meta_data, '{}'),
      'user_metadata', coalesce(usr.raw_user_meta_data, '{}'),
      'role', coalesce(usr.role, ''),
      'aal', coalesce(ses.aal::text, 'aal1'),
      'amr', coalesce(
        (
          select jsonb_agg(
            jsonb_build_object(
              'method', amr.authentication_method,
              'timestamp', floor(extract(epoch from amr.updated_at))
            )
            order by amr.updated_at desc
          )
          from auth.mfa_amr_claims as amr
          where amr.session_id = ses.id
        ),
        '[]'
      ),
      'is_anonymous', usr.is_anonymous
    )
    from auth.users as usr
    left join lateral (
      select live.id, live.aal
      from auth.sessions as live
      where live.user_id = usr.id
        and (live.not_after is null or live.not_after > clock_timestamp())
      order by coalesce(live.refreshed_at at time zone 'UTC', live.updated_at, live.created_at) desc
      limit 1
    ) as ses on true
    where usr.id = claims_of.user_id
  );
end;
$$;

comment on function runbook.claims_of(uuid) is
'The claims that Auth puts into an account''s token, for its newest session. Null without one.';
revoke all on function runbook.claims_of(uuid) from public;

-- The gates about the person and the role, with what was found: {subject, role, claims, gates}.
create function runbook.access_subject(params jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_who constant text := access_subject.params ->> 'user';
  v_given constant jsonb := coalesce(access_subject.params -> 'claims', '{}');
  v_ids uuid[];
  v_user auth.users;
  v_claims jsonb;
  v_derived jsonb;
  v_role text;
  v_hooks text[];
  v_gates jsonb := '[]';
begin
  if v_who is null then
    v_claims := jsonb_build_object('role', access_subject.params ->> 'role') || v_given;
    v_gates := jsonb_build_array(
      runbook.access_gate('user', 'pass', 'Asked for a role and not for a person.', '{}'),
      runbook.access_gate(
        'claims', 'pass', 'The token carries the role and what was given.', '{}'
      )
    );
  else
    v_ids := runbook.accounts_of(v_who);

    select usr.*
    into v_user
    from auth.users as usr
    where usr.id = v_ids[1];

    v_gates := v_gates || case
      when v_user.id is null then runbook.access_gate(
        'user', 'fail',
        format('There is no account %s; nobody can sign in with it.', quote_literal(v_who)),
        '{}'
      )
      when v_user.deleted_at is not null then runbook.access_gate(
        'user', 'fail',
        format('The account was deleted at %s.', runbook.utc_text(v_user.deleted_at)),
        jsonb_build_object('deleted_at', v_user.deleted_at)
      )
      when v_user.banned_until > clock_timestamp() then runbook.access_gate(
        'user', 'fail',
        format(
          'The account is banned until %s; a token from before holds for an hour at most.',
          runbook.utc_text(v_user.banned_until)
        ),
        jsonb_build_object('banned_until', v_user.banned_until)
      )
      when cardinality(v_ids) > 1 and v_who !~ '^[0-9a-fA-F-]{36}$' then runbook.access_gate(
        'user', 'unknown',
        format(
          '%s accounts have this address; explained is %s. Name one by its id.',
          cardinality(v_ids), v_user.id
        ),
        jsonb_build_object('accounts', to_jsonb(v_ids))
      )
      when v_user.confirmed_at is null and not v_user.is_anonymous then runbook.access_gate(
        'user', 'unknown',
        'The account exists, but its address is not confirmed: Auth may refuse it a token. '
        'diagnose-login tells.',
        '{}'
      )
      else runbook.access_gate('user', 'pass', 'The account exists and may sign in.', '{}')
    end;

    if v_gates #>> '{0,state}' <> 'fail' then
      v_derived := runbook.claims_of(v_user.id);
      v_claims := v_derived || v_given;
      v_hooks := runbook.token_hooks();
      v_gates := v_gates || runbook.access_gate(
        'claims',
        case when cardinality(v_hooks) > 0 then 'unknown' else 'pass' end,
        case
          when cardinality(v_hooks) > 0 then format(
            'These are the claims that Auth makes; %s may change them. Give what it adds in claims.',
            array_to_string(v_hooks, ', ')
          )
          when v_given = '{}' then 'The claims are those that Auth would issue now.'
          else 'The claims are those that Auth would issue now, with what was given over them.'
        end
        || case
          when v_derived ? 'session_id' then ''
          else ' There is no session, so session_id is missing and aal is aal1.'
        end,
        jsonb_strip_nulls(
          jsonb_build_object(
            'given', (select jsonb_agg(named.key) from jsonb_object_keys(v_given) as named (key)),
            'hooks', nullif(to_jsonb(v_hooks), '[]')
          )
        )
      );
    end if;
  end if;

  v_role := nullif(v_claims ->> 'role', '');

  if v_claims is not null then
    -- The Data API takes its own role for nobody where the token names none.
    v_gates := v_gates || runbook.role_gate(coalesce(v_role, 'anon'));
    v_role := coalesce(v_role, 'anon');
    v_claims := v_claims || jsonb_build_object('role', v_role);
  end if;

  return jsonb_build_object(
    'subject', jsonb_build_object(
      'user_id', v_user.id,
      'email', nullif(v_user.email, ''),
      'role', coalesce(v_user.role, v_role)
    ),
    'role', v_role,
    'claims', v_claims,
    'gates', v_gates
  );
end;
$$;

comment on function runbook.access_subject(jsonb) is
'{subject, role, claims, gates} for {user or role, claims}: as whom the Data API would act.';
revoke all on function runbook.access_subject(jsonb) from public;

-- The gate `role`: the Data API can take the role.
create function runbook.role_gate(role text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_role pg_catalog.pg_roles;
  v_evidence jsonb;
begin
  select rol.*
  into v_role
  from pg_catalog.pg_roles as rol
  where rol.rolname = role_gate.role;

  if not found then
    return runbook.access_gate(
      'role', 'fail',
      format('There is no role %s, which the claims name.', quote_ident(role_gate.role)),
      jsonb_build_object('role', role_gate.role)
    );
  end if;

  v_evidence := jsonb_build_object(
    'role', v_role.rolname,
    'bypasses_row_security', v_role.rolsuper or v_role.rolbypassrls,
    'inherits', (
      select coalesce(jsonb_agg(grp.rolname order by grp.rolname), '[]')
      from pg_catalog.pg_roles as grp
      where grp.oid <> v_role.oid
        and pg_has_role(v_role.oid, grp.oid, 'usage')
        and not v_role.rolsuper
    )
  );

  if to_regrole('authenticator') is not null
    and not pg_has_role('authenticator', v_role.oid, 'member')
  then
    return runbook.access_gate(
      'role', 'fail',
      format(
        'The Data API signs in as authenticator, which may not take the role %s.',
        quote_ident(v_role.rolname)
      ),
      v_evidence
    );
  end if;

  return runbook.access_gate(
    'role', 'pass', format('The Data API acts as %s.', quote_ident(v_role.rolname)), v_evidence
  );
end;
$$;

comment on function runbook.role_gate(text) is
'The gate role: there is such a role, and the Data API''s login may take it.';
revoke all on function runbook.role_gate(text) from public;
