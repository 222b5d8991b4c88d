-- The writer: the one place from which rows of the application are changed.
--
-- A remediation's function declares the rows; the writer finds them by their key, locks them, takes
-- their images, changes them and looks again. The application's triggers fire below it, so it goes
-- by the API's search path.

create type runbook.declared_step as (
  kind text,
  operation text,
  relation regclass,
  key jsonb,
  summary text
);

comment on type runbook.declared_step is
'What a remediation''s function wants done: kind `row`, operation `delete`, the row by its key.';

revoke all on type runbook.declared_step from public;

-- Columns whose content never enters an image: tokens, passwords and other secrets.
create function runbook.is_secret_column(name text)
returns boolean
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select is_secret_column.name
    ~* '(passw|secret|token|otp|hash|salt|credential|(api|private|signing|encryption)_?key)';
$$;

comment on function runbook.is_secret_column(text) is
'Whether a column of this name is never recorded.';
revoke all on function runbook.is_secret_column(text) from public;

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

-- What is recorded of a row: neither generated columns, which come back by themselves, nor secrets.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.image_of(relation regclass, content jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select jsonb_object_agg(att.attname, image_of.content -> att.attname::text)
    from pg_catalog.pg_attribute as att
    where att.attrelid = image_of.relation
      and att.attnum > 0
      and not att.attisdropped
      and att.attgenerated = ''
      and not runbook.is_secret_column(att.attname::text)
      and image_of.content is not null
  );
end;
$$;

comment on function runbook.image_of(regclass, jsonb) is 'The columns of a row that are recorded.';
revoke all on function runbook.image_of(regclass, jsonb) from public;

-- Condition that finds one row `target` by the columns of a key in `wanted`.
create function runbook.key_condition(key jsonb)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select string_agg(format('target.%1$I = wanted.%1$I', named.name), ' and ' order by named.name)
  from jsonb_object_keys(key_condition.key) as named (name);
$$;

comment on function runbook.key_condition(jsonb) is 'The where clause that finds a row by its key.';
revoke all on function runbook.key_condition(jsonb) from public;

-- Reads one row by its key, locking it on request. Null when there is none.
--
-- It runs the application's code (its operators, its policies), so it has the API's path.
create function runbook.read_row(relation regclass, key jsonb, locking boolean)
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
    'select pg_catalog.to_jsonb(target.*)
     from %1$s as target
     inner join pg_catalog.jsonb_populate_record(null::%1$s, $1) as wanted on %2$s %3$s',
    read_row.relation,
    runbook.key_condition(read_row.key),
    case when read_row.locking then 'for update of target' end
  )
  into v_content
  using read_row.key;

  return v_content;
end;
$$;

comment on function runbook.read_row(regclass, jsonb, boolean) is 'One row as JSON, by its key.';
revoke all on function runbook.read_row(regclass, jsonb, boolean) from public;

-- The writer: carries one declared change of a row out.
--
-- The application's triggers fire below it, so it has the API's path: with an empty one they would
-- fail where the application works.
create function runbook.write_row(declared runbook.declared_step)
returns void
language plpgsql
volatile
security invoker
set search_path = public, extensions, pg_temp
as $$
begin
  if write_row.declared.operation is distinct from 'delete' then
    raise exception 'The writer cannot % a row.', write_row.declared.operation
      using errcode = '0A000', hint = 'This version deletes rows only.';
  end if;

  execute pg_catalog.format(
    'delete from %1$s as target
     using pg_catalog.jsonb_populate_record(null::%1$s, $1) as wanted where %2$s',
    write_row.declared.relation,
    runbook.key_condition(write_row.declared.key)
  )
  using write_row.declared.key;
end;
$$;

comment on function runbook.write_row(runbook.declared_step) is
'Carries out one declared change of a row, with the application''s triggers.';
revoke all on function runbook.write_row(runbook.declared_step) from public;

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

-- What else happens when rows of a table are deleted: the triggers that fire. A key that would
-- cascade into other tables is refused, since their rows would vanish unrecorded.
create function runbook.side_effects_of_delete(relation regclass)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_cascading text;
begin
  select format('%s of %s', con.conname, con.conrelid::regclass)
  into v_cascading
  from pg_catalog.pg_constraint as con
  where con.contype = 'f'
    and con.confrelid = side_effects_of_delete.relation
    and con.confdeltype in ('c', 'n', 'd')
  limit 1;

  if found then
    raise exception 'Deleting from % would change rows elsewhere, by %.',
      side_effects_of_delete.relation, v_cascading
      using errcode = '0A000', hint = 'This version deletes only rows that nothing hangs on.';
  end if;

  return (
    select coalesce(array_agg(format('trigger %I fires', trg.tgname) order by trg.tgname), '{}')
    from pg_catalog.pg_trigger as trg
    where trg.tgrelid = side_effects_of_delete.relation
      and not trg.tgisinternal
      and trg.tgenabled <> 'D'
      -- bit 3 of tgtype: the trigger fires on delete
      and trg.tgtype & 8 <> 0
  );
end;
$$;

comment on function runbook.side_effects_of_delete(regclass) is
'The triggers that fire on a delete. Raises 0A000 where the delete would cascade.';
revoke all on function runbook.side_effects_of_delete(regclass) from public;

-- Carries declared steps out and returns them with their images. A row that is gone by the time
-- it is locked needs no step.
create function runbook.perform_steps(declared runbook.declared_step[])
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_declared runbook.declared_step;
  v_before jsonb;
  v_steps jsonb := '[]'::jsonb;
begin
  foreach v_declared in array perform_steps.declared loop
    v_before := runbook.read_row(v_declared.relation, v_declared.key, true);

    if v_before is not null then
      v_steps := v_steps || jsonb_build_object(
        'position', jsonb_array_length(v_steps) + 1,
        'kind', v_declared.kind,
        'operation', v_declared.operation,
        'summary', v_declared.summary,
        'relation', v_declared.relation::text,
        'key', v_declared.key,
        'before', runbook.image_of(v_declared.relation, v_before),
        'undo', 'inserts the row again',
        'side_effects', runbook.side_effects_of_delete(v_declared.relation)
      );
      perform runbook.write_row(v_declared);
    end if;
  end loop;

  perform runbook.settle_constraints();

  -- Read again at the end: triggers may have had the last word.
  return (
    select coalesce(
      jsonb_agg(
        stp.content || jsonb_build_object(
          'after',
          runbook.image_of(
            (stp.content ->> 'relation')::regclass,
            runbook.read_row((stp.content ->> 'relation')::regclass, stp.content -> 'key', false)
          )
        )
        order by stp.position
      ),
      '[]'
    )
    from jsonb_array_elements(v_steps) with ordinality as stp (content, position)
  );
end;
$$;

comment on function runbook.perform_steps(runbook.declared_step[]) is
'Carries out declared steps in order, and returns them with the rows before and after.';
revoke all on function runbook.perform_steps(runbook.declared_step[]) from public;
