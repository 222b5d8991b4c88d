-- What else happens with a change of a row: triggers that fire, and the rows that a delete takes
-- with it, as steps of their own. Relies on the images of runbook.row_shape.
-- What would change rows elsewhere without a trace is refused.

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
