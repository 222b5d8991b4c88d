-- How a row of the application is found again, read and written down: by its key, and as an image
-- in JSON that holds each value exactly. Relies on the columns that are never recorded, of
-- runbook.is_secret_column.

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
