-- The gates between a role and a table that the catalogs answer: schema, grants, exposure, row
-- level security, and which policies apply.
--
-- All of it is read from rows of the catalogs and has_…_privilege, which take no lock on the table.

-- The gate `schema_usage`.
create function runbook.schema_gate(role text, relation oid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_schema text;
  v_passes boolean;
begin
  select nsp.nspname, has_schema_privilege(schema_gate.role, nsp.oid, 'usage')
  into v_schema, v_passes
  from pg_catalog.pg_class as rel
  inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
  where rel.oid = schema_gate.relation;

  return runbook.access_gate(
    'schema_usage',
    case when v_passes then 'pass' else 'fail' end,
    format(
      case
        when v_passes then '%s may use schema %s.'
        else '%s may not use schema %s (grant usage on schema).'
      end,
      quote_ident(schema_gate.role), quote_ident(v_schema)
    ),
    jsonb_build_object('schema', v_schema)
  );
end;
$$;

comment on function runbook.schema_gate(text, oid) is 'The gate schema_usage.';
revoke all on function runbook.schema_gate(text, oid) from public;

-- The columns of a relation with what a role may do to each.
create function runbook.column_rights(role text, relation oid)
returns table (
  name text,
  number smallint,
  may_select boolean,
  may_insert boolean,
  may_update boolean,
  is_computed boolean
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return query
  select
    att.attname::text collate "default",
    att.attnum,
    has_column_privilege(column_rights.role, att.attrelid, att.attnum, 'select'),
    has_column_privilege(column_rights.role, att.attrelid, att.attnum, 'insert'),
    has_column_privilege(column_rights.role, att.attrelid, att.attnum, 'update'),
    att.attgenerated <> '' or att.attidentity = 'a'
  from pg_catalog.pg_attribute as att
  where att.attrelid = column_rights.relation
    and att.attnum > 0
    and not att.attisdropped;
end;
$$;

comment on function runbook.column_rights(text, oid) is
'Each column of a relation, whether a role may select, insert and update it, and whether the
table alone gives it its value.';
revoke all on function runbook.column_rights(text, oid) from public;

-- The sequences that an insert draws from for the columns it does not name, and that the role may
-- not use. An identity column needs no right on its sequence.
create function runbook.sequences_missing(role text, relation oid, given text[])
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select array(
      select distinct runbook.relation_name(seq.oid)
      from pg_catalog.pg_attrdef as def
      inner join pg_catalog.pg_attribute as att
        on att.attrelid = def.adrelid and att.attnum = def.adnum
      inner join pg_catalog.pg_depend as dep
        on dep.classid = 'pg_catalog.pg_attrdef'::regclass
        and dep.objid = def.oid
        and dep.refclassid = 'pg_catalog.pg_class'::regclass
      inner join pg_catalog.pg_class as seq on seq.oid = dep.refobjid and seq.relkind = 'S'
      where def.adrelid = sequences_missing.relation
        and att.attname <> all (sequences_missing.given)
        -- Asked of anything else, which the planner is free to do, it raises.
        and case
          when seq.relkind = 'S'
            then not has_sequence_privilege(sequences_missing.role, seq.oid, 'usage, update')
        end
      order by 1
    )
  );
end;
$$;

comment on function runbook.sequences_missing(text, oid, text[]) is
'Sequences behind the defaults of the columns that are not given, which the role may not use.';
revoke all on function runbook.sequences_missing(text, oid, text[]) from public;

-- The gate `grants`: the privileges that the command needs on the table and its columns.
--
-- `named` are the columns that an insert or update gives; `filter` those that find the rows, which
-- must be readable.
create function runbook.grants_gate(
  role text,
  relation oid,
  command text,
  named text[],
  filter text[]
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_table constant text := runbook.relation_name(grants_gate.relation);
  v_role constant text := quote_ident(grants_gate.role);
  v_whole constant boolean := has_table_privilege(
    grants_gate.role, grants_gate.relation, grants_gate.command
  );
  v_granted text[];
  v_readable text[];
  v_all text[];
  v_missing text[];
  v_unreadable text[] := '{}';
  v_sequences text[] := '{}';
  v_evidence jsonb;
begin
  select
    coalesce(
      array_agg(col.name order by col.number) filter (
        where case grants_gate.command
          when 'insert' then col.may_insert
          when 'update' then col.may_update
          when 'select' then col.may_select
          else v_whole
        end
      ),
      '{}'
    ),
    coalesce(array_agg(col.name order by col.number) filter (where col.may_select), '{}'),
    coalesce(array_agg(col.name order by col.number), '{}')
  into v_granted, v_readable, v_all
  from runbook.column_rights(grants_gate.role, grants_gate.relation) as col;

  if grants_gate.command <> 'insert' then
    v_unreadable := array(
      select wanted.name
      from unnest(grants_gate.filter) as wanted (name)
      where wanted.name <> all (v_readable)
    );
  else
    v_sequences := runbook.sequences_missing(
      grants_gate.role, grants_gate.relation, grants_gate.named
    );
  end if;

  v_missing := case
    when grants_gate.command = 'delete' then '{}'::text[]
    when grants_gate.command = 'select' then array(
      select col.name from unnest(v_all) as col (name) where col.name <> all (v_granted)
    )
    else array(
      select wanted.name
      from unnest(grants_gate.named) as wanted (name)
      where wanted.name <> all (v_granted)
    )
  end;

  v_evidence := jsonb_strip_nulls(
    jsonb_build_object(
      'privilege', grants_gate.command,
      'level', case
        when v_whole then 'table'
        when cardinality(v_granted) > 0 then 'columns'
        else 'none'
      end,
      'columns', case when not v_whole then nullif(to_jsonb(v_granted), '[]') end,
      'missing_columns', nullif(to_jsonb(v_missing), '[]'),
      'unreadable_filter', nullif(to_jsonb(v_unreadable), '[]'),
      'sequences', nullif(to_jsonb(v_sequences), '[]'),
      'select_star', case
        when grants_gate.command = 'select' and cardinality(v_granted) > 0
          then v_missing = '{}'
      end,
      'returning_star', case
        when grants_gate.command <> 'select' then cardinality(v_readable) = cardinality(v_all)
      end
    )
  );

  if not v_whole and cardinality(v_granted) = 0 then
    return runbook.access_gate(
      'grants', 'fail',
      format(
        '%s has no %s privilege on %s. Row level security is not even asked.',
        v_role, grants_gate.command, v_table
      ),
      v_evidence
    );
  end if;

  if grants_gate.command in ('insert', 'update') and v_missing <> '{}' then
    return runbook.access_gate(
      'grants', 'fail',
      format(
        '%s may not %s the column %s of %s.',
        v_role, grants_gate.command,
        (select string_agg(quote_ident(mis.name), ', ') from unnest(v_missing) as mis (name)),
        v_table
      ),
      v_evidence
    );
  end if;

  if v_unreadable <> '{}' then
    return runbook.access_gate(
      'grants', 'fail',
      format(
        'A filter reads its columns, and %s may not select %s of %s.',
        v_role,
        (select string_agg(quote_ident(unr.name), ', ') from unnest(v_unreadable) as unr (name)),
        v_table
      ),
      v_evidence
    );
  end if;

  if v_sequences <> '{}' then
    return runbook.access_gate(
      'grants', 'fail',
      format(
        '%s may not use the sequence %s, from which a default draws.',
        v_role, array_to_string(v_sequences, ', ')
      ),
      v_evidence
    );
  end if;

  return runbook.access_gate(
    'grants', 'pass',
    case
      when grants_gate.command = 'select' and v_missing <> '{}' then format(
        '%s may read only the columns %s of %s; select * is refused.',
        v_role,
        (select string_agg(quote_ident(col.name), ', ') from unnest(v_granted) as col (name)),
        v_table
      )
      when v_whole then format('%s may %s on %s.', v_role, grants_gate.command, v_table)
      else format(
        '%s may %s the columns that are named of %s.', v_role, grants_gate.command, v_table
      )
    end,
    v_evidence
  );
end;
$$;

comment on function runbook.grants_gate(text, oid, text, text[], text[]) is
'The gate grants: table and column privileges of a command, through inheritance and PUBLIC, and the
sequences behind an insert''s defaults.';
revoke all on function runbook.grants_gate(text, oid, text, text[], text[]) from public;

-- A setting of the Data API that is kept in the database, as it reads it: for its login, in this
-- database before in all. One of the database alone has no effect.
create function runbook.api_setting(name text)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select substr(config.entry, length(api_setting.name) + 2)
    from pg_catalog.pg_db_role_setting as stg
    cross join unnest(stg.setconfig) as config (entry)
    where stg.setrole = to_regrole('authenticator')
      and stg.setdatabase in (
        0,
        (
          select dat.oid
          from pg_catalog.pg_database as dat
          where dat.datname = current_database()
        )
      )
      and starts_with(config.entry, api_setting.name || '=')
    order by stg.setdatabase desc
    limit 1
  );
end;
$$;

comment on function runbook.api_setting(text) is
'A setting pgrst.… of the role authenticator, or null where the database keeps none.';
revoke all on function runbook.api_setting(text) from public;

-- The schemas that the Data API is known to serve, or null where nobody told the database: nothing
-- is assumed.
create function runbook.api_schemas()
returns text[]
language sql
stable
security invoker
set search_path = ''
as $$
  select case when exp.source not like 'assumed%' then exp.names end
  from runbook.exposed_schemas() as exp;
$$;

comment on function runbook.api_schemas() is
'The schemas that the Data API is known to serve, or null.';
revoke all on function runbook.api_schemas() from public;

-- The gate `exposed`: the Data API serves the table's schema.
create function runbook.exposed_gate(relation oid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_schemas constant text[] := runbook.api_schemas();
  v_schema constant text := (
    select nsp.nspname
    from pg_catalog.pg_class as rel
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
    where rel.oid = exposed_gate.relation
  );
begin
  if v_schemas is null then
    return runbook.access_gate(
      'exposed', 'unknown',
      'Which schemas the Data API serves is not kept in this database, and it was not asked; see '
      'its settings, or record them: '
      'select runbook.set_setting(''exposed_schemas'', ''["public"]'').',
      jsonb_build_object('schema', v_schema)
    );
  end if;

  return runbook.access_gate(
    'exposed',
    case when v_schema = any (v_schemas) then 'pass' else 'fail' end,
    format(
      case
        when v_schema = any (v_schemas) then 'The Data API serves schema %s.'
        else 'The Data API does not serve schema %s.'
      end,
      quote_ident(v_schema)
    ),
    jsonb_build_object(
      'schema', v_schema,
      'exposed', to_jsonb(v_schemas),
      'source', (runbook.exposed_schemas()).source
    )
  );
end;
$$;

comment on function runbook.exposed_gate(oid) is
'The gate exposed: whether the Data API serves the schema, where the database knows.';
revoke all on function runbook.exposed_gate(oid) from public;

-- The gate `row_security`. Its evidence says whether the policies are asked: `applies`.
create function runbook.row_security_gate(role text, relation oid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_table constant text := runbook.relation_name(row_security_gate.relation);
  v_fact record;
  v_reason text;
begin
  select
    rel.relkind,
    rel.relrowsecurity as enabled,
    rel.relforcerowsecurity as forced,
    own.rolname as owner,
    -- the attribute itself: it is not inherited
    rol.rolsuper or rol.rolbypassrls as bypasses,
    pg_has_role(rol.oid, rel.relowner, 'usage') as owns
  into v_fact
  from pg_catalog.pg_class as rel
  inner join pg_catalog.pg_roles as own on own.oid = rel.relowner
  inner join pg_catalog.pg_roles as rol on rol.rolname = row_security_gate.role
  where rel.oid = row_security_gate.relation;

  v_reason := case
    when v_fact.relkind not in ('r', 'p') then 'not_a_table'
    when not v_fact.enabled then 'off'
    when v_fact.bypasses then 'bypassed'
    when v_fact.owns and not v_fact.forced then 'owner'
  end;

  return runbook.access_gate(
    'row_security', 'pass',
    case v_reason
      when 'not_a_table' then format('%s is no table, so it has no policies.', v_table)
      when 'off' then format('Row level security is off for %s: the grants alone decide.', v_table)
      when 'bypassed' then format(
        '%s bypasses row level security.', quote_ident(row_security_gate.role)
      )
      when 'owner' then format(
        '%s has the rights of the owner %s, for whom row level security does not count.',
        quote_ident(row_security_gate.role), quote_ident(v_fact.owner)
      )
      else format(
        'Row level security is on%s for %s: the policies decide.',
        case when v_fact.forced then ' and forced' else '' end, v_table
      )
    end,
    jsonb_strip_nulls(
      jsonb_build_object(
        'applies', v_reason is null,
        'reason', v_reason,
        'enabled', v_fact.enabled,
        'forced', v_fact.forced,
        'owner', v_fact.owner
      )
    )
  );
end;
$$;

comment on function runbook.row_security_gate(text, oid) is
'The gate row_security: on, forced, off, or bypassed by attribute or ownership.';
revoke all on function runbook.row_security_gate(text, oid) from public;

-- The policies of a table, and whether each applies to a role and a command: as Postgres chooses
-- them, by the roles whose privileges the role has.
create function runbook.policies_of(role text, relation oid, command text)
returns table (
  policy oid,
  name text,
  for_command text,
  is_permissive boolean,
  roles text[],
  applies boolean,
  why_not text
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return query
  select
    pol.oid,
    pol.polname::text collate "default",
    kind.command,
    pol.polpermissive,
    scope.roles,
    kind.matches and scope.matches,
    case
      when not kind.matches then format('it is for %s', kind.command)
      when not scope.matches then format('it is for %s', array_to_string(scope.roles, ', '))
    end
  from pg_catalog.pg_policy as pol
  cross join lateral (
    select
      case pol.polcmd
        when 'r' then 'select'
        when 'a' then 'insert'
        when 'w' then 'update'
        when 'd' then 'delete'
        else 'all'
      end as command,
      pol.polcmd = '*' or pol.polcmd = case policies_of.command
        when 'select' then 'r'
        when 'insert' then 'a'
        when 'update' then 'w'
        when 'delete' then 'd'
      end as matches
  ) as kind
  cross join lateral (
    select
      array_agg(coalesce(rol.rolname::text, 'public') order by rol.rolname) as roles,
      bool_or(
        scoped.role = 0 or pg_has_role(policies_of.role, scoped.role, 'usage')
      ) as matches
    from unnest(pol.polroles) as scoped (role)
    left join pg_catalog.pg_roles as rol on rol.oid = scoped.role
  ) as scope
  where pol.polrelid = policies_of.relation
  order by pol.polname collate "C";
end;
$$;

comment on function runbook.policies_of(text, oid, text) is
'The policies of a table in the order of their names, and whether each applies.';
revoke all on function runbook.policies_of(text, oid, text) from public;

-- What lies beneath a view, a level at a time: whose rights count there, the grants that they
-- need, and whether row level security filters.
--
-- A view reads with its owner's rights unless it is security_invoker; the claims are the user's
-- either way. Deeper than three levels is not told.
create function runbook.access_beneath(role text, relation oid, depth integer default 1)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_rights_of text;
  v_beneath jsonb;
begin
  select case
    when coalesce(
      (
        select opt.option_value::boolean
        from pg_options_to_table(rel.reloptions) as opt
        where opt.option_name = 'security_invoker'
      ),
      false
    )
      then access_beneath.role
    else own.rolname::text
  end
  into v_rights_of
  from pg_catalog.pg_class as rel
  inner join pg_catalog.pg_roles as own on own.oid = rel.relowner
  where rel.oid = access_beneath.relation
    and rel.relkind = 'v';

  if not found then
    return '[]';
  end if;

  select coalesce(jsonb_agg(found.item order by found.item ->> 'table'), '[]')
  into v_beneath
  from (
    select
      jsonb_build_object(
        'table', runbook.relation_name(read.relation),
        'rights_of', v_rights_of,
        'may_select', bool_and(
          has_table_privilege(v_rights_of, read.relation, 'select')
          or case
            when read.number = 0
              then has_any_column_privilege(v_rights_of, read.relation, 'select')
            else has_column_privilege(v_rights_of, read.relation, read.number, 'select')
          end
        ),
        'row_security', runbook.row_security_gate(v_rights_of, read.relation) -> 'evidence',
        'beneath', case
          when access_beneath.depth < 3 then runbook.access_beneath(
            v_rights_of, read.relation, access_beneath.depth + 1
          )
          else '[]'
        end
      ) as item
    from (
      select distinct dep.refobjid as relation, dep.refobjsubid::smallint as number
      from pg_catalog.pg_rewrite as rul
      inner join pg_catalog.pg_depend as dep
        on dep.classid = 'pg_catalog.pg_rewrite'::regclass
        and dep.objid = rul.oid
        and dep.refclassid = 'pg_catalog.pg_class'::regclass
        and dep.refobjid <> rul.ev_class
      inner join pg_catalog.pg_class as rel
        on rel.oid = dep.refobjid and rel.relkind in ('r', 'p', 'v', 'm', 'f')
      where rul.ev_class = access_beneath.relation
    ) as read
    group by read.relation
  ) as found;

  return v_beneath;
end;
$$;

comment on function runbook.access_beneath(text, oid, integer) is
'[{table, rights_of, may_select, row_security, beneath}] of the relations that a view reads.';
revoke all on function runbook.access_beneath(text, oid, integer) from public;
