-- The conditions of policies as text: taken apart at their `and` and `or`, and put together again
-- the way Postgres puts the policies of a table together.
--
-- The text is pg_get_expr's, which sets parentheses around every `and` and `or`; so the two words
-- outside of parentheses and quotes are exactly the ones that join parts.

-- The text without the parentheses that stand around all of it.
create function runbook.without_parentheses(expression text)
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_text text := btrim(without_parentheses.expression, E' \n\t');
  v_tokens text[];
  v_depth integer;
  v_closes_early boolean;
begin
  while left(v_text, 1) = '(' and right(v_text, 1) = ')' loop
    v_tokens := runbook.condition_tokens(v_text);
    v_depth := 0;
    v_closes_early := false;

    for v_index in 1..cardinality(v_tokens) loop
      v_depth := v_depth + case v_tokens[v_index] when '(' then 1 when ')' then -1 else 0 end;

      if v_depth = 0 and v_index < cardinality(v_tokens) then
        v_closes_early := true;
        exit;
      end if;
    end loop;

    exit when v_closes_early;
    v_text := btrim(substr(v_text, 2, length(v_text) - 2), E' \n\t');
  end loop;

  return v_text;
end;
$$;

comment on function runbook.without_parentheses(text) is
'An expression without the parentheses around the whole of it.';
revoke all on function runbook.without_parentheses(text) from public;

-- An expression in tokens: quoted texts and names whole, parentheses, words, all else.
create function runbook.condition_tokens(expression text)
returns text[]
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select coalesce(array_agg(found.token[1] order by found.position), '{}')
    from regexp_matches(
      condition_tokens.expression,
      $re$(E'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]|[A-Za-z_0-9$]+|\s+|.)$re$,
      'g'
    ) with ordinality as found (token, position)
  );
end;
$$;

comment on function runbook.condition_tokens(text) is
'The tokens of an expression, which joined give it again.';
revoke all on function runbook.condition_tokens(text) from public;

-- An expression as a tree: {expression} of a part, {expression, operator, parts} where `and` or
-- `or` joins several.
create function runbook.condition_tree(expression text, depth integer default 0)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_text constant text := runbook.without_parentheses(condition_tree.expression);
  v_tokens text[];
  v_depth integer := 0;
  v_operator text;
  v_part text := '';
  v_parts text[] := array[]::text[];
begin
  -- Deep enough for people; a scalar subquery has its `where` outside of parentheses.
  if condition_tree.depth >= 4 or length(v_text) > 4000 or v_text ~* '^(select|with|case)\M' then
    return jsonb_build_object('expression', v_text);
  end if;

  v_tokens := runbook.condition_tokens(v_text);

  for v_index in 1..cardinality(v_tokens) loop
    v_depth := v_depth + case v_tokens[v_index] when '(' then 1 when ')' then -1 else 0 end;

    if v_depth = 0 and v_tokens[v_index] in ('AND', 'OR') then
      if v_operator <> lower(v_tokens[v_index]) then
        -- Both words side by side are nothing that Postgres writes.
        return jsonb_build_object('expression', v_text);
      end if;

      v_operator := lower(v_tokens[v_index]);
      v_parts := v_parts || v_part;
      v_part := '';
    else
      v_part := v_part || v_tokens[v_index];
    end if;
  end loop;

  if v_operator is null then
    return jsonb_build_object('expression', v_text);
  end if;

  return jsonb_build_object(
    'expression', v_text,
    'operator', v_operator,
    'parts', (
      select jsonb_agg(
        runbook.condition_tree(part.text, condition_tree.depth + 1)
        order by part.position
      )
      from unnest(v_parts || v_part) with ordinality as part (text, position)
    )
  );
end;
$$;

comment on function runbook.condition_tree(text, integer) is
'{expression, operator, parts}: an expression taken apart at its and / or.';
revoke all on function runbook.condition_tree(text, integer) from public;

-- The parts of a tree that are not joined of others, the leftmost first.
create function runbook.condition_leaves(tree jsonb)
returns text[]
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_leaves text[] := array[]::text[];
  v_part jsonb;
begin
  if not condition_leaves.tree ? 'parts' then
    return array[condition_leaves.tree ->> 'expression'];
  end if;

  for v_part in
    select part.tree from jsonb_array_elements(condition_leaves.tree -> 'parts') as part (tree)
  loop
    v_leaves := v_leaves || runbook.condition_leaves(v_part);
  end loop;

  return v_leaves;
end;
$$;

comment on function runbook.condition_leaves(jsonb) is 'The expressions at the ends of a tree.';
revoke all on function runbook.condition_leaves(jsonb) from public;

-- The word for a verdict in JSON: true, false, null, error, or unknown where it was not found out.
create function runbook.verdict_word(verdict jsonb)
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
      when verdict_word.verdict = 'true' then 'true'
      when verdict_word.verdict = 'false' then 'false'
      when verdict_word.verdict ? 'unknown' then 'unknown'
      when jsonb_typeof(verdict_word.verdict) = 'object' then 'error'
      else 'null'
    end
  );
end;
$$;

comment on function runbook.verdict_word(jsonb) is 'true, false, null, error or unknown.';
revoke all on function runbook.verdict_word(jsonb) from public;

-- What a tree comes to when its leaves have these words, and the leaves that decided it: of a false
-- `and` the false ones, of a true `or` the true ones, else all that kept it from being otherwise.
create function runbook.condition_decision(tree jsonb, words jsonb)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_word text;
  v_absorbing text;
  v_parts jsonb := '[]';
  v_part jsonb;
begin
  if not condition_decision.tree ? 'parts' then
    v_word := condition_decision.words ->> (condition_decision.tree ->> 'expression');
    return jsonb_build_object(
      'word', v_word,
      'decided_by', jsonb_build_array(
        jsonb_build_object(
          'expression', condition_decision.tree -> 'expression',
          'verdict', v_word
        )
      )
    );
  end if;

  for v_part in
    select part.tree from jsonb_array_elements(condition_decision.tree -> 'parts') as part (tree)
  loop
    v_parts := v_parts || runbook.condition_decision(v_part, condition_decision.words);
  end loop;

  v_absorbing := (condition_decision.tree ->> 'operator' <> 'and')::text;

  select case
    when bool_or(part.item ->> 'word' = v_absorbing) then v_absorbing
    when bool_or(part.item ->> 'word' = 'error') then 'error'
    when bool_or(part.item ->> 'word' = 'unknown') then 'unknown'
    when bool_or(part.item ->> 'word' = 'null') then 'null'
    else (not v_absorbing::boolean)::text
  end
  into v_word
  from jsonb_array_elements(v_parts) as part (item);

  return jsonb_build_object(
    'word', v_word,
    'decided_by', (
      select jsonb_agg(leaf.item order by part.position, leaf.position)
      from jsonb_array_elements(v_parts) with ordinality as part (item, position)
      cross join jsonb_array_elements(part.item -> 'decided_by')
        with ordinality as leaf (item, position)
      where part.item ->> 'word' = v_word
    )
  );
end;
$$;

comment on function runbook.condition_decision(jsonb, jsonb) is
'{word, decided_by}: the value of a tree whose leaves have these words, and the leaves behind it.';
revoke all on function runbook.condition_decision(jsonb, jsonb) from public;

-- Whether evaluating a tree raises: Postgres goes from the left, and stops where it knows.
create function runbook.raises_on_the_way(tree jsonb, words jsonb)
returns boolean
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_stops_at constant text := (raises_on_the_way.tree ->> 'operator' <> 'and')::text;
  v_part jsonb;
begin
  if not raises_on_the_way.tree ? 'parts' then
    return raises_on_the_way.words ->> (raises_on_the_way.tree ->> 'expression') = 'error';
  end if;

  for v_part in
    select part.tree from jsonb_array_elements(raises_on_the_way.tree -> 'parts') as part (tree)
  loop
    if runbook.raises_on_the_way(v_part, raises_on_the_way.words) then
      return true;
    end if;

    exit when runbook.condition_decision(v_part, raises_on_the_way.words) ->> 'word' = v_stops_at;
  end loop;

  return false;
end;
$$;

comment on function runbook.raises_on_the_way(jsonb, jsonb) is
'Whether a tree whose leaves have these words raises before it is decided.';
revoke all on function runbook.raises_on_the_way(jsonb, jsonb) from public;

-- The words of the parts that `and` joins at the top of a tree, however deep it is nested there.
create function runbook.joined_words(tree jsonb, words jsonb)
returns text[]
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_found text[] := array[]::text[];
  v_part jsonb;
begin
  if joined_words.tree ->> 'operator' is distinct from 'and' then
    return array[
      case
        when runbook.raises_on_the_way(joined_words.tree, joined_words.words) then 'error'
        else runbook.condition_decision(joined_words.tree, joined_words.words) ->> 'word'
      end
    ];
  end if;

  for v_part in
    select part.tree from jsonb_array_elements(joined_words.tree -> 'parts') as part (tree)
  loop
    v_found := v_found || runbook.joined_words(v_part, joined_words.words);
  end loop;

  return v_found;
end;
$$;

comment on function runbook.joined_words(jsonb, jsonb) is
'What each part comes to that and joins at the top of an expression.';
revoke all on function runbook.joined_words(jsonb, jsonb) from public;

-- What of a policy another session or request answers otherwise, such as its login or its headers,
-- or what changes settings for the rows after it: what a reader says of that is not what the Data
-- API says.
--
-- Misses: what a function does that the policy's functions call.
create function runbook.session_dependence(policy oid, expression text)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select coalesce(
      substring(
        session_dependence.expression
        from '(?i)\m(session_user|set_config|pg_backend_pid|inet_client_addr|inet_client_port)\M'
      ),
      substring(
        session_dependence.expression
        from $re$(?ix)
          \mcurrent_setting\('
          (?:role|session_authorization|application_name|request\.headers|request\.cookies)'$re$
      ) || ')',
      (
        select format('%s reads the login or the headers, or changes settings', fun.oid::regproc)
        from pg_catalog.pg_depend as dep
        inner join pg_catalog.pg_proc as fun on fun.oid = dep.refobjid
        where dep.classid = 'pg_catalog.pg_policy'::regclass
          and dep.objid = session_dependence.policy
          and dep.refclassid = 'pg_catalog.pg_proc'::regclass
          and fun.prosrc ~* (
            '\msession_user\M|\mset_config\M'
            || '|current_setting\s*\(\s*'''
            || '(role|session_authorization|application_name|request\.headers|request\.cookies)'''
          )
        order by fun.oid
        limit 1
      )
    )
  );
end;
$$;

comment on function runbook.session_dependence(oid, text) is
'What of a policy depends on the login of the session or the request''s headers, or null.';
revoke all on function runbook.session_dependence(oid, text) from public;

-- Schemas of what expressions name that a role may not use: those of policies, or of the defaults
-- of a table. Postgres does not ask for that when they run, since they are stored parsed; whoever
-- reads their text anew is asked.
create function runbook.schemas_out_of_reach(catalog regclass, expressions oid[], role text)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return array(
    select distinct nsp.nspname::text collate "default"
    from pg_catalog.pg_depend as dep
    left join pg_catalog.pg_proc as fun
      on fun.oid = dep.refobjid and dep.refclassid = 'pg_catalog.pg_proc'::regclass
    left join pg_catalog.pg_class as rel
      on rel.oid = dep.refobjid and dep.refclassid = 'pg_catalog.pg_class'::regclass
    left join pg_catalog.pg_type as typ
      on typ.oid = dep.refobjid and dep.refclassid = 'pg_catalog.pg_type'::regclass
    left join pg_catalog.pg_operator as opr
      on opr.oid = dep.refobjid and dep.refclassid = 'pg_catalog.pg_operator'::regclass
    left join pg_catalog.pg_collation as col
      on col.oid = dep.refobjid and dep.refclassid = 'pg_catalog.pg_collation'::regclass
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = coalesce(
      fun.pronamespace, rel.relnamespace, typ.typnamespace, opr.oprnamespace, col.collnamespace
    )
    where dep.classid = schemas_out_of_reach.catalog
      and dep.objid = any (schemas_out_of_reach.expressions)
      and not has_schema_privilege(schemas_out_of_reach.role, nsp.oid, 'usage')
    order by 1
  );
end;
$$;

comment on function runbook.schemas_out_of_reach(regclass, oid[], text) is
'The schemas that expressions of a catalog name and the role may not use.';
revoke all on function runbook.schemas_out_of_reach(regclass, oid[], text) from public;

-- The parts that `and` joins at the top of a tree, however deep it is nested there.
create function runbook.joined_parts(tree jsonb)
returns text[]
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_parts text[] := array[]::text[];
  v_part jsonb;
begin
  if joined_parts.tree ->> 'operator' is distinct from 'and' then
    return array[joined_parts.tree ->> 'expression'];
  end if;

  for v_part in
    select part.tree from jsonb_array_elements(joined_parts.tree -> 'parts') as part (tree)
  loop
    v_parts := v_parts || runbook.joined_parts(v_part);
  end loop;

  return v_parts;
end;
$$;

comment on function runbook.joined_parts(jsonb) is
'The expressions that and joins at the top of an expression.';
revoke all on function runbook.joined_parts(jsonb) from public;

-- A condition whose parts at the top are given up at the first that is not true, from the left: as
-- Postgres evaluates a check. A plain `and` would go on behind a null. Constants come first, since
-- Postgres looks at them before it begins.
create function runbook.condition_in_steps(tree jsonb)
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select string_agg(
      format('case when (%s) then ', part.expression), ''
      order by part.expression !~* '^(null(::boolean)?|false)$', part.position
    ) || 'true' || repeat(' else false end', count(*)::integer)
    from unnest(runbook.joined_parts(condition_in_steps.tree))
      with ordinality as part (expression, position)
  );
end;
$$;

comment on function runbook.condition_in_steps(jsonb) is
'An expression that is evaluated from the left until a part is not true.';
revoke all on function runbook.condition_in_steps(jsonb) from public;

-- The conditions of policies as Postgres joins them: the restrictive ones first and by name, each
-- shutting out on its own, then the permissive ones joined by `or`, the last of their names first.
-- For new rows the permissive ones come first. `case` keeps the order; a value that is constant is
-- computed ahead of it, as it is there. A condition of a filter stands in a `where`, so that
-- Postgres simplifies it and orders its parts as it does there.
create function runbook.joined_conditions(policies jsonb, is_check boolean)
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
      when joined.permissive is null then 'false'
      when joined.restrictive is null then joined.permissive
      when joined_conditions.is_check
        then format('case when (%s) then %s else false end', joined.permissive, joined.restrictive)
      else format(
        'case when (%s) then (%s) else false end', joined.restrictive, joined.permissive
      )
    end
    from (
      select
        case when joined_conditions.is_check then '(' else 'exists (select where ' end
        || string_agg(
          case
            -- Joined by `or`, a condition is a part and not the whole.
            when alone.is_alone then pol.in_steps
            else format('(%s)', pol.item ->> 'expression')
          end,
          ' or '
          order by pol.item ->> 'name' collate "C" desc
        ) filter (where pol.is_permissive)
        || ')' as permissive,
        string_agg(
          case
            when joined_conditions.is_check then format('case when %s then', pol.in_steps)
            else format('case when exists (select where %s) then', pol.item ->> 'expression')
          end,
          ' '
          order by pol.item ->> 'name' collate "C"
        ) filter (where not pol.is_permissive)
        || ' true'
        || repeat(' else false end', (count(*) filter (where not pol.is_permissive))::integer)
        as restrictive
      from (
        select
          given.item,
          (given.item -> 'is_permissive')::boolean as is_permissive,
          runbook.condition_in_steps(coalesce(given.item -> 'tree', given.item)) as in_steps
        from jsonb_array_elements(joined_conditions.policies) as given (item)
      ) as pol
      cross join (
        select joined_conditions.is_check and count(*) = 1 as is_alone
        from jsonb_array_elements(joined_conditions.policies) as given (item)
        where (given.item -> 'is_permissive')::boolean
      ) as alone
    ) as joined
  );
end;
$$;

comment on function runbook.joined_conditions(jsonb, boolean) is
'One expression for the policies [{name, is_permissive, expression}], in the order of Postgres.';
revoke all on function runbook.joined_conditions(jsonb, boolean) from public;
