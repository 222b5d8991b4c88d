-- What an admin can really do to restart Realtime, the strongest way first: ask the Management API,
-- end the session that reads the log, or change the publication.
--
-- Nothing here touches realtime.subscription: Realtime would not tell the clients. A slot comes
-- back only when clients do, so the run waits, looks again and says what it saw.

create table runbook.realtime_nudge (
  id integer not null,
  constraint realtime_nudge_pkey primary key (id)
);

comment on table runbook.realtime_nudge is
'Always empty. Put into the publication supabase_realtime and taken out again, it makes Realtime
ask every client to subscribe anew.';

revoke all on table runbook.realtime_nudge from public;

-- Whether the table of the nudge is in the publication now, and whether we may change that.
create function runbook.realtime_publication(out is_nudged boolean, out may_be_changed boolean)
returns record
language sql
stable
security invoker
set search_path = ''
as $$
  select
    exists (
      select
      from pg_catalog.pg_publication_rel as prl
      where prl.prpubid = pub.oid
        and prl.prrelid = to_regclass('runbook.realtime_nudge')
    ),
    not pub.puballtables and pg_has_role(pub.pubowner, 'usage')
  from pg_catalog.pg_publication as pub
  where pub.pubname = 'supabase_realtime';
$$;

comment on function runbook.realtime_publication() is
'Whether runbook.realtime_nudge is in the publication, and whether that may be changed.';
revoke all on function runbook.realtime_publication() from public;

-- Why the publication need not, or must not, be changed.
create function runbook.nudge_refusal(args jsonb)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when pub.is_nudged is null then 'There is no publication supabase_realtime.'
    when not pub.may_be_changed then 'The publication may not be changed from here.'
    when pub.is_nudged = (nudge_refusal.args ->> 'action' = 'add')
      then 'The publication is so already.'
  end
  from (values (0)) as one (row)
  left join runbook.realtime_publication() as pub on true;
$$;

comment on function runbook.nudge_refusal(jsonb) is
'Why the publication must not be changed by {action: add or drop}, or null.';
revoke all on function runbook.nudge_refusal(jsonb) from public;

-- Adds the nudge to the publication, or takes it out.
create function runbook.nudge_realtime(args jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if nudge_realtime.args ->> 'action' = 'add' then
    alter publication supabase_realtime add table runbook.realtime_nudge;
  else
    alter publication supabase_realtime drop table runbook.realtime_nudge;
  end if;

  return jsonb_build_object('action', nudge_realtime.args -> 'action');
end;
$$;

comment on function runbook.nudge_realtime(jsonb) is
'The effect nudge_realtime, for {action: add or drop}.';
revoke all on function runbook.nudge_realtime(jsonb) from public;

-- Why a session that reads a slot of Realtime must not be ended: it has ended, another has its
-- number, it reads another slot now, or it belongs to a superuser.
create function runbook.slot_reader_refusal(args jsonb)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when slt.pid is null then 'The session has ended, or no longer reads the slot.'
    when not slt.may_be_ended then 'The session may not be ended from here.'
  end
  from (values (0)) as one (row)
  left join runbook.realtime_slots() as slt
    on slt.pid = (slot_reader_refusal.args ->> 'pid')::integer
    and slt.name = slot_reader_refusal.args ->> 'slot'
    and slt.backend_start = (slot_reader_refusal.args ->> 'backend_start')::timestamptz;
$$;

comment on function runbook.slot_reader_refusal(jsonb) is
'Why the session {pid, backend_start, slot} must not be ended, or null.';
revoke all on function runbook.slot_reader_refusal(jsonb) from public;

-- Ends the session that reads a slot of Realtime: a sender of the log, or a session that asks for
-- changes again and again.
create function runbook.end_slot_reader(args jsonb)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'signalled', pg_terminate_backend((end_slot_reader.args ->> 'pid')::integer)
  );
$$;

comment on function runbook.end_slot_reader(jsonb) is
'The effect end_slot_reader, for {pid, backend_start, slot}.';
revoke all on function runbook.end_slot_reader(jsonb) from public;

insert into runbook.effect (name, function, refusal_function, description, undo)
values
  (
    'nudge_realtime',
    'runbook.nudge_realtime',
    'runbook.nudge_refusal',
    'Adds an empty table of the runbook to the publication supabase_realtime, or takes it out.',
    'none: Clients have subscribed anew; another restart changes the publication back.'
  ),
  (
    'end_slot_reader',
    'runbook.end_slot_reader',
    'runbook.slot_reader_refusal',
    'Ends the session that reads a slot of Realtime, if it is still the same.',
    'none: Realtime connects again by itself.'
  );

-- Looks whether Realtime is back: one look a tick, for three minutes at most.
--
-- It is back when a slot is read by a session that began after the run did, or, when only the
-- publication was changed, when every subscription is younger than the run. Where nobody is
-- subscribed there is nothing to come back, and that is said.
create function runbook.await_realtime(args jsonb, cursor jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_since timestamptz := (
    select max(run.started_at)
    from runbook.run as run
    where run.remediation = 'restart-realtime'
      and run.state = 'applying'
  );
  v_is_publication constant boolean := await_realtime.args ->> 'way' = 'publication';
  v_slots bigint;
  v_subscriptions bigint := 0;
  v_old_subscriptions bigint := 0;
  v_outcome text;
begin
  v_since := coalesce(v_since, (await_realtime.cursor ->> 'since')::timestamptz, clock_timestamp());
  perform pg_stat_clear_snapshot();

  select count(*)
  into v_slots
  from runbook.realtime_slots() as slt
  where slt.is_active
    and slt.backend_start > v_since;

  if to_regclass('realtime.subscription') is not null then
    execute '
      select count(*), count(*) filter (where sub.created_at < $1 at time zone ''UTC'')
      from realtime.subscription as sub'
    into v_subscriptions, v_old_subscriptions
    using v_since;
  end if;

  v_outcome := case
    when v_is_publication and v_subscriptions > 0 and v_old_subscriptions = 0 then 'back'
    when not v_is_publication and v_slots > 0 then 'back'
    when clock_timestamp() < v_since + interval '3 minutes' then null
    when v_subscriptions = 0 then 'nobody'
    else 'not_back'
  end;

  return jsonb_build_object(
    'done', v_outcome is not null,
    'rows', 0,
    'cursor', jsonb_build_object(
      'since', v_since,
      'looked_at', clock_timestamp(),
      'outcome', coalesce(v_outcome, 'waiting'),
      'new_slots', v_slots,
      'subscriptions', v_subscriptions,
      'summary', case coalesce(v_outcome, 'waiting')
        when 'waiting' then 'Not back yet; the next look is a minute later.'
        when 'back' then case
          when v_is_publication then 'Every client has subscribed anew.'
          else 'A slot is read again.'
        end
        when 'nobody' then
          'Nobody has subscribed to changes of tables since, so no slot is to be expected and '
          'nothing can be told of Realtime from here.'
        else format(
          'After three minutes there are %s subscriptions and no sign that Realtime took them up.',
          v_subscriptions
        )
      end
    )
  );
end;
$$;

comment on function runbook.await_realtime(jsonb, jsonb) is
'The batch await_realtime, for {way}: looks whether Realtime is back, and says so in its cursor.';
revoke all on function runbook.await_realtime(jsonb, jsonb) from public;

insert into runbook.batch_function (
  name,
  function,
  undo_function,
  undo_reason,
  only_looks,
  description
)
values (
  'await_realtime',
  'runbook.await_realtime',
  null,
  'Looking changes nothing.',
  true,
  'Looks once a minute, for three minutes at most, whether Realtime is back.'
);

-- Declares how Realtime is restarted here, and that the run waits for it.
--
-- The Management API is taken where an edge function has just heard from it: only it reaches
-- Broadcast and Presence too.
create function runbook.restart_realtime(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_probe constant runbook.probe := runbook.fresh_probe('realtime_health');
  v_ref constant text := v_probe.evidence ->> 'project_ref';
  v_subscriptions constant bigint := (
    select coalesce(sum(sub.subscriptions), 0)
    from runbook.realtime_subscriptions() as sub
  );
  v_publication record;
  v_slot record;
  v_way text;
  v_is_declared boolean := true;
begin
  select pub.is_nudged, pub.may_be_changed
  into v_publication
  from runbook.realtime_publication() as pub;

  v_way := case
    when restart_realtime.params ? 'way' then restart_realtime.params ->> 'way'
    when v_probe.evidence ->> 'by' = 'management_api'
      and v_probe.evidence ->> 'status' = '200'
      then 'management_api'
    when exists (select from runbook.realtime_slots() as slt where slt.may_be_ended) then 'session'
    when v_publication.may_be_changed then 'publication'
  end;

  if v_way = 'management_api' and v_ref ~ '^[a-z]{20}$' then
    return next runbook.call_step(
      jsonb_build_object(
        'service', 'management',
        'method', 'POST',
        'path', format('/projects/%s/config/realtime/shutdown', v_ref),
        'body', null,
        'undo', null,
        'undo_reason', 'Realtime starts again by itself.'
      ),
      format(
        'Ask the Management API to shut Realtime of project %s down. Every client loses its '
        'connection, also for Broadcast and Presence, and connects again by itself within seconds; '
        'what is sent in between does not reach it.',
        v_ref
      )
    );
  elsif v_way = 'session' then
    v_is_declared := false;

    for v_slot in
      select slt.name, slt.pid, slt.backend_start, slt.role
      from runbook.realtime_slots() as slt
      where slt.may_be_ended
    loop
      v_is_declared := true;

      return next runbook.effect_step(
        'end_slot_reader',
        jsonb_build_object(
          'pid', v_slot.pid, 'backend_start', v_slot.backend_start, 'slot', v_slot.name
        ),
        format(
          'End session %s of %s, which reads the slot %s. Clients stay connected; changes stop '
          'until Realtime has connected again, which it tries six times, and those in between do '
          'not arrive.',
          v_slot.pid,
          v_slot.role,
          v_slot.name
        )
      );
    end loop;
  elsif v_way = 'publication' and v_publication.may_be_changed then
    return next runbook.effect_step(
      'nudge_realtime',
      jsonb_build_object(
        'action', case when v_publication.is_nudged then 'drop' else 'add' end
      ),
      format(
        '%s. Within a minute Realtime sees that the tables have changed and asks every client to '
        'subscribe to changes anew (%s now); connections stay. A Realtime that hangs is not helped '
        'by it.',
        case
          when v_publication.is_nudged
            then 'Take the empty table runbook.realtime_nudge out of the publication'
          else 'Add the empty table runbook.realtime_nudge to the publication'
        end,
        case v_subscriptions
          when 0 then 'none'
          when 1 then 'one subscription'
          else v_subscriptions || ' subscriptions'
        end
      )
    );
  else
    v_is_declared := false;
  end if;

  if not v_is_declared then
    raise exception 'Realtime cannot be restarted %.',
      coalesce('this way: ' || (restart_realtime.params ->> 'way'), 'from here')
      using
        errcode = '55000',
        detail = '{"refused": true}',
        hint = 'Give the functions RUNBOOK_MANAGEMENT_TOKEN, or restart it in the dashboard.';
  end if;

  return next runbook.batch_step(
    'await_realtime',
    jsonb_build_object('way', v_way),
    'Look once a minute, for three minutes at most, whether it is back. A slot comes back only when '
    'somebody is subscribed.'
  );
end;
$$;

comment on function runbook.restart_realtime(jsonb) is
'Declares how Realtime is restarted here: by a call to the Management API, by ending the sessions
that read its slots, or by a change of the publication. Raises 55000 where no way is open.';
revoke all on function runbook.restart_realtime(jsonb) from public;

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
  probes
)
values (
  'restart-realtime',
  'Restart Realtime',
  'Restarts Realtime by the strongest way that is open here; the plan says which and what clients
feel.',
  '{
    "type": "object",
    "properties": {
      "way": {
        "type": "string",
        "minLength": 7,
        "maxLength": 14,
        "description": "management_api, session or publication; without it the strongest is taken."
      }
    },
    "additionalProperties": false
  }',
  array[]::text[],
  'runbook.restart_realtime',
  'high',
  'realtime',
  array['realtime_not_following', 'slot_inactive', 'slot_behind', 'slot_lost'],
  array['realtime_health']
);
