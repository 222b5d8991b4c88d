-- The tables of Realtime's Postgres Changes: what is published, who listens, and what keeps a
-- change of a table from them.
--
-- A change reaches a client when its table is published, the row can be named (primary key), the
-- client is subscribed and its role may select. It stands in catalogs and in realtime.subscription,
-- whose claims are personal data: they are compared there and never shown.

create type runbook.realtime_table as (
  relation oid,
  name text,
  published_by text,
  is_filtered boolean,
  replica_identity text,
  has_primary_key boolean,
  has_row_security boolean
);

comment on type runbook.realtime_table is
'A table as Realtime sees it: published by `table`, `schema`, `all tables` or not at all, and
whether its rows can be named.';

revoke all on type runbook.realtime_table from public;

-- Tables that take part in Realtime's Postgres Changes, or one that should: how it is published and
-- whether its rows can be named.
--
-- Cost: catalogs. Published by way of its root a partition counts as published.
create function runbook.realtime_tables(wanted oid default null)
returns setof runbook.realtime_table
language sql
stable
security invoker
set search_path = ''
as $$
  with publication as (
    select pub.oid, pub.puballtables
    from pg_catalog.pg_publication as pub
    where pub.pubname = 'supabase_realtime'
  ),
  published as (
    select prl.prrelid as relation, 'table' as how, prl.prqual is not null as is_filtered
    from publication
    inner join pg_catalog.pg_publication_rel as prl on prl.prpubid = publication.oid
    union all
    select rel.oid, 'schema', false
    from publication
    inner join pg_catalog.pg_publication_namespace as pns on pns.pnpubid = publication.oid
    inner join pg_catalog.pg_class as rel on rel.relnamespace = pns.pnnspid
    where rel.relkind in ('r', 'p')
    union all
    select rel.oid, 'all tables', false
    from publication
    inner join pg_catalog.pg_class as rel on rel.relkind in ('r', 'p')
    where publication.puballtables
      and rel.relpersistence = 'p'
      and rel.oid >= 16384
      and rel.relnamespace <> 'pg_catalog'::regnamespace
  ),
  asked as (
    select realtime_tables.wanted as relation
    where realtime_tables.wanted is not null
    union
    select published.relation
    from published
    where realtime_tables.wanted is null
  )
  select
    rel.oid,
    runbook.relation_name(rel.oid),
    found.how,
    coalesce(found.is_filtered, false),
    case
      when rel.relreplident = 'd' then 'default'
      when rel.relreplident = 'f' then 'full'
      when rel.relreplident = 'i' and exists (
        select
        from pg_catalog.pg_index as idx
        where idx.indrelid = rel.oid
          and idx.indisreplident
      ) then 'index'
      -- also where the index that was chosen is gone
      else 'nothing'
    end,
    exists (
      select
      from pg_catalog.pg_index as idx
      where idx.indrelid = rel.oid
        and idx.indisprimary
        and idx.indisvalid
    ),
    rel.relrowsecurity
  from asked
  inner join pg_catalog.pg_class as rel on rel.oid = asked.relation
  left join lateral (
    select published.how, published.is_filtered
    from published
    where published.relation = rel.oid
      or published.relation in (
        select anc.relid
        from pg_partition_ancestors(rel.oid) as anc (relid)
        where rel.relispartition
      )
    order by published.is_filtered
    limit 1
  ) as found on true
  -- that of the runbook, which a restart adds and removes, nobody follows
  where rel.oid is distinct from to_regclass('runbook.realtime_nudge')
  order by rel.relname, rel.oid
  limit 100;
$$;

comment on function runbook.realtime_tables(oid) is
'The tables in the publication supabase_realtime, or one table; a hundred at most. Takes no lock.';
revoke all on function runbook.realtime_tables(oid) from public;

-- Who listens now: the subscriptions to one table or to all, by table and role. None where Realtime
-- was never set up.
--
-- Cost: an index probe for one table, else the whole of realtime.subscription.
create function runbook.realtime_subscriptions(wanted oid default null)
returns table (relation oid, role text, subscriptions bigint)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if to_regclass('realtime.subscription') is null then
    return;
  end if;

  return query
  execute '
    select sub.entity::oid, sub.claims_role::text collate "default", count(*)
    from realtime.subscription as sub
    where ($1 is null or sub.entity = $1::regclass)
    group by 1, 2
    order by 1, 2'
  using realtime_subscriptions.wanted;
end;
$$;

comment on function runbook.realtime_subscriptions(oid) is
'How many subscriptions there are, by table and role; no claim is shown.';
revoke all on function runbook.realtime_subscriptions(oid) from public;

-- What is wrong with following one table, or that all is well with it.
--
-- Cost: catalogs, and the subscriptions to the table. Takes no lock on it.
-- Misses: what a policy answers for a row, which explain-access tells; filters of a subscription.
create function runbook.findings_of_realtime_table(
  realtime_table runbook.realtime_table,
  roles jsonb
)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_table constant runbook.realtime_table := findings_of_realtime_table.realtime_table;
  v_name constant text := v_table.name;
  v_publication pg_catalog.pg_publication;
  v_missing text[];
  v_findings runbook.finding[] := array[]::runbook.finding[];
  v_finding runbook.finding;
  v_role text;
  v_roles constant text[] := case
    when findings_of_realtime_table.roles = '{}' then array['authenticated']
    else array(
      select named.name
      from jsonb_object_keys(findings_of_realtime_table.roles) as named (name)
      order by named.name
    )
  end;
begin
  select pub.*
  into v_publication
  from pg_catalog.pg_publication as pub
  where pub.pubname = 'supabase_realtime';

  if v_table.published_by is null then
    v_findings := v_findings || row(
      'table_not_published',
      'warning',
      v_name,
      format(
        '%s is not in the publication supabase_realtime, so no change of it is sent. '
        'alter publication supabase_realtime add table %s;',
        v_name,
        v_name
      ),
      '{}'::jsonb,
      'read from pg_publication_rel and pg_publication_namespace',
      null,
      null
    )::runbook.finding;
  else
    v_missing := array_remove(
      array[
        case when not v_publication.pubinsert then 'INSERT' end,
        case when not v_publication.pubupdate then 'UPDATE' end,
        case when not v_publication.pubdelete then 'DELETE' end
      ],
      null
    );

    if v_missing <> '{}' then
      v_findings := v_findings || row(
        'operation_not_published',
        'warning',
        v_name,
        format(
          'The publication supabase_realtime leaves %s out, so %s of %s are not sent.',
          array_to_string(v_missing, ' and '),
          case when cardinality(v_missing) = 1 then 'those changes' else 'these changes' end,
          v_name
        ),
        jsonb_build_object('missing', v_missing),
        'read from pg_publication',
        null,
        null
      )::runbook.finding;
    end if;

    if (v_publication.pubupdate or v_publication.pubdelete)
      and (
        v_table.replica_identity = 'nothing'
        or (v_table.replica_identity = 'default' and not v_table.has_primary_key)
      )
    then
      v_findings := v_findings || row(
        'replica_identity_missing',
        'critical',
        v_name,
        format(
          '%s is published and has no replica identity: every update and delete of it fails. Give '
          'it a primary key, or: alter table %s replica identity full;',
          v_name,
          v_name
        ),
        jsonb_build_object(
          'replica_identity', v_table.replica_identity, 'has_primary_key', v_table.has_primary_key
        ),
        'read from pg_class and pg_index',
        null,
        null
      )::runbook.finding;
    elsif not v_table.has_primary_key then
      v_findings := v_findings || row(
        'no_primary_key',
        'warning',
        v_name,
        format('%s has no primary key; Realtime sends an error instead of its changes.', v_name),
        jsonb_build_object('replica_identity', v_table.replica_identity),
        'read from pg_index',
        null,
        null
      )::runbook.finding;
    end if;
  end if;

  foreach v_role in array v_roles loop
    if not exists (select from pg_catalog.pg_roles as rol where rol.rolname = v_role) then
      continue;
    end if;

    if not has_schema_privilege(
      v_role,
      (select rel.relnamespace from pg_catalog.pg_class as rel where rel.oid = v_table.relation),
      'usage'
    )
      or not has_any_column_privilege(v_role, v_table.relation, 'select')
    then
      v_findings := v_findings || row(
        'grant_missing',
        'warning',
        v_name,
        format(
          '%s may not select from %s, so its subscriptions get errors instead of rows. '
          'grant select on %s to %s;',
          v_role,
          v_name,
          v_name,
          quote_ident(v_role)
        ),
        jsonb_build_object(
          'role', v_role,
          'subscriptions', findings_of_realtime_table.roles -> v_role
        ),
        'read from the grants',
        null,
        null
      )::runbook.finding;
    elsif v_table.has_row_security and not exists (
      select
      from pg_catalog.pg_policy as pol
      where pol.polrelid = v_table.relation
        and pol.polpermissive
        and pol.polcmd in ('r', '*')
        and (
          0 = any (pol.polroles)
          or exists (
            select
            from unnest(pol.polroles) as named (role)
            where pg_has_role(v_role, named.role, 'usage')
          )
        )
    )
      and not (select rol.rolbypassrls from pg_catalog.pg_roles as rol where rol.rolname = v_role)
    then
      v_findings := v_findings || row(
        'select_policy_missing',
        'warning',
        v_name,
        format(
          'Row level security is on for %s and no policy for select is for %s, so no row of it is '
          'sent to that role.',
          v_name,
          v_role
        ),
        jsonb_build_object(
          'role', v_role,
          'subscriptions', findings_of_realtime_table.roles -> v_role
        ),
        'read from pg_policy',
        null,
        null
      )::runbook.finding;
    end if;
  end loop;

  if v_findings = '{}' then
    v_findings := v_findings || row(
      'table_followed',
      'info',
      v_name,
      concat(
        format('Changes of %s are published', v_name),
        case
          when findings_of_realtime_table.roles = '{}'
            then '; nobody is subscribed to them at the moment'
          else format(
            ', with %s',
            (
              select string_agg(
                format(
                  '%s as %s',
                  case sub.value
                    when '1' then 'one subscription'
                    else sub.value || ' subscriptions'
                  end,
                  sub.key
                ),
                ', ' order by sub.key
              )
              from jsonb_each_text(findings_of_realtime_table.roles) as sub (key, value)
            )
          )
        end,
        case
          when v_table.replica_identity <> 'full'
            then format(
              '; of an old row only the key (replica identity %s)', v_table.replica_identity
            )
        end,
        case when v_table.is_filtered then '; the publication has a filter for its rows' end,
        '.'
      ),
      jsonb_build_object(
        'published_by', v_table.published_by,
        'replica_identity', v_table.replica_identity,
        'subscriptions', findings_of_realtime_table.roles
      ),
      'read from the catalogs and counted in realtime.subscription',
      null,
      null
    )::runbook.finding;
  end if;

  foreach v_finding in array v_findings loop
    return next v_finding;
  end loop;
end;
$$;

comment on function runbook.findings_of_realtime_table(runbook.realtime_table, jsonb) is
'What keeps changes of a table from its subscribers, {role: count}: table_not_published,
operation_not_published, replica_identity_missing, no_primary_key, grant_missing,
select_policy_missing; else table_followed.';
revoke all on function runbook.findings_of_realtime_table(runbook.realtime_table, jsonb)
from public;
