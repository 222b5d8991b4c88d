-- What the runbook can do about an account: send the confirmation mail again, confirm the address,
-- lift a ban, end the sessions.
--
-- Auth keeps rules of its own about its accounts, so they are changed by calls to its API. Only the
-- sessions are ended in its table: that API ends them for the person's own token and for no admin.
-- Each of the four names its person as the diagnosis does.

-- The account that a remediation is about. Single sign-on is included; deleted accounts are not.
create function runbook.existing_account_of(params jsonb)
returns runbook.account
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_account constant runbook.account := runbook.account_of(existing_account_of.params);
begin
  if v_account.id is null or v_account.deleted_at is not null then
    raise exception 'No account has this %.',
      case when v_account.asked_email is null then 'id' else 'address' end
      using
        errcode = 'P0002',
        detail = '{"refused": true}',
        hint = 'diagnose-login names accounts with a similar address.';
  end if;

  return v_account;
end;
$$;

comment on function runbook.existing_account_of(jsonb) is
'The account with the email or the user_id of the parameters. Raises P0002 where there is none.';
revoke all on function runbook.existing_account_of(jsonb) from public;

-- A declared step that asks Auth for something.
--
-- Undo is the body with which the same is taken back or null, and then the reason says why there is
-- none.
create function runbook.auth_call(
  summary text,
  method text,
  path text,
  body jsonb,
  undo jsonb,
  undo_reason text
)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select runbook.call_step(
    jsonb_build_object(
      'service', 'auth',
      'method', auth_call.method,
      'path', auth_call.path,
      'body', auth_call.body,
      'undo', case
        when auth_call.undo is not null then jsonb_build_object(
          'method', auth_call.method,
          'path', auth_call.path,
          'body', auth_call.undo
        )
      end,
      'undo_reason', auth_call.undo_reason
    ),
    auth_call.summary
  );
$$;

comment on function runbook.auth_call(text, text, text, jsonb, jsonb, text) is
'A declared step of kind call to Auth.';
revoke all on function runbook.auth_call(text, text, text, jsonb, jsonb, text) from public;

-- The body of a call as it is frozen: a value `{"until": <time>}` becomes what is left of the time
-- now, as Go writes durations. So a plan names the instant, and stays the same plan meanwhile.
create function runbook.frozen_body(body jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if jsonb_typeof(frozen_body.body) is distinct from 'object' then
    return nullif(frozen_body.body, 'null');
  end if;

  return (
    select coalesce(
      jsonb_object_agg(
        part.key,
        case
          when jsonb_typeof(part.value) = 'object' and part.value ? 'until' then to_jsonb(
            greatest(
              1,
              ceil(
                extract(epoch from (part.value ->> 'until')::timestamptz - clock_timestamp())
              )
            ) || 's'
          )
          else part.value
        end
      ),
      '{}'
    )
    from jsonb_each(frozen_body.body) as part (key, value)
  );
end;
$$;

comment on function runbook.frozen_body(jsonb) is
'The body of a call as it is sent; {"until": <time>} becomes the seconds that are left, as `60s`.';
revoke all on function runbook.frozen_body(jsonb) from public;

-- Freezes the body of a call when its row is written.
create function runbook.freeze_body()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  new.body := runbook.frozen_body(new.body);
  return new;
end;
$$;

comment on function runbook.freeze_body() is
'Turns instants in the body of a new call into what is left of the time.';
revoke all on function runbook.freeze_body() from public;

create trigger body_is_frozen
before insert on runbook.call
for each row
when (new.body is not null)
execute function runbook.freeze_body();

-- Declares a further confirmation mail, but not sooner than Auth would send one.
--
-- Auth answers that nothing is wrong when it has nothing to send, so the runbook looks first.
create function runbook.resend_confirmation(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_account constant runbook.account := runbook.existing_account_of(resend_confirmation.params);
  -- As Auth ships it; a project that chose longer gets Auth's own refusal.
  v_interval constant interval := interval '60 seconds';
  v_wait_s integer;
begin
  if v_account.email is null or v_account.is_sso_user or v_account.email_confirmed_at is not null
  then
    return;
  end if;

  v_wait_s := ceil(
    extract(epoch from v_account.confirmation_sent_at + v_interval - clock_timestamp())
  );

  if v_wait_s > 0 then
    raise exception 'Auth sends the next mail to this address in % seconds.', v_wait_s
      using
        errcode = 'RB429',
        detail = jsonb_build_object('wait_s', v_wait_s)::text,
        hint = 'Wait that long, then try again.';
  end if;

  return next runbook.auth_call(
    format('Send the confirmation mail to %s again.', v_account.email),
    'POST',
    '/resend',
    jsonb_build_object('type', 'signup', 'email', v_account.email),
    null,
    'A mail that was sent cannot be called back.'
  );
end;
$$;

comment on function runbook.resend_confirmation(jsonb) is
'Declares a call that sends the confirmation mail again; nothing for a confirmed address. Raises
P0002 without an account, RB429 with {wait_s} before Auth''s own interval is over.';
revoke all on function runbook.resend_confirmation(jsonb) from public;

-- Declares that an address counts as confirmed, though nobody answered a mail.
create function runbook.confirm_email(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_account constant runbook.account := runbook.existing_account_of(confirm_email.params);
begin
  if v_account.email is null or v_account.email_confirmed_at is not null then
    return;
  end if;

  return next runbook.auth_call(
    format('Confirm the address %s without a mail.', v_account.email),
    'PUT',
    format('/admin/users/%s', v_account.id),
    '{"email_confirm": true}',
    null,
    'Auth has no way to take a confirmation back.'
  );
end;
$$;

comment on function runbook.confirm_email(jsonb) is
'Declares a call that confirms an account''s address; nothing for a confirmed one. Raises P0002
without an account.';
revoke all on function runbook.confirm_email(jsonb) from public;

-- Declares the end of a ban. Taken back, the account is banned for what is left of the time then.
create function runbook.unban_user(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_account constant runbook.account := runbook.existing_account_of(unban_user.params);
begin
  if v_account.banned_until > clock_timestamp() then
    return next runbook.auth_call(
      format(
        'Lift the ban of %s that lasts until %s.',
        coalesce(v_account.email, v_account.id::text),
        runbook.utc_text(v_account.banned_until)
      ),
      'PUT',
      format('/admin/users/%s', v_account.id),
      '{"ban_duration": "none"}',
      jsonb_build_object(
        'ban_duration', jsonb_build_object('until', v_account.banned_until)
      ),
      null
    );
  end if;
end;
$$;

comment on function runbook.unban_user(jsonb) is
'Declares a call that lifts an account''s ban; nothing for one that is not banned. Raises P0002
without an account.';
revoke all on function runbook.unban_user(jsonb) from public;

-- Why sessions need not be ended: none of them is there any more.
create function runbook.sessions_refusal(args jsonb)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when not exists (
      select
      from auth.sessions as ses
      where ses.user_id = (sessions_refusal.args ->> 'user_id')::uuid
        and sessions_refusal.args -> 'sessions' ? ses.id::text
    ) then 'The sessions have ended.'
  end;
$$;

comment on function runbook.sessions_refusal(jsonb) is
'Why the sessions {user_id, sessions} need not be ended, or null.';
revoke all on function runbook.sessions_refusal(jsonb) from public;

-- Ends sessions as Auth does: their refresh tokens hang on them and go with them.
create function runbook.end_sessions(args jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count bigint;
begin
  delete from auth.sessions as ses
  where ses.user_id = (end_sessions.args ->> 'user_id')::uuid
    and end_sessions.args -> 'sessions' ? ses.id::text;

  get diagnostics v_count = row_count;

  return jsonb_build_object('ended', v_count);
end;
$$;

comment on function runbook.end_sessions(jsonb) is
'The effect end_sessions, for {user_id, sessions}.';
revoke all on function runbook.end_sessions(jsonb) from public;

insert into runbook.effect (name, function, refusal_function, description, undo)
values (
  'end_sessions',
  'runbook.end_sessions',
  'runbook.sessions_refusal',
  'Ends sessions of an account; their refresh tokens are worthless from then on.',
  'none: the tokens of a session are secrets and not recorded; the person signs in again.'
);

-- Declares the end of an account's sessions. Access tokens that are out live on until they expire;
-- none can be had anew.
--
-- An effect and not rows: a session without its tokens would be no session, and the record need not
-- keep where people signed in from.
create function runbook.sign_out_user(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_account constant runbook.account := runbook.existing_account_of(sign_out_user.params);
  v_ids uuid[];
begin
  v_ids := array(
    select ses.id
    from auth.sessions as ses
    where ses.user_id = v_account.id
      and (ses.not_after is null or ses.not_after > clock_timestamp())
    order by ses.created_at, ses.id
  );

  if v_ids <> '{}' then
    return next runbook.effect_step(
      'end_sessions',
      jsonb_build_object('user_id', v_account.id, 'sessions', v_ids),
      format(
        'End %s of %s.',
        case cardinality(v_ids)
          when 1 then 'the session'
          else cardinality(v_ids) || ' sessions'
        end,
        coalesce(v_account.email, v_account.id::text)
      )
    );
  end if;
end;
$$;

comment on function runbook.sign_out_user(jsonb) is
'Declares that an account''s sessions are ended. Raises P0002 without an account.';
revoke all on function runbook.sign_out_user(jsonb) from public;

insert into runbook.remediation (
  name,
  title,
  description,
  parameters,
  subject_keys,
  function,
  risk,
  issue,
  cures
)
select
  entry.name,
  entry.title,
  entry.description,
  iss.parameters,
  iss.subject_keys,
  entry.function,
  entry.risk,
  'login',
  entry.cures
from (
  values
    (
      'resend-confirmation',
      'Send the confirmation mail again',
      'Asks Auth to send the mail with which the person confirms the address.',
      'runbook.resend_confirmation',
      'low',
      array['confirmation_expired']
    ),
    (
      'confirm-email',
      'Confirm an address without a mail',
      'Asks Auth to count the address as confirmed, though nobody proved to read its mail.',
      'runbook.confirm_email',
      'high',
      array['unconfirmed', 'confirmation_expired']
    ),
    (
      'unban-user',
      'Lift the ban of an account',
      'Asks Auth to end the ban, so that the person may sign in again.',
      'runbook.unban_user',
      'high',
      array['banned']
    ),
    (
      'sign-out-user',
      'End all sessions of an account',
      'Deletes the account''s sessions from Auth; access tokens that are out live until they expire.',
      'runbook.sign_out_user',
      'high',
      array['signed_in']
    )
) as entry (name, title, description, function, risk, cures)
inner join runbook.issue as iss on iss.name = 'login';
