-- The writer: the one place from which rows of the application are changed.
--
-- A remediation's function declares the rows; the writer finds them by their key, locks them, takes
-- their images, changes them and looks again. The application's triggers fire below it, so it goes
-- by the API's search path. What cascades is written as steps of their own, so that all of it is
-- seen, recorded and taken back.

create type runbook.declared_step as (
  kind text,
  operation text,
  relation regclass,
  key jsonb,
  summary text,
  changes jsonb,
  call jsonb,
  effect jsonb,
  statement jsonb,
  batch jsonb,
  expect jsonb,
  restores jsonb
);

comment on type runbook.declared_step is
'What a remediation''s function wants done; made by runbook.insert_step, update_step, delete_step,
call_step, effect_step, statement_step and batch_step. Of an undo, `expect` is what
must still be there and `restores` the columns that must come back exactly.';

revoke all on type runbook.declared_step from public;

-- Declares that a row be inserted.
create function runbook.insert_step(relation regclass, changes jsonb, summary text)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    'row', 'insert', insert_step.relation, null, insert_step.summary, insert_step.changes,
    null, null, null, null, null, null
  )::runbook.declared_step;
$$;

comment on function runbook.insert_step(regclass, jsonb, text) is
'Declares a new row: the columns that are given a value, as JSON.';
revoke all on function runbook.insert_step(regclass, jsonb, text) from public;

-- Declares that columns of a row be changed.
create function runbook.update_step(relation regclass, key jsonb, changes jsonb, summary text)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    'row', 'update', update_step.relation, update_step.key, update_step.summary,
    update_step.changes, null, null, null, null, null, null
  )::runbook.declared_step;
$$;

comment on function runbook.update_step(regclass, jsonb, jsonb, text) is
'Declares new values for columns of the row with this key.';
revoke all on function runbook.update_step(regclass, jsonb, jsonb, text) from public;

-- Declares that a row be deleted.
create function runbook.delete_step(relation regclass, key jsonb, summary text)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    'row', 'delete', delete_step.relation, delete_step.key, delete_step.summary,
    null, null, null, null, null, null, null
  )::runbook.declared_step;
$$;

comment on function runbook.delete_step(regclass, jsonb, text) is
'Declares that the row with this key goes, with what hangs on it.';
revoke all on function runbook.delete_step(regclass, jsonb, text) from public;

-- Declares a request to the outside world.
create function runbook.call_step(call jsonb, summary text)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    'call', 'request', null, null, call_step.summary,
    null, call_step.call, null, null, null, null, null
  )::runbook.declared_step;
$$;

comment on function runbook.call_step(jsonb, text) is
'Declares a request: {service, method, path, body, undo: {method, path, body} or null,
undo_reason}.';
revoke all on function runbook.call_step(jsonb, text) from public;

-- Declares an effect from the closed list in runbook.effect.
create function runbook.effect_step(effect text, args jsonb, summary text)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    'effect', effect_step.effect, null, null, effect_step.summary,
    null, null, effect_step.args, null, null, null, null
  )::runbook.declared_step;
$$;

comment on function runbook.effect_step(text, jsonb, text) is
'Declares an effect that a rollback does not undo, by its name in runbook.effect.';
revoke all on function runbook.effect_step(text, jsonb, text) from public;

-- Declares a statement that runs outside a transaction.
create function runbook.statement_step(shape text, args jsonb, summary text)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    'statement', statement_step.shape, null, null, statement_step.summary,
    null, null, null, statement_step.args, null, null, null
  )::runbook.declared_step;
$$;

comment on function runbook.statement_step(text, jsonb, text) is
'Declares a statement of a known shape: vacuum, analyze, create_index or drop_index.';
revoke all on function runbook.statement_step(text, jsonb, text) from public;

-- Declares that a function of runbook.batch_function be called until it is done.
create function runbook.batch_step(batch text, args jsonb, summary text)
returns runbook.declared_step
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select row(
    'batch', batch_step.batch, null, null, batch_step.summary,
    null, null, null, null, batch_step.args, null, null
  )::runbook.declared_step;
$$;

comment on function runbook.batch_step(text, jsonb, text) is
'Declares work on many rows in small transactions, by its name in runbook.batch_function.';
revoke all on function runbook.batch_step(text, jsonb, text) from public;

-- The columns by which a row of a table is found again: the primary key, else a unique index
-- without expressions, predicate or nullable columns.
create function runbook.key_columns(relation regclass)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_columns text[];
begin
  select array_agg(att.attname::text order by att.attnum)
  into v_columns
  from (
    select idx.indrelid, idx.indkey::smallint[] as indkey, idx.indnkeyatts
    from pg_catalog.pg_index as idx
    where idx.indrelid = key_columns.relation
      and idx.indisunique
      and idx.indisvalid
      and idx.indimmediate
      and idx.indpred is null
      and idx.indexprs is null
      and not exists (
        select
        from pg_catalog.pg_attribute as opt
        where opt.attrelid = idx.indrelid
          and opt.attnum = any (idx.indkey::smallint[])
          and not opt.attnotnull
      )
    order by idx.indisprimary desc, idx.indnkeyatts, idx.indexrelid
    limit 1
  ) as best
  inner join pg_catalog.pg_attribute as att on att.attrelid = best.indrelid
    -- indkey counts from 0; columns behind indnkeyatts are only carried along
    and att.attnum = any (best.indkey[0:best.indnkeyatts - 1]);

  if v_columns is null then
    raise exception 'The rows of % have no key.', key_columns.relation
      using errcode = '55000', hint = 'Give the table a primary key.';
  end if;

  return v_columns;
end;
$$;

comment on function runbook.key_columns(regclass) is
'The columns that identify a row of a table. Raises 55000 for a table without a key.';
revoke all on function runbook.key_columns(regclass) from public;

-- The key of a row: those of its columns that identify it.
create function runbook.key_of(relation regclass, content jsonb)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_object_agg(named.name, key_of.content -> named.name)
  from unnest(runbook.key_columns(key_of.relation)) as named (name);
$$;

comment on function runbook.key_of(regclass, jsonb) is 'The part of a row that identifies it.';
revoke all on function runbook.key_of(regclass, jsonb) from public;

create type runbook.row_shape as (
  relation regclass,
  name text,
  key_columns text[],
  types jsonb,
  texts text[],
  secrets text[],
  lost_secrets text[],
  image text
);

comment on type runbook.row_shape is
'What the writer needs to know of a table: its key, the types of the columns it may write, those
imaged as text, those never recorded (and of them those that must have a value and have no
default), and the expression that takes the image of a row called target.';

revoke all on type runbook.row_shape from public;

-- How the rows of a table are imaged and written. A partition is written through its root.
--
-- An image is JSON, and what JSON does not hold exactly (arrays, composites, types of extensions,
-- json itself) is the text of the value: both are read back by the type's own input function.
-- Generated columns are skipped, they come back by themselves; secrets are never recorded.
create function runbook.row_shape_of(relation regclass)
returns runbook.row_shape
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  -- JSON holds these exactly; so it does domains over them.
  v_exact constant oid[] := '{
    bool, "\"char\"", int2, int4, int8, float4, float8, numeric, text, varchar, bpchar, name, uuid,
    date, time, timetz, timestamp, timestamptz, jsonb, bytea, inet, cidr
  }'::regtype[]::oid[];
  v_shape runbook.row_shape;
begin
  v_shape.relation := coalesce(pg_partition_root(row_shape_of.relation), row_shape_of.relation);
  v_shape.name := v_shape.relation::text;
  v_shape.key_columns := runbook.key_columns(v_shape.relation);

  select
    jsonb_object_agg(col.name, col.type) filter (where not col.generated),
    coalesce(array_agg(col.name) filter (where col.as_text), '{}'),
    coalesce(array_agg(col.name) filter (where col.secret), '{}'),
    coalesce(array_agg(col.name) filter (where col.secret and col.needs_a_value), '{}'),
    format(
      'pg_catalog.to_jsonb(target.*) - %L::text[]%s',
      coalesce(array_agg(col.name) filter (where col.secret or col.generated or col.as_text), '{}'),
      string_agg(
        format(' || pg_catalog.jsonb_build_object(%L, target.%I::text)', col.name, col.name), ''
      ) filter (where col.as_text and not col.secret and not col.generated)
    )
  into v_shape.types, v_shape.texts, v_shape.secrets, v_shape.lost_secrets, v_shape.image
  from (
    select
      att.attname::text as name,
      format_type(att.atttypid, att.atttypmod) as type,
      att.attgenerated <> '' as generated,
      att.attgenerated = '' and (
        runbook.is_secret_column(att.attname::text)
        -- holds the token before this one
        or att.attname = 'parent' and v_shape.name = 'auth.refresh_tokens'
      ) as secret,
      att.attnotnull and not att.atthasdef and att.attidentity = '' as needs_a_value,
      att.atttypid <> all (v_exact) and coalesce(
        (
          select typ.typbasetype
          from pg_catalog.pg_type as typ
          where typ.oid = att.atttypid
        ),
        0
      ) <> all (v_exact) as as_text
    from pg_catalog.pg_attribute as att
    where att.attrelid = v_shape.relation
      and att.attnum > 0
      and not att.attisdropped
    -- keeps what is said of a column from being asked again for each aggregate
    offset 0
  ) as col;

  if v_shape.key_columns && v_shape.secrets then
    raise exception 'The key of % is a secret, and secrets are never recorded.', v_shape.name
      using errcode = '0A000', hint = 'Give the table a key that may be shown.';
  end if;

  return v_shape;
end;
$$;

comment on function runbook.row_shape_of(regclass) is
'How rows of a table are imaged and written. Raises 55000 without a key, 0A000 for a secret one.';
revoke all on function runbook.row_shape_of(regclass) from public;

-- The columns of some JSON as a column definition list, `id bigint, name text`.
create function runbook.column_definitions(shape runbook.row_shape, content jsonb)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_unknown text;
begin
  select named.name
  into v_unknown
  from jsonb_object_keys(column_definitions.content) as named (name)
  where not column_definitions.shape.types ? named.name
  limit 1;

  if found then
    raise exception 'Table % has no column % that can be written.',
      column_definitions.shape.name, quote_ident(v_unknown)
      using errcode = '42703', hint = 'Generated columns come by themselves.';
  end if;

  return (
    select string_agg(
      format(
        '%I %s',
        named.name,
        -- json would take a text for a JSON string; it is read from its text instead
        case column_definitions.shape.types ->> named.name
          when 'json' then 'text'
          else column_definitions.shape.types ->> named.name
        end
      ),
      ', ' order by named.name
    )
    from jsonb_object_keys(column_definitions.content) as named (name)
  );
end;
$$;

comment on function runbook.column_definitions(runbook.row_shape, jsonb) is
'The keys of some JSON as columns with their types. Raises 42703 for one that cannot be written.';
revoke all on function runbook.column_definitions(runbook.row_shape, jsonb) from public;

-- The where clause that finds one row `target` by its key in `wanted`.
create function runbook.key_condition(shape runbook.row_shape, key jsonb)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if jsonb_typeof(key_condition.key) is distinct from 'object'
    or not key_condition.key ?& key_condition.shape.key_columns
    or key_condition.key - key_condition.shape.key_columns <> '{}'
  then
    raise exception 'A row of % is not found by %.',
      key_condition.shape.name, coalesce(key_condition.key::text, 'null')
      using
        errcode = '22023',
        hint = format('Its key is (%s).', array_to_string(key_condition.shape.key_columns, ', '));
  end if;

  return (
    select string_agg(format('target.%1$I = wanted.%1$I', named.name), ' and ')
    from unnest(key_condition.shape.key_columns) as named (name)
  );
end;
$$;

comment on function runbook.key_condition(runbook.row_shape, jsonb) is
'The where clause that finds a row by its key. Raises 22023 when the key does not fit the table.';
revoke all on function runbook.key_condition(runbook.row_shape, jsonb) from public;

-- Reads the image of one row by its key, locking it on request. Null when there is none.
--
-- It runs the application's code (its operators, its policies), so it has the API's path.
create function runbook.read_row(shape runbook.row_shape, key jsonb, locking boolean)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = public, extensions, pg_temp
as $$
declare
  v_content jsonb;
begin
  execute pg_catalog.format(
    'select %s
     from %s as target
     inner join pg_catalog.jsonb_to_record($1) as wanted (%s) on %s %s',
    read_row.shape.image,
    read_row.shape.name,
    runbook.column_definitions(read_row.shape, read_row.key),
    runbook.key_condition(read_row.shape, read_row.key),
    case when read_row.locking then 'for update of target' end
  )
  into v_content
  using read_row.key;

  return v_content;
end;
$$;

comment on function runbook.read_row(runbook.row_shape, jsonb, boolean) is
'The image of one row, by its key.';
revoke all on function runbook.read_row(runbook.row_shape, jsonb, boolean) from public;

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

-- What else happens with a change of rows of a table: the triggers that fire. A change of key
-- columns that other tables follow is refused, since their rows would change unrecorded.
create function runbook.side_effects_of(relation regclass, operation text, changes jsonb)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_cascading text;
begin
  if side_effects_of.operation = 'update' then
    select format('%s of %s', con.conname, con.conrelid::regclass)
    into v_cascading
    from pg_catalog.pg_constraint as con
    inner join pg_catalog.pg_attribute as att on att.attrelid = con.confrelid
      and att.attnum = any (con.confkey)
    where con.contype = 'f'
      and con.confrelid = side_effects_of.relation
      and con.confupdtype in ('c', 'n', 'd')
      and side_effects_of.changes ? att.attname::text
    limit 1;

    if found then
      raise exception 'This update of % would change rows elsewhere, by %.',
        side_effects_of.relation, v_cascading
        using errcode = '0A000', hint = 'Change the key by hand.';
    end if;
  end if;

  return (
    select coalesce(array_agg(format('trigger %I fires', trg.tgname) order by trg.tgname), '{}')
    from pg_catalog.pg_trigger as trg
    where trg.tgrelid = side_effects_of.relation
      and not trg.tgisinternal
      and trg.tgenabled in ('O', 'A')
      -- bits of tgtype: 2 insert, 3 delete, 4 update
      and trg.tgtype & case side_effects_of.operation
        when 'insert' then 4
        when 'delete' then 8
        else 16
      end <> 0
      and (
        side_effects_of.operation <> 'update'
        or cardinality(trg.tgattr::smallint[]) = 0
        or exists (
          select
          from pg_catalog.pg_attribute as att
          where att.attrelid = trg.tgrelid
            and att.attnum = any (trg.tgattr::smallint[])
            and side_effects_of.changes ? att.attname::text
        )
      )
  );
end;
$$;

comment on function runbook.side_effects_of(regclass, text, jsonb) is
'The triggers that fire on a change. Raises 0A000 where an update would cascade.';
revoke all on function runbook.side_effects_of(regclass, text, jsonb) from public;

-- The rows that hang on a row by one foreign key, as images.
--
-- It runs the application's operators, so it has the API's path.
create function runbook.rows_hanging_on(
  parent runbook.row_shape,
  key jsonb,
  child runbook.row_shape,
  condition text
)
returns setof jsonb
language plpgsql
volatile
security invoker
set search_path = public, extensions, pg_temp
as $$
begin
  return query execute pg_catalog.format(
    'select %s
     from %s as target
     where exists (
       select
       from %s as parent
       inner join pg_catalog.jsonb_to_record($1) as wanted (%s) on %s
       where %s
     )
     limit 1001
     for update of target',
    rows_hanging_on.child.image,
    rows_hanging_on.child.name,
    rows_hanging_on.parent.name,
    runbook.column_definitions(rows_hanging_on.parent, rows_hanging_on.key),
    pg_catalog.replace(
      runbook.key_condition(rows_hanging_on.parent, rows_hanging_on.key),
      'target.',
      'parent.'
    ),
    rows_hanging_on.condition
  )
  using rows_hanging_on.key;
end;
$$;

comment on function runbook.rows_hanging_on(runbook.row_shape, jsonb, runbook.row_shape, text) is
'Images of the rows that refer to a row by one foreign key, 1001 at most, locked.';
revoke all on function runbook.rows_hanging_on(runbook.row_shape, jsonb, runbook.row_shape, text)
from public;

-- What a delete would take with it, as steps of their own, the deepest first: rows that cascade
-- are deleted, rows whose reference is set to null are updated. A thousand at most.
--
-- `seen` has each row met: true when its step is written, false while what hangs on it is being
-- looked for. Meeting one of those again is a circle, in which no row can go first.
create function runbook.hanging_steps(
  shape runbook.row_shape,
  key jsonb,
  inout steps runbook.declared_step[],
  inout seen jsonb
)
returns record
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_con record;
  v_child runbook.row_shape;
  v_image jsonb;
  v_key jsonb;
  v_name text;
begin
  for v_con in
    select
      con.conname,
      con.conrelid::regclass as child,
      con.confdeltype,
      (
        select string_agg(format('target.%I = parent.%I', own.attname, far.attname), ' and ')
        from unnest(con.conkey, con.confkey) as pair (own, far)
        inner join pg_catalog.pg_attribute as own
          on own.attrelid = con.conrelid and own.attnum = pair.own
        inner join pg_catalog.pg_attribute as far
          on far.attrelid = con.confrelid and far.attnum = pair.far
      ) as condition,
      (
        select jsonb_object_agg(own.attname, null)
        from unnest(coalesce(nullif(con.confdelsetcols, '{}'), con.conkey)) as pair (own)
        inner join pg_catalog.pg_attribute as own
          on own.attrelid = con.conrelid and own.attnum = pair.own
      ) as nulls
    from pg_catalog.pg_constraint as con
    where con.contype = 'f'
      and con.confrelid = hanging_steps.shape.relation
      and con.confdeltype in ('c', 'n', 'd')
      -- the root of a partitioned table stands for its partitions
      and con.conparentid = 0
    order by con.conrelid::regclass::text, con.conname
  loop
    v_child := runbook.row_shape_of(v_con.child);

    for v_image in
      select hng.image
      from runbook.rows_hanging_on(
        hanging_steps.shape, hanging_steps.key, v_child, v_con.condition
      ) as hng (image)
      order by hng.image::text
    loop
      if v_con.confdeltype = 'd' then
        raise exception 'The delete would set columns of % to their defaults, by %.',
          v_child.name, v_con.conname
          using errcode = '0A000', hint = 'Change those rows first.';
      end if;

      select jsonb_object_agg(named.name, v_image -> named.name)
      into v_key
      from unnest(v_child.key_columns) as named (name);

      v_name := format('%s %s', v_child.name, v_key);

      if hanging_steps.seen -> v_name = 'false'
        and v_name <> format('%s %s', hanging_steps.shape.name, hanging_steps.key)
      then
        raise exception 'Rows of % hang on each other in a circle.', v_child.name
          using errcode = '0A000', hint = 'Open the circle first: set one reference to null.';
      end if;

      if not hanging_steps.seen ? v_name then
        if cardinality(hanging_steps.steps) >= 1000 then
          raise exception 'More than 1000 rows hang on this row.'
            using errcode = '0A000', hint = 'Remove them in batches first.';
        end if;

        if v_con.confdeltype = 'c' then
          hanging_steps.seen := hanging_steps.seen || jsonb_build_object(v_name, false);

          select hng.steps, hng.seen
          into hanging_steps.steps, hanging_steps.seen
          from runbook.hanging_steps(
            v_child, v_key, hanging_steps.steps, hanging_steps.seen
          ) as hng;

          hanging_steps.steps := hanging_steps.steps || runbook.delete_step(
            v_child.relation,
            v_key,
            format('Delete the row of %s that hangs on it by %s.', v_child.name, v_con.conname)
          );
          hanging_steps.seen := hanging_steps.seen || jsonb_build_object(v_name, true);
        else
          hanging_steps.steps := hanging_steps.steps || runbook.update_step(
            v_child.relation,
            v_key,
            v_con.nulls,
            format('Set the reference %s of a row of %s to null.', v_con.conname, v_child.name)
          );
        end if;
      end if;
    end loop;
  end loop;
end;
$$;

comment on function runbook.hanging_steps(
  runbook.row_shape, jsonb, runbook.declared_step[], jsonb
) is
'The rows that a delete would take with it or change, as declared steps, the deepest first.';
revoke all on function runbook.hanging_steps(
  runbook.row_shape, jsonb, runbook.declared_step[], jsonb
) from public;

-- From now on no lock is waited for beyond an instant.
create function runbook.lock_until(deadline timestamptz)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform set_config(
    'lock_timeout',
    greatest(1, round(1000 * extract(epoch from lock_until.deadline - clock_timestamp())))::text,
    true
  );
end;
$$;

comment on function runbook.lock_until(timestamptz) is
'Sets lock_timeout to the time left until an instant, for the function around it.';
revoke all on function runbook.lock_until(timestamptz) from public;

-- Says who holds a lock that was not free: sessions by process, never by what they run.
create function runbook.raise_blocked(what text, pids integer[])
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_blockers jsonb;
  v_names text;
begin
  select
    jsonb_agg(
      jsonb_build_object(
        'pid', act.pid,
        'user', act.usename,
        'application', act.application_name,
        'state', act.state,
        'since', act.state_change,
        'transaction_since', act.xact_start
      )
      order by act.xact_start
    ),
    string_agg(
      format(
        'session %s (%s), %s since %s',
        act.pid,
        coalesce(nullif(act.application_name, ''), 'without a name'),
        coalesce(act.state, 'of unknown state'),
        runbook.utc_text(act.state_change)
      ),
      '; ' order by act.xact_start
    )
  into v_blockers, v_names
  from pg_catalog.pg_stat_activity as act
  where act.pid = any (raise_blocked.pids[1:5])
    and act.pid <> pg_backend_pid();

  raise exception '% is locked%.', raise_blocked.what, coalesce(' by ' || v_names, '')
    using
      errcode = '55P03',
      detail = jsonb_build_object('blockers', coalesce(v_blockers, '[]'))::text,
      hint = 'Try again, or end that session if it was forgotten.';
end;
$$;

comment on function runbook.raise_blocked(text, integer[]) is
'Raises 55P03 with the sessions that hold a lock: {blockers: [{pid, user, application, state,
since, transaction_since}]}.';
revoke all on function runbook.raise_blocked(text, integer[]) from public;

-- The transaction that has written to or locked a row; null when the table itself is locked.
create function runbook.row_locker(shape runbook.row_shape, key jsonb)
returns xid
language plpgsql
volatile
security invoker
set search_path = public, extensions, pg_temp
as $$
declare
  v_locker xid;
begin
  execute pg_catalog.format(
    'select target.xmax
     from %s as target
     inner join pg_catalog.jsonb_to_record($1) as wanted (%s) on %s',
    row_locker.shape.name,
    runbook.column_definitions(row_locker.shape, row_locker.key),
    runbook.key_condition(row_locker.shape, row_locker.key)
  )
  into v_locker
  using row_locker.key;

  return v_locker;
exception
  when lock_not_available then
    return null;
end;
$$;

comment on function runbook.row_locker(runbook.row_shape, jsonb) is
'The transaction on record in a row as its last locker, or null.';
revoke all on function runbook.row_locker(runbook.row_shape, jsonb) from public;

-- Says who holds the lock of a row: whoever has locked the table, else the row, else whoever has
-- the table open for writing.
--
-- Cost: pg_locks; one row by its key, waiting 100 ms at most.
create function runbook.raise_locked(shape runbook.row_shape, key jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_pids integer[];
  v_locker xid;
begin
  select array_agg(distinct lck.pid)
  into v_pids
  from pg_catalog.pg_locks as lck
  where lck.locktype = 'relation'
    and lck.database = (
      select dat.oid from pg_catalog.pg_database as dat where dat.datname = current_database()
    )
    and lck.relation = raise_locked.shape.relation
    and lck.granted
    and lck.pid <> pg_backend_pid()
    and lck.mode in (
      'AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock'
    );

  if v_pids is null and raise_locked.key is not null then
    perform set_config('lock_timeout', '100', true);
    v_locker := runbook.row_locker(raise_locked.shape, raise_locked.key);

    select array_agg(distinct lck.pid)
    into v_pids
    from pg_catalog.pg_locks as lck
    where lck.locktype = 'transactionid'
      and lck.transactionid = v_locker
      and lck.granted
      and lck.pid <> pg_backend_pid();
  end if;

  if v_pids is null then
    select array_agg(distinct lck.pid)
    into v_pids
    from pg_catalog.pg_locks as lck
    where lck.locktype = 'relation'
      and lck.relation = raise_locked.shape.relation
      and lck.granted
      and lck.pid <> pg_backend_pid()
      and lck.mode in ('RowShareLock', 'RowExclusiveLock');
  end if;

  perform runbook.raise_blocked(
    coalesce('A row of ' || raise_locked.shape.name, 'A row'), v_pids
  );
end;
$$;

comment on function runbook.raise_locked(runbook.row_shape, jsonb) is
'Raises 55P03 with the sessions that hold the lock of a row.';
revoke all on function runbook.raise_locked(runbook.row_shape, jsonb) from public;

-- Says who holds a table as a whole, when a lock was not free and nothing more is known of it.
-- Nothing happens when nobody does.
create function runbook.raise_table_locked()
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_pids integer[];
  v_names text;
begin
  select array_agg(distinct lck.pid), string_agg(distinct cls.relname, ', ')
  into v_pids, v_names
  from pg_catalog.pg_locks as lck
  inner join pg_catalog.pg_class as cls on cls.oid = lck.relation
  where lck.locktype = 'relation'
    and lck.granted
    and lck.pid <> pg_backend_pid()
    and lck.mode in ('AccessExclusiveLock', 'ExclusiveLock')
    and cls.relkind in ('r', 'p')
    and cls.relnamespace <> 'pg_catalog'::regnamespace;

  if v_pids is not null then
    perform runbook.raise_blocked(format('A table (%s)', v_names), v_pids);
  end if;
end;
$$;

comment on function runbook.raise_table_locked() is
'Raises 55P03 with the sessions that hold tables as a whole, if there are any.';
revoke all on function runbook.raise_table_locked() from public;

-- The same for the runbook's own tables, for requests that need nothing but these.
create function runbook.raise_own_table_locked()
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_pids integer[];
  v_names text;
begin
  select array_agg(distinct lck.pid), string_agg(distinct cls.relname, ', ')
  into v_pids, v_names
  from pg_catalog.pg_locks as lck
  inner join pg_catalog.pg_class as cls on cls.oid = lck.relation
  where lck.locktype = 'relation'
    and lck.granted
    and lck.pid <> pg_backend_pid()
    and lck.mode = 'AccessExclusiveLock'
    and cls.relkind in ('r', 'p')
    and cls.relnamespace = 'runbook'::regnamespace;

  if v_pids is not null then
    perform runbook.raise_blocked(format('The runbook''s own table (%s)', v_names), v_pids);
  end if;
end;
$$;

comment on function runbook.raise_own_table_locked() is
'Raises 55P03 with the sessions that hold tables of the runbook as a whole, if there are any.';
revoke all on function runbook.raise_own_table_locked() from public;

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
