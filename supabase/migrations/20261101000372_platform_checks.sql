-- What the database stands on: extensions and the rights to use them, collations that an upgrade
-- changed under the indexes, and the record of migrations. None of them hurts on the day it breaks,
-- which is why nobody looks.

-- The extensions that the runbook uses: how to see that each is there (its schema where the local
-- stack stands in for it), what for, and whether the runbook works without.
create function runbook.wanted_extensions()
returns table (name text, evidence_of text, severity text, purpose text)
language sql
immutable
security invoker
set search_path = ''
as $$
  values
    ('pg_cron', 'cron.job', 'warning', 'nothing runs on schedule, and no figures are kept'),
    ('pg_net', 'net.http_request_queue', 'warning', 'the tick cannot ring the edge functions'),
    ('pg_stat_statements', null, 'warning', 'slow queries cannot be told'),
    ('pgstattuple', null, 'info', 'bloat is estimated instead of measured'),
    ('hypopg', null, 'info', 'an index that might help cannot be tried before it is built');
$$;

comment on function runbook.wanted_extensions() is
'The extensions that the runbook uses, how bad it is when one is missing, and what is lost then.';
revoke all on function runbook.wanted_extensions() from public;

-- The rights that are missing on what an extension brought, for the role that runs the checks. A
-- function, so that tests can say otherwise.
create function runbook.missing_extension_rights()
returns table (name text, missing text, cure text)
language sql
stable
security invoker
set search_path = ''
as $$
  select wanted.name, wanted.missing, wanted.cure
  from (
    select
      'pg_cron',
      'reading cron.job_run_details',
      format('grant select on cron.job_run_details to %I', current_user),
      has_table_privilege(to_regclass('cron.job_run_details'), 'select')
    union all
    select
      'pg_cron',
      'calling cron.schedule',
      format('grant execute on all functions in schema cron to %I', current_user),
      has_function_privilege(to_regprocedure('cron.schedule(text, text, text)'), 'execute')
    union all
    select
      'pg_net',
      'calling net.http_post',
      format('grant execute on all functions in schema net to %I', current_user),
      has_function_privilege(
        to_regprocedure('net.http_post(text, jsonb, jsonb, jsonb, integer)'), 'execute'
      )
    union all
    select
      'pg_stat_statements',
      'seeing the queries of all roles',
      format('grant pg_monitor to %I', current_user),
      pg_has_role('pg_read_all_stats', 'usage')
    where runbook.extension_schema('pg_stat_statements') is not null
    union all
    select
      'pgstattuple',
      'calling pgstattuple_approx',
      format('grant pg_monitor to %I', current_user),
      has_function_privilege(
        to_regprocedure(
          format('%I.pgstattuple_approx(regclass)', runbook.extension_schema('pgstattuple'))
        ),
        'execute'
      )
    where runbook.extension_schema('pgstattuple') is not null
  ) as wanted (name, missing, cure, is_there)
  -- Null is what does not exist here at all.
  where not wanted.is_there;
$$;

comment on function runbook.missing_extension_rights() is
'One row for each right on an extension''s objects that the runbook needs and has not.';
revoke all on function runbook.missing_extension_rights() from public;

-- Extensions that the runbook uses and that are missing, or that it may not use.
--
-- Cost: a handful of catalog rows, and the directory of extensions where one is missing.
-- Misses: extensions that the application needs; a library that is not preloaded shows where it is
-- used.
create function runbook.check_extensions(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
as $$
  with missing as (
    select
      row(
        'extension_missing',
        wnt.severity,
        wnt.name,
        format(
          '%s is not installed, so %s. Install it: create extension %s%s;',
          wnt.name,
          wnt.purpose,
          wnt.name,
          -- pg_cron chooses its schema itself
          case when wnt.name = 'pg_cron' then '' else ' with schema extensions' end
        ),
        jsonb_build_object('available_version', avl.default_version),
        'read from pg_extension',
        null,
        null
      )::runbook.finding as finding,
      wnt.severity
    from runbook.wanted_extensions() as wnt
    -- What this server cannot offer is nothing to be done about.
    inner join pg_catalog.pg_available_extensions as avl on avl.name = wnt.name
    where runbook.extension_schema(wnt.name) is null
      and to_regclass(wnt.evidence_of) is null
  ),
  refused as (
    select
      row(
        'extension_without_permission',
        'warning',
        rgt.name,
        format(
          '%s is installed, but %s lacks the right for %s. As its owner: %s;',
          rgt.name,
          current_user,
          rgt.missing,
          rgt.cure
        ),
        jsonb_build_object('role', current_user, 'missing', rgt.missing),
        'read from the grants',
        null,
        null
      )::runbook.finding as finding
    from runbook.missing_extension_rights() as rgt
  ),
  found as (
    select mss.finding, case mss.severity when 'warning' then 1 else 3 end as position
    from missing as mss
    union all
    select rfs.finding, 2
    from refused as rfs
  )
  select row(
    count(*),
    coalesce(array_agg(fnd.finding order by fnd.position), '{}')
  )::runbook.check_result
  from found as fnd;
$$;

comment on function runbook.check_extensions(jsonb) is
'How many extensions the runbook misses or may not use: extension_missing,
extension_without_permission.';
revoke all on function runbook.check_extensions(jsonb) from public;

-- The collations in use with the version that they had when their indexes were built, and the one
-- that the server has now. A function, so that tests can say otherwise.
create function runbook.collation_versions()
returns table (name text, is_of_database boolean, recorded text, actual text)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    dat.datname collate "default",
    true,
    dat.datcollversion collate "default",
    pg_database_collation_actual_version(dat.oid) collate "default"
  from pg_catalog.pg_database as dat
  where dat.datname = current_database()
  union all
  -- Collations that nothing depends on cannot have spoilt an index.
  select
    format('%I.%I', nsp.nspname, clt.collname) collate "default",
    false,
    clt.collversion collate "default",
    pg_collation_actual_version(clt.oid) collate "default"
  from pg_catalog.pg_collation as clt
  inner join pg_catalog.pg_namespace as nsp on nsp.oid = clt.collnamespace
  where clt.collversion is not null
    and exists (
      select
      from pg_catalog.pg_depend as dep
      where dep.refclassid = 'pg_catalog.pg_collation'::regclass
        and dep.refobjid = clt.oid
    );
$$;

comment on function runbook.collation_versions() is
'The collation of the database and those in use: recorded and actual version.';
revoke all on function runbook.collation_versions() from public;

-- Collations whose order an upgrade of the system changed: indexes over text that were built before
-- may miss rows, and let duplicates in.
--
-- Cost: pg_collation, and one index lookup for each collation with a version; no lock.
-- Misses: which indexes are really out of order; amcheck tells that.
create function runbook.check_collations(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
as $$
  with drifted as (
    select
      ver.name,
      ver.is_of_database,
      ver.recorded,
      ver.actual,
      row_number() over (order by ver.is_of_database desc, ver.name) as position
    from runbook.collation_versions() as ver
    where ver.recorded <> ver.actual
  )
  select row(
    count(*),
    coalesce(
      array_agg(
        row(
          'collation_drifted',
          'warning',
          drf.name,
          format(
            'The %s %s was built with version %s of its library, the server has %s: indexes over '
            'text may miss rows. Rebuild those (reindex index concurrently), then: alter %s refresh %s;',
            case when drf.is_of_database then 'database' else 'collation' end,
            drf.name,
            drf.recorded,
            drf.actual,
            case
              when drf.is_of_database then format('database %I', drf.name)
              else format('collation %s', drf.name)
            end,
            case when drf.is_of_database then 'collation version' else 'version' end
          ),
          jsonb_build_object('recorded', drf.recorded, 'actual', drf.actual),
          'recorded version compared with the library''s',
          null,
          null
        )::runbook.finding
        order by drf.position
      ) filter (where drf.position <= 100),
      '{}'
    )
  )::runbook.check_result
  from drifted as drf;
$$;

comment on function runbook.check_collations(jsonb) is
'How many collations have changed under the indexes: collation_drifted.';
revoke all on function runbook.check_collations(jsonb) from public;

-- What the record of migrations says: is every migration of the runbook in it, and did one leave a
-- half-built index behind?
--
-- A migration that fails is rolled back with its record and leaves nothing to see, unless it ran
-- outside a transaction (create index concurrently): then its index is there, invalid, and no
-- record names it.
-- Cost: the versions of the record; its statements only where an index is invalid.
-- Misses: migrations of the application that were never pushed, failed ones that left no index, and
-- what somebody changed by hand since.
create function runbook.check_migrations(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_findings runbook.finding[] := array[]::runbook.finding[];
  v_missing text[];
  v_index record;
  v_recorded_in text;
begin
  if to_regclass('supabase_migrations.schema_migrations') is null then
    return row(
      null,
      array[
        runbook.not_applicable(
          'migrations', 'There is no record of migrations; the CLI keeps one from a first push on.'
        )
      ]
    )::runbook.check_result;
  end if;

  execute '
    select array_agg(wanted.version order by wanted.version)
    from runbook.release as rls
    cross join unnest(rls.migrations) as wanted (version)
    where not exists (
      select
      from supabase_migrations.schema_migrations as mig
      where mig.version = wanted.version
    )'
  into v_missing;

  if v_missing is not null then
    v_findings := v_findings || row(
      'migration_missing',
      'warning',
      'supabase_migrations.schema_migrations',
      format(
        'The record lacks %s of the runbook''s migrations (%s first), so the next push applies them '
        'again and fails. If the schema is whole: supabase migration repair --status applied %s',
        cardinality(v_missing),
        v_missing[1],
        v_missing[1]
      ),
      jsonb_build_object('missing', to_jsonb(v_missing)),
      'runbook.release compared with the record',
      null,
      null
    )::runbook.finding;
  end if;

  for v_index in
    select
      rel.oid,
      rel.relname collate "default" as short_name,
      runbook.relation_name(rel.oid) as name,
      runbook.relation_name(idx.indrelid) as table_name
    from pg_catalog.pg_index as idx
    inner join pg_catalog.pg_class as rel on rel.oid = idx.indexrelid and rel.relkind = 'i'
    inner join runbook.application_schema as aps on aps.oid = rel.relnamespace
    where not idx.indisvalid
      -- what reindex concurrently leaves when it is cancelled
      and rel.relname !~ '_cc(new|old)[0-9]*$'
      -- One that is being built is invalid too.
      and not exists (
        select
        from pg_catalog.pg_stat_progress_create_index as prg
        where prg.index_relid = idx.indexrelid
          or prg.relid = idx.indrelid
      )
    order by rel.oid
    limit 100
  loop
    execute '
      select min(mig.version)
      from supabase_migrations.schema_migrations as mig
      where exists (
        select
        from unnest(mig.statements) as sta (content)
        where strpos(lower(sta.content), lower($1)) > 0
      )'
    into v_recorded_in
    using v_index.short_name;

    if v_recorded_in is null then
      v_findings := v_findings || row(
        'migration_failed',
        'info',
        v_index.name,
        format(
          'The index %s of %s is invalid and no recorded migration names it: one that was to build '
          'it may have failed half-way. Drop it, then push again.',
          v_index.name,
          v_index.table_name
        ),
        jsonb_build_object('table', v_index.table_name),
        'pg_index compared with the statements of the record',
        null,
        null
      )::runbook.finding;
    end if;
  end loop;

  return row(cardinality(v_findings), v_findings)::runbook.check_result;
end;
$$;

comment on function runbook.check_migrations(jsonb) is
'How many troubles the record of migrations shows: migration_missing, migration_failed.';
revoke all on function runbook.check_migrations(jsonb) from public;

insert into runbook.check (
  name,
  title,
  description,
  function,
  position,
  check_group,
  unit,
  thresholds,
  codes
)
values
  (
    'extensions',
    'Extensions',
    'The extensions that the runbook uses are installed, and it may use them.',
    'runbook.check_extensions',
    600,
    'platform',
    'troubles',
    '{}',
    '{
      "extension_missing": "An extension that the runbook uses can be installed and is not.",
      "extension_without_permission": "The runbook may not use an extension that is installed."
    }'
  ),
  (
    'collations',
    'Collations',
    'The order of text is still the one that the indexes were built with.',
    'runbook.check_collations',
    605,
    'platform',
    'collations',
    '{}',
    '{"collation_drifted": "The library that orders text has another version than the indexes."}'
  ),
  (
    'migrations',
    'Migrations',
    'The record of migrations is whole, and none left a half-built index.',
    'runbook.check_migrations',
    615,
    'platform',
    'troubles',
    '{}',
    '{
      "migration_missing": "A migration of the runbook is not in the record.",
      "migration_failed": "An invalid index that no recorded migration names."
    }'
  );
