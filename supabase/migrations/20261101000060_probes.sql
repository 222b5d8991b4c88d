-- Probes: facts about the world outside, kept with the time at which they were seen.
--
-- SQL cannot look outside: an edge function looks, and SQL decides. A probe that is too old counts
-- as not looked at.

create table runbook.probe (
  name text not null,
  ok boolean not null,
  evidence jsonb not null,
  seen_at timestamptz not null,
  constraint probe_pkey primary key (name),
  constraint name_is_snake_case check (name ~ '^[a-z][a-z0-9]*(_[a-z0-9]+)*$'),
  constraint name_is_short check (char_length(name) <= 63),
  constraint evidence_is_small check (pg_column_size(evidence) <= 8192)
);

comment on table runbook.probe is 'The latest sight of each fact outside, by the real clock.';

revoke all on table runbook.probe from public;
grant select on table runbook.probe to runbook_viewer;

-- Keeps what an edge function saw just now. It looks on behalf of the project, before it enters for
-- a caller; so only the owner of the schema may, and no caller can make facts up.
create function runbook.record_probe(name text, ok boolean, evidence jsonb)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  -- A diagnosis must answer on a read-only database too; its probes then count as not looked at.
  if current_setting('transaction_read_only')::boolean then
    return false;
  end if;

  insert into runbook.probe as prb (name, ok, evidence, seen_at)
  values (
    record_probe.name,
    record_probe.ok,
    coalesce(record_probe.evidence, '{}'),
    clock_timestamp()
  )
  on conflict on constraint probe_pkey do update
  set ok = excluded.ok, evidence = excluded.evidence, seen_at = excluded.seen_at
  where prb.seen_at <= excluded.seen_at;

  return true;
end;
$$;

comment on function runbook.record_probe(text, boolean, jsonb) is
'Keeps what was seen outside just now. Returns false, and keeps nothing, when the database is
read-only.';
revoke all on function runbook.record_probe(text, boolean, jsonb) from public;

-- Lets what an edge function saw just now count for the rest of the transaction, recorded or not: a
-- read-only database keeps no probe, and is when one is wanted. Like record_probe it is for the
-- owner of the schema alone.
create function runbook.carry_probes(probes jsonb)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select set_config(
    'runbook.probes',
    (
      select jsonb_agg(prb.content || jsonb_build_object('seen_at', clock_timestamp()))::text
      from jsonb_array_elements(carry_probes.probes) as prb (content)
    ),
    true
  );
$$;

comment on function runbook.carry_probes(jsonb) is
'Lets [{name, ok, evidence}], seen outside just now, count until the end of the transaction.';
revoke all on function runbook.carry_probes(jsonb) from public;

-- What this transaction carries of a name; null where nothing is. It counts only below a login that
-- owns the schema: another login could write the setting.
create function runbook.carried_probe(name text)
returns runbook.probe
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_carried constant text := nullif(current_setting('runbook.probes', true), '');
begin
  if v_carried is null or not exists (
    select
    from pg_catalog.pg_namespace as nsp
    where nsp.nspname = 'runbook'
      and pg_has_role(session_user, nsp.nspowner, 'member')
  ) then
    return null;
  end if;

  return (
    select prb
    from jsonb_populate_recordset(null::runbook.probe, v_carried::jsonb) as prb
    where prb.name = carried_probe.name
    limit 1
  );
end;
$$;

comment on function runbook.carried_probe(text) is
'The probe of this name that the transaction carries, else null.';
revoke all on function runbook.carried_probe(text) from public;
grant execute on function runbook.carried_probe(text) to runbook_viewer;

-- The latest sight of a fact if it is young enough, else null.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.fresh_probe(name text, max_age interval default '60 seconds')
returns runbook.probe
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_carried constant runbook.probe := runbook.carried_probe(fresh_probe.name);
begin
  if v_carried.seen_at > clock_timestamp() - fresh_probe.max_age then
    return v_carried;
  end if;

  return (
    select prb
    from runbook.probe as prb
    where prb.name = fresh_probe.name
      and prb.seen_at > clock_timestamp() - fresh_probe.max_age
  );
end;
$$;

comment on function runbook.fresh_probe(text, interval) is
'The probe of this name if it was seen within the interval, else null.';
revoke all on function runbook.fresh_probe(text, interval) from public;
grant execute on function runbook.fresh_probe(text, interval) to runbook_viewer;

-- Why a probe does not count, in words.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.stale_reason(name text, max_age interval)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select coalesce(
      (
        select format(
          'Not looked at within %s seconds; the last look was at %s.',
          extract(epoch from stale_reason.max_age)::integer,
          runbook.utc_text(prb.seen_at)
        )
        from runbook.probe as prb
        where prb.name = stale_reason.name
      ),
      'Nobody has looked yet: an edge function does, rung by the tick or by a request over HTTP.'
    )
  );
end;
$$;

comment on function runbook.stale_reason(text, interval) is
'A sentence that says how old the latest sight of a fact is.';
revoke all on function runbook.stale_reason(text, interval) from public;

-- What the probe of Auth's health says, for a diagnosis and for a check: a finding when Auth is
-- down, a skipped row when the answer tells nothing about Auth, null when all is well.
create function runbook.auth_health_finding(probe runbook.probe)
returns runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_status constant integer := (auth_health_finding.probe.evidence ->> 'status')::integer;
begin
  if auth_health_finding.probe.ok then
    return null;
  end if;

  if v_status between 400 and 499 then
    return runbook.skipped(
      'auth_reachable',
      format(
        'Auth answered %s instead of telling its health. %s',
        v_status,
        case
          when v_status in (401, 403)
            then 'The publishable key of the edge functions is wrong or missing.'
          else 'Look at SUPABASE_URL of the edge functions.'
        end
      )
    );
  end if;

  return row(
    'auth_unreachable',
    'critical',
    'auth',
    format(
      'Auth %s at %s; nobody can sign in. The platform''s status page may know.',
      case when v_status is null then 'did not answer' else format('answered %s', v_status) end,
      runbook.utc_text(auth_health_finding.probe.seen_at)
    ),
    auth_health_finding.probe.evidence
      || jsonb_build_object('seen_at', auth_health_finding.probe.seen_at),
    'probe of Auth''s health by an edge function',
    null,
    null
  )::runbook.finding;
end;
$$;

comment on function runbook.auth_health_finding(runbook.probe) is
'The finding that a probe of Auth''s health amounts to: auth_unreachable, a skipped row, or null.';
revoke all on function runbook.auth_health_finding(runbook.probe) from public;
