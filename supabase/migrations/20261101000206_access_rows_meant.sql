-- What explain-access is asked, and the rows that are meant.
--
-- The engine reads the rows with its own rights, by the columns and values that were given, and
-- hands them to the questions in the same statement, so that both see the same rows.

-- The JSON Schema of what explain-access takes.
create function runbook.access_parameters()
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select '{
    "type": "object",
    "required": ["table", "command"],
    "additionalProperties": false,
    "properties": {
      "user": {
        "type": "string", "minLength": 1, "maxLength": 320,
        "description": "The e-mail address or the id of the person."
      },
      "role": {
        "type": "string", "minLength": 1, "maxLength": 63,
        "description": "Instead of a person: the role of a request, such as anon."
      },
      "claims": {
        "type": "object",
        "description": "Claims merged over those that Auth would issue."
      },
      "table": {
        "type": "string", "minLength": 1, "maxLength": 200,
        "description": "The table or view, as SQL names it; without a schema in public."
      },
      "command": {
        "type": "string", "minLength": 1, "maxLength": 20,
        "description": "select, insert, update or delete."
      },
      "match": {
        "type": "object",
        "description": "Columns and the values that the rows have."
      },
      "row": {
        "type": "object",
        "description": "Of an insert the row, of an update the columns that it changes."
      },
      "limit": {
        "type": "integer",
        "description": "How many rows are looked at, 20 unless given, at most 200."
      },
      "proof": {
        "type": "boolean",
        "description": "Whether the command is also tried and rolled back, true unless given."
      }
    }
  }'::jsonb;
$$;

comment on function runbook.access_parameters() is
'JSON Schema of the parameters of runbook.explain_access.';
revoke all on function runbook.access_parameters() from public;
grant execute on function runbook.access_parameters() to runbook_viewer;

-- What an edge function looks at outside before it asks runbook.explain_access.
create function runbook.access_probes()
returns text[]
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select array['data_api'];
$$;

comment on function runbook.access_probes() is
'The probes to be refreshed before runbook.explain_access.';
revoke all on function runbook.access_probes() from public;
grant execute on function runbook.access_probes() to runbook_viewer;

-- Refuses a question that does not fit. Returns it with its defaults.
create function runbook.access_question(params jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_params constant jsonb := coalesce(access_question.params, '{}');
  v_problems jsonb := runbook.problems(runbook.access_parameters(), access_question.params);
  v_relation oid;
  v_kind "char";
  v_schema text;
begin
  if v_problems = '[]' then
    if v_params ->> 'command' not in ('select', 'insert', 'update', 'delete') then
      v_problems := v_problems || jsonb_build_object(
        'path', 'command', 'message', 'must be select, insert, update or delete'
      );
    end if;

    if v_params ? 'user' = v_params ? 'role' then
      v_problems := v_problems || jsonb_build_object(
        'path', 'user', 'message', 'is required, or role in its place'
      );
    end if;

    if (v_params ->> 'limit')::numeric not between 1 and 200 then
      v_problems := v_problems || jsonb_build_object(
        'path', 'limit', 'message', 'must be from 1 to 200'
      );
    end if;

    if jsonb_typeof(v_params #> '{claims,role}') not in ('string', 'null') then
      v_problems := v_problems || jsonb_build_object(
        'path', 'claims.role', 'message', 'must be of type string'
      );
    end if;

    if v_params ->> 'command' = 'insert' and v_params ? 'match' then
      v_problems := v_problems || jsonb_build_object(
        'path', 'match', 'message', 'is not for an insert; the new row is row'
      );
    end if;

    if v_params ->> 'command' in ('select', 'delete') and v_params ? 'row' then
      v_problems := v_problems || jsonb_build_object(
        'path', 'row', 'message', 'is for an insert or update'
      );
    end if;

    begin
      v_relation := runbook.relation_of(v_params ->> 'table');

      select rel.relkind, nsp.nspname
      into v_kind, v_schema
      from pg_catalog.pg_class as rel
      inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
      where rel.oid = v_relation;

      if v_kind not in ('r', 'p', 'v', 'm', 'f') then
        v_problems := v_problems || jsonb_build_object(
          'path', 'table', 'message', 'is no table and no view'
        );
      elsif v_kind = 'm' and v_params ->> 'command' <> 'select' then
        v_problems := v_problems || jsonb_build_object(
          'path', 'command', 'message', 'must be select: a materialized view takes nothing else'
        );
      elsif v_schema in ('runbook', 'vault', 'pg_catalog', 'information_schema', 'pg_toast') then
        v_problems := v_problems || jsonb_build_object(
          'path', 'table', 'message', format('schema %s is not for the API', quote_ident(v_schema))
        );
      end if;
    exception
      when invalid_parameter_value or no_data_found then
        v_problems := v_problems || jsonb_build_object('path', 'table', 'message', sqlerrm);
    end;
  end if;

  perform runbook.refuse_problems(v_problems);

  return v_params || jsonb_build_object(
    'relation', v_relation::bigint,
    'kind', v_kind,
    'schema', v_schema,
    'limit', coalesce((v_params ->> 'limit')::numeric::integer, 20),
    'proof', coalesce((v_params ->> 'proof')::boolean, true),
    'match', coalesce(v_params -> 'match', '{}')
  );
end;
$$;

comment on function runbook.access_question(jsonb) is
'The parameters of explain_access with their defaults. Raises RB400 for what does not fit.';
revoke all on function runbook.access_question(jsonb) from public;

-- Who holds or awaits an exclusive lock on a table, its children, what a view reads, or what its
-- policies read; null
-- when nobody does.
create function runbook.access_lock(relation oid)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  -- Nearly always there is none, and then nothing more is looked up.
  if not exists (
    select
    from pg_catalog.pg_locks as lck
    where lck.locktype = 'relation'
      and lck.mode = 'AccessExclusiveLock'
      and lck.pid <> pg_backend_pid()
  ) then
    return null;
  end if;

  return (
    with recursive held as materialized (
      select lck.relation, lck.description from runbook.exclusive_locks() as lck
    ),
    concerned as (
      select access_lock.relation
      where exists (select from held)
      union
      select below.relation
      from concerned
      cross join lateral (
        select inh.inhrelid as relation
        from pg_catalog.pg_inherits as inh
        where inh.inhparent = concerned.relation
        union all
        select dep.refobjid
        from pg_catalog.pg_class as rel
        inner join pg_catalog.pg_rewrite as rul on rul.ev_class = rel.oid
        inner join pg_catalog.pg_depend as dep
          on dep.classid = 'pg_catalog.pg_rewrite'::regclass
          and dep.objid = rul.oid
          and dep.refclassid = 'pg_catalog.pg_class'::regclass
        where rel.oid = concerned.relation
          and rel.relkind = 'v'
      ) as below
    )
    select format(
      '%s is locked: %s.', runbook.relation_name(held.relation), held.description
    )
    from held
    where held.relation in (
      select concerned.relation
      from concerned
      union all
      select dep.refobjid
      from pg_catalog.pg_policy as pol
      inner join pg_catalog.pg_depend as dep
        on dep.classid = 'pg_catalog.pg_policy'::regclass
        and dep.objid = pol.oid
        and dep.refclassid = 'pg_catalog.pg_class'::regclass
      where pol.polrelid = access_lock.relation
    )
    order by held.relation <> access_lock.relation, held.relation
    limit 1
  );
end;
$$;

comment on function runbook.access_lock(oid) is
'Who keeps a table, its children or what it and its policies read locked, as a sentence, or null.';
revoke all on function runbook.access_lock(oid) from public;

-- The columns that name a row of a table: its key, or none.
create function runbook.naming_columns(relation oid)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return runbook.key_columns(naming_columns.relation::regclass);
exception
  when object_not_in_prerequisite_state then
    return '{}';
end;
$$;

comment on function runbook.naming_columns(oid) is 'The key columns of a table, or none.';
revoke all on function runbook.naming_columns(oid) from public;

-- Reads the rows of `match` and asks the questions about them: {items: [{key, place}], judged,
-- note}.
--
-- It runs the application's operators, so it has the API's path.
create function runbook.fetch_and_judge(question jsonb, columns jsonb, ask jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = public, extensions, pg_temp
as $$
declare
  v_relation constant oid := (fetch_and_judge.question ->> 'relation')::oid;
  v_match constant jsonb := fetch_and_judge.question -> 'match';
  v_has_places constant boolean := fetch_and_judge.question ->> 'kind' in ('r', 'p', 'm');
  v_filter constant text[] := array(
    select named.key from pg_catalog.jsonb_object_keys(v_match) as named (key)
  );
  v_names constant text[] := array(
    select distinct shown.name
    from pg_catalog.unnest(
      v_filter
      || case when fetch_and_judge.question ->> 'kind' in ('r', 'p', 'm')
        then runbook.naming_columns(v_relation)
        else '{}'
      end
    ) as shown (name)
    where not runbook.is_secret_column(shown.name)
    order by 1
  );
  v_alias text := 'target';
  v_seqscan constant text := pg_catalog.current_setting('enable_seqscan');
  v_bounded jsonb;
  v_result jsonb;
begin
  if fetch_and_judge.question ->> 'command' = 'insert' then
    execute pg_catalog.format(
      'select runbook.judged(array[null::%s], $1)', runbook.relation_name(v_relation)
    )
    into v_result
    using fetch_and_judge.ask;

    return pg_catalog.jsonb_build_object(
      'items', '[{"key": {}}]'::jsonb, 'judged', v_result
    );
  end if;

  -- A column of the same name would be taken for the row.
  while exists (
    select
    from pg_catalog.jsonb_array_elements(fetch_and_judge.columns) as col (item)
    where col.item ->> 'name' = v_alias
  ) loop
    v_alias := v_alias || '_';
  end loop;

  v_bounded := runbook.bounded_source(
    v_relation,
    fetch_and_judge.columns,
    v_alias,
    v_match,
    case when pg_catalog.cardinality(v_filter) > 0
      then pg_catalog.format(
        'cross join pg_catalog.jsonb_to_record($1) as sought_value (%s) where %s',
        runbook.record_columns(fetch_and_judge.columns, v_filter),
        (
          select pg_catalog.string_agg(
            case when v_match -> named.name = 'null'
              then pg_catalog.format('%I.%I is null', v_alias, named.name)
              else pg_catalog.format('%I.%2$I = sought_value.%2$I', v_alias, named.name)
            end,
            ' and '
          )
          from pg_catalog.unnest(v_filter) as named (name)
        )
      )
      else 'where true'
    end
  );

  -- With a limit and few distinct values the planner would rather read the table. What the user's
  -- statements do is planned as ever.
  if v_bounded ? 'by_index' then
    perform pg_catalog.set_config('enable_seqscan', 'off', true);
  end if;

  execute pg_catalog.format(
    'select pg_catalog.jsonb_build_object(
       ''items'', coalesce(pg_catalog.jsonb_agg(found.item), ''[]''),
       ''judged'', %1$s
     )
     from (
       select %2$s
         pg_catalog.jsonb_build_object(''key'', %3$s, ''place'', %4$s) as item,
         %4$s as place
       from %5$s
       limit %6$s
     ) as found',
    case when fetch_and_judge.ask is null
      then 'null'
      else 'runbook.judged(
        coalesce(pg_catalog.array_agg(found.whole), ''{}''),
        $2 || pg_catalog.jsonb_build_object(''content'', ($2 -> ''content'')
          || pg_catalog.jsonb_build_object(''places'', pg_catalog.jsonb_agg(found.place)))
      )'
    end,
    case when fetch_and_judge.ask is null
      then ''
      else pg_catalog.format('%I as whole,', v_alias)
    end,
    coalesce(
      (
        select 'pg_catalog.jsonb_build_object(' || pg_catalog.string_agg(
          pg_catalog.format('%L, pg_catalog.to_jsonb(%I.%I)', named.name, v_alias, named.name), ', '
        ) || ')'
        from pg_catalog.unnest(v_names) as named (name)
      ),
      case when v_has_places
        then pg_catalog.format('pg_catalog.jsonb_build_object(''ctid'', %I.ctid)', v_alias)
        else '''{}''::pg_catalog.jsonb'
      end
    ),
    case when v_has_places
      then pg_catalog.format(
        'pg_catalog.jsonb_build_array(%1$I.ctid, %1$I.tableoid, %1$I.xmin)', v_alias
      )
      else 'null::pg_catalog.jsonb'
    end,
    v_bounded ->> 'source',
    fetch_and_judge.question ->> 'limit'
  )
  into v_result
  using v_match, fetch_and_judge.ask;

  perform pg_catalog.set_config('enable_seqscan', v_seqscan, true);

  return v_result || pg_catalog.jsonb_build_object('note', v_bounded -> 'note');
end;
$$;

comment on function runbook.fetch_and_judge(jsonb, jsonb, jsonb) is
'{items, judged, note}: the matching rows by key, and what the policies say of each.';
revoke all on function runbook.fetch_and_judge(jsonb, jsonb, jsonb) from public;
