-- The freeze switch: while it is on, nothing is applied.
--
-- Plans and diagnoses still work, and runs that were under way go on, except that batches pause.
-- Who switched it, why and until when stays on record.

create table runbook.freeze (
  id bigint generated always as identity,
  frozen_by text not null,
  reason text not null,
  frozen_at timestamptz not null default clock_timestamp(),
  until timestamptz,
  lifted_by text,
  lift_reason text,
  lifted_at timestamptz,
  constraint freeze_pkey primary key (id),
  constraint lifted_says_by_whom_and_why check (
    (lifted_at is null) = (lifted_by is null)
    and (lifted_at is null) = (lift_reason is null)
  )
);

create unique index freeze_one_is_open_idx on runbook.freeze ((true))
where lifted_at is null;

comment on table runbook.freeze is
'One time that applying was forbidden: by whom, why, until when.';

revoke all on table runbook.freeze from public;

-- Whether applying is forbidden now. A freeze ends at its `until`, by the runbook's clock.
--
-- Definer: lends a viewer the right to read runbook.freeze.
create function runbook.freeze_state()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_freeze runbook.freeze;
begin
  select frz.*
  into v_freeze
  from runbook.freeze as frz
  where frz.lifted_at is null
    and (frz.until is null or frz.until > (select runbook.now()));

  return jsonb_build_object(
    'frozen', v_freeze.id is not null,
    'by', v_freeze.frozen_by,
    'reason', v_freeze.reason,
    'since', v_freeze.frozen_at,
    'until', v_freeze.until
  );
end;
$$;

comment on function runbook.freeze_state() is
'{frozen, by, reason, since, until}; all but frozen are null while nothing is frozen.';
revoke all on function runbook.freeze_state() from public;
grant execute on function runbook.freeze_state() to runbook_viewer;

-- What is wrong with a reason.
create function runbook.reason_problems(reason text)
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select runbook.request_problems(
    '{"type": "string", "minLength": 1, "maxLength": 1000}',
    'low',
    false,
    reason_problems.reason,
    null,
    null
  );
$$;

comment on function runbook.reason_problems(text) is
'Problems of a reason, as an array of {path, message}.';
revoke all on function runbook.reason_problems(text) from public;

-- Ends the open freeze, if there is one.
create function runbook.lift_freeze(reason text)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  update runbook.freeze as frz
  set
    lifted_by = cal.actor,
    lift_reason = btrim(lift_freeze.reason),
    lifted_at = clock_timestamp()
  from runbook.caller() as cal
  where frz.lifted_at is null;
$$;

comment on function runbook.lift_freeze(text) is 'Notes that the open freeze has ended.';
revoke all on function runbook.lift_freeze(text) from public;

-- Forbids applying, until a time or until further notice. A second freeze replaces the first.
--
-- Definer: lends an admin the right to write runbook.freeze.
create function runbook.freeze(reason text, until timestamptz default null)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_actor text := (select cal.actor from runbook.caller() as cal);
begin
  perform runbook.require_role('admin');
  perform runbook.refuse_problems(
    runbook.reason_problems("freeze".reason) || case
      when "freeze".until <= (select runbook.now())
        then '[{"path": "until", "message": "must be in the future"}]'
      else '[]'::jsonb
    end
  );
  perform runbook.lock_for_transaction('freeze');
  perform runbook.lift_freeze('Replaced by another freeze.');

  insert into runbook.freeze (frozen_by, reason, until)
  values (v_actor, btrim("freeze".reason), "freeze".until);

  return runbook.freeze_state();
end;
$$;

comment on function runbook.freeze(text, timestamptz) is
'Forbids every apply and undo until a time, or until runbook.unfreeze. Returns the state.';
revoke all on function runbook.freeze(text, timestamptz) from public;
grant execute on function runbook.freeze(text, timestamptz) to runbook_admin;

-- Allows applying again.
--
-- Definer: lends an admin the right to write runbook.freeze.
create function runbook.unfreeze(reason text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform runbook.require_role('admin');
  perform runbook.refuse_problems(runbook.reason_problems(unfreeze.reason));
  perform runbook.lock_for_transaction('freeze');
  perform runbook.lift_freeze(unfreeze.reason);

  return runbook.freeze_state();
end;
$$;

comment on function runbook.unfreeze(text) is
'Allows applying again; nothing happens when nothing was frozen. Returns the state.';
revoke all on function runbook.unfreeze(text) from public;
grant execute on function runbook.unfreeze(text) to runbook_admin;

-- Refuses while frozen.
create function runbook.refuse_when_frozen()
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_state jsonb;
begin
  -- Almost always there is none, and that is quickly said.
  if not exists (select from runbook.freeze as frz where frz.lifted_at is null) then
    return;
  end if;

  v_state := runbook.freeze_state();

  if (v_state -> 'frozen')::boolean then
    raise exception 'Nothing is applied now: frozen by %, %: %',
      v_state ->> 'by',
      coalesce(
        'until ' || runbook.utc_text((v_state ->> 'until')::timestamptz), 'until further notice'
      ),
      v_state ->> 'reason'
      using
        errcode = 'RB423',
        detail = v_state::text,
        hint = 'Plans still work. An admin ends it: freeze with {"freeze": false, "reason": "…"}, '
          'in SQL select runbook.unfreeze(reason).';
  end if;
end;
$$;

comment on function runbook.refuse_when_frozen() is
'Raises RB423 with {frozen, by, reason, since, until} while applying is forbidden.';
revoke all on function runbook.refuse_when_frozen() from public;
