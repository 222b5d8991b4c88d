-- Reading the catalogs so that it never waits: who holds or awaits an exclusive lock, names of
-- relations and values for people.
--
-- Many of the server's own functions lock the relation that they are asked about (sizes,
-- definitions, expressions), and so hang behind a waiting ALTER TABLE. These read plain rows.

-- The exclusive locks on relations that other sessions of this database hold or wait for.
--
-- Cost: pg_locks once, which takes each partition of the lock table for a moment; call it once a
-- check, not once an object.
create function runbook.exclusive_locks()
returns table (
  relation oid,
  pid integer,
  is_granted boolean,
  seconds numeric,
  description text
)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    lck.relation,
    lck.pid,
    lck.granted,
    round(
      extract(
        epoch from clock_timestamp() - coalesce(lck.waitstart, act.state_change, act.xact_start)
      ),
      1
    ),
    format(
      'pid %s (%s, %s) %s an exclusive lock since %s',
      lck.pid,
      coalesce(act.usename, 'unknown role'),
      coalesce(nullif(act.application_name, ''), coalesce(act.backend_type, 'unknown')),
      case when lck.granted then 'holds' else 'waits for' end,
      runbook.utc_text(coalesce(lck.waitstart, act.state_change, act.xact_start))
    ) collate "default"
  from pg_catalog.pg_locks as lck
  left join pg_catalog.pg_stat_activity as act on act.pid = lck.pid
  where lck.locktype = 'relation'
    and lck.mode = 'AccessExclusiveLock'
    and lck.pid <> pg_backend_pid()
    and lck.database = (
      select dat.oid
      from pg_catalog.pg_database as dat
      where dat.datname = current_database()
    );
$$;

comment on function runbook.exclusive_locks() is
'One row for each AccessExclusiveLock on a relation of this database that another session holds or
waits for: relation, pid, is_granted, seconds, and a description for people.';
revoke all on function runbook.exclusive_locks() from public;

-- The name of a relation as one writes it in SQL, with its schema; null when it is gone.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.relation_name(relation oid)
returns text
language plpgsql
stable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select format('%I.%I', nsp.nspname, rel.relname) collate "default"
    from pg_catalog.pg_class as rel
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
    where rel.oid = relation_name.relation
  );
end;
$$;

comment on function runbook.relation_name(oid) is
'The quoted, schema-qualified name of a relation, or null. Takes no lock.';
revoke all on function runbook.relation_name(oid) from public;

-- Finds the relation that somebody means by a name. Without a schema it is one of schema public.
create function runbook.relation_of(name text)
returns oid
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_parts text[];
  v_relation oid;
begin
  begin
    v_parts := parse_ident(relation_of.name);
  exception
    when invalid_parameter_value then
      raise exception 'This is not the name of a table: %.', quote_nullable(relation_of.name)
        using errcode = '22023', hint = 'Write it as schema.table, like public.profiles.';
  end;

  if cardinality(v_parts) is distinct from 1 and cardinality(v_parts) is distinct from 2 then
    raise exception 'This is not the name of a table: %.', quote_nullable(relation_of.name)
      using errcode = '22023', hint = 'Write it as schema.table, like public.profiles.';
  end if;

  select rel.oid
  into v_relation
  from pg_catalog.pg_class as rel
  inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
  where rel.relname = v_parts[cardinality(v_parts)]
    and nsp.nspname = case when cardinality(v_parts) = 2 then v_parts[1] else 'public' end;

  if not found then
    perform runbook.refuse_change_of(
      'P0002',
      format('There is no table or index %s.', left(relation_of.name, 140)),
      'Without a schema it is sought in public. Upper case needs double quotes.'
    );
  end if;

  return v_relation;
end;
$$;

comment on function runbook.relation_of(text) is
'The oid of a table, view or index by its name, as SQL writes it. Raises 22023 for what is no name,
P0002 where there is none. Takes no lock.';
revoke all on function runbook.relation_of(text) from public;

-- A duration for people: its two largest units.
create function runbook.duration_text(duration interval)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when total.seconds is null then null
    when total.seconds < 0 then '-' || runbook.duration_text(-duration_text.duration)
    when total.seconds < 10 then round(total.seconds, 1) || ' s'
    when total.seconds < 60 then round(total.seconds) || ' s'
    when total.seconds < 3600
      then format('%s min %s s', div(total.seconds, 60), mod(trunc(total.seconds), 60))
    when total.seconds < 86400
      then format('%s h %s min', div(total.seconds, 3600), div(mod(total.seconds, 3600), 60))
    else format('%s d %s h', div(total.seconds, 86400), div(mod(total.seconds, 86400), 3600))
  end
  from (select extract(epoch from duration_text.duration)) as total (seconds);
$$;

comment on function runbook.duration_text(interval) is
'A duration in its two largest units: 2.5 s, 3 min 20 s, 5 h 7 min, 12 d 4 h.';
revoke all on function runbook.duration_text(interval) from public;
grant execute on function runbook.duration_text(interval) to runbook_viewer;

-- The schemas that the Data API shows, and how that is known: by its own word of the last day, by
-- the admin's setting exposed_schemas, by the settings of the role authenticator. On the hosted
-- platform those are kept elsewhere; where nobody has asked or told, `public` is assumed.
create function runbook.exposed_schemas(out names text[], out source text)
returns record
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_probe constant runbook.probe := runbook.fresh_probe('data_api', '1 day');
  v_setting text;
begin
  if v_probe.ok then
    exposed_schemas.names := array(
      select told.name
      from jsonb_array_elements_text(v_probe.evidence -> 'schemas') as told (name)
    );
    exposed_schemas.source := format(
      'the Data API itself, asked at %s', runbook.utc_text(v_probe.seen_at)
    );
    return;
  end if;

  select array_agg(told.name), 'the setting exposed_schemas of the runbook'
  into exposed_schemas.names, exposed_schemas.source
  from runbook.setting as stg
  cross join jsonb_array_elements_text(
    case when jsonb_typeof(stg.value) = 'array' then stg.value else '[]' end
  ) as told (name)
  where stg.name = 'exposed_schemas';

  if exposed_schemas.names is not null then
    return;
  end if;

  -- The most special setting counts: of the role in this database, of the role, of the database.
  select substr(opt.content, length('pgrst.db_schemas=') + 1)
  into v_setting
  from pg_catalog.pg_db_role_setting as drs
  cross join unnest(drs.setconfig) as opt (content)
  where opt.content like 'pgrst.db\_schemas=%'
    and drs.setrole in (0, coalesce(to_regrole('authenticator')::oid, 0))
    and drs.setdatabase in (
      0,
      (select dat.oid from pg_catalog.pg_database as dat where dat.datname = current_database())
    )
  order by drs.setrole desc, drs.setdatabase desc
  limit 1;

  exposed_schemas.source := 'pgrst.db_schemas';

  if v_setting is null then
    v_setting := current_setting('pgrst.db_schemas', true);
  end if;

  if coalesce(v_setting, '') = '' then
    v_setting := 'public';
    exposed_schemas.source := 'assumed: the database does not know the settings of the Data API';
  end if;

  select array_agg(btrim(part.name, ' "'))
  into exposed_schemas.names
  from string_to_table(v_setting, ',') as part (name);
end;
$$;

comment on function runbook.exposed_schemas() is
'{names, source}: the schemas that the Data API shows, and where that was read.';
revoke all on function runbook.exposed_schemas() from public;
