-- The writer: the one place from which rows of the application are changed.
--
-- A remediation's function declares the rows; the writer finds them by their key, locks them, takes
-- their images, changes them and looks again. The application's triggers fire below it, so it goes
-- by the API's search path. What cascades is written as steps of their own, so that all of it is
-- seen, recorded and taken back.

-- The writer: carries one declared change of a row out, and returns its key as it is then.
--
-- The application's triggers fire below it, so it has the API's path: with an empty one they would
-- fail where the application works. A trigger that keeps the row from being written is an error.
create function runbook.write_row(shape runbook.row_shape, declared runbook.declared_step)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = public, extensions, pg_temp
as $$
declare
  v_changes constant jsonb := coalesce(write_row.declared.changes, '{}');
  v_key jsonb := write_row.declared.key;
  v_columns text;
  v_values text;
  v_image jsonb;
  v_count bigint;
begin
  if write_row.declared.operation in ('insert', 'update') then
    select
      pg_catalog.string_agg(pg_catalog.format('%I', named.name), ', ' order by named.name),
      pg_catalog.string_agg(
        pg_catalog.format(
          case write_row.shape.types ->> named.name
            when 'json' then 'changed.%I::json'
            else 'changed.%I'
          end,
          named.name
        ),
        ', ' order by named.name
      )
    into v_columns, v_values
    from pg_catalog.jsonb_object_keys(v_changes) as named (name);
  end if;

  case
    when write_row.declared.operation = 'insert' and v_columns is null then
      execute pg_catalog.format(
        'insert into %s as target default values returning %s',
        write_row.shape.name,
        write_row.shape.image
      )
      into v_image;
    when write_row.declared.operation = 'insert' then
      execute pg_catalog.format(
        'insert into %s as target (%s) overriding system value
         select %s from pg_catalog.jsonb_to_record($1) as changed (%s) returning %s',
        write_row.shape.name,
        v_columns,
        v_values,
        runbook.column_definitions(write_row.shape, v_changes),
        write_row.shape.image
      )
      into v_image
      using v_changes;
    when write_row.declared.operation = 'update' and v_columns is not null then
      execute pg_catalog.format(
        'update %s as target
         set (%s) = row(%s)
         from
           pg_catalog.jsonb_to_record($1) as changed (%s),
           pg_catalog.jsonb_to_record($2) as wanted (%s)
         where %s
         returning %s',
        write_row.shape.name,
        v_columns,
        v_values,
        runbook.column_definitions(write_row.shape, v_changes),
        runbook.column_definitions(write_row.shape, v_key),
        runbook.key_condition(write_row.shape, v_key),
        write_row.shape.image
      )
      into v_image
      using v_changes, v_key;
    when write_row.declared.operation = 'delete' then
      execute pg_catalog.format(
        'delete from %s as target
         using pg_catalog.jsonb_to_record($1) as wanted (%s) where %s',
        write_row.shape.name,
        runbook.column_definitions(write_row.shape, v_key),
        runbook.key_condition(write_row.shape, v_key)
      )
      using v_key;
    else
      raise exception 'The writer cannot do this to a row: %.',
        coalesce(write_row.declared.operation, 'null')
        using
          errcode = '22023',
          hint = 'insert with values, update with changes, or delete.';
  end case;

  get diagnostics v_count = row_count;

  if v_count <> 1 then
    raise exception 'The % of a row of % did not happen.',
      write_row.declared.operation, write_row.shape.name
      using errcode = '55000', hint = 'A trigger or rule of the application keeps it from it.';
  end if;

  if v_image is not null then
    select pg_catalog.jsonb_object_agg(named.name, v_image -> named.name)
    into v_key
    from pg_catalog.unnest(write_row.shape.key_columns) as named (name);
  end if;

  return v_key;
end;
$$;

comment on function runbook.write_row(runbook.row_shape, runbook.declared_step) is
'Carries out one declared change of a row, with the application''s triggers. Returns its key.';
revoke all on function runbook.write_row(runbook.row_shape, runbook.declared_step) from public;

-- Makes deferred constraints and triggers of the application speak now, under the API's path.
create function runbook.settle_constraints()
returns void
language plpgsql
volatile
security invoker
set search_path = public, extensions, pg_temp
as $$
begin
  set constraints all immediate;
end;
$$;

comment on function runbook.settle_constraints() is
'Checks all deferred constraints of the transaction now.';
revoke all on function runbook.settle_constraints() from public;

-- What keeps a row from being taken back: the columns that no longer hold what a run left.
create function runbook.differences_of(name text, key jsonb, expected jsonb, actual jsonb)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  if (differences_of.expected is null) <> (differences_of.actual is null) then
    return jsonb_build_array(
      jsonb_build_object(
        'relation', differences_of.name,
        'key', differences_of.key,
        'column', null,
        'left', differences_of.expected,
        'now', differences_of.actual
      )
    );
  end if;

  return (
    select coalesce(
      jsonb_agg(
        jsonb_build_object(
          'relation', differences_of.name,
          'key', differences_of.key,
          'column', part.key,
          'left', part.value,
          'now', differences_of.actual -> part.key
        )
        order by part.key
      ),
      '[]'
    )
    from jsonb_each(differences_of.expected) as part (key, value)
    where differences_of.actual -> part.key is distinct from part.value
  );
end;
$$;

comment on function runbook.differences_of(text, jsonb, jsonb, jsonb) is
'Where a row is not what a run left: [{relation, key, column, left, now}]; a column of null means
the whole row.';
revoke all on function runbook.differences_of(text, jsonb, jsonb, jsonb) from public;

-- The columns of an image that another has with another value, and the key.
create function runbook.changed_part(image jsonb, other jsonb, key_columns text[])
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  if changed_part.image is null or changed_part.other is null then
    return changed_part.image;
  end if;

  return (
    select jsonb_object_agg(part.key, part.value)
    from jsonb_each(changed_part.image) as part (key, value)
    where part.key = any (changed_part.key_columns)
      or changed_part.other -> part.key is distinct from part.value
  );
end;
$$;

comment on function runbook.changed_part(jsonb, jsonb, text[]) is
'Of an image, the key and what differs from another image of the row.';
revoke all on function runbook.changed_part(jsonb, jsonb, text[]) from public;

-- What an undo of a row's step says about itself.
create function runbook.row_undo_text(operation text)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case row_undo_text.operation
    when 'insert' then 'deletes the row, if it is still as this left it'
    when 'update' then 'restores the changed columns, if they still hold what this left'
    else 'inserts the row again'
  end;
$$;

comment on function runbook.row_undo_text(text) is 'How a change of a row is taken back, in words.';
revoke all on function runbook.row_undo_text(text) from public;

-- Carries declared changes of rows out, in order, and returns them as steps with their images. A
-- row that is gone by the time it is locked needs no step, nor does one that is as wanted.
--
-- Under an undo each step says what it expects to find. All that is otherwise is collected, and
-- raised as RB408; what hangs on a row that would go is a difference too.
-- Cost: waits for locks until the deadline, over all rows together.
create function runbook.perform_rows(
  declared runbook.declared_step[],
  undoing boolean,
  deadline timestamptz
)
returns jsonb[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_queue runbook.declared_step[];
  v_declared runbook.declared_step;
  v_next runbook.declared_step;
  v_shape runbook.row_shape;
  v_before jsonb;
  v_key jsonb;
  v_name text;
  v_secrets text[];
  v_seen jsonb := '{}';
  v_steps jsonb[] := '{}';
  v_differences jsonb := '[]';
  v_latest jsonb := '{}';
  v_images jsonb[] := '{}';
  v_position integer;
  v_result jsonb[] := '{}';
  v_wanted jsonb[] := '{}';
  v_restores jsonb[] := '{}';
  v_missed jsonb;
begin
  foreach v_declared in array perform_rows.declared loop
    v_shape := runbook.row_shape_of(v_declared.relation);
    v_queue := array[]::runbook.declared_step[];

    if v_declared.operation = 'delete'
      and not v_seen ? format('%s %s', v_shape.name, v_declared.key)
    then
      begin
        -- Locked first, so that nothing more can come to hang on it.
        perform runbook.lock_until(perform_rows.deadline);
        perform runbook.read_row(v_shape, v_declared.key, true);

        select hng.steps, hng.seen
        into v_queue, v_seen
        from runbook.hanging_steps(
          v_shape,
          v_declared.key,
          v_queue,
          v_seen || jsonb_build_object(format('%s %s', v_shape.name, v_declared.key), false)
        ) as hng;
        v_seen := v_seen
          || jsonb_build_object(format('%s %s', v_shape.name, v_declared.key), true);
      exception
        when lock_not_available then
          perform runbook.raise_locked(v_shape, v_declared.key);
      end;

      if perform_rows.undoing then
        -- What the undo deletes itself goes first, on its own terms; the rest is someone else's.
        select
          v_differences || coalesce(
            jsonb_agg(
              jsonb_build_object(
                'relation', hng.relation::text,
                'key', hng.key,
                'column', null,
                'left', null,
                'now', hng.key
              )
            ) filter (where own.kind is null),
            '[]'
          ),
          coalesce(
            array_agg(own order by hng.position) filter (where own.kind is not null),
            array[]::runbook.declared_step[]
          )
        into v_differences, v_queue
        from (
          select wanted.relation, wanted.key, wanted.operation, position
          from unnest(v_queue) with ordinality as wanted (
            kind, operation, relation, key, summary, changes, call, effect, statement, batch,
            expect, restores, position
          )
        ) as hng
        left join unnest(perform_rows.declared) as own on own.operation = 'delete'
          and hng.operation = 'delete'
          and own.relation = hng.relation
          and own.key = hng.key;
      end if;
    end if;

    v_queue := v_queue || v_declared;

    foreach v_next in array v_queue loop
      if v_next.relation <> v_shape.relation then
        v_shape := runbook.row_shape_of(v_next.relation);
      end if;

      v_before := null;
      v_key := v_next.key;

      if perform_rows.undoing and v_next.operation = 'insert' then
        select jsonb_object_agg(named.name, v_next.changes -> named.name)
        into v_key
        from unnest(v_shape.key_columns) as named (name);
      end if;

      if v_key is not null then
        begin
          perform runbook.lock_until(perform_rows.deadline);
          v_before := runbook.read_row(v_shape, v_key, true);
        exception
          when lock_not_available then
            perform runbook.raise_locked(v_shape, v_key);
        end;
      end if;

      v_name := format('%s %s', v_shape.name, v_key);

      if perform_rows.undoing and not v_latest ? v_name then
        v_differences := v_differences
          || runbook.differences_of(v_shape.name, v_key, v_next.expect, v_before);
      end if;

      -- Only for an earlier step on the same row: what it left is what this one found.
      if v_latest ? v_name then
        v_images[(v_latest ->> v_name)::integer] := v_before;
      end if;

      if v_differences = '[]' and (
        (v_next.operation = 'insert' and v_before is null)
        or (v_next.operation = 'delete' and v_before is not null)
        or (
          v_next.operation = 'update'
          and v_before is not null
          and (
            v_before || v_next.changes <> v_before
            or v_next.changes ?| v_shape.secrets
          )
        )
        or v_next.operation is null
        or v_next.operation not in ('insert', 'update', 'delete')
      ) then
        begin
          v_key := runbook.write_row(v_shape, v_next);
        exception
          when lock_not_available then
            perform runbook.raise_locked(v_shape, v_key);
        end;

        v_position := cardinality(v_steps) + 1;
        v_latest := v_latest
          || jsonb_build_object(format('%s %s', v_shape.name, v_key), v_position);
        v_secrets := case
          when v_next.operation = 'delete' then v_shape.secrets
          when v_next.operation = 'update'
            then array(
              select named.name
              from unnest(v_shape.secrets) as named (name)
              where v_next.changes ? named.name
            )
          else '{}'
        end;
        v_images[v_position] := null;
        v_wanted[v_position] := v_next.changes - v_shape.secrets;
        v_restores[v_position] := v_next.restores;
        v_steps[v_position] := jsonb_build_object(
          'position', v_position,
          'kind', 'row',
          'operation', v_next.operation,
          'summary', v_next.summary,
          'relation', v_shape.name,
          'key', v_key,
          'before', v_before,
          'undo', case
            when v_next.operation = 'delete' and v_shape.lost_secrets <> '{}'
              then format(
                'none: secret columns (%s) are not recorded and must have a value.',
                array_to_string(v_shape.lost_secrets, ', ')
              )
            else runbook.row_undo_text(v_next.operation)
          end,
          'side_effects', runbook.side_effects_of(
            v_shape.relation, v_next.operation, v_next.changes
          ),
          'content', jsonb_strip_nulls(
            jsonb_build_object(
              'columns', coalesce(
                v_next.restores,
                (
                  select jsonb_agg(named.name order by named.name)
                  from jsonb_object_keys(v_next.changes) as named (name)
                )
              ),
              'incomplete', case
                when v_secrets <> '{}'
                  then format(
                    'Secret columns (%s) are not recorded and do not come back.',
                    array_to_string(v_secrets, ', ')
                  )
              end
            )
          )
        );
      end if;
    end loop;
  end loop;

  if v_differences <> '[]' then
    raise exception 'The rows are no longer what the run left.'
      using
        errcode = 'RB408',
        detail = jsonb_build_object('differences', v_differences)::text,
        hint = 'Someone changed them since. Decide by hand.';
  end if;

  -- Not in a block of its own: `set constraints` outlives the rollback around a nested one.
  perform runbook.settle_constraints();

  -- What the application's triggers made that hangs on a new row is recorded with it: taking the
  -- row back takes it along, and an undo must know that nobody else put it there.
  for v_position in 1..(case when perform_rows.undoing then 0 else cardinality(v_steps) end) loop
    continue when v_steps[v_position] ->> 'operation' <> 'insert'
      or v_steps[v_position] -> 'side_effects' = '[]';

    v_shape := runbook.row_shape_of((v_steps[v_position] ->> 'relation')::regclass);
    v_key := v_steps[v_position] -> 'key';

    begin
      select hng.steps
      into v_queue
      from runbook.hanging_steps(
        v_shape,
        v_key,
        array[]::runbook.declared_step[],
        jsonb_build_object(format('%s %s', v_shape.name, v_key), false)
      ) as hng;
    exception
      when feature_not_supported then
        -- An undo will say the same.
        v_queue := array[]::runbook.declared_step[];
    end;

    -- The deepest come first there, and last here.
    for v_index in reverse cardinality(v_queue)..1 loop
      v_next := v_queue[v_index];
      v_shape := runbook.row_shape_of(v_next.relation);
      v_name := format('%s %s', v_shape.name, v_next.key);

      if v_next.operation = 'delete' and not v_latest ? v_name then
        v_latest := v_latest || jsonb_build_object(v_name, cardinality(v_steps) + 1);
        v_steps := v_steps || jsonb_build_object(
          'position', cardinality(v_steps) + 1,
          'kind', 'row',
          'operation', 'insert',
          'summary', format('A trigger of the application makes this row of %s.', v_shape.name),
          'relation', v_shape.name,
          'key', v_next.key,
          'before', null,
          'undo', runbook.row_undo_text('insert'),
          'side_effects', '[]'::jsonb,
          'content', '{"columns": []}'::jsonb
        );
      end if;
    end loop;
  end loop;

  -- Read again at the end: triggers may have had the last word.
  for v_position in 1..cardinality(v_steps) loop
    if v_shape.name is distinct from v_steps[v_position] ->> 'relation' then
      v_shape := runbook.row_shape_of((v_steps[v_position] ->> 'relation')::regclass);
    end if;

    v_key := v_steps[v_position] -> 'key';
    v_before := nullif(v_steps[v_position] -> 'before', 'null');

    if (v_latest ->> format('%s %s', v_shape.name, v_key))::integer = v_position then
      v_images[v_position] := runbook.read_row(v_shape, v_key, false);
    end if;

    -- What the application's triggers made of an undo: columns that the run itself had set must
    -- come back, the others (such as updated_at) are named.
    if perform_rows.undoing and v_wanted[v_position] is not null then
      v_missed := runbook.differences_of(
        v_shape.name, v_key, v_wanted[v_position], v_images[v_position]
      );

      if v_missed <> '[]' then
        v_differences := v_differences || coalesce(
          (
            select jsonb_agg(mis.difference)
            from jsonb_array_elements(v_missed) as mis (difference)
            where mis.difference ->> 'column' is null
              or v_restores[v_position] ? (mis.difference ->> 'column')
          ),
          '[]'
        );
        v_steps[v_position] := jsonb_insert(
          v_steps[v_position],
          '{side_effects,-1}',
          to_jsonb(
            format(
              'a trigger sets %s anew',
              (
                select string_agg(mis.difference ->> 'column', ', ')
                from jsonb_array_elements(v_missed) as mis (difference)
              )
            )
          ),
          true
        );
      end if;
    end if;

    -- An update that changed nothing is no step, unless what it changed is never shown.
    if v_before is distinct from v_images[v_position]
      or v_steps[v_position] #> '{content,incomplete}' is not null
    then
      v_result := v_result || (
        v_steps[v_position] || jsonb_build_object(
          'position', cardinality(v_result) + 1,
          'before', runbook.changed_part(v_before, v_images[v_position], v_shape.key_columns),
          'after', runbook.changed_part(v_images[v_position], v_before, v_shape.key_columns)
        )
      );
    end if;
  end loop;

  if v_differences <> '[]' then
    raise exception 'The application does not let the rows be as they were.'
      using
        errcode = 'RB408',
        detail = jsonb_build_object('differences', v_differences)::text,
        hint = 'A trigger changes them again. Decide by hand.';
  end if;

  return v_result;
end;
$$;

comment on function runbook.perform_rows(runbook.declared_step[], boolean, timestamptz) is
'Carries out declared changes of rows in order, and returns them with the rows before and after.
Raises RB408 when an undo finds other rows than the run left, 55P03 with the blocker''s name.';
revoke all on function runbook.perform_rows(runbook.declared_step[], boolean, timestamptz)
from public;
