-- What the runbook can do about a table that grows for ever: move its old rows to schema `archive`.
--
-- Here it is decided whether that may be: a table that others refer to, whose rows have no key or
-- whose triggers nobody has thought of is refused. The instant before which rows are old is frozen
-- in the plan.

-- The name of the table that keeps the old rows of another one. A long name ends in a fingerprint.
create function runbook.archive_name(schema_name text, table_name text)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when octet_length(full_name.text) <= 63 then full_name.text
    -- 10 letters of at most 4 bytes, and 17 bytes of fingerprint
    else left(full_name.text, 10) || '_' || left(md5(full_name.text), 16)
  end
  from (select archive_name.schema_name || '_' || archive_name.table_name) as full_name (text);
$$;

comment on function runbook.archive_name(text, text) is
'The table of schema archive that keeps the rows of a table: public_forum_posts.';
revoke all on function runbook.archive_name(text, text) from public;

-- A table whose rows are archived: names, columns, key, and how the cutoff is compared.
create type runbook.archived_table as (
  relation oid,
  source text,
  target text,
  columns jsonb,
  types jsonb,
  generated text[],
  key_columns text[],
  condition text
);

comment on type runbook.archived_table is
'What moving rows needs to know of a table: quoted names of the table and of its archive, the
columns with their types, the generated ones, the key, and the condition for a row `src` to be older
than $1.';

revoke all on type runbook.archived_table from public;

-- What is known of a table for archiving. Only catalogs are read.
create function runbook.archived_table_of(table_name text, column_name text)
returns runbook.archived_table
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_table runbook.archived_table;
  v_type text;
begin
  v_table.relation := runbook.relation_of(archived_table_of.table_name);
  v_table.key_columns := runbook.key_columns(v_table.relation::regclass);

  select
    format('%I.%I', nsp.nspname, rel.relname),
    format('archive.%I', runbook.archive_name(nsp.nspname::text, rel.relname::text))
  into v_table.source, v_table.target
  from pg_catalog.pg_class as rel
  inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
  where rel.oid = v_table.relation;

  select
    jsonb_agg(att.attname order by att.attnum),
    jsonb_object_agg(att.attname, format_type(att.atttypid, att.atttypmod)),
    coalesce(array_agg(att.attname::text) filter (where att.attgenerated <> ''), '{}'),
    max(format_type(att.atttypid, null))
    filter (where att.attname = archived_table_of.column_name)
  into v_table.columns, v_table.types, v_table.generated, v_type
  from pg_catalog.pg_attribute as att
  where att.attrelid = v_table.relation
    and att.attnum > 0
    and not att.attisdropped;

  v_table.condition := case v_type
    when 'timestamp with time zone' then format('src.%I < $1', archived_table_of.column_name)
    when 'timestamp without time zone'
      then format('src.%I < $1 at time zone ''UTC''', archived_table_of.column_name)
    when 'date'
      then format('src.%I < ($1 at time zone ''UTC'')::date', archived_table_of.column_name)
  end;

  return v_table;
end;
$$;

comment on function runbook.archived_table_of(text, text) is
'What moving old rows of a table needs. Raises P0002 for a missing table, 55000 for one without a
key; the condition is null for a column that is no time.';
revoke all on function runbook.archived_table_of(text, text) from public;

-- What keeps the rows of a table from being archived, as a sentence with a hint; null when nothing.
create function runbook.archive_obstacle(
  mended runbook.mendable_relation,
  shape runbook.archived_table,
  triggers_are_known boolean
)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_relation constant oid := (archive_obstacle.mended).relation;
  v_name constant text := (archive_obstacle.mended).name;
  v_target constant oid := to_regclass((archive_obstacle.shape).target);
  v_text text;
begin
  select string_agg(format('%s (%I)', runbook.relation_name(ref.conrelid), ref.conname), ', ')
  into v_text
  from (
    select con.conrelid, con.conname
    from pg_catalog.pg_constraint as con
    where con.confrelid = v_relation
      and con.contype = 'f'
    order by con.oid
    limit 3
  ) as ref;

  if v_text is not null then
    return array[
      format('Rows elsewhere refer to %s: %s. They would lose what moves.', v_name, v_text),
      'Archive those tables first and drop their keys, or delete by hand what may go.'
    ];
  end if;

  if exists (
    select
    from pg_catalog.pg_inherits as inh
    where inh.inhparent = v_relation
  ) then
    return array[
      format('Other tables inherit from %s.', v_name),
      'Name one that nobody inherits from.'
    ];
  end if;

  if exists (
    select
    from pg_catalog.pg_rewrite as rul
    where rul.ev_class = v_relation
      and rul.ev_type in ('3', '4')
  ) then
    return array[
      format('Rules of %s rewrite what is inserted or deleted.', v_name),
      'Archive its rows by hand.'
    ];
  end if;

  select string_agg(quote_ident(trg.tgname), ', ' order by trg.tgname)
  into v_text
  from pg_catalog.pg_trigger as trg
  where trg.tgrelid = v_relation
    and not trg.tgisinternal
    and trg.tgenabled in ('O', 'A')
    -- the bit of tgtype for delete
    and trg.tgtype & 8 <> 0;

  if v_text is not null and not archive_obstacle.triggers_are_known then
    return array[
      format('Triggers of %s fire when a row is deleted: %s.', v_name, v_text),
      'See what they do; acknowledge_triggers: true says that this is wanted.'
    ];
  end if;

  if (archive_obstacle.shape).columns ?| array['runbook_run', 'runbook_archived_at'] then
    return array[
      format('%s has a column that the archive needs for itself.', v_name),
      'Rename runbook_run and runbook_archived_at.'
    ];
  end if;

  if v_target is not null and obj_description(v_target, 'pg_class')
    is distinct from format('Old rows of %s, moved by the runbook.', v_name)
  then
    return array[
      format(
        'The table %s is there and was not made for %s.', (archive_obstacle.shape).target, v_name
      ),
      format(
        'Rename or move it: alter table %s rename to …; what is in it stays.',
        (archive_obstacle.shape).target
      )
    ];
  end if;

  select string_agg(quote_ident(att.attname), ', ' order by att.attnum)
  into v_text
  from pg_catalog.pg_attribute as att
  where att.attrelid = v_target
    and att.attnum > 0
    and not att.attisdropped
    and (archive_obstacle.shape).types ->> att.attname
    <> format_type(att.atttypid, att.atttypmod);

  if v_text is not null then
    return array[
      format(
        'Columns have another type in %s: %s.', (archive_obstacle.shape).target, v_text
      ),
      'Rename the archive; a new one is made then.'
    ];
  end if;

  select string_agg(format('%I', rol.rolname), ', ' order by rol.rolname)
  into v_text
  from pg_catalog.pg_namespace as nsp
  inner join pg_catalog.pg_roles as rol on rol.rolname in ('anon', 'authenticated', 'service_role')
    and has_schema_privilege(rol.oid, nsp.oid, 'usage')
  where nsp.nspname = 'archive';

  if v_text is not null then
    return array[
      format('Schema archive is open to %s.', v_text),
      'Old rows are for nobody: revoke all on schema archive from these roles.'
    ];
  end if;

  return null;
end;
$$;

comment on function runbook.archive_obstacle(
  runbook.mendable_relation,
  runbook.archived_table,
  boolean
) is 'Why rows of a table cannot be archived, as [sentence, hint], or null.';
revoke all on function runbook.archive_obstacle(
  runbook.mendable_relation,
  runbook.archived_table,
  boolean
) from public;

-- How many rows are older than an instant, up to one more than a limit.
--
-- It runs the application's operators, so it has the API's path.
create function runbook.count_old_rows(
  shape runbook.archived_table,
  cutoff timestamptz,
  up_to bigint
)
returns bigint
language plpgsql
stable
security invoker
set search_path = public, extensions, pg_temp
as $$
declare
  v_count bigint;
begin
  execute pg_catalog.format(
    'select count(*) from (select from only %s as src where %s limit %s) as old_rows',
    count_old_rows.shape.source,
    count_old_rows.shape.condition,
    count_old_rows.up_to + 1
  )
  into v_count
  using count_old_rows.cutoff;

  return v_count;
end;
$$;

comment on function runbook.count_old_rows(runbook.archived_table, timestamptz, bigint) is
'Rows of a table that are older than an instant, counted up to one more than a limit.';
revoke all on function runbook.count_old_rows(runbook.archived_table, timestamptz, bigint)
from public;

-- What happens elsewhere when rows of a table are moved away.
create function runbook.archive_side_effects(mended runbook.mendable_relation, target text)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(jsonb_agg(eff.content order by eff.position, eff.content), '[]')
  from (
    select 1 as position, format('%s keeps the rows; only its owner may read it', target) as content
    union all
    select
      2,
      format(
        'trigger %I fires on each %s', trg.tgname,
        case
          when trg.tgtype & 12 = 12 then 'row that goes, and on each that an undo brings back'
          when trg.tgtype & 8 <> 0 then 'row that goes'
          else 'row that an undo brings back'
        end
      )
    from pg_catalog.pg_trigger as trg
    where trg.tgrelid = (archive_side_effects.mended).relation
      and not trg.tgisinternal
      and trg.tgenabled in ('O', 'A')
      and trg.tgtype & 12 <> 0
    union all
    select 3, format('publication %I tells its subscribers of each deletion', pub.pubname)
    from pg_catalog.pg_publication_tables as tbl
    inner join pg_catalog.pg_publication as pub on pub.pubname = tbl.pubname and pub.pubdelete
    where format('%I.%I', tbl.schemaname, tbl.tablename) = (archive_side_effects.mended).name
    union all
    select 4, 'the space is used again by the table, and not given back to the disk'
  ) as eff;
$$;

comment on function runbook.archive_side_effects(runbook.mendable_relation, text) is
'Triggers, publications and what else goes with moving rows away, as an array of texts.';
revoke all on function runbook.archive_side_effects(runbook.mendable_relation, text) from public;

-- A list of columns for a statement, each behind a prefix.
create function runbook.column_list(columns jsonb, without text[], prefix text)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select string_agg(column_list.prefix || quote_ident(named.name), ', ' order by named.position)
  from jsonb_array_elements_text(column_list.columns) with ordinality as named (name, position)
  where named.name <> all (column_list.without);
$$;

comment on function runbook.column_list(jsonb, text[], text) is
'Quoted names of columns, in order, without some of them.';
revoke all on function runbook.column_list(jsonb, text[], text) from public;

-- Declares that rows older than an age be moved to schema archive.
--
-- Cost: reads the table until 100,000 old rows are found.
create function runbook.archive_rows(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_found constant runbook.mendable_relation := runbook.relation_to_change(
    archive_rows.params ->> 'table'
  );
  v_column constant text := archive_rows.params ->> 'column';
  v_cutoff constant timestamptz := (archive_rows.params ->> 'older_than')::timestamptz;
  v_batch_rows constant integer := coalesce((archive_rows.params ->> 'batch_rows')::integer, 1000);
  v_triggers_are_known constant boolean := coalesce(
    (archive_rows.params -> 'acknowledge_triggers')::boolean, false
  );
  v_shape runbook.archived_table;
  v_obstacle text[];
  v_count bigint;
begin
  if v_found.kind = 'p' then
    perform runbook.refuse_change_of(
      '22023',
      format('%s is partitioned: its rows are in its partitions.', v_found.name),
      'Name a partition; one that is old as a whole is better detached.'
    );
  end if;

  perform runbook.refuse_other_kinds(v_found, array['r']::"char"[]);

  if v_cutoff > (select runbook.now()) - interval '1 day' then
    perform runbook.refuse_change_of(
      '22023',
      'Rows of the last day are not old.',
      'older_than takes an age of a day or more, such as 1 year.'
    );
  end if;

  begin
    v_shape := runbook.archived_table_of(v_found.name, v_column);
  exception
    when object_not_in_prerequisite_state then
      perform runbook.refuse_change_of(
        '55000', format('The rows of %s have no key.', v_found.name), 'Give it a primary key.'
      );
  end;

  if not v_shape.types ? v_column then
    perform runbook.refuse_change_of(
      'P0002',
      format('%s has no column %s.', v_found.name, quote_ident(v_column)),
      'Columns are written as they are, without quotes.'
    );
  elsif v_shape.condition is null then
    perform runbook.refuse_change_of(
      '22023',
      format(
        'Column %s is of type %s, not a time.', quote_ident(v_column), v_shape.types ->> v_column
      ),
      'Name a column of type timestamptz, timestamp or date.'
    );
  end if;

  v_obstacle := runbook.archive_obstacle(v_found, v_shape, v_triggers_are_known);

  if v_obstacle is not null then
    perform runbook.refuse_change_of('55000', v_obstacle[1], v_obstacle[2]);
  end if;

  v_count := runbook.count_old_rows(v_shape, v_cutoff, 100000);

  if v_count > 0 then
    return next runbook.batch_step(
      'archive_rows',
      jsonb_build_object(
        'table', v_found.name,
        'column', v_column,
        'cutoff', v_cutoff,
        'batch_rows', v_batch_rows,
        'triggers_are_known', v_triggers_are_known,
        'side_effects', runbook.archive_side_effects(v_found, v_shape.target)
      ),
      format(
        'Move %s of %s whose %s is before %s to %s, %s at a time.',
        case v_count
          when 1 then 'the one row'
          when 100001 then 'more than 100,000 rows'
          else v_count || ' rows'
        end,
        v_found.name,
        quote_ident(v_column),
        runbook.utc_text(v_cutoff),
        v_shape.target,
        v_batch_rows
      )
    );
  end if;
end;
$$;

comment on function runbook.archive_rows(jsonb) is
'Declares that rows of {table} whose {column} is older than {older_than} be moved to schema archive,
{batch_rows} at a time. Raises 55000 for a table that others refer to, that has delete triggers
unless {acknowledge_triggers}, or no key; 22023, 42501, P0002.';
revoke all on function runbook.archive_rows(jsonb) from public;

insert into runbook.remediation (
  name,
  title,
  description,
  parameters,
  subject_keys,
  function,
  risk,
  issue,
  cures,
  checks
)
values (
  'archive-rows',
  'Move old rows of a table to the archive',
  'Moves rows that are older than an age to schema archive, in batches that keep nobody waiting.',
  '{
    "type": "object",
    "properties": {
      "table": {
        "type": "string",
        "format": "relation",
        "minLength": 1,
        "maxLength": 200,
        "description": "The table, as SQL writes it: public.forum_posts."
      },
      "column": {
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "description": "The column that says how old a row is; without time zone it is taken as UTC."
      },
      "older_than": {
        "type": "string",
        "format": "age",
        "minLength": 1,
        "maxLength": 40,
        "description": "The age from which on rows move, such as 1 year."
      },
      "batch_rows": {
        "type": "integer",
        "minimum": 1,
        "maximum": 10000,
        "description": "Rows in one transaction; 1000 unless given."
      },
      "acknowledge_triggers": {
        "type": "boolean",
        "description": "That the triggers which fire on a deletion are known and wanted."
      }
    },
    "required": ["table", "column", "older_than"],
    "additionalProperties": false
  }',
  array['table'],
  'runbook.archive_rows',
  'high',
  null,
  array['rows_older_than_a_year'],
  array['old_rows']
);
