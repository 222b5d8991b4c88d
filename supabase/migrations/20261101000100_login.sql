-- The issue "User cannot login", as far as Auth itself knows: no such account, an address that was
-- never confirmed, a ban, Auth down.
--
-- It reads Auth's tables and writes nothing. What an application adds, such as a limiter of its
-- own, is for its pack.

-- Why a sign-in with an e-mail address and a password fails, as far as Auth's tables tell.
--
-- Addresses are matched as Auth does: its instance, lower case, no account by single sign-on.
-- Cost: one probe of auth.users_instance_id_email_idx; AccessShareLock on auth.users.
-- Misses: what the catalog lists as blind spots.
create function runbook.diagnose_login(params jsonb)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_email constant text := runbook.normal_email(diagnose_login.params ->> 'email');
  v_auth constant runbook.probe := runbook.fresh_probe('auth_health');
  v_user record;
begin
  select
    usr.id,
    usr.created_at,
    usr.invited_at,
    usr.email_confirmed_at,
    usr.confirmation_sent_at,
    usr.banned_until
  into v_user
  from auth.users as usr
  where usr.instance_id = '00000000-0000-0000-0000-000000000000'
    and lower(usr.email::text) = v_email
    and not usr.is_sso_user
  order by usr.created_at
  limit 1;

  if not found then
    return next row(
      'no_such_user',
      'warning',
      v_email,
      'No account has this address.',
      '{}'::jsonb,
      'looked up in auth.users as Auth does',
      null,
      null
    )::runbook.finding;
  else
    if v_user.email_confirmed_at is null then
      return next row(
        'unconfirmed',
        'warning',
        v_email,
        case
          when v_user.confirmation_sent_at is null
            then 'The address is not confirmed, and no confirmation mail is on record.'
          else format(
            'The address is not confirmed; the confirmation mail went out at %s.',
            runbook.utc_text(v_user.confirmation_sent_at)
          )
        end,
        jsonb_build_object(
          'user_id', v_user.id,
          'created_at', v_user.created_at,
          'invited_at', v_user.invited_at,
          'confirmation_sent_at', v_user.confirmation_sent_at
        ),
        'read from auth.users',
        null,
        null
      )::runbook.finding;
    end if;

    if v_user.banned_until > clock_timestamp() then
      return next row(
        'banned',
        'warning',
        v_email,
        format('The account is banned until %s.', runbook.utc_text(v_user.banned_until)),
        jsonb_build_object('user_id', v_user.id, 'banned_until', v_user.banned_until),
        'read from auth.users',
        null,
        null
      )::runbook.finding;
    end if;
  end if;

  if v_auth.name is null then
    return next runbook.skipped(
      'auth_reachable',
      runbook.stale_reason('auth_health', '60 seconds')
    );
  elsif not v_auth.ok then
    return next row(
      'auth_unreachable',
      'critical',
      'auth',
      format('Auth did not answer at %s; nobody can sign in.', runbook.utc_text(v_auth.seen_at)),
      v_auth.evidence || jsonb_build_object('seen_at', v_auth.seen_at),
      'probe of Auth''s health by an edge function',
      null,
      null
    )::runbook.finding;
  end if;
end;
$$;

comment on function runbook.diagnose_login(jsonb) is
'Why a person cannot sign in with an e-mail address and a password: no_such_user, unconfirmed,
banned, auth_unreachable.';
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
    "properties": {
      "email": {
        "type": "string",
        "minLength": 1,
        "maxLength": 320,
        "description": "The address that the person signs in with."
      }
    },
    "required": ["email"],
    "additionalProperties": false
  }',
  array['email'],
  'runbook.diagnose_login',
  '{
    "no_such_user": "No account has this address.",
    "unconfirmed": "The address was never confirmed.",
    "banned": "The account is banned until a time.",
    "auth_unreachable": "Auth did not answer when it was last looked at."
  }',
  array['auth_health'],
  array[
    'Limits that Auth keeps in memory: requests per IP address, mails per hour.',
    'A wrong password: Auth keeps no record of failed sign-ins in the database.',
    'Settings of Auth, such as sign-in by e-mail being switched off.',
    'Accounts by Google or single sign-on, second factors, deleted accounts, pending changes of an address.'
  ]
);
