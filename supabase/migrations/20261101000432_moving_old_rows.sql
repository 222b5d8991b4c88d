-- Moving old rows to schema `archive` and back, one batch a transaction.
--
-- One statement locks rows without waiting for any, deletes and inserts them; both sides are
-- counted each time, and their sum at the end. Schema and table are made with the first batch,
-- readable by nobody but the owner; each row keeps the run that moved it, and so its way back.

-- Makes the archive of a table where it is missing, with columns that were added since. Nobody but
-- the owner gets a right, whatever the default privileges say.
create function runbook.prepare_archive(shape runbook.archived_table)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_target oid := to_regclass(prepare_archive.shape.target);
  v_column text;
  v_role text;
begin
  if v_target is null then
    if to_regnamespace('archive') is null then
      create schema archive;
      comment on schema archive is 'Old rows that the runbook moved out of the way of the others.';
      revoke all on schema archive from public;
    end if;

    execute format(
      'create table %s as
       select null::bigint as runbook_run, null::timestamptz as runbook_archived_at, %s
       from %s as src
       with no data',
      prepare_archive.shape.target,
      runbook.column_list(prepare_archive.shape.columns, '{}', 'src.'),
      prepare_archive.shape.source
    );
    execute format(
      'alter table %s
         alter column runbook_archived_at set not null, add primary key (runbook_run, %s)',
      prepare_archive.shape.target,
      runbook.column_list(to_jsonb(prepare_archive.shape.key_columns), '{}', '')
    );
    execute format(
      'comment on table %s is %L',
      prepare_archive.shape.target,
      format('Old rows of %s, moved by the runbook.', prepare_archive.shape.source)
    );

    for v_role in
      select distinct coalesce(quote_ident(rol.rolname), 'public')
      from pg_catalog.pg_class as rel
      cross join lateral aclexplode(rel.relacl) as acl
      left join pg_catalog.pg_roles as rol on rol.oid = acl.grantee
      where rel.oid = to_regclass(prepare_archive.shape.target)
        and acl.grantee <> rel.relowner
    loop
      execute format('revoke all on table %s from %s', prepare_archive.shape.target, v_role);
    end loop;

    return;
  end if;

  for v_column in
    select named.name
    from jsonb_array_elements_text(prepare_archive.shape.columns) with ordinality
      as named (name, position)
    where named.name = any (runbook.columns_not_archived(prepare_archive.shape))
    order by named.position
  loop
    execute format(
      'alter table %s add column %I %s',
      prepare_archive.shape.target,
      v_column,
      prepare_archive.shape.types ->> v_column
    );
  end loop;
end;
$$;

comment on function runbook.prepare_archive(runbook.archived_table) is
'Makes schema archive and the table for old rows, or adds the columns that it lacks.';
revoke all on function runbook.prepare_archive(runbook.archived_table) from public;

-- The columns of a table that its archive does not have.
create function runbook.columns_not_archived(shape runbook.archived_table)
returns text[]
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(array_agg(named.name), '{}')
  from jsonb_array_elements_text((columns_not_archived.shape).columns) as named (name)
  where not exists (
    select
    from pg_catalog.pg_attribute as att
    where att.attrelid = to_regclass((columns_not_archived.shape).target)
      and att.attname = named.name
      and not att.attisdropped
  );
$$;

comment on function runbook.columns_not_archived(runbook.archived_table) is
'The columns of a table that its archive lacks.';
revoke all on function runbook.columns_not_archived(runbook.archived_table) from public;

-- Moves one batch of old rows, from a key on: {chosen, deleted, inserted, last}. Rows that somebody
-- has locked are passed over. `last` is the key of the last row that was moved, as JSON.
--
-- The application's triggers fire below it, so it has the API's path.
create function runbook.move_old_rows(
  shape runbook.archived_table,
  run_id bigint,
  cutoff timestamptz,
  batch_rows integer,
  after jsonb
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = public, extensions, pg_temp
as $$
declare
  v_keys constant jsonb := pg_catalog.to_jsonb(move_old_rows.shape.key_columns);
  v_key constant text := runbook.column_list(v_keys, '{}', 'src.');
  v_result jsonb;
begin
  execute pg_catalog.format(
    'with chosen as (
       select %1$s
       from only %2$s as src
       where %3$s %4$s
       order by %1$s
       limit %5$s
       for update of src skip locked
     ),
     gone as (
       delete from only %2$s as src
       using chosen
       where (%1$s) = (%6$s)
       returning %7$s
     ),
     kept as (
       insert into %8$s (runbook_run, runbook_archived_at, %9$s)
       select %10$s, pg_catalog.clock_timestamp(), %9$s
       from gone
       returning 1
     )
     select pg_catalog.jsonb_build_object(
       ''chosen'', (select count(*) from chosen),
       ''deleted'', (select count(*) from gone),
       ''inserted'', (select count(*) from kept),
       ''last'', (
         select pg_catalog.to_jsonb(chosen.*) from chosen order by (%6$s) desc limit 1
       )
     )',
    v_key,
    move_old_rows.shape.source,
    move_old_rows.shape.condition,
    case
      when move_old_rows.after is not null then pg_catalog.format(
        'and (%s) > (select %s from pg_catalog.jsonb_to_record($2) as src (%s))',
        v_key,
        v_key,
        (
          select pg_catalog.string_agg(
            pg_catalog.format('%I %s', named.name, move_old_rows.shape.types ->> named.name), ', '
          )
          from pg_catalog.unnest(move_old_rows.shape.key_columns) as named (name)
        )
      )
    end,
    move_old_rows.batch_rows,
    runbook.column_list(v_keys, '{}', 'chosen.'),
    runbook.column_list(move_old_rows.shape.columns, '{}', 'src.'),
    move_old_rows.shape.target,
    runbook.column_list(move_old_rows.shape.columns, '{}', ''),
    move_old_rows.run_id
  )
  into v_result
  using move_old_rows.cutoff, move_old_rows.after;

  return v_result;
end;
$$;

comment on function runbook.move_old_rows(
  runbook.archived_table,
  bigint,
  timestamptz,
  integer,
  jsonb
) is 'Moves one batch of rows to the archive: {chosen, deleted, inserted, last}.';
revoke all on function runbook.move_old_rows(
  runbook.archived_table,
  bigint,
  timestamptz,
  integer,
  jsonb
) from public;

-- How many rows of a run are in the archive.
create function runbook.count_archived_rows(target text, run_id bigint)
returns bigint
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_count bigint := 0;
begin
  if to_regclass(count_archived_rows.target) is not null then
    execute format(
      'select count(*) from %s as arc where arc.runbook_run = $1', count_archived_rows.target
    )
    into v_count
    using count_archived_rows.run_id;
  end if;

  return v_count;
end;
$$;

comment on function runbook.count_archived_rows(text, bigint) is
'How many rows that a run moved are in a table of the archive.';
revoke all on function runbook.count_archived_rows(text, bigint) from public;

-- One batch of archiving. Old rows are passed through in the order of the key; when a pass ends and
-- left rows that somebody had locked, there is another, up to three.
create function runbook.archive_batch(args jsonb, cursor jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_shape constant runbook.archived_table := runbook.archived_table_of(
    archive_batch.args ->> 'table', archive_batch.args ->> 'column'
  );
  v_run_id constant bigint := (archive_batch.args ->> 'run_id')::bigint;
  v_cutoff constant timestamptz := (archive_batch.args ->> 'cutoff')::timestamptz;
  v_pass constant integer := coalesce((archive_batch.cursor ->> 'pass')::integer, 1);
  v_moved bigint := coalesce((archive_batch.cursor ->> 'moved')::bigint, 0);
  v_obstacle text[];
  v_batch jsonb;
  v_left bigint;
  v_found bigint;
begin
  -- The table is the application's, and may have changed since the plan and since the last batch.
  v_obstacle := runbook.archive_obstacle(
    runbook.relation_to_change(v_shape.source),
    v_shape,
    coalesce((archive_batch.args -> 'triggers_are_known')::boolean, false)
  );

  if v_obstacle is not null then
    raise exception '%', v_obstacle[1] using errcode = 'RBEFF', hint = v_obstacle[2];
  end if;

  perform runbook.prepare_archive(v_shape);

  v_batch := runbook.move_old_rows(
    v_shape,
    v_run_id,
    v_cutoff,
    (archive_batch.args ->> 'batch_rows')::integer,
    nullif(archive_batch.cursor -> 'after', 'null')
  );

  -- They were locked, so it was nobody else.
  if v_batch -> 'deleted' <> v_batch -> 'chosen' then
    raise exception 'Of % rows of % only % could be deleted: a trigger keeps the others.',
      v_batch -> 'chosen', v_shape.source, v_batch -> 'deleted'
      using
        errcode = 'RBEFF',
        hint = 'Nothing of this batch was moved. See what the trigger is for.';
  end if;

  if v_batch -> 'deleted' <> v_batch -> 'inserted' then
    raise exception '% rows left % and % came to %.',
      v_batch -> 'deleted', v_shape.source, v_batch -> 'inserted', v_shape.target
      using errcode = 'RBEFF', hint = 'Nothing was moved. A trigger or rule keeps rows back.';
  end if;

  v_moved := v_moved + (v_batch ->> 'deleted')::bigint;

  if (v_batch ->> 'deleted')::bigint > 0 then
    return jsonb_build_object(
      'done', false,
      'rows', v_batch -> 'deleted',
      'cursor', jsonb_build_object('pass', v_pass, 'moved', v_moved, 'after', v_batch -> 'last')
    );
  end if;

  -- The pass is over.
  v_left := runbook.count_old_rows(v_shape, v_cutoff, 100000);

  if v_left > 0 and v_pass < 3 then
    return jsonb_build_object(
      'done', false,
      'rows', 0,
      'cursor', jsonb_build_object('pass', v_pass + 1, 'moved', v_moved, 'after', null)
    );
  end if;

  -- What is old is read from the statistics, and they are those of before. Not at all costs.
  begin
    execute format('analyze %s', v_shape.source);
  exception
    when lock_not_available then
      raise notice '% is locked, so its statistics stay as they were.', v_shape.source;
  end;

  v_found := runbook.count_archived_rows(v_shape.target, v_run_id);

  if v_found <> v_moved then
    raise exception '% rows were moved, and % are in %.', v_moved, v_found, v_shape.target
      using errcode = 'RBEFF', hint = 'Somebody else deletes from the archive.';
  end if;

  return jsonb_build_object(
    'done', true,
    'rows', 0,
    'cursor', jsonb_build_object(
      'pass', v_pass, 'moved', v_moved, 'archived', v_found, 'left_locked', v_left
    ) || case
      when v_left > 0 then jsonb_build_object(
        'note', format(
          '%s old rows are still in %s: somebody had them locked. Send archive-rows again.',
          v_left,
          v_shape.source
        )
      )
      else '{}'
    end
  );
end;
$$;

comment on function runbook.archive_batch(jsonb, jsonb) is
'The batch archive_rows, for {table, column, cutoff, batch_rows, triggers_are_known}. Raises RBEFF
where the table has become one that is not archived, and where rows are kept back.';
revoke all on function runbook.archive_batch(jsonb, jsonb) from public;

-- Brings one batch of archived rows back, in the order of the key: {deleted, inserted, changed}.
-- Those that the application's triggers have changed on the way are counted, by their text.
--
-- The application's triggers fire below it, so it has the API's path.
create function runbook.bring_rows_back(
  shape runbook.archived_table,
  run_id bigint,
  batch_rows integer,
  without text[]
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = public, extensions, pg_temp
as $$
declare
  v_result jsonb;
begin
  execute pg_catalog.format(
    'with chosen as (
       select arc.ctid as place
       from %1$s as arc
       where arc.runbook_run = $1
       order by %2$s
       limit %3$s
       for update of arc
     ),
     gone as (
       delete from %1$s as arc
       using chosen
       where arc.ctid = chosen.place
       returning %4$s
     ),
     back as (
       insert into %5$s (%6$s) overriding system value
       select %6$s
       from gone
       returning row(%6$s)::text as content
     )
     select pg_catalog.jsonb_build_object(
       ''deleted'', (select count(*) from gone),
       ''inserted'', (select count(*) from back),
       ''changed'', (
         select count(*)
         from (
           select back.content from back
           except all
           select row(%6$s)::text from gone
         ) as other
       )
     )',
    bring_rows_back.shape.target,
    runbook.column_list(pg_catalog.to_jsonb(bring_rows_back.shape.key_columns), '{}', 'arc.'),
    bring_rows_back.batch_rows,
    runbook.column_list(bring_rows_back.shape.columns, bring_rows_back.without, 'arc.'),
    bring_rows_back.shape.source,
    runbook.column_list(bring_rows_back.shape.columns, bring_rows_back.without, '')
  )
  into v_result
  using bring_rows_back.run_id;

  return v_result;
end;
$$;

comment on function runbook.bring_rows_back(runbook.archived_table, bigint, integer, text[]) is
'Moves one batch of rows from the archive back: {deleted, inserted, changed}.';
revoke all on function runbook.bring_rows_back(runbook.archived_table, bigint, integer, text[])
from public;

-- One batch of bringing the rows of a run back. Generated columns come by themselves, and columns
-- that the table was given since take their defaults.
create function runbook.unarchive_batch(args jsonb, cursor jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_shape constant runbook.archived_table := runbook.archived_table_of(
    unarchive_batch.args ->> 'table', unarchive_batch.args ->> 'column'
  );
  v_moved bigint := coalesce((unarchive_batch.cursor ->> 'moved')::bigint, 0);
  v_batch jsonb;
begin
  v_batch := runbook.bring_rows_back(
    v_shape,
    (unarchive_batch.args ->> 'undoes_run')::bigint,
    (unarchive_batch.args ->> 'batch_rows')::integer,
    v_shape.generated || runbook.columns_not_archived(v_shape)
  );

  if v_batch -> 'deleted' <> v_batch -> 'inserted' then
    raise exception '% rows left % and % came to %.',
      v_batch -> 'deleted', v_shape.target, v_batch -> 'inserted', v_shape.source
      using errcode = 'RBEFF', hint = 'Nothing was moved. A trigger or rule keeps rows back.';
  elsif v_batch -> 'changed' <> '0' then
    raise exception 'Of % rows that came back to % a trigger has changed %.',
      v_batch -> 'inserted', v_shape.source, v_batch -> 'changed'
      using
        errcode = 'RBEFF',
        hint = 'Nothing of this batch was moved. Disable the trigger, and undo the run again.';
  end if;

  return jsonb_build_object(
    'done', (v_batch ->> 'deleted')::bigint = 0,
    'rows', v_batch -> 'inserted',
    'cursor', jsonb_build_object('moved', v_moved + (v_batch ->> 'inserted')::bigint)
  );
end;
$$;

comment on function runbook.unarchive_batch(jsonb, jsonb) is
'The batch that takes archive_rows back.';
revoke all on function runbook.unarchive_batch(jsonb, jsonb) from public;

-- The unique indexes of a table by which archived rows of a run meet rows that are there now, with
-- how many do: [{index, rows}]. One on expressions or with a condition is left to the batches.
--
-- It runs the application's operators, so it has the API's path.
create function runbook.taken_keys(shape runbook.archived_table, run_id bigint)
returns jsonb
language plpgsql
stable
security invoker
set search_path = public, extensions, pg_temp
as $$
declare
  v_index record;
  v_count bigint;
  v_taken jsonb := '[]';
begin
  for v_index in
    select
      runbook.relation_name(idx.indexrelid) as name,
      pg_catalog.string_agg(
        pg_catalog.format(
          case when idx.indnullsnotdistinct then '%s is not distinct from %s' else '%s = %s' end,
          'src.' || pg_catalog.quote_ident(att.attname),
          'arc.' || pg_catalog.quote_ident(att.attname)
        ),
        ' and '
      ) as condition
    from pg_catalog.pg_index as idx
    cross join lateral pg_catalog.unnest(idx.indkey::smallint[]) with ordinality
      as part (attnum, position)
    inner join pg_catalog.pg_attribute as att on att.attrelid = idx.indrelid
      and att.attnum = part.attnum
    inner join pg_catalog.pg_attribute as kept on kept.attname = att.attname
      and kept.attrelid = pg_catalog.to_regclass(taken_keys.shape.target)
      and not kept.attisdropped
    where idx.indrelid = taken_keys.shape.relation
      and idx.indisunique
      and idx.indisvalid
      and idx.indpred is null
      and idx.indexprs is null
      and part.position <= idx.indnkeyatts
    group by idx.indexrelid, idx.indisprimary, idx.indnkeyatts
    -- One on a column that was added since is met by nothing.
    having count(*) = idx.indnkeyatts
    order by idx.indisprimary desc, name
  loop
    execute pg_catalog.format(
      'select count(*) from %s as arc
       where arc.runbook_run = $1 and exists (select from only %s as src where %s)',
      taken_keys.shape.target,
      taken_keys.shape.source,
      v_index.condition
    )
    into v_count
    using taken_keys.run_id;

    if v_count > 0 then
      v_taken := v_taken
        || pg_catalog.jsonb_build_object('index', v_index.name, 'rows', v_count);
    end if;
  end loop;

  return v_taken;
end;
$$;

comment on function runbook.taken_keys(runbook.archived_table, bigint) is
'Archived rows of a run that cannot come back, since their unique values are taken: [{index, rows}].';
revoke all on function runbook.taken_keys(runbook.archived_table, bigint) from public;

-- How many rows of a run earlier undos have brought back before they broke off.
create function runbook.count_rows_back(run_id bigint)
returns bigint
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(sum((stp.progress #>> '{cursor,moved}')::bigint), 0)
  from runbook.run as run
  inner join runbook.step as stp on stp.run_id = run.id
  where run.undo_of = count_rows_back.run_id
    and stp.kind = 'batch'
    and stp.state in ('failed', 'abandoned');
$$;

comment on function runbook.count_rows_back(bigint) is
'Rows of a run that are back already, by undos that broke off.';
revoke all on function runbook.count_rows_back(bigint) from public;

-- What keeps archived rows from coming back: some are no longer in the archive, their unique values
-- are taken in the table, or the table has lost columns that they hold. What an undo that broke off
-- has brought back is no difference.
--
-- Cost: joins the run's rows with the table by each of its unique indexes.
create function runbook.unarchive_differences(args jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_shape constant runbook.archived_table := runbook.archived_table_of(
    unarchive_differences.args ->> 'table', unarchive_differences.args ->> 'column'
  );
  v_run_id constant bigint := (unarchive_differences.args ->> 'undoes_run')::bigint;
  v_moved constant bigint := coalesce(
    (unarchive_differences.args #>> '{undoes,cursor,moved}')::bigint, 0
  ) - runbook.count_rows_back(v_run_id);
  v_found constant bigint := runbook.count_archived_rows(v_shape.target, v_run_id);
  v_differences jsonb := '[]';
  v_column text;
begin
  if v_found <> v_moved then
    return jsonb_build_array(
      jsonb_build_object(
        'relation', v_shape.target, 'key', null, 'column', null, 'left', v_moved, 'now', v_found
      )
    );
  end if;

  for v_column in
    select att.attname
    from pg_catalog.pg_attribute as att
    where att.attrelid = to_regclass(v_shape.target)
      and att.attnum > 0
      and not att.attisdropped
      and att.attname <> all (array['runbook_run', 'runbook_archived_at'])
      and not v_shape.types ? att.attname::text
    order by att.attnum
  loop
    v_differences := v_differences || jsonb_build_object(
      'relation', v_shape.source, 'key', null, 'column', v_column, 'left', 'a column', 'now', null
    );
  end loop;

  if v_found > 0 and v_differences = '[]' then
    select coalesce(
      jsonb_agg(
        jsonb_build_object(
          'relation', v_shape.source,
          'key', null,
          'column', null,
          'left', 0,
          'now', format(
            '%s with the values of archived rows in %s',
            case tkn.content ->> 'rows'
              when '1' then 'one row'
              else tkn.content ->> 'rows' || ' rows'
            end,
            tkn.content ->> 'index'
          )
        )
        order by tkn.position
      ),
      '[]'
    )
    into v_differences
    from jsonb_array_elements(runbook.taken_keys(v_shape, v_run_id)) with ordinality
      as tkn (content, position);
  end if;

  return v_differences;
end;
$$;

comment on function runbook.unarchive_differences(jsonb) is
'What speaks against bringing the rows of a run back: an array of {relation, key, column, left,
now}.';
revoke all on function runbook.unarchive_differences(jsonb) from public;

insert into runbook.batch_function (name, function, undo_function, undo_check, description)
values (
  'archive_rows',
  'runbook.archive_batch',
  'runbook.unarchive_batch',
  'runbook.unarchive_differences',
  'Moves old rows of a table to schema archive.'
);
