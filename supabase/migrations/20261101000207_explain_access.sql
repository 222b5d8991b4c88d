-- Explains access: may this person do this to these rows, gate by gate and policy by policy?
--
-- The gates are answered from the catalogs. Then the policies are evaluated as the user over the
-- rows, and at last the same command is tried as the user and rolled back: the proof.

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

-- Who holds or awaits an exclusive lock on a table, its children, or what its policies read; null
-- when nobody does.
create function runbook.access_lock(relation oid)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  with recursive held as materialized (
    select lck.relation, lck.description from runbook.exclusive_locks() as lck
  ),
  concerned as (
    select access_lock.relation
    where exists (select from held)
    union
    select inh.inhrelid
    from concerned
    inner join pg_catalog.pg_inherits as inh on inh.inhparent = concerned.relation
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
  limit 1;
$$;

comment on function runbook.access_lock(oid) is
'Who keeps a table, its children or what its policies read locked, as a sentence, or null.';
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

-- Reads the rows of `match` and asks the questions about them: {items: [{key, place}], judged, note}.
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

  return v_result || pg_catalog.jsonb_build_object('note', v_bounded -> 'note');
end;
$$;

comment on function runbook.fetch_and_judge(jsonb, jsonb, jsonb) is
'{items, judged, note}: the matching rows by key, and what the policies say of each.';
revoke all on function runbook.fetch_and_judge(jsonb, jsonb, jsonb) from public;

-- The rows of an explanation, [{key, visible, allowed, why, policies}], from what was fetched and
-- judged. Rows with the same verdicts are explained once.
create function runbook.explained_rows(ask jsonb, fetched jsonb)
returns jsonb
language sql
immutable
security invoker
set search_path = ''
as $$
  with judged as materialized (
    select verdict.content, verdict.position
    from jsonb_array_elements(explained_rows.fetched #> '{judged,rows}')
      with ordinality as verdict (content, position)
  ),
  explained as materialized (
    select
      different.content,
      runbook.row_verdict(explained_rows.ask, different.content) as explanation
    from (select distinct judged.content from judged) as different
  )
  select coalesce(
    jsonb_agg(
      jsonb_build_object('key', item.content -> 'key') || explained.explanation
      order by item.position
    ),
    '[]'
  )
  from jsonb_array_elements(explained_rows.fetched -> 'items')
    with ordinality as item (content, position)
  inner join judged on judged.position = item.position
  inner join explained on explained.content = judged.content;
$$;

comment on function runbook.explained_rows(jsonb, jsonb) is
'[{key, visible, allowed, why, policies}] of the rows that were fetched and judged.';
revoke all on function runbook.explained_rows(jsonb, jsonb) from public;

-- What the rows come to together: allowed, denied, partly or unknown; null without rows.
create function runbook.rows_verdict(rows jsonb, command text)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when count(*) = 0 then null
    when bool_and(row_of.passes) then 'allowed'
    when bool_or(row_of.passes) and bool_or(not row_of.passes) then 'partly'
    when bool_or(row_of.passes is null) then 'unknown'
    else 'denied'
  end
  from (
    select (
      item.content -> case rows_verdict.command when 'select' then 'visible' else 'allowed' end
    )::boolean as passes
    from jsonb_array_elements(
      -- JSON's null is no boolean
      (
        select coalesce(jsonb_agg(jsonb_strip_nulls(given.content)), '[]')
        from jsonb_array_elements(rows_verdict.rows) as given (content)
      )
    ) as item (content)
  ) as row_of;
$$;

comment on function runbook.rows_verdict(jsonb, text) is
'allowed, denied, partly or unknown over all rows of an explanation; null without rows.';
revoke all on function runbook.rows_verdict(jsonb, text) from public;

-- The gate `policies`: which apply, which do not and why, and what they came to.
create function runbook.policies_gate(
  role text,
  relation oid,
  ask jsonb,
  fetched jsonb,
  rows_verdict text,
  obstacle text
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_command constant text := policies_gate.ask ->> 'command';
  v_empty jsonb;
  v_evidence jsonb;
begin
  select jsonb_build_object(
    'applied', coalesce(
      jsonb_agg(distinct pol.name) filter (where pol.applies), '[]'
    ),
    'ignored', coalesce(
      jsonb_agg(
        distinct jsonb_build_object('name', pol.name, 'why', pol.why_not)
      ) filter (where not pol.applies),
      '[]'
    )
  )
  into v_evidence
  from runbook.policies_of(policies_gate.role, policies_gate.relation, v_command) as pol;

  v_evidence := v_evidence || jsonb_build_object(
    'took_ms', coalesce(
      (
        select jsonb_agg(
          jsonb_build_object(
            'name', question.item -> 'name',
            'part', question.item -> 'part',
            'took_ms', policies_gate.fetched #> '{judged,took_ms}'
              -> (question.position - 1)::integer
          )
          order by question.position
        )
        from jsonb_array_elements(policies_gate.ask -> 'questions')
          with ordinality as question (item, position)
        where policies_gate.fetched is not null
      ),
      '[]'
    )
  );

  if policies_gate.ask is not null and not exists (
    select
    from jsonb_array_elements(policies_gate.ask -> 'questions') as question (item)
    where question.item ->> 'kind' = 'permissive'
      and question.item ->> 'command' = v_command
  ) then
    return runbook.access_gate(
      'policies', 'fail',
      format(
        'Row level security is on and no permissive policy for %s applies to %s.',
        v_command, quote_ident(policies_gate.role)
      ),
      v_evidence
    );
  end if;

  if policies_gate.obstacle is not null then
    return runbook.access_gate('policies', 'unknown', policies_gate.obstacle, v_evidence);
  end if;

  select empty.verdict
  into v_empty
  from jsonb_array_elements(nullif(policies_gate.fetched #> '{judged,empty}', 'null'))
    as empty (verdict)
  where empty.verdict ? 'sqlstate'
  limit 1;

  if found then
    return runbook.access_gate(
      'policies', 'fail',
      format(
        'A policy fails even where there is no row, and with it every such statement: %s: %s',
        v_empty ->> 'sqlstate', v_empty ->> 'message'
      ),
      v_evidence
    );
  end if;

  return case policies_gate.rows_verdict
    when 'allowed' then runbook.access_gate(
      'policies', 'pass', 'The policies let every row through that was looked at.', v_evidence
    )
    when 'partly' then runbook.access_gate(
      'policies', 'pass', 'The policies let some of the rows through.', v_evidence
    )
    when 'denied' then runbook.access_gate(
      'policies', 'fail', 'The policies let none of the rows through.', v_evidence
    )
    when 'unknown' then runbook.access_gate(
      'policies', 'unknown', 'The policies could not be evaluated for every row.', v_evidence
    )
    else runbook.access_gate(
      'policies', 'unknown', 'There was no row to evaluate the policies over.', v_evidence
    )
  end;
end;
$$;

comment on function runbook.policies_gate(text, oid, jsonb, jsonb, text, text) is
'The gate policies: what applied, what did not and why, and what the policies came to.';
revoke all on function runbook.policies_gate(text, oid, jsonb, jsonb, text, text) from public;

-- The gates that were not reached, so that each explanation has all of them.
create function runbook.all_gates(gates jsonb)
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select jsonb_agg(
    coalesce(
      (
        select given.item
        from jsonb_array_elements(all_gates.gates) as given (item)
        where given.item ->> 'gate' = named.gate
      ),
      runbook.access_gate(named.gate, 'not_reached', 'An earlier gate decided.', '{}')
    )
    order by named.position
  )
  from unnest(
    array[
      'user', 'claims', 'role', 'schema_usage', 'grants', 'exposed', 'row_security', 'policies'
    ]
  ) with ordinality as named (gate, position);
$$;

comment on function runbook.all_gates(jsonb) is
'The gates in their order, with not_reached for those that are missing.';
revoke all on function runbook.all_gates(jsonb) from public;

-- The gates that the catalogs answer for a role and a table, up to the first that shuts.
create function runbook.catalog_gates(role text, question jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_relation constant oid := (catalog_gates.question ->> 'relation')::oid;
  v_command constant text := catalog_gates.question ->> 'command';
  v_filter text[] := array(
    select named.key from jsonb_object_keys(catalog_gates.question -> 'match') as named (key)
  );
  v_gates jsonb := jsonb_build_array(runbook.schema_gate(catalog_gates.role, v_relation));
begin
  if v_gates #>> '{0,state}' = 'fail' then
    return v_gates;
  end if;

  if v_filter = '{}' and catalog_gates.question ->> 'kind' in ('r', 'p') then
    v_filter := runbook.naming_columns(v_relation);
  end if;

  v_gates := v_gates || runbook.grants_gate(
    catalog_gates.role,
    v_relation,
    v_command,
    array(
      select named.key
      from jsonb_object_keys(coalesce(catalog_gates.question -> 'row', '{}')) as named (key)
    ),
    v_filter
  );

  if v_gates #>> '{1,state}' = 'fail' then
    return v_gates;
  end if;

  return v_gates
    || runbook.exposed_gate(v_relation)
    || runbook.row_security_gate(catalog_gates.role, v_relation);
end;
$$;

comment on function runbook.catalog_gates(text, jsonb) is
'The gates schema_usage, grants, exposed and row_security, up to the first that fails.';
revoke all on function runbook.catalog_gates(text, jsonb) from public;

-- What an explanation comes to, in one sentence for people.
create function runbook.access_summary(
  question jsonb,
  subject jsonb,
  verdict text,
  gates jsonb,
  rows jsonb,
  note text
)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_who constant text := coalesce(
    access_summary.subject ->> 'email',
    access_summary.subject ->> 'user_id',
    access_summary.subject ->> 'role',
    access_summary.question ->> 'user'
  );
  v_table constant text := runbook.relation_name((access_summary.question ->> 'relation')::oid);
  v_command constant text := access_summary.question ->> 'command';
  v_shut text;
  v_count constant integer := jsonb_array_length(access_summary.rows);
  v_passing integer;
  v_why text;
begin
  select gate.item ->> 'summary'
  into v_shut
  from jsonb_array_elements(access_summary.gates) with ordinality as gate (item, position)
  where gate.item ->> 'state' = 'fail'
    and (gate.item ->> 'gate' <> 'policies' or v_count = 0)
  order by gate.position
  limit 1;

  if found then
    return runbook.one_line(format('%s cannot %s %s: %s', v_who, v_command, v_table, v_shut), 400);
  end if;

  select
    count(*) filter (
      where row_of.content -> case v_command when 'select' then 'visible' else 'allowed' end
        = 'true'
    ),
    (
      array_agg(row_of.content ->> 'why' order by row_of.position) filter (
        where row_of.content -> case v_command when 'select' then 'visible' else 'allowed' end
          <> 'true'
      )
    )[1]
  into v_passing, v_why
  from jsonb_array_elements(access_summary.rows) with ordinality as row_of (content, position);

  return runbook.one_line(
    case
      when v_count = 0 and v_command = 'insert' then format(
        '%s may perhaps insert into %s: give the row, and its policies are evaluated.',
        v_who, v_table
      )
      when v_count = 0 and access_summary.verdict = 'unknown' then coalesce(
        (
          select gate.item ->> 'summary'
          from jsonb_array_elements(access_summary.gates) as gate (item)
          where gate.item ->> 'gate' = 'policies' and gate.item ->> 'state' = 'unknown'
            and gate.item ->> 'summary' not like 'There was no row%'
        ),
        format('No row of %s matches, so there is nothing to decide.', v_table)
      )
      when v_count = 0 then format('%s may %s %s, and no row matches.', v_who, v_command, v_table)
      when access_summary.verdict = 'allowed' and v_command = 'select' then format(
        '%s sees %s of %s.', v_who,
        case v_count when 1 then 'the row' else format('all %s rows', v_count) end, v_table
      )
      when access_summary.verdict = 'allowed' then format(
        '%s may %s %s of %s.', v_who, v_command,
        case
          when v_command = 'insert' then 'the row'
          when v_count = 1 then 'the row'
          else format('all %s rows', v_count)
        end,
        v_table
      )
      when access_summary.verdict = 'unknown' then format(
        'It is not known whether %s may %s %s: %s', v_who, v_command, v_table, v_why
      )
      when v_command = 'insert' then format(
        '%s may not insert the row into %s: %s', v_who, v_table, v_why
      )
      else format(
        '%s %s %s of the %s rows of %s: %s',
        v_who,
        case when v_command = 'select' then 'sees' else 'may ' || v_command end,
        case when v_passing = 0 then 'none' else v_passing::text end,
        v_count, v_table, v_why
      )
    end || coalesce(' ' || access_summary.note, ''),
    400
  );
end;
$$;

comment on function runbook.access_summary(jsonb, jsonb, text, jsonb, jsonb, text) is
'One sentence about who may do what to how many rows, and why not to the others.';
revoke all on function runbook.access_summary(jsonb, jsonb, text, jsonb, jsonb, text) from public;

-- The policies of a table over the rows that are meant: {ask, fetched, rows}.
create function runbook.judged_rows(
  question jsonb,
  subject jsonb,
  applies boolean,
  until timestamptz
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_relation constant oid := (judged_rows.question ->> 'relation')::oid;
  v_command constant text := judged_rows.question ->> 'command';
  v_role constant text := judged_rows.subject ->> 'role';
  v_needs_row constant boolean := v_command in ('insert', 'update');
  v_columns constant jsonb := runbook.access_columns(v_relation, v_needs_row);
  v_ask jsonb;
  v_fetched jsonb;
begin
  if not judged_rows.applies then
    if v_command <> 'insert' then
      v_fetched := runbook.fetch_and_judge(judged_rows.question, v_columns, null);
    else
      v_fetched := '{"items": [{"key": {}}]}';
    end if;

    return jsonb_build_object('fetched', v_fetched, 'ask', null);
  end if;

  v_ask := runbook.access_questions(v_role, v_relation, v_command) || jsonb_build_object(
    'command', v_command,
    'role', v_role,
    'until', judged_rows.until,
    'alias', (
      select rel.relname
      from pg_catalog.pg_class as rel
      where rel.oid = v_relation
    ),
    'settings', runbook.api_settings(
      judged_rows.question ->> 'schema',
      (
        select rel.relname::text
        from pg_catalog.pg_class as rel
        where rel.oid = v_relation
      ),
      v_command,
      judged_rows.subject -> 'claims'
    ),
    'content', jsonb_build_object('row', coalesce(judged_rows.question -> 'row', '{}')),
    'new_source', case
      when v_needs_row then runbook.new_source(
        v_relation,
        v_columns,
        array(
          select named.key
          from jsonb_object_keys(coalesce(judged_rows.question -> 'row', '{}')) as named (key)
        ),
        v_command
      )
    end
  );

  if v_role not in ('anon', 'authenticated', 'service_role')
    or v_command = 'insert' and not judged_rows.question ? 'row'
  then
    return jsonb_build_object('ask', v_ask, 'fetched', null);
  end if;

  return jsonb_build_object(
    'ask', v_ask,
    'fetched', runbook.fetch_and_judge(judged_rows.question, v_columns, v_ask)
  );
end;
$$;

comment on function runbook.judged_rows(jsonb, jsonb, boolean, timestamptz) is
'{ask, fetched}: the questions that the policies pose and what they answered for the rows.';
revoke all on function runbook.judged_rows(jsonb, jsonb, boolean, timestamptz) from public;

-- Explains access, without recording who asked. For diagnoses, which ask about several tables and
-- record one look; explain_access is for everyone else.
--
-- Cost: the policies over the rows, at most 3 s of them; nothing waits longer than 100 ms for a lock.
create function runbook.access_explanation(params jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  v_started_at constant timestamptz := clock_timestamp();
  v_until constant timestamptz := v_started_at + interval '3 seconds';
  v_question constant jsonb := runbook.access_question(access_explanation.params);
  v_relation constant oid := (v_question ->> 'relation')::oid;
  v_command constant text := v_question ->> 'command';
  v_columns constant jsonb := runbook.access_columns(v_relation, false);
  v_subject jsonb;
  v_gates jsonb;
  v_applies boolean;
  v_is_shut boolean;
  v_obstacle text;
  v_judged jsonb := '{}';
  v_rows jsonb := '[]';
  v_verdict text;
begin
  perform runbook.refuse_values(v_columns, v_question -> 'match', 'match');
  perform runbook.refuse_values(v_columns, coalesce(v_question -> 'row', '{}'), 'row');

  v_subject := runbook.access_subject(v_question);
  v_gates := v_subject -> 'gates';

  if not v_gates @> '[{"state": "fail"}]' then
    v_gates := v_gates || runbook.catalog_gates(v_subject ->> 'role', v_question);
  end if;

  v_is_shut := v_gates @> '[{"state": "fail"}]' and not v_gates @> '[{"gate": "row_security"}]';

  if not v_is_shut then
    v_applies := v_gates @> '[{"gate": "row_security", "evidence": {"applies": true}}]';
    v_obstacle := runbook.access_lock(v_relation);

    if v_obstacle is null then
      begin
        v_judged := runbook.judged_rows(v_question, v_subject, v_applies, v_until);
      exception
        when lock_not_available then
          v_obstacle := coalesce(
            runbook.access_lock(v_relation), 'A lock was not free within 100 ms.'
          );
        when query_canceled then
          v_obstacle := 'Reading the rows took too long and was stopped.';
      end;
    end if;

    if v_obstacle is null and v_applies then
      if v_judged -> 'fetched' <> 'null' then
        v_rows := runbook.explained_rows(v_judged -> 'ask', v_judged -> 'fetched');
      elsif v_subject ->> 'role' not in ('anon', 'authenticated', 'service_role') then
        v_obstacle := format(
          'Rows are read as anon, authenticated and service_role only, and not as %s.',
          quote_ident(v_subject ->> 'role')
        );
      else
        v_obstacle := 'Without a row there is nothing to evaluate; give row.';
      end if;
    elsif v_obstacle is null then
      v_rows := (
        select coalesce(
          jsonb_agg(
            jsonb_build_object(
              'key', item.content -> 'key',
              'visible', true,
              'why', v_gates #>> '{-1,summary}',
              'policies', '[]'::jsonb
            )
            || case
              when v_command = 'select' then '{}'
              else '{"allowed": true}'::jsonb
            end
            order by item.position
          ),
          '[]'
        )
        from jsonb_array_elements(v_judged #> '{fetched,items}')
          with ordinality as item (content, position)
      );
    end if;

    v_verdict := runbook.rows_verdict(v_rows, v_command);
    v_gates := v_gates || case
      when v_applies then runbook.policies_gate(
        v_subject ->> 'role',
        v_relation,
        nullif(v_judged -> 'ask', 'null'),
        nullif(v_judged -> 'fetched', 'null'),
        v_verdict,
        v_obstacle
      )
      when v_obstacle is not null then runbook.access_gate('policies', 'unknown', v_obstacle, '{}')
      else runbook.access_gate('policies', 'pass', 'No policy is asked.', '{}')
    end;
  end if;

  v_verdict := case
    when v_gates @> '[{"state": "fail"}]' and v_verdict is distinct from 'partly' then 'denied'
    when v_gates @> '[{"gate": "exposed", "state": "fail"}]' then 'denied'
    when v_obstacle is not null then 'unknown'
    when v_verdict is not null then v_verdict
    when v_applies then 'unknown'
    else 'allowed'
  end;

  return jsonb_build_object(
    'subject', v_subject -> 'subject',
    'role', v_subject -> 'role',
    'claims', v_subject -> 'claims',
    'table', runbook.relation_name(v_relation),
    'command', v_command,
    'verdict', v_verdict,
    'summary', runbook.access_summary(
      v_question, v_subject -> 'subject', v_verdict, v_gates, v_rows,
      v_judged #>> '{fetched,note}'
    ),
    'gates', runbook.all_gates(v_gates),
    'rows', v_rows,
    'proof', '{"tried": false, "reason": "It was not asked for."}'::jsonb,
    'took_ms', runbook.ms_since(v_started_at)
  );
end;
$$;

comment on function runbook.access_explanation(jsonb) is
'What runbook.explain_access answers, without a record of who looked. For diagnoses.';
revoke all on function runbook.access_explanation(jsonb) from public;

-- Explains why a person can or cannot do something to rows, and records who asked about whom.
--
-- Definer: lends a viewer the right to read rows as the person in question.
-- Cost: as runbook.access_explanation.
create function runbook.explain_access(params jsonb)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '100ms'
as $$
begin
  perform runbook.require_role('viewer');

  return runbook.access_explanation(explain_access.params);
end;
$$;

comment on function runbook.explain_access(jsonb) is
'{subject, role, claims, table, command, verdict, summary, gates, rows, proof, took_ms}: why a
person can or cannot do something to rows. Raises RB400 for parameters that do not fit.';
revoke all on function runbook.explain_access(jsonb) from public;
grant execute on function runbook.explain_access(jsonb) to runbook_viewer;
