-- The issue "Changes do not arrive by themselves": Realtime's Postgres Changes, link by link, for
-- one table or for all that are published.
--
-- It belongs to no pack: whatever an application publishes is followed the same way.

-- Follows changes from tables to those who listen, in the order in which they go: from one or some,
-- or, where none is named, from all that are published or listened to.
--
-- Cost: catalogs and shared memory, and the count of subscriptions; no lock on a table of the
-- application. A hundred tables at most.
create function runbook.findings_of_realtime(relations oid[])
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_tables runbook.realtime_table[];
  v_table runbook.realtime_table;
  v_roles jsonb;
  v_subscriptions bigint;
  v_findings runbook.finding[] := array[]::runbook.finding[];
  v_finding runbook.finding;
begin
  if not exists (
    select
    from pg_catalog.pg_publication as pub
    where pub.pubname = 'supabase_realtime'
  ) then
    return next row(
      'publication_missing',
      'warning',
      'supabase_realtime',
      'There is no publication supabase_realtime, so no change of any table is sent.',
      '{}'::jsonb,
      'read from pg_publication',
      null,
      null
    )::runbook.finding;
    return;
  end if;

  select
    coalesce(sum(sub.subscriptions), 0),
    coalesce(jsonb_object_agg(sub.relation, sub.roles), '{}')
  into v_subscriptions, v_roles
  from (
    select
      one.relation,
      sum(one.subscriptions)::bigint as subscriptions,
      jsonb_object_agg(one.role, one.subscriptions) as roles
    from runbook.realtime_subscriptions() as one
    group by one.relation
  ) as sub;

  v_tables := case
    when findings_of_realtime.relations is null then array(
      select tbl from runbook.realtime_tables() as tbl
      union
      -- what somebody listens to in vain
      select tbl
      from jsonb_object_keys(v_roles) as sub (relation)
      cross join runbook.realtime_tables(sub.relation::oid) as tbl
    )
    else array(
      select tbl
      from unnest(findings_of_realtime.relations) as wanted (relation)
      cross join runbook.realtime_tables(wanted.relation) as tbl
    )
  end;

  foreach v_table in array v_tables loop
    v_findings := v_findings || array(
      select fnd
      from runbook.findings_of_realtime_table(
        v_table, coalesce(v_roles -> v_table.relation::text, '{}')
      ) as fnd
    );
  end loop;

  if v_tables = '{}' then
    v_findings := v_findings || row(
      'publication_empty',
      'info',
      'supabase_realtime',
      'No table is in the publication supabase_realtime: changes of tables are not sent. Broadcast '
      'and Presence work without it.',
      '{}'::jsonb,
      'read from pg_publication_rel and pg_publication_namespace',
      null,
      null
    )::runbook.finding;
  end if;

  v_findings := v_findings || array(
    select fnd from runbook.findings_of_realtime_slots(v_subscriptions, v_tables <> '{}') as fnd
  );

  v_finding := runbook.finding_of_realtime_health();

  if v_finding.code is not null then
    v_findings := v_findings || v_finding;
  end if;

  foreach v_finding in array v_findings loop
    return next v_finding;
  end loop;
end;
$$;

comment on function runbook.findings_of_realtime(oid[]) is
'What keeps changes of tables from those who listen: of these tables, or of all that are published
or listened to.';
revoke all on function runbook.findings_of_realtime(oid[]) from public;

-- Why changes of a table, or of all that are published, do not reach those who listen.
--
-- Cost: that of runbook.findings_of_realtime.
-- Misses: what the catalog lists as blind spots.
create function runbook.diagnose_realtime(params jsonb)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_relations oid[];
  v_finding runbook.finding;
begin
  if diagnose_realtime.params ? 'table' then
    begin
      v_relations := array[runbook.relation_of(diagnose_realtime.params ->> 'table')];
    exception
      when sqlstate '22023' or sqlstate 'P0002' then
        perform runbook.refuse_problems(
          jsonb_build_array(jsonb_build_object('path', 'table', 'message', sqlerrm))
        );
    end;

    if not exists (
      select
      from pg_catalog.pg_class as rel
      where rel.oid = v_relations[1]
        and rel.relkind in ('r', 'p')
        and rel.relpersistence = 'p'
        -- the server's own are below it
        and rel.oid >= 16384
    ) then
      perform runbook.refuse_problems(
        '[{
          "path": "table",
          "message": "must be a table: views, indexes, unlogged and system tables are not published"
        }]'
      );
    end if;
  end if;

  foreach v_finding in array array(
    select fnd from runbook.findings_of_realtime(v_relations) as fnd
  )
  loop
    return next v_finding;
  end loop;
end;
$$;

comment on function runbook.diagnose_realtime(jsonb) is
'What keeps changes of tables from those who listen to them, for one table or for all published.';
revoke all on function runbook.diagnose_realtime(jsonb) from public;

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
  'realtime',
  'Changes do not arrive by themselves',
  'A page shows what is new only after a reload.',
  '{
    "type": "object",
    "properties": {
      "table": {
        "type": "string",
        "minLength": 1,
        "maxLength": 200,
        "description": "The table whose changes should arrive; without it all published ones."
      }
    },
    "additionalProperties": false
  }',
  array['table'],
  'runbook.diagnose_realtime',
  '{
    "publication_missing": "There is no publication supabase_realtime.",
    "publication_empty": "No table is published.",
    "table_not_published": "The table is not in the publication supabase_realtime.",
    "operation_not_published": "The publication leaves inserts, updates or deletes out.",
    "replica_identity_missing": "Updates and deletes of the published table fail.",
    "no_primary_key": "The table has no primary key, which Realtime needs.",
    "grant_missing": "A role that subscribes, or would, may not select from the table.",
    "select_policy_missing": "No policy lets a role that subscribes, or would, see a row.",
    "table_followed": "Changes of the table are sent; the summary says to how many.",
    "wal_level_too_low": "The server does not write what logical replication needs.",
    "slot_lost": "The server has thrown away a part of the log that a slot needs.",
    "slot_inactive": "Nobody reads a slot of Realtime.",
    "slot_behind": "A slot is behind by more than half of what the server keeps.",
    "slot_active": "A slot is read; the summary says how far behind it is.",
    "realtime_not_following": "There are subscriptions, and nobody reads the log for them.",
    "nobody_listens": "There is neither a subscription nor a slot, which is no fault.",
    "replication_slots_used_up": "No further replication slot can be made.",
    "wal_senders_used_up": "No further connection for replication is accepted.",
    "realtime_unhealthy": "Realtime is not healthy, or did not answer."
  }',
  array['realtime_health'],
  array[
    'Broadcast and Presence, which leave no trace in the database.',
    'Filters of a subscription, and what the page does with a change that arrived.',
    'Changes of more than 1 MB, of which Realtime leaves the long values out.',
    'Limits of the tenant: clients, channels and messages a second.',
    'Changes within the first seconds of a subscription, which may be missed.'
  ]
);
