-- The rows and the gate `policies` of an explanation: of tables what their policies say, of views
-- what the user sees through them; and the whole in one sentence.
--
-- Every obstacle, such as a lock, is told as not known; none is waited for.

-- The rows of an explanation, [{key, visible, allowed, why, policies}], from what was fetched and
-- judged. Rows with the same verdicts are explained once.
create function runbook.explained_rows(ask jsonb, fetched jsonb)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return (
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
    inner join explained on explained.content = judged.content
  );
end;
$$;

comment on function runbook.explained_rows(jsonb, jsonb) is
'[{key, visible, allowed, why, policies}] of the rows that were fetched and judged.';
revoke all on function runbook.explained_rows(jsonb, jsonb) from public;

-- The rows of a statement that fails as a whole.
create function runbook.failed_rows(rows jsonb, failure jsonb)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select coalesce(
      jsonb_agg(
        row_of.content || jsonb_build_object(
          'visible', false,
          'why', format(
            'The whole statement fails before it looks at a row: %s: %s',
            failed_rows.failure ->> 'sqlstate', failed_rows.failure ->> 'message'
          ),
          'raises', failed_rows.failure -> 'sqlstate'
        )
        || case when row_of.content ? 'allowed' then '{"allowed": false}'::jsonb else '{}' end
        order by row_of.position
      ),
      '[]'
    )
    from jsonb_array_elements(failed_rows.rows) with ordinality as row_of (content, position)
  );
end;
$$;

comment on function runbook.failed_rows(jsonb, jsonb) is
'The rows of an explanation, none of which is seen, since the statement fails.';
revoke all on function runbook.failed_rows(jsonb, jsonb) from public;

-- What the rows come to together: allowed, denied, partly or unknown; null without rows. One row
-- that raises brings the whole statement down.
create function runbook.rows_verdict(rows jsonb, command text)
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select case
      when count(*) = 0 then null
      when bool_or(row_of.raises) then 'denied'
      when bool_or(row_of.passes is null) then 'unknown'
      when bool_or(row_of.passes) and bool_or(not row_of.passes) then 'partly'
      when bool_and(row_of.passes) then 'allowed'
      else 'denied'
    end
    from (
      select (
        -- JSON's null is no boolean
        nullif(
          item.content -> case rows_verdict.command when 'select' then 'visible' else 'allowed' end,
          'null'
        )
      )::boolean as passes,
      item.content ? 'raises' as raises
      from jsonb_array_elements(rows_verdict.rows) as item (content)
    ) as row_of
  );
end;
$$;

comment on function runbook.rows_verdict(jsonb, text) is
'allowed, denied, partly or unknown over all rows of an explanation; null without rows.';
revoke all on function runbook.rows_verdict(jsonb, text) from public;

-- The gate `policies`: which apply, which do not and why, and what they came to.
create function runbook.policies_gate(
  role text,
  relation oid,
  command text,
  ask jsonb,
  fetched jsonb,
  rows_verdict text,
  failure jsonb,
  obstacle text
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_command constant text := policies_gate.command;
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
        where jsonb_typeof(policies_gate.fetched) = 'object'
      ),
      '[]'
    )
  );

  if policies_gate.failure is not null then
    return runbook.access_gate(
      'policies', 'fail',
      format(
        'Every such statement fails before it looks at a row: %s: %s',
        policies_gate.failure ->> 'sqlstate', policies_gate.failure ->> 'message'
      ),
      v_evidence
    );
  end if;

  if jsonb_typeof(policies_gate.ask) = 'object' and not exists (
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

comment on function runbook.policies_gate(text, oid, text, jsonb, jsonb, text, jsonb, text) is
'The gate policies: what applied, what did not and why, and what the policies came to.';
revoke all on function runbook.policies_gate(text, oid, text, jsonb, jsonb, text, jsonb, text)
from public;

-- The gates that were not reached, so that each explanation has all of them.
create function runbook.all_gates(gates jsonb)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
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
    ) with ordinality as named (gate, position)
  );
end;
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

  -- An update or delete of the Data API needs a filter; without match it is the key.
  if v_filter = '{}'
    and v_command in ('update', 'delete')
    and catalog_gates.question ->> 'kind' in ('r', 'p')
  then
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
  -- With the table's name behind it.
  v_deed constant text := case v_command
    when 'select' then 'read'
    when 'insert' then 'insert into'
    when 'delete' then 'delete from'
    else v_command
  end;
  v_shut text;
  v_count constant integer := jsonb_array_length(access_summary.rows);
  v_has_match constant boolean := access_summary.question -> 'match' <> '{}';
  v_is_capped constant boolean := v_command <> 'insert'
    and v_count = (access_summary.question ->> 'limit')::integer;
  -- The rows that were looked at, in words.
  v_rows constant text := concat(
    'the ',
    case when v_is_capped then 'first ' end,
    case v_count when 1 then 'row' else format('%s rows', v_count) end,
    ' of ',
    v_table,
    case
      when v_is_capped and v_has_match
        then ' that match' || case v_count when 1 then 'es' else '' end
    end
  );
  v_passing integer;
  v_why text;
  v_reasons integer;
begin
  select gate.item ->> 'summary'
  into v_shut
  from jsonb_array_elements(access_summary.gates) with ordinality as gate (item, position)
  where gate.item ->> 'state' = 'fail'
    and (gate.item ->> 'gate' <> 'policies' or v_count = 0)
  order by gate.position
  limit 1;

  if found then
    return runbook.one_line(format('%s cannot %s %s: %s', v_who, v_deed, v_table, v_shut), 400);
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
    )[1],
    count(distinct row_of.content ->> 'why') filter (
      where row_of.content -> case v_command when 'select' then 'visible' else 'allowed' end
        <> 'true'
    )
  into v_passing, v_why, v_reasons
  from jsonb_array_elements(access_summary.rows) with ordinality as row_of (content, position);

  return runbook.one_line(
    case
      when v_count = 0 and v_command = 'insert' then format(
        '%s may perhaps insert into %s: give the row, and its policies are evaluated.',
        v_who, v_table
      )
      when v_count = 0
        and access_summary.question ->> 'kind' = 'v'
        and access_summary.gates @> '[{"gate": "policies", "evidence": {"beneath": [{}]}}]'
        and (access_summary.gates -> -1) ->> 'summary' like 'It has no policies of its own%'
        then format(
          '%s sees no row through %s%s. Whether there are any that are hidden, the tables beneath '
          'tell, which the gate policies names: ask about them.',
          v_who, v_table, case when v_has_match then ' that matches' end
        )
      when v_count = 0 and access_summary.verdict = 'unknown' then coalesce(
        (
          select gate.item ->> 'summary'
          from jsonb_array_elements(access_summary.gates) as gate (item)
          where gate.item ->> 'gate' = 'policies' and gate.item ->> 'state' = 'unknown'
            and gate.item ->> 'summary' not like 'There was no row%'
        ),
        format(
          case
            when v_has_match
              then 'No row of %s that matches was found, so there is nothing to decide.'
            else '%s has no rows, so there is nothing to decide.'
          end,
          v_table
        )
      )
      when v_count = 0 then format('%s may %s %s, and no row matches.', v_who, v_deed, v_table)
      when access_summary.verdict = 'allowed'
        and access_summary.question ->> 'kind' in ('v', 'f')
        then format(
          '%s sees %s through %s%s. What is hidden is not among them.',
          v_who,
          concat(
            case when v_is_capped then 'at least ' end,
            case v_count when 1 then 'one row' else format('%s rows', v_count) end
          ),
          v_table,
          case
            when v_has_match then ' that match' || case v_count when 1 then 'es' else '' end
          end
        )
      when access_summary.verdict = 'allowed' and v_command = 'insert' then format(
        '%s may insert the row into %s.', v_who, v_table
      )
      when access_summary.verdict = 'allowed' then format(
        '%s %s %s%s.',
        v_who,
        case when v_command = 'select' then 'sees' else 'may ' || v_command end,
        case when v_count > 1 then 'all of ' end,
        v_rows
      )
      when access_summary.verdict = 'unknown' then format(
        'It is not known whether %s %s %s: %s',
          v_who,
          case when v_command = 'select' then 'sees the rows of' else 'may ' || v_deed end,
          v_table,
          v_why
      )
      when v_command = 'insert' then format(
        '%s may not insert the row into %s: %s', v_who, v_table, v_why
      )
      when v_count > 1 and jsonb_path_exists(access_summary.rows, '$[*].raises') then format(
        '%s cannot %s these %s rows of %s in one statement, which fails as a whole. %s',
        v_who, v_command, v_count, v_table,
        (
          select row_of.content ->> 'why'
          from jsonb_array_elements(access_summary.rows) as row_of (content)
          where row_of.content ? 'raises'
          limit 1
        )
      )
      when v_count = 1 then format(
        '%s %s %s: %s',
        v_who,
        case when v_command = 'select' then 'does not see' else 'may not ' || v_command end,
        v_rows,
        v_why
      )
      else format(
        '%s %s %s of %s%s: %s',
        v_who,
        case when v_command = 'select' then 'sees' else 'may ' || v_command end,
        case when v_passing = 0 then 'none' else v_passing::text end,
        v_rows,
        case
          when v_passing > 0 then '. Why not the first of the others'
          when v_reasons > 1 then '. Why not the first of them'
        end,
        v_why
      )
    end
    || case
      when v_is_capped and not v_has_match and access_summary.verdict <> 'unknown'
        then case when access_summary.verdict = 'allowed' then '' else '.' end
        || ' More were not looked at; match names the rows that are meant.'
      else ''
    end
    || coalesce(' ' || access_summary.note, ''),
    500
  );
end;
$$;

comment on function runbook.access_summary(jsonb, jsonb, text, jsonb, jsonb, text) is
'One sentence about who may do what to how many rows, and why not to the others.';
revoke all on function runbook.access_summary(jsonb, jsonb, text, jsonb, jsonb, text) from public;

-- The policies of a table over the rows that are meant: {ask, fetched}, or {ask, obstacle}.
create function runbook.judged_rows(question jsonb, subject jsonb, until timestamptz)
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
  v_literals constant jsonb := runbook.literals_of(
    v_columns, coalesce(judged_rows.question -> 'row', '{}')
  );
  v_name constant text := (
    select rel.relname from pg_catalog.pg_class as rel where rel.oid = v_relation
  );
  v_ask jsonb;
  v_failure jsonb;
begin
  v_ask := runbook.access_questions(v_role, v_relation, v_command) || jsonb_build_object(
    'command', v_command,
    'role', v_role,
    'until', judged_rows.until,
    'alias', v_name,
    'settings', runbook.api_settings(
      judged_rows.question ->> 'schema', v_name, v_command, judged_rows.subject -> 'claims'
    ),
    'content', '{}'::jsonb,
    'new_source', case
      when v_needs_row then runbook.new_source(v_relation, v_columns, v_literals, v_command)
    end
  );

  if v_role not in ('anon', 'authenticated', 'service_role') then
    return jsonb_build_object(
      'ask', v_ask,
      'obstacle', format(
        'Rows are read as anon, authenticated and service_role only, and not as %s.',
        quote_ident(v_role)
      )
    );
  end if;

  v_failure := runbook.plan_failure(
    judged_rows.question, v_role, v_literals, v_ask -> 'settings', judged_rows.until
  );

  if v_command = 'insert' and not judged_rows.question ? 'row' then
    return jsonb_build_object(
      'ask', v_ask,
      'failure', v_failure,
      'obstacle', 'Without a row there is nothing to evaluate; give row.'
    );
  end if;

  return jsonb_build_object(
    'ask', v_ask,
    'failure', v_failure,
    'fetched', runbook.fetch_and_judge(judged_rows.question, v_columns, v_ask)
  );
end;
$$;

comment on function runbook.judged_rows(jsonb, jsonb, timestamptz) is
'{ask, fetched}: the questions that the policies pose and what they answered for the rows.';
revoke all on function runbook.judged_rows(jsonb, jsonb, timestamptz) from public;

-- What a user sees through a view or in a foreign table, which the engine does not read itself: the
-- functions of a view would run with the engine's rights. {items} or {failed}.
create function runbook.seen_through(
  question jsonb,
  role text,
  columns jsonb,
  settings jsonb,
  until timestamptz
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_match constant jsonb := seen_through.question -> 'match';
  v_filter constant text[] := array(
    select named.key from jsonb_object_keys(v_match) as named (key)
  );
  v_answer jsonb;
begin
  v_answer := (
    runbook.read_as(
      seen_through.role,
      array[]::integer[],
      array[
        format(
          'select pg_catalog.jsonb_agg(seen.item)
           from (
             select pg_catalog.jsonb_build_object(''key'', %s) as item
             from %s as target
             %s
             limit %s
           ) as seen',
          coalesce(
            (
              select format(
                'pg_catalog.jsonb_build_object(%s)',
                string_agg(format('%1$L, target.%1$I', named.name), ', ')
              )
              from unnest(v_filter) as named (name)
            ),
            '''{}''::pg_catalog.jsonb'
          ),
          runbook.relation_name((seen_through.question ->> 'relation')::oid),
          case
            when cardinality(v_filter) = 0 then ''
            else 'where ' || (
              select string_agg(
                case
                  when literal.value is null then format('target.%I is null', literal.key)
                  else format('target.%I = %L', literal.key, literal.value)
                end,
                ' and '
              )
              from jsonb_each_text(runbook.literals_of(seen_through.columns, v_match))
                as literal (key, value)
            )
          end,
          seen_through.question ->> 'limit'
        )
      ],
      '{}',
      seen_through.settings,
      seen_through.until
    )
  )[1];

  if v_answer is null or (v_answer -> 'failed')::boolean then
    return jsonb_build_object(
      'verdict', runbook.verdict_of_answer(v_answer),
      'failed', coalesce(
        format('%s: %s', v_answer #>> '{answer,sqlstate}', v_answer #>> '{answer,message}'),
        'The time was spent.'
      )
    );
  end if;

  return jsonb_build_object('items', coalesce(nullif(v_answer -> 'answer', 'null'), '[]'));
end;
$$;

comment on function runbook.seen_through(jsonb, text, jsonb, jsonb, timestamptz) is
'{items} with the matching columns of what a user sees of a view, or {failed, verdict}.';
revoke all on function runbook.seen_through(jsonb, text, jsonb, jsonb, timestamptz) from public;

-- The rows of a relation that no policy filters: {obstacle, rows, fetched, note}. Of a table they
-- are read by the engine; of a view and a foreign table as the user, who sees what is returned.
create function runbook.unfiltered_rows(
  question jsonb,
  subject jsonb,
  columns jsonb,
  why text,
  until timestamptz
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_relation constant oid := (unfiltered_rows.question ->> 'relation')::oid;
  v_command constant text := unfiltered_rows.question ->> 'command';
  v_kind constant text := unfiltered_rows.question ->> 'kind';
  v_role constant text := unfiltered_rows.subject ->> 'role';
  v_fetched jsonb;
begin
  if v_kind in ('r', 'p', 'm') then
    v_fetched := case
      when v_command = 'insert' then '{"items": [{"key": {}}]}'::jsonb
      else runbook.fetch_and_judge(unfiltered_rows.question, unfiltered_rows.columns, null)
    end;
  elsif v_command <> 'select' then
    return jsonb_build_object(
      'obstacle', 'Writes through a view are not evaluated; ask about the table beneath.'
    );
  elsif not (unfiltered_rows.question -> 'proof')::boolean then
    return jsonb_build_object(
      'obstacle', 'What is seen through it is found out by the proof, which was not asked for.'
    );
  elsif v_role not in ('anon', 'authenticated', 'service_role') then
    return jsonb_build_object(
      'obstacle', format('There is no reader for the role %s.', quote_ident(v_role))
    );
  else
    v_fetched := runbook.seen_through(
      unfiltered_rows.question,
      v_role,
      unfiltered_rows.columns,
      runbook.api_settings(
        unfiltered_rows.question ->> 'schema',
        (select rel.relname::text from pg_catalog.pg_class as rel where rel.oid = v_relation),
        v_command,
        unfiltered_rows.subject -> 'claims'
      ),
      unfiltered_rows.until
    );

    if v_fetched #> '{verdict,unknown}' is not null then
      return jsonb_build_object('obstacle', v_fetched #> '{verdict,unknown}');
    end if;
  end if;

  return jsonb_build_object(
    'fetched', v_fetched,
    'failed', v_fetched -> 'failed',
    'rows', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'key', item.content -> 'key',
            'visible', true,
            'why', case
              when v_kind in ('v', 'f') then 'It is among what the user reads.'
              else unfiltered_rows.why
            end,
            'policies', '[]'::jsonb
          ) || case when v_command = 'select' then '{}' else '{"allowed": true}'::jsonb end
          order by item.position
        ),
        '[]'
      )
      from jsonb_array_elements(v_fetched -> 'items')
        with ordinality as item (content, position)
    )
  );
end;
$$;

comment on function runbook.unfiltered_rows(jsonb, jsonb, jsonb, text, timestamptz) is
'{fetched, rows} or {obstacle} or {failed}: the rows of a relation that has no policies to ask.';
revoke all on function runbook.unfiltered_rows(jsonb, jsonb, jsonb, text, timestamptz) from public;

-- The rows and the gate `policies` of a question whose other gates are open:
-- {rows, fetched, gate, obstacle}.
create function runbook.explained_policies(
  question jsonb,
  subject jsonb,
  row_security jsonb,
  until timestamptz
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_relation constant oid := (explained_policies.question ->> 'relation')::oid;
  v_command constant text := explained_policies.question ->> 'command';
  v_role constant text := explained_policies.subject ->> 'role';
  v_applies constant boolean := (
    explained_policies.row_security #> '{evidence,applies}'
  )::boolean;
  v_beneath constant jsonb := runbook.access_beneath(v_role, v_relation);
  v_obstacle text := runbook.access_lock(v_relation);
  v_result jsonb := '{}';
  v_rows jsonb := '[]';
  v_gate jsonb;
begin
  if v_obstacle is null then
    begin
      if v_applies then
        v_result := runbook.judged_rows(
          explained_policies.question, explained_policies.subject, explained_policies.until
        );
      else
        v_result := runbook.unfiltered_rows(
          explained_policies.question,
          explained_policies.subject,
          runbook.access_columns(v_relation, false),
          explained_policies.row_security ->> 'summary',
          explained_policies.until
        );
      end if;

      v_obstacle := v_result ->> 'obstacle';
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
    v_rows := runbook.explained_rows(v_result -> 'ask', v_result -> 'fetched');

    if v_result -> 'failure' <> 'null' then
      v_rows := runbook.failed_rows(v_rows, v_result -> 'failure');
    end if;
  elsif v_obstacle is null then
    v_rows := v_result -> 'rows';
  end if;

  if v_applies then
    v_gate := runbook.policies_gate(
      v_role,
      v_relation,
      v_command,
      v_result -> 'ask',
      v_result -> 'fetched',
      runbook.rows_verdict(v_rows, v_command),
      nullif(v_result -> 'failure', 'null'),
      v_obstacle
    );
  else
    v_gate := runbook.access_gate(
      'policies',
      case
        when v_obstacle is not null then 'unknown'
        when v_result ->> 'failed' is not null then 'fail'
        when v_beneath @> '[{"row_security": {"applies": true}}]' then 'unknown'
        else 'pass'
      end,
      coalesce(
        v_obstacle,
        'Reading it as the user fails: ' || (v_result ->> 'failed'),
        case
          when v_beneath @> '[{"row_security": {"applies": true}}]'
            then 'It has no policies of its own; those of the tables beneath filter its rows.'
        end,
        'No policy is asked.'
      ),
      case when v_beneath = '[]' then '{}' else jsonb_build_object('beneath', v_beneath) end
    );
  end if;

  return jsonb_build_object(
    'rows', v_rows,
    'fetched', v_result -> 'fetched',
    'gate', v_gate,
    'obstacle', v_obstacle,
    'depends_on_session', coalesce(
      jsonb_path_exists(v_result -> 'ask', '$.questions[*].is_of_session'), false
    )
  );
end;
$$;

comment on function runbook.explained_policies(jsonb, jsonb, jsonb, timestamptz) is
'{rows, fetched, gate, obstacle, depends_on_session}: the policies over the rows that are meant.';
revoke all on function runbook.explained_policies(jsonb, jsonb, jsonb, timestamptz) from public;
