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

-- The latest sight of a fact if it is young enough, else null.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.fresh_probe(name text, max_age interval default '60 seconds')
returns runbook.probe
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
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
      'Nobody has looked yet.'
    )
  );
end;
$$;

comment on function runbook.stale_reason(text, interval) is
'A sentence that says how old the latest sight of a fact is.';
revoke all on function runbook.stale_reason(text, interval) from public;

-- The probes that an entry needs and that are older than a minute: what an edge function fetches
-- before it asks for the diagnosis.
create function runbook.stale_probes(entry text)
returns text[]
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(array_agg(needed.name order by needed.name), '{}')
  from runbook.issue as iss
  cross join unnest(iss.probes) as needed (name)
  where iss.name = stale_probes.entry
    and (runbook.fresh_probe(needed.name)).name is null;
$$;

comment on function runbook.stale_probes(text) is
'Names of the probes to be refreshed before an issue is diagnosed.';
revoke all on function runbook.stale_probes(text) from public;
grant execute on function runbook.stale_probes(text) to runbook_viewer;
