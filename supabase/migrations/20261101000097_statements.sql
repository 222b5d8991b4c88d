-- Statements: VACUUM, ANALYZE, and indexes built and dropped concurrently, which no transaction may
-- hold. Each has one of a few shapes and is written here from its parts.
--
-- Its step carries all that is needed later: how it is seen to be done, how it is taken back, and
-- what it leaves behind when it breaks off.

-- The parts of statements on a table: the statement, how it is seen to be done, what is looked at
-- before and after.
create function runbook.maintenance_statement(shape text, args jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_relation constant regclass := (maintenance_statement.args ->> 'relation')::regclass;
begin
  return jsonb_build_object(
    'sql', case
      when maintenance_statement.shape = 'analyze' then format('analyze %s', v_relation)
      when (maintenance_statement.args -> 'analyze')::boolean
        then format('vacuum (analyze) %s', v_relation)
      else format('vacuum %s', v_relation)
    end,
    'done_when', format(
      'select pg_catalog.pg_stat_get_last_%s_time(%s) >= $1',
      maintenance_statement.shape,
      v_relation::oid
    ),
    'missed', format(
      'Postgres reported no error, but %s was not done: it skips, with no more than a warning, a '
      'table that is not ours.',
      upper(maintenance_statement.shape)
    ),
    'look', format(
      'select pg_catalog.jsonb_build_object('
      '''vacuums'', pg_catalog.pg_stat_get_vacuum_count(%1$s), '
      '''analyzes'', pg_catalog.pg_stat_get_analyze_count(%1$s), '
      '''dead_rows'', pg_catalog.pg_stat_get_dead_tuples(%1$s))',
      v_relation::oid
    ),
    'lock_timeout_ms', 10000,
    'locks', v_relation::oid,
    'undo_sql', null,
    'undone_when', null
  );
end;
$$;

comment on function runbook.maintenance_statement(text, jsonb) is
'The parts of VACUUM or ANALYZE of {relation, analyze}.';
revoke all on function runbook.maintenance_statement(text, jsonb) from public;

-- The conditions that tell of an index by its name: there and valid, gone, left behind invalid.
create function runbook.index_conditions(index_name text)
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'is_valid', format(
      'select exists (select from pg_catalog.pg_index as idx '
      'where idx.indexrelid = pg_catalog.to_regclass(%L) and idx.indisvalid)',
      index_conditions.index_name
    ),
    'is_gone', format('select pg_catalog.to_regclass(%L) is null', index_conditions.index_name),
    'is_invalid', format(
      'select exists (select from pg_catalog.pg_index as idx '
      'where idx.indexrelid = pg_catalog.to_regclass(%L) and not idx.indisvalid)',
      index_conditions.index_name
    ),
    'drop', format('drop index concurrently if exists %s', index_conditions.index_name)
  );
$$;

comment on function runbook.index_conditions(text) is
'{is_valid, is_gone, is_invalid, drop}: queries about an index, and the statement that drops it.';
revoke all on function runbook.index_conditions(text) from public;

-- The parts of CREATE INDEX CONCURRENTLY. The name is quoted and put into the table's schema.
create function runbook.index_building_statement(args jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_relation constant regclass := (index_building_statement.args ->> 'relation')::regclass;
  v_name constant text := (
    select format('%I.%I', nsp.nspname, index_building_statement.args ->> 'name')
    from pg_catalog.pg_class as rel
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
    where rel.oid = v_relation
  );
  v_about constant jsonb := runbook.index_conditions(v_name);
begin
  return jsonb_build_object(
    'sql', format(
      'create %sindex concurrently %I on %s %s(%s)',
      case when (index_building_statement.args -> 'unique')::boolean then 'unique ' else '' end,
      index_building_statement.args ->> 'name',
      v_relation,
      'using ' || quote_ident(nullif(index_building_statement.args ->> 'method', 'btree')) || ' ',
      (
        select string_agg(quote_ident(named.name), ', ' order by named.position)
        from jsonb_array_elements_text(index_building_statement.args -> 'columns')
          with ordinality as named (name, position)
      )
    ),
    'done_when', v_about -> 'is_valid',
    'undo_sql', v_about -> 'drop',
    'undone_when', v_about -> 'is_gone',
    'cleanup_sql', v_about -> 'drop',
    'cleanup_when', v_about -> 'is_invalid',
    'lock_timeout_ms', 600000,
    'locks', v_relation::oid,
    'index', jsonb_build_object(
      'name', v_name,
      'relation', v_relation::text,
      'method', coalesce(index_building_statement.args ->> 'method', 'btree'),
      'columns', index_building_statement.args -> 'columns',
      'left', 'index'
    )
  );
end;
$$;

comment on function runbook.index_building_statement(jsonb) is
'The parts of CREATE INDEX CONCURRENTLY for {relation, name, columns, method, unique}.';
revoke all on function runbook.index_building_statement(jsonb) from public;

-- The parts of DROP INDEX CONCURRENTLY, with the definition that brings the index back.
--
-- Cost: pg_get_indexdef locks the index for a moment, within the lock_timeout of the caller.
create function runbook.index_dropping_statement(args jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_index constant regclass := (index_dropping_statement.args ->> 'index')::regclass;
  v_name constant text := v_index::text;
  v_about constant jsonb := runbook.index_conditions(v_name);
  v_definition text;
  v_relation oid;
  v_is_valid boolean;
begin
  if exists (
    select from pg_catalog.pg_constraint as con where con.conindid = v_index
  ) then
    raise exception 'Index % holds a constraint.', v_name
      using errcode = '0A000', hint = 'Drop the constraint by hand, if it must go.';
  end if;

  v_definition := pg_get_indexdef(v_index);

  select idx.indrelid, idx.indisvalid
  into v_relation, v_is_valid
  from pg_catalog.pg_index as idx
  where idx.indexrelid = v_index;

  return jsonb_build_object(
    'sql', format('drop index concurrently %s', v_name),
    -- A freeze or a worker that was ended may lie between the run and its statement.
    'begins_when', format(
      'select exists (select from pg_catalog.pg_index as idx '
      'where idx.indexrelid = pg_catalog.to_regclass(%L) and idx.indexrelid = %s '
      'and idx.indisvalid = %L)',
      v_name,
      v_index::oid,
      v_is_valid
    ),
    'done_when', v_about -> 'is_gone',
    'undo_sql', case
      when v_is_valid then regexp_replace(
        v_definition, '^CREATE (UNIQUE )?INDEX ', 'create \1index concurrently '
      )
    end,
    'undo_reason', case
      when v_is_valid is not true then 'an invalid index is worth nothing.'
    end,
    'undone_when', v_about -> 'is_valid',
    'undo_cleanup', true,
    'lock_timeout_ms', 600000,
    'locks', v_relation,
    'incomplete', case
      when obj_description(v_index, 'pg_class') is not null
        then 'The comment of the index does not come back.'
    end,
    'index', jsonb_build_object('name', v_name, 'definition', v_definition, 'left', 'gap')
  );
end;
$$;

comment on function runbook.index_dropping_statement(jsonb) is
'The parts of DROP INDEX CONCURRENTLY for {index}. Raises 0A000 for one that holds a constraint.';
revoke all on function runbook.index_dropping_statement(jsonb) from public;

-- What keeps an index that a run left from being taken back: `gone` when there is nothing to take
-- back, else the difference for people, or null. Of a gap that a run left it is the same.
create function runbook.index_difference(index jsonb)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_index constant oid := to_regclass(index_difference.index ->> 'name');
  v_is_same boolean;
begin
  if v_index is null then
    return case index_difference.index ->> 'left' when 'index' then 'gone' end;
  end if;

  if index_difference.index ? 'definition' then
    v_is_same := exists (
      select from pg_catalog.pg_index as idx where idx.indexrelid = v_index and idx.indisvalid
    ) and pg_get_indexdef(v_index) = index_difference.index ->> 'definition';
  else
    v_is_same := exists (
      select
      from pg_catalog.pg_index as idx
      inner join pg_catalog.pg_class as rel on rel.oid = idx.indexrelid
      inner join pg_catalog.pg_am as acm on acm.oid = rel.relam
      where idx.indexrelid = v_index
        and idx.indpred is null
        and runbook.relation_name(idx.indrelid) = runbook.relation_name(
          to_regclass(index_difference.index ->> 'relation')
        )
        and acm.amname = index_difference.index ->> 'method'
        and runbook.index_columns(v_index) = index_difference.index -> 'columns'
    );
  end if;

  return case
    when v_is_same and index_difference.index ->> 'left' = 'index' then null
    when v_is_same then 'gone'
    else format('%s is another relation now', index_difference.index ->> 'name')
  end;
end;
$$;

comment on function runbook.index_difference(jsonb) is
'Why what a run left of an index is not there to be taken back: gone, a sentence, or null.';
revoke all on function runbook.index_difference(jsonb) from public;

-- The key columns of an index in their order; an expression is null.
create function runbook.index_columns(index oid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_agg(att.attname order by part.position)
  from pg_catalog.pg_index as idx
  cross join unnest(idx.indkey::smallint[]) with ordinality as part (attnum, position)
  left join pg_catalog.pg_attribute as att on att.attrelid = idx.indrelid
    and att.attnum = part.attnum
    and part.attnum > 0
  where idx.indexrelid = index_columns.index
    and part.position <= idx.indnkeyatts;
$$;

comment on function runbook.index_columns(oid) is 'The names of an index''s key columns, in order.';
revoke all on function runbook.index_columns(oid) from public;

-- A declared statement as a step, written from its parts: nothing of it is taken as SQL. Null where
-- an undo has nothing to take back.
--
-- Shapes: vacuum {relation, analyze}, analyze {relation}, create_index {relation, name, columns,
-- method, unique}, drop_index {index}. The opposite of a recorded one comes as written before.
create function runbook.planned_statement(shape text, args jsonb, undoing boolean)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_content jsonb;
  v_difference text;
begin
  if planned_statement.undoing then
    v_content := planned_statement.args;
    v_difference := case
      when v_content ? 'index' then runbook.index_difference(v_content -> 'undoes')
    end;

    if v_difference = 'gone' then
      return null;
    elsif v_difference is not null then
      raise exception 'The index is no longer what the run left.'
        using
          errcode = 'RB408',
          detail = jsonb_build_object(
            'differences', jsonb_build_array(
              jsonb_build_object(
                'relation', v_content #> '{index,name}',
                'key', null,
                'column', null,
                'left', v_content #> '{undoes,left}',
                'now', v_difference
              )
            )
          )::text,
          hint = 'Someone changed it since. Decide by hand.';
    end if;
  else
    if (
      planned_statement.shape <> 'drop_index' and planned_statement.args ->> 'relation' is null
    )
      or (
        planned_statement.shape = 'create_index'
        and (
          coalesce(planned_statement.args ->> 'name', '') = ''
          or coalesce(planned_statement.args -> 'columns', '[]') = '[]'
        )
      )
      or (planned_statement.shape = 'drop_index' and not planned_statement.args ? 'index')
    then
      raise exception 'The declared statement is not complete.'
        using
          errcode = '22023',
          hint = 'relation; name and columns for create_index; index for drop_index.';
    end if;

    case planned_statement.shape
      when 'vacuum', 'analyze' then
        v_content := runbook.maintenance_statement(
          planned_statement.shape, planned_statement.args
        );
      when 'create_index' then
        v_content := runbook.index_building_statement(planned_statement.args);
      when 'drop_index' then
        v_content := runbook.index_dropping_statement(planned_statement.args);
      else
        raise exception 'There is no statement of shape %.',
          coalesce(quote_literal(planned_statement.shape), 'null')
          using errcode = '22023', hint = 'vacuum, analyze, create_index or drop_index.';
    end case;
  end if;

  return jsonb_build_object(
    'statement', v_content ->> 'sql',
    'undo', coalesce(
      v_content ->> 'undo_sql',
      'none: ' || coalesce(
        v_content ->> 'undo_reason', planned_statement.shape || ' changes no row.'
      )
    ),
    'side_effects', coalesce(nullif(planned_statement.args -> 'side_effects', 'null'), '[]'),
    'content', jsonb_strip_nulls(v_content)
  );
end;
$$;

comment on function runbook.planned_statement(text, jsonb, boolean) is
'A declared statement as a step. Raises 22023 for another shape, 0A000 for an index that holds a
constraint, RB408 for an undo that finds another index.';
revoke all on function runbook.planned_statement(text, jsonb, boolean) from public;

-- What takes a recorded statement back.
create function runbook.opposite_statement(content jsonb)
returns jsonb
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select jsonb_strip_nulls(
    jsonb_build_object(
      'sql', opposite_statement.content -> 'undo_sql',
      'done_when', opposite_statement.content -> 'undone_when',
      'undo_sql', opposite_statement.content -> 'sql',
      'undone_when', opposite_statement.content -> 'done_when',
      'lock_timeout_ms', opposite_statement.content -> 'lock_timeout_ms',
      'locks', opposite_statement.content -> 'locks',
      'undo_cleanup', case
        when opposite_statement.content ? 'cleanup_sql' then to_jsonb(true)
      end
    ) || case
      when opposite_statement.content ? 'undo_cleanup' then jsonb_build_object(
        'cleanup_sql', about.conditions -> 'drop',
        'cleanup_when', about.conditions -> 'is_invalid'
      )
      else '{}'
    end || case
      when opposite_statement.content ? 'index' then jsonb_build_object(
        'undoes', opposite_statement.content -> 'index',
        'index', (opposite_statement.content -> 'index') || jsonb_build_object(
          'left', case opposite_statement.content #>> '{index,left}'
            when 'index' then 'gap'
            else 'index'
          end
        )
      )
      else '{}'
    end
  )
  from (
    select runbook.index_conditions(opposite_statement.content #>> '{index,name}')
  ) as about (conditions);
$$;

comment on function runbook.opposite_statement(jsonb) is 'A statement with its undo, exchanged.';
revoke all on function runbook.opposite_statement(jsonb) from public;
