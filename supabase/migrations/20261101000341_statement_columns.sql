-- Which columns a statement asks by, read from its text. Postgres hands out no parse tree, so this
-- is a careful reader of normalised texts: what it does not understand it leaves out, since a wrong
-- column would become a wrong index.
-- Relies on: catalogs only; it never executes or explains a text.

-- A statement's words: names with their dots as one, parameters, operators, single characters.
create function runbook.statement_words(query text)
returns text[]
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select array_agg(
    case when word.content[1] ~ '^[A-Za-z_]+$' then lower(word.content[1]) else word.content[1] end
    order by word.position
  )
  from regexp_matches(
    statement_words.query,
    '((?:"(?:[^"]|"")*"|[[:alpha:]_][\w$]*)(?:\.(?:"(?:[^"]|"")*"|[[:alpha:]_][\w$]*|\*))*'
    || '|\$\d+|''…''|[<>=!~@#&|?*/+-]+|::|\S)',
    'g'
  ) with ordinality as word (content, position);
$$;

comment on function runbook.statement_words(text) is
'A statement cut into words; bare words are in lower case.';
revoke all on function runbook.statement_words(text) from public;

-- The watched tables that a statement names, as {alias: oid}. An alias that means two tables, and
-- the name of a WITH query, is left out.
create function runbook.statement_relations(words text[])
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_relations jsonb := '{}';
  v_queries text[] := '{}';
  v_parts text[];
  v_alias text;
  v_relation oid;
  v_at integer;
  v_end constant text[] := array[
    'where', 'on', 'using', 'inner', 'left', 'right', 'full', 'cross', 'join', 'natural', 'set',
    'group', 'order', 'limit', 'offset', 'having', 'returning', 'for', 'values', 'select', 'union',
    'intersect', 'except', 'window', 'fetch', 'tablesample', 'default', 'overriding'
  ];
begin
  for v_at in 1 .. coalesce(cardinality(statement_relations.words), 0) - 2 loop
    if statement_relations.words[v_at + 1] = 'as'
      and (
        statement_relations.words[v_at + 2] = '('
        or statement_relations.words[v_at + 2] in ('materialized', 'not')
      )
    then
      v_queries := v_queries || statement_relations.words[v_at];
    end if;
  end loop;

  v_at := 0;

  while v_at < coalesce(cardinality(statement_relations.words), 0) loop
    v_at := v_at + 1;

    continue when statement_relations.words[v_at] not in ('from', 'join', 'update', 'into', ',');
    -- A comma only separates tables directly behind one, which is looked for below.
    continue when statement_relations.words[v_at] = ',';

    loop
      v_at := v_at + 1;

      if statement_relations.words[v_at] = 'only' then
        v_at := v_at + 1;
      end if;

      exit when statement_relations.words[v_at] is null
        or statement_relations.words[v_at] !~ '^["[:alpha:]_]'
        or statement_relations.words[v_at] = any (v_end)
        or statement_relations.words[v_at] = 'lateral'
        -- A function.
        or (
          statement_relations.words[v_at + 1] = '('
          and statement_relations.words[v_at - 1] is distinct from 'into'
        );

      begin
        v_parts := parse_ident(statement_relations.words[v_at]);
      exception
        when invalid_parameter_value then
          exit;
      end;

      v_alias := v_parts[cardinality(v_parts)];
      v_relation := null;

      if cardinality(v_parts) <= 2 and statement_relations.words[v_at] <> all (v_queries) then
        -- Without a schema it is the one of that name, and of several the one in public.
        select wat.relation
        into v_relation
        from runbook.watched_relation as wat
        where wat.name = v_parts[cardinality(v_parts)]
          and (cardinality(v_parts) = 1 or wat.schema_name = v_parts[1])
        order by wat.schema_name = 'public' desc, wat.schema_name
        limit 1;
      end if;

      if statement_relations.words[v_at + 1] = 'as' then
        v_at := v_at + 1;
      end if;

      if statement_relations.words[v_at + 1] ~ '^["[:alpha:]_]'
        and statement_relations.words[v_at + 1] <> all (v_end)
      then
        v_at := v_at + 1;
        begin
          v_alias := (parse_ident(statement_relations.words[v_at]))[1];
        exception
          when invalid_parameter_value then
            exit;
        end;
      end if;

      v_relations := v_relations || jsonb_build_object(
        v_alias,
        case
          when v_relations ? v_alias
            and v_relations -> v_alias is distinct from to_jsonb(v_relation)
            then null
          else v_relation
        end
      );

      exit when statement_relations.words[v_at + 1] is distinct from ',';
      v_at := v_at + 1;
    end loop;
  end loop;

  return jsonb_strip_nulls(v_relations);
end;
$$;

comment on function runbook.statement_relations(text[]) is
'The application''s tables that a statement reads or writes, as {alias: oid}.';
revoke all on function runbook.statement_relations(text[]) from public;

-- The column that a word means among the tables of a statement, as {relation, column}; null where
-- it is none, or could be several.
create function runbook.statement_column(word text, relations jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_parts text[];
  v_found jsonb;
begin
  if statement_column.word !~ '^["[:alpha:]_]' or statement_column.word like '%*' then
    return null;
  end if;

  begin
    v_parts := parse_ident(statement_column.word);
  exception
    when invalid_parameter_value then
      return null;
  end;

  select
    case
      when count(distinct (tab.oid, att.attnum)) = 1
        then jsonb_build_object('relation', min(tab.oid::bigint), 'column', min(att.attnum))
    end
  into v_found
  from (
    select rel.key as alias, rel.value::oid as oid
    from jsonb_each_text(statement_column.relations) as rel
  ) as tab
  inner join pg_catalog.pg_attribute as att
    on att.attrelid = tab.oid
    and att.attname = v_parts[cardinality(v_parts)]
    and att.attnum > 0
    and not att.attisdropped
  where cardinality(v_parts) = 1
    or (cardinality(v_parts) = 2 and tab.alias = v_parts[1])
    or (
      cardinality(v_parts) = 3
      and tab.alias = v_parts[2]
      and exists (
        select
        from pg_catalog.pg_class as rel
        inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
        where rel.oid = tab.oid
          and rel.relname = v_parts[2]
          and nsp.nspname = v_parts[1]
      )
    );

  return v_found;
end;
$$;

comment on function runbook.statement_column(text, jsonb) is
'The column of one of these tables that a word names, or null.';
revoke all on function runbook.statement_column(text, jsonb) from public;

-- Whether a column of these tables, or a query, stands between a parenthesis and its end.
create function runbook.is_column_inside(words text[], opened_at integer, relations jsonb)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_depth integer := 0;
begin
  for v_at in is_column_inside.opened_at .. cardinality(is_column_inside.words) loop
    if is_column_inside.words[v_at] = '(' then
      v_depth := v_depth + 1;
    elsif is_column_inside.words[v_at] = ')' then
      v_depth := v_depth - 1;
      exit when v_depth = 0;
    elsif is_column_inside.words[v_at] = 'select'
      or runbook.statement_column(is_column_inside.words[v_at], is_column_inside.relations)
        is not null
    then
      return true;
    end if;
  end loop;

  return false;
end;
$$;

comment on function runbook.is_column_inside(text[], integer, jsonb) is
'Whether a column or a query stands within the parentheses that open here.';
revoke all on function runbook.is_column_inside(text[], integer, jsonb) from public;

-- By which columns a statement asks, as [{relation, column, usage}] with usage `equality`, `range`,
-- `order`, `order_desc` or `join`, and {relation, usage: "read"} for each table.
--
-- Only conditions that all have to hold count: of a statement with OR, or with NOT around more than
-- one condition, none is told. An order counts where the statement has a limit.
create function runbook.statement_columns(query text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_words constant text[] := runbook.statement_words(statement_columns.query);
  v_last constant integer := coalesce(cardinality(v_words), 0);
  v_relations jsonb;
  v_found jsonb;
  v_clause text := '';
  -- What stood outside of each open parenthesis, and whether a query began inside of it.
  v_outer text[] := '{}';
  v_is_query boolean := true;
  v_outer_is_query boolean[] := '{}';
  v_cases integer := 0;
  v_word text;
  v_before text;
  v_column jsonb;
  v_other jsonb;
  v_usage text;
  v_at integer;
begin
  -- A text that was cut may hide its end.
  if v_last = 0 or char_length(statement_columns.query) >= 4000 then
    return '[]';
  end if;

  v_relations := runbook.statement_relations(v_words);

  select coalesce(
    jsonb_agg(jsonb_build_object('relation', rel.value::bigint, 'usage', 'read')),
    '[]'
  )
  into v_found
  from (select distinct tab.value from jsonb_each_text(v_relations) as tab) as rel;

  if v_found = '[]'
    or v_words && array['or', 'union', 'intersect', 'except']
    or exists (
      select
      from generate_series(1, v_last - 1) as at
      where v_words[at] = 'not' and v_words[at + 1] = '('
    )
  then
    return v_found;
  end if;

  for v_at in 1 .. v_last loop
    v_word := v_words[v_at];
    v_before := v_words[v_at - 1];

    if v_word = '(' then
      v_outer := v_outer || v_clause;
      v_outer_is_query := v_outer_is_query || v_is_query;
      v_is_query := v_before in ('where', 'and', 'on', '(') and v_is_query;
      v_clause := case when v_before in ('where', 'and', 'on', '(') then v_clause else '' end;
    elsif v_word = ')' then
      v_clause := coalesce(v_outer[cardinality(v_outer)], '');
      v_is_query := coalesce(v_outer_is_query[cardinality(v_outer_is_query)], true);
      v_outer := trim_array(v_outer, least(1, cardinality(v_outer)));
      v_outer_is_query := trim_array(v_outer_is_query, least(1, cardinality(v_outer_is_query)));
    elsif v_word = 'case' then
      v_cases := v_cases + 1;
    elsif v_word = 'end' and v_cases > 0 then
      v_cases := v_cases - 1;
    elsif v_word in ('select', 'update', 'delete') then
      v_clause := v_word;
      v_is_query := true;
    elsif v_word in (
      'from', 'where', 'on', 'group', 'having', 'order', 'limit', 'offset', 'fetch', 'returning',
      'set', 'values', 'window', 'for', 'join', 'left', 'right', 'inner', 'cross', 'full'
    ) then
      v_clause := v_word;
    elsif v_cases > 0 or not v_is_query then
      continue;
    elsif v_clause in ('where', 'on') and v_before in ('where', 'and', 'on', '(') then
      v_column := runbook.statement_column(v_word, v_relations);
      v_usage := null;

      if v_column is null then
        continue;
      elsif v_words[v_at + 1] = '='
        and (
          v_words[v_at + 2] ~ '^(\$\d+|''…''|…)$'
          or (v_words[v_at + 2] in ('any', 'some') and v_words[v_at + 3] = '(')
        )
      then
        v_usage := 'equality';
      elsif v_words[v_at + 1] = '=' and v_words[v_at + 2] ~ '^["[:alpha:]_]' then
        v_other := runbook.statement_column(v_words[v_at + 2], v_relations);

        if v_other is not null then
          v_usage := 'join';
          v_found := v_found || (v_other || '{"usage": "join"}');
        -- A variable, or a function of anything but columns: one value for all rows.
        elsif v_words[v_at + 2] not in ('all', 'null', 'not', 'case', 'array', 'row')
          and (
            v_words[v_at + 3] is distinct from '('
            or not runbook.is_column_inside(v_words, v_at + 3, v_relations)
          )
        then
          v_usage := 'equality';
        end if;
      elsif v_words[v_at + 1] = 'in'
        and v_words[v_at + 2] = '('
        and v_words[v_at + 3] ~ '^(\$\d+|''…''|…)$'
      then
        v_usage := 'equality';
      elsif (v_words[v_at + 1] in ('<', '<=', '>', '>=') or v_words[v_at + 1] = 'between')
        and v_words[v_at + 2] ~ '^(\$\d+|''…''|…|now|current_\w+)$'
      then
        v_usage := 'range';
      end if;

      if v_usage is not null then
        v_found := v_found || (v_column || jsonb_build_object('usage', v_usage));
      end if;
    elsif v_clause = 'order'
      and v_before in ('by', ',')
      and (v_words && array['limit', 'fetch'])
      and coalesce(v_words[v_at + 1], ')') in (
        ',', ')', 'asc', 'desc', 'limit', 'offset', 'fetch', 'nulls', 'for'
      )
    then
      v_column := runbook.statement_column(v_word, v_relations);

      if v_column is not null then
        v_found := v_found || (
          v_column || jsonb_build_object(
            'usage', case when v_words[v_at + 1] = 'desc' then 'order_desc' else 'order' end
          )
        );
      end if;
    end if;
  end loop;

  return v_found;
end;
$$;

comment on function runbook.statement_columns(text) is
'By which columns of which tables a statement asks: [{relation, column, usage}].';
revoke all on function runbook.statement_columns(text) from public;
