-- Tables of the application that lack what every table should have: a primary key, and row level
-- security where the Data API shows them.
--
-- Raw catalogs and has_table_privilege only, which take no lock. Rights are looked at because a
-- table that the API's roles cannot touch is nobody's trouble.

-- Tables without a primary key.
--
-- Cost: pg_class, and an index lookup in pg_constraint for each table; no lock.
-- Misses: a key that does not identify what people mean.
create function runbook.check_primary_keys(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with keyless as materialized (
    select rel.oid, rel.relnamespace, rel.relreplident, rel.reltuples
    from pg_catalog.pg_class as rel
    where rel.relkind in ('r', 'p')
      -- A partition has the key of its parent.
      and not rel.relispartition
      -- What does not survive a crash is for staging.
      and rel.relpersistence = 'p'
      -- An index was named to stand in for the key.
      and rel.relreplident <> 'i'
      and not exists (
        select
        from pg_catalog.pg_constraint as con
        where con.conrelid = rel.oid
          and con.contype = 'p'
      )
  ),
  judged as (
    select
      runbook.relation_name(kls.oid) as name,
      greatest(kls.reltuples, pg_stat_get_live_tuples(kls.oid), 0) as rows,
      -- Without an identity, updates and deletes of a published table are refused.
      kls.relreplident in ('d', 'n') and exists (
        select
        from pg_catalog.pg_publication as pub
        where (pub.pubupdate or pub.pubdelete)
          and (
            pub.puballtables
            or exists (
              select
              from pg_catalog.pg_publication_rel as prl
              where prl.prpubid = pub.oid
                and prl.prrelid = kls.oid
            )
            or exists (
              select
              from pg_catalog.pg_publication_namespace as pns
              inner join pg_catalog.pg_class as rel on rel.relnamespace = pns.pnnspid
              where pns.pnpubid = pub.oid
                and rel.oid = kls.oid
            )
          )
      ) as is_published
    from keyless as kls
    inner join runbook.application_schema as aps on aps.oid = kls.relnamespace
    where not runbook.is_of_extension(kls.oid)
  ),
  ranked as (
    select
      jdg.name,
      jdg.rows,
      jdg.is_published,
      row_number() over (order by jdg.is_published desc, jdg.rows desc, jdg.name) as position
    from judged as jdg
  )
  select row(
    count(*),
    coalesce(
      array_agg(
        row(
          'table_without_primary_key',
          case when rnk.is_published then 'warning' else 'info' end,
          rnk.name,
          format(
            '%s has no primary key, so %s. Add one: alter table %s add primary key (…);',
            rnk.name,
            case
              when rnk.is_published
                then 'its updates and deletes fail, because it is published (Realtime)'
              else 'a row cannot be told from its double, nor upserted, nor followed by Realtime'
            end,
            rnk.name
          ),
          jsonb_build_object('rows', round(rnk.rows), 'is_published', rnk.is_published),
          'read from pg_constraint',
          null,
          null
        )::runbook.finding
        order by rnk.position
      ) filter (where rnk.position <= 100),
      '{}'
    )
  )::runbook.check_result
  from ranked as rnk;
$$;

comment on function runbook.check_primary_keys(jsonb) is
'How many tables of the application have no primary key: table_without_primary_key.';
revoke all on function runbook.check_primary_keys(jsonb) from public;

-- Row level security of the tables that the Data API shows: off, so that the public key opens them,
-- or on without any policy, so that nobody sees a row.
--
-- Cost: pg_class, rights of the API's two roles on tables without row level security or without
-- policies; no lock.
-- Misses: policies that allow everything, views that run as their owner, and schemas that the API
-- shows without the database knowing.
create function runbook.check_row_security(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_exposed constant record := runbook.exposed_schemas();
  v_anon constant oid := to_regrole('anon');
  v_authenticated constant oid := to_regrole('authenticated');
  v_result runbook.check_result;
begin
  if v_anon is null or v_authenticated is null then
    return row(
      null,
      array[
        runbook.not_applicable('row_security', 'The roles of the Data API do not exist here.')
      ]
    )::runbook.check_result;
  end if;

  with reachable as (
    select
      aps.oid,
      has_schema_privilege(v_anon, aps.oid, 'usage') as for_anon,
      has_schema_privilege(v_authenticated, aps.oid, 'usage') as for_authenticated
    from runbook.application_schema as aps
    where aps.name = any (v_exposed.names)
  ),
  bare as (
    select
      rel.oid,
      case when rel.relispartition then pg_partition_root(rel.oid)::oid else rel.oid end as root,
      rel.relrowsecurity,
      sch.for_anon,
      sch.for_authenticated
    from pg_catalog.pg_class as rel
    inner join reachable as sch on sch.oid = rel.relnamespace
    -- A partition can be asked for by its own name, past the policies of its parent; one that is
    -- closed to that is as it should be.
    where rel.relkind in ('r', 'p')
      and (
        not rel.relrowsecurity
        or (
          not rel.relispartition
          and not exists (
            select
            from pg_catalog.pg_policy as pol
            where pol.polrelid = rel.oid
          )
        )
      )
  ),
  open as (
    select
      bar.oid,
      bar.root,
      bar.relrowsecurity,
      bar.for_anon
      and has_table_privilege(v_anon, bar.oid, 'select, insert, update, delete') as for_anon,
      bar.for_authenticated
      and has_table_privilege(v_authenticated, bar.oid, 'select, insert, update, delete')
        as for_authenticated
    from bare as bar
  ),
  -- A table and its partitions are one finding, or they would hide the others.
  families as (
    select
      opn.root,
      opn.relrowsecurity,
      bool_or(opn.for_anon) as for_anon,
      bool_or(opn.oid = opn.root) as has_root,
      count(*) filter (where opn.oid <> opn.root) as partitions,
      count(*) as tables,
      min(opn.oid) as one
    from open as opn
    where (opn.for_anon or opn.for_authenticated)
      and not runbook.is_of_extension(opn.oid)
    group by opn.root, opn.relrowsecurity
  ),
  ranked as (
    select
      runbook.relation_name(
        case when fam.has_root or fam.partitions > 1 then fam.root else fam.one end
      ) as name,
      fam.relrowsecurity,
      fam.for_anon,
      fam.has_root,
      fam.partitions,
      fam.tables,
      row_number() over (
        order by fam.relrowsecurity, fam.for_anon desc, fam.root
      ) as position
    from families as fam
  )
  select
    coalesce(sum(rnk.tables), 0),
    coalesce(
      array_agg(
        case
          when rnk.relrowsecurity
            then row(
              'row_security_without_policy',
              'info',
              rnk.name,
              format(
                '%s has row level security and no policy, so the Data API shows no row of it, and says '
                'nothing. If that is meant, revoke its grants; else write a policy.',
                rnk.name
              ),
              jsonb_build_object('for_anon', rnk.for_anon, 'exposed_by', v_exposed.source),
              'read from pg_class, pg_policy and the grants',
              null,
              null
            )::runbook.finding
          else row(
            'row_security_off',
            case when rnk.for_anon then 'critical' else 'warning' end,
            rnk.name,
            format(
              '%s can use %s%s without row level security. %s',
              case
                when rnk.for_anon then 'Everyone with the public key'
                else 'Every user who signed in'
              end,
              case
                when rnk.has_root or rnk.partitions < 2 then ''
                else format('%s partitions of ', rnk.partitions)
              end,
              case
                when rnk.has_root and rnk.partitions > 0
                  then format('%s and %s', rnk.name, runbook.counted(rnk.partitions, 'partition'))
                else rnk.name
              end,
              case
                when rnk.partitions > 0
                  then format(
                    '%sThe policies of a table do not hold for its partitions: revoke all on them '
                    'from anon, authenticated;',
                    case when rnk.has_root then 'Write its policies and enable it. ' else '' end
                  )
                else format(
                  'Write its policies, then: alter table %s enable row level security;', rnk.name
                )
              end
            ),
            jsonb_build_object(
              'for_anon', rnk.for_anon,
              'exposed_by', v_exposed.source,
              'partitions', rnk.partitions
            ),
            'read from pg_class and the grants',
            null,
            null
          )::runbook.finding
        end
        order by rnk.position
      ) filter (where rnk.position <= 100),
      '{}'
    )
  into v_result.value, v_result.findings
  from ranked as rnk;

  return v_result;
end;
$$;

comment on function runbook.check_row_security(jsonb) is
'How many tables that the Data API shows lack row level security or policies: row_security_off,
row_security_without_policy.';
revoke all on function runbook.check_row_security(jsonb) from public;

insert into runbook.check (
  name,
  title,
  description,
  function,
  position,
  check_group,
  unit,
  thresholds,
  codes,
  probes
)
values
  (
    'primary_keys',
    'Primary keys',
    'Every table of the application has a primary key.',
    'runbook.check_primary_keys',
    630,
    'platform',
    'tables',
    '{}',
    '{"table_without_primary_key": "A table has no primary key."}',
    '{}'
  ),
  -- look_every_s: which schemas the Data API shows changes when somebody changes it.
  (
    'row_security',
    'Row level security',
    'Tables that the Data API shows have row level security, and policies.',
    'runbook.check_row_security',
    640,
    'platform',
    'tables',
    '{"look_every_s": 3600}',
    '{
      "row_security_without_policy": "Row level security is on and no policy lets anyone in.",
      "row_security_off": "The API''s roles can use the table without row level security."
    }',
    array['data_api']
  );
