-- The issue "User cannot login", as far as Auth itself knows: everything in its tables and settings
-- that can stop a sign-in with an e-mail address and a password, and what the account is like.
--
-- It reads Auth's tables through their indexes and writes nothing; auth.audit_log_entries, which
-- has no index by person, is never read. What an application adds, such as a limiter of its own, is
-- for its pack.

create type runbook.account as (
  subject text,
  asked_email text,
  id uuid,
  email text,
  has_password boolean,
  created_at timestamptz,
  invited_at timestamptz,
  email_confirmed_at timestamptz,
  confirmation_sent_at timestamptz,
  email_change text,
  email_change_sent_at timestamptz,
  banned_until timestamptz,
  deleted_at timestamptz,
  is_sso_user boolean
);

comment on type runbook.account is
'Whom a request is about: the address that was asked for and the account in Auth, if there is one.
The subject is the address, or the id of an account that has none.';

revoke all on type runbook.account from public;

-- The account that parameters name, by exactly one of `email` and `user_id`. Its id is null when
-- there is none.
--
-- Addresses are matched as Auth does: its instance, lower case, an account by single sign-on last.
-- Cost: one probe of auth.users_instance_id_email_idx and one of the primary key. `email =` and
-- `lower(email) =` alone would read the whole table.
create function runbook.account_of(params jsonb)
returns runbook.account
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_user_id constant text := account_of.params ->> 'user_id';
  v_account runbook.account;
begin
  v_account.asked_email := runbook.normal_email(account_of.params ->> 'email');

  if num_nonnulls(v_account.asked_email, v_user_id) <> 1 then
    perform runbook.refuse_problems(
      case
        when v_user_id is null then
          '[
            {"path": "email", "message": "is required, or user_id"},
            {"path": "user_id", "message": "is required, or email"}
          ]'::jsonb
        else
          '[
            {"path": "email", "message": "cannot stand beside user_id"},
            {"path": "user_id", "message": "cannot stand beside email"}
          ]'
      end
    );
  end if;

  if v_user_id !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    perform runbook.refuse_problems('[{"path": "user_id", "message": "must be a UUID"}]');
  end if;

  v_account.id := v_user_id::uuid;

  if v_account.id is null then
    select usr.id
    into v_account.id
    from auth.users as usr
    where usr.instance_id = '00000000-0000-0000-0000-000000000000'
      and lower(usr.email::text) = v_account.asked_email
    order by usr.is_sso_user, usr.created_at
    limit 1;
  end if;

  select
    usr.id,
    lower(nullif(usr.email, '')),
    coalesce(usr.encrypted_password, '') <> '',
    usr.created_at,
    usr.invited_at,
    usr.email_confirmed_at,
    usr.confirmation_sent_at,
    lower(nullif(usr.email_change, '')),
    usr.email_change_sent_at,
    usr.banned_until,
    usr.deleted_at,
    usr.is_sso_user
  into
    v_account.id,
    v_account.email,
    v_account.has_password,
    v_account.created_at,
    v_account.invited_at,
    v_account.email_confirmed_at,
    v_account.confirmation_sent_at,
    v_account.email_change,
    v_account.email_change_sent_at,
    v_account.banned_until,
    v_account.deleted_at,
    v_account.is_sso_user
  from auth.users as usr
  where usr.id = v_account.id;

  v_account.subject := coalesce(
    v_account.asked_email,
    case when v_account.deleted_at is null then v_account.email end,
    lower(v_user_id)
  );

  return v_account;
end;
$$;

comment on function runbook.account_of(jsonb) is
'The account with the email or the user_id of the parameters. Raises RB400 unless exactly one of
them is given, and for an id that is no UUID.';
revoke all on function runbook.account_of(jsonb) from public;

-- What there is to say when no account has the address: whose it is going to be, or who has one
-- like it.
--
-- Cost: a hash probe of auth.one_time_tokens_relates_to_hash_idx; that of runbook.near_misses.
-- Misses: a change of address of which the mail to the new address was already answered.
create function runbook.findings_of_missing_account(account runbook.account)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_asked constant text := (findings_of_missing_account.account).asked_email;
  v_subject constant text := (findings_of_missing_account.account).subject;
  v_settings constant runbook.probe := runbook.fresh_probe('auth_settings');
  v_change record;
  v_near jsonb;
  v_near_text text;
  v_by_sso boolean;
begin
  if v_asked is null then
    return next row(
      'no_such_user',
      'warning',
      v_subject,
      'No account has this id.',
      '{}'::jsonb,
      'looked up in auth.users by its primary key',
      null,
      null
    )::runbook.finding;
    return;
  end if;

  select usr.id, lower(usr.email) as email, usr.email_change_sent_at
  into v_change
  from auth.one_time_tokens as ott
  inner join auth.users as usr on usr.id = ott.user_id
  where ott.relates_to = v_asked
    and ott.token_type = 'email_change_token_new'
    and lower(usr.email_change) = v_asked
    and usr.deleted_at is null
  limit 1;

  if found then
    return next row(
      'email_change_pending',
      'warning',
      v_subject,
      format(
        'This is the new address of %s, and the change that was asked for at %s is not confirmed: '
        'until then only the old address signs in.',
        v_change.email,
        runbook.utc_text(v_change.email_change_sent_at)
      ),
      jsonb_build_object(
        'user_id', v_change.id,
        'email', v_change.email,
        'email_change', v_asked,
        'email_change_sent_at', v_change.email_change_sent_at
      ),
      'found through auth.one_time_tokens, read from auth.users',
      null,
      null
    )::runbook.finding;
    return;
  end if;

  v_near := runbook.near_misses(v_asked);
  v_by_sso := exists (
    select
    from auth.sso_domains as dom
    where lower(dom.domain) = substring(v_asked from '[^@]*$')
  );
  v_near_text := (
    select string_agg(near.content ->> 'email', ', ' order by near.position)
    from jsonb_array_elements(v_near) with ordinality as near (content, position)
  );

  return next row(
    'no_such_user',
    'warning',
    v_subject,
    concat_ws(
      ' ',
      'No account has this address.',
      'There is one like it: ' || v_near_text || '.',
      case when v_by_sso then 'People of this domain come through single sign-on.' end,
      case
        when v_settings.ok and (v_settings.evidence -> 'disable_signup') = 'true'
          then 'Sign-up is switched off.'
      end
    ),
    jsonb_build_object('near_misses', v_near, 'domain_has_single_sign_on', v_by_sso),
    'looked up in auth.users as Auth does',
    null,
    null
  )::runbook.finding;
end;
$$;

comment on function runbook.findings_of_missing_account(runbook.account) is
'What there is to say where there is no account: no_such_user or email_change_pending.';
revoke all on function runbook.findings_of_missing_account(runbook.account) from public;

-- What keeps an account from signing in with its address and a password, by its own row.
--
-- Compared with the real clock, since Auth wrote the times.
create function runbook.findings_of_account(account runbook.account)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_account constant runbook.account := findings_of_account.account;
  v_params constant jsonb := jsonb_build_object('user_id', v_account.id);
  -- Auth lets a link live for 24 hours at most, whatever its settings say.
  v_mail_is_dead constant boolean := coalesce(
    v_account.confirmation_sent_at <= clock_timestamp() - interval '24 hours',
    true
  );
begin
  if v_account.email is null then
    return next row(
      'no_email',
      'warning',
      v_account.subject,
      'The account has no e-mail address: it is anonymous or signs in by telephone.',
      v_params,
      'read from auth.users',
      null,
      null
    )::runbook.finding;
  elsif v_account.email_confirmed_at is null then
    return next row(
      'unconfirmed',
      'warning',
      v_account.subject,
      case
        when v_account.confirmation_sent_at is null
          then 'The address is not confirmed, and no confirmation mail is on record.'
        else format(
          'The address is not confirmed; the confirmation mail went out at %s.',
          runbook.utc_text(v_account.confirmation_sent_at)
        )
      end,
      v_params || jsonb_build_object(
        'created_at', v_account.created_at,
        'invited_at', v_account.invited_at,
        'confirmation_sent_at', v_account.confirmation_sent_at
      ),
      'read from auth.users',
      'confirm-email',
      v_params
    )::runbook.finding;

    if v_mail_is_dead and not v_account.is_sso_user then
      return next row(
        'confirmation_expired',
        'warning',
        v_account.subject,
        case
          when v_account.confirmation_sent_at is null
            then 'There is no confirmation mail that the person could answer.'
          else 'The link in the confirmation mail is dead: none lives longer than 24 hours.'
        end,
        v_params || jsonb_build_object('confirmation_sent_at', v_account.confirmation_sent_at),
        'read from auth.users',
        'resend-confirmation',
        v_params
      )::runbook.finding;
    end if;
  end if;

  if v_account.banned_until > clock_timestamp() then
    return next row(
      'banned',
      'warning',
      v_account.subject,
      format('The account is banned until %s.', runbook.utc_text(v_account.banned_until)),
      v_params || jsonb_build_object('banned_until', v_account.banned_until),
      'read from auth.users',
      'unban-user',
      v_params
    )::runbook.finding;
  end if;

  if v_account.email_change is not null then
    return next row(
      'email_change_pending',
      'info',
      v_account.subject,
      format(
        'A change to %s, asked for at %s, is not confirmed: until then the old address signs in.',
        v_account.email_change,
        runbook.utc_text(v_account.email_change_sent_at)
      ),
      v_params || jsonb_build_object(
        'email_change', v_account.email_change,
        'email_change_sent_at', v_account.email_change_sent_at
      ),
      'read from auth.users',
      null,
      null
    )::runbook.finding;
  end if;
end;
$$;

comment on function runbook.findings_of_account(runbook.account) is
'What an account''s row tells: no_email, unconfirmed, confirmation_expired, banned,
email_change_pending.';
revoke all on function runbook.findings_of_account(runbook.account) from public;

-- How an account signs in, if not with a password alone: by single sign-on, by a provider, with a
-- second factor.
--
-- Cost: a probe of auth.identities and one of auth.mfa_factors by user_id. Neither a password's
-- hash nor a factor's secret leaves the tables.
create function runbook.findings_of_ways_in(account runbook.account)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_account constant runbook.account := findings_of_ways_in.account;
  v_providers text[];
  v_factors text[];
begin
  if v_account.is_sso_user then
    return next row(
      'sso_account',
      'warning',
      v_account.subject,
      'The account comes through single sign-on; Auth does not take a password for it.',
      jsonb_build_object('user_id', v_account.id),
      'read from auth.users',
      null,
      null
    )::runbook.finding;
    return;
  end if;

  if not v_account.has_password then
    v_providers := array(
      select distinct idn.provider
      from auth.identities as idn
      where idn.user_id = v_account.id
        and idn.provider <> 'email'
      order by 1
    );

    return next row(
      'no_password',
      'warning',
      v_account.subject,
      case
        when v_providers <> '{}' then format(
          'The account has no password; it signs in with %s.',
          array_to_string(v_providers, ', ')
        )
        when v_account.invited_at is not null and v_account.email_confirmed_at is null then
          'The account has no password yet: the invitation was not accepted.'
        else 'The account has no password; it signs in with mailed links or codes.'
      end,
      jsonb_build_object('user_id', v_account.id, 'providers', v_providers),
      'read from auth.users and auth.identities',
      null,
      null
    )::runbook.finding;
  end if;

  v_factors := array(
    select fac.factor_type::text
    from auth.mfa_factors as fac
    where fac.user_id = v_account.id
      and fac.status = 'verified'
    order by fac.created_at
  );

  if v_factors <> '{}' then
    return next row(
      'second_factor',
      'info',
      v_account.subject,
      format(
        'After the password a second factor is asked for: %s.',
        array_to_string(v_factors, ', ')
      ),
      jsonb_build_object('user_id', v_account.id, 'factor_types', v_factors),
      'read from auth.mfa_factors',
      null,
      null
    )::runbook.finding;
  end if;
end;
$$;

comment on function runbook.findings_of_ways_in(runbook.account) is
'How an account signs in, if not with a password alone: sso_account, no_password, second_factor.';
revoke all on function runbook.findings_of_ways_in(runbook.account) from public;

-- The sessions of an account that live.
--
-- Cost: a probe of auth.sessions by user_id.
-- Misses: limits of a session's length that only Auth's settings know.
create function runbook.findings_of_sessions(account runbook.account)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_account constant runbook.account := findings_of_sessions.account;
  v_count bigint;
  v_refreshed_at timestamptz;
begin
  select count(*), max(coalesce(ses.refreshed_at at time zone 'UTC', ses.created_at))
  into v_count, v_refreshed_at
  from auth.sessions as ses
  where ses.user_id = v_account.id
    and (ses.not_after is null or ses.not_after > clock_timestamp());

  if v_count > 0 then
    return next row(
      'signed_in',
      'info',
      v_account.subject,
      format(
        'Signed in: %s, used last at %s.',
        case v_count when 1 then 'one session' else v_count || ' sessions' end,
        runbook.utc_text(v_refreshed_at)
      ),
      jsonb_build_object(
        'user_id', v_account.id,
        'sessions', v_count,
        'refreshed_at', v_refreshed_at
      ),
      'counted in auth.sessions',
      'sign-out-user',
      jsonb_build_object('user_id', v_account.id)
    )::runbook.finding;
  end if;
end;
$$;

comment on function runbook.findings_of_sessions(runbook.account) is
'Whether an account is signed in somewhere: signed_in.';
revoke all on function runbook.findings_of_sessions(runbook.account) from public;

-- What an edge function saw of Auth just before: whether it answers and takes e-mail addresses.
create function runbook.findings_of_auth()
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_health constant runbook.probe := runbook.fresh_probe('auth_health');
  v_settings constant runbook.probe := runbook.fresh_probe('auth_settings');
begin
  if v_health.name is null then
    return next runbook.skipped(
      'auth_reachable',
      runbook.stale_reason('auth_health', '60 seconds')
    );
  elsif not v_health.ok then
    return next runbook.auth_health_finding(v_health);
  end if;

  if v_settings.name is null then
    return next runbook.skipped(
      'auth_settings',
      runbook.stale_reason('auth_settings', '60 seconds')
    );
  elsif not v_settings.ok or not v_settings.evidence #> '{external,email}' in ('true', 'false') then
    return next runbook.skipped(
      'auth_settings',
      format('Auth did not tell its settings at %s.', runbook.utc_text(v_settings.seen_at))
    );
  elsif v_settings.evidence #> '{external,email}' = 'false' then
    return next row(
      'email_sign_in_off',
      'critical',
      'auth',
      'Sign-in by e-mail is switched off in Auth''s settings; nobody can sign in with a password.',
      v_settings.evidence || jsonb_build_object('seen_at', v_settings.seen_at),
      'probe of Auth''s settings by an edge function',
      null,
      null
    )::runbook.finding;
  end if;
end;
$$;

comment on function runbook.findings_of_auth() is
'What was seen of Auth just before: auth_unreachable, email_sign_in_off.';
revoke all on function runbook.findings_of_auth() from public;

-- Why a sign-in with an e-mail address and a password fails, as far as Auth's tables and settings
-- tell.
--
-- Cost: a handful of index probes; AccessShareLock on tables of Auth.
-- Misses: what the catalog lists as blind spots.
create function runbook.diagnose_login(params jsonb)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_account constant runbook.account := runbook.account_of(diagnose_login.params);
  v_findings runbook.finding[];
  v_finding runbook.finding;
begin
  if v_account.id is null then
    v_findings := array(select fnd from runbook.findings_of_missing_account(v_account) as fnd);
  elsif v_account.deleted_at is not null then
    v_findings := array[
      row(
        'deleted',
        'warning',
        v_account.subject,
        format('The account was deleted at %s.', runbook.utc_text(v_account.deleted_at)),
        jsonb_build_object('user_id', v_account.id, 'deleted_at', v_account.deleted_at),
        'read from auth.users',
        null,
        null
      )::runbook.finding
    ];
  else
    v_findings := array(select fnd from runbook.findings_of_account(v_account) as fnd)
      || array(select fnd from runbook.findings_of_ways_in(v_account) as fnd)
      || array(select fnd from runbook.findings_of_sessions(v_account) as fnd);
  end if;

  v_findings := v_findings || array(select fnd from runbook.findings_of_auth() as fnd);

  foreach v_finding in array v_findings loop
    return next v_finding;
  end loop;
end;
$$;

comment on function runbook.diagnose_login(jsonb) is
'Why a person cannot sign in with an e-mail address and a password, by Auth''s tables and settings.';
revoke all on function runbook.diagnose_login(jsonb) from public;

insert into runbook.issue (
  name,
  title,
  description,
  parameters,
  subject_keys,
  function,
  codes,
  probes,
  blind_spots
)
values (
  'login',
  'User cannot login',
  'The login form submits but returns an error.',
  '{
    "type": "object",
    "description": "Exactly one of email and user_id.",
    "properties": {
      "email": {
        "type": "string",
        "minLength": 1,
        "maxLength": 320,
        "description": "The address that the person signs in with."
      },
      "user_id": {
        "type": "string",
        "minLength": 36,
        "maxLength": 36,
        "description": "The id of the account, instead of the address."
      }
    },
    "additionalProperties": false
  }',
  array['email', 'user_id'],
  'runbook.diagnose_login',
  '{
    "no_such_user": "No account has this address; the evidence names accounts with one like it.",
    "no_email": "The account has no e-mail address.",
    "unconfirmed": "The address was never confirmed.",
    "confirmation_expired": "There is no confirmation mail whose link still works.",
    "banned": "The account is banned until a time.",
    "deleted": "The account was deleted, and its row was kept.",
    "sso_account": "The account comes through single sign-on.",
    "no_password": "The account signs in with a provider or with mailed links.",
    "email_change_pending": "A change of the address is not confirmed.",
    "second_factor": "After the password a second factor is asked for.",
    "signed_in": "The account has sessions that live.",
    "auth_unreachable": "Auth did not answer when it was last looked at.",
    "email_sign_in_off": "Sign-in by e-mail is switched off in Auth''s settings."
  }',
  array['auth_health', 'auth_settings'],
  array[
    'Limits that Auth keeps in memory: requests per IP address, mails per hour.',
    'A wrong password: Auth keeps no record of failed sign-ins in the database.',
    'The audit log, which has no index by person and is never read.',
    'Typing errors before the @, but for dots, tags and blanks; domains misspelt by several letters.',
    'Accounts that were deleted for good; deleted ones by an address that no profile keeps.',
    'Hooks of Auth, captcha, and what the application checks after the sign-in.'
  ]
);
