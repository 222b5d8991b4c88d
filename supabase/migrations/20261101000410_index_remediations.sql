-- What the runbook can do about indexes: build one and drop one, while readers and writers go on.
--
-- An index is asked for by columns and a method, never by a text of SQL. One that holds a rule, or
-- of which it is not known for long enough that nobody needs it, is not dropped.

-- A name for a new index, as Postgres would choose it: within 63 bytes, and free in its schema.
create function runbook.free_index_name(relation oid, columns text[])
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_base text;
  v_suffix text := '_idx';
  v_name text;
  v_schema oid;
begin
  select
    rel.relname || '_' || array_to_string(free_index_name.columns, '_'),
    rel.relnamespace
  into v_base, v_schema
  from pg_catalog.pg_class as rel
  where rel.oid = free_index_name.relation;

  for v_number in 0..1000 loop
    v_suffix := '_idx' || coalesce(nullif(v_number, 0)::text, '');
    v_name := v_base;

    -- Whole characters: a name is cut by bytes, and half a letter is none.
    while octet_length(v_name || v_suffix) > 63 loop
      v_name := left(v_name, -1);
    end loop;

    v_name := v_name || v_suffix;

    exit when not exists (
      select
      from pg_catalog.pg_class as rel
      where rel.relnamespace = v_schema
        and rel.relname = v_name
    );
  end loop;

  return v_name;
end;
$$;

comment on function runbook.free_index_name(oid, text[]) is
'A free name for an index on these columns: table_column_idx, of 63 bytes at most.';
revoke all on function runbook.free_index_name(oid, text[]) from public;

-- Whether values of a type can be indexed by a method without naming an operator class.
create function runbook.has_default_operators(type oid, method text)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  with recursive bases as (
    select typ.oid, typ.typtype, typ.typbasetype, typ.typcategory
    from pg_catalog.pg_type as typ
    where typ.oid = has_default_operators.type
    union all
    select typ.oid, typ.typtype, typ.typbasetype, typ.typcategory
    from bases as dom
    inner join pg_catalog.pg_type as typ on typ.oid = dom.typbasetype and dom.typtype = 'd'
  )
  select exists (
    select
    from bases as base
    cross join pg_catalog.pg_opclass as opc
    inner join pg_catalog.pg_am as acm on acm.oid = opc.opcmethod
    where base.typtype <> 'd'
      and acm.amname = has_default_operators.method
      and opc.opcdefault
      and (
        opc.opcintype = base.oid
        or opc.opcintype = 'anyarray'::regtype and base.typcategory = 'A'
        or opc.opcintype = 'anyenum'::regtype and base.typtype = 'e'
        or opc.opcintype = 'anyrange'::regtype and base.typtype = 'r'
        or opc.opcintype = 'anymultirange'::regtype and base.typtype = 'm'
        or opc.opcintype = 'record'::regtype and base.typtype = 'c'
        or exists (
          select
          from pg_catalog.pg_cast as cst
          where cst.castsource = base.oid
            and cst.casttarget = opc.opcintype
            and cst.castmethod = 'b'
            and cst.castcontext = 'i'
        )
      )
  );
$$;

comment on function runbook.has_default_operators(oid, text) is
'Whether a method can index a type by its default operator class.';
revoke all on function runbook.has_default_operators(oid, text) from public;

-- An index on a table that has just these key columns, in order, with the default operators and
-- without a condition: of the asked validity. Null where there is none.
create function runbook.index_on(relation oid, attnums smallint[], method text, valid boolean)
returns oid
language sql
stable
security invoker
set search_path = ''
as $$
  select idx.indexrelid
  from pg_catalog.pg_index as idx
  inner join pg_catalog.pg_class as rel on rel.oid = idx.indexrelid
  inner join pg_catalog.pg_am as acm on acm.oid = rel.relam
  where idx.indrelid = index_on.relation
    and acm.amname = index_on.method
    and idx.indpred is null
    and idx.indexprs is null
    and idx.indnkeyatts = cardinality(index_on.attnums)
    and (idx.indkey::smallint[])[0:idx.indnkeyatts - 1] = index_on.attnums
    and idx.indisvalid = index_on.valid
    and not exists (
      select
      from unnest(idx.indclass::oid[]) as used (opclass)
      inner join pg_catalog.pg_opclass as opc on opc.oid = used.opclass and not opc.opcdefault
    )
  order by idx.indexrelid
  limit 1;
$$;

comment on function runbook.index_on(oid, smallint[], text, boolean) is
'An index with just these key columns, valid or invalid, or null.';
revoke all on function runbook.index_on(oid, smallint[], text, boolean) from public;

-- The numbers of the columns that an index is asked for, if it can be built on them.
create function runbook.columns_to_index(
  mended runbook.mendable_relation,
  columns text[],
  method text
)
returns smallint[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_column text;
  v_attnum smallint;
  v_type oid;
  v_attnums smallint[] := '{}';
begin
  if cardinality(columns_to_index.columns) > 1
    and not exists (
      select
      from pg_catalog.pg_am as acm
      where acm.amname = columns_to_index.method
        and pg_indexam_has_property(acm.oid, 'can_multi_col')
    )
  then
    perform runbook.refuse_change_of(
      '22023',
      format('An index by %s takes one column.', columns_to_index.method),
      'Build an index for each column, or choose btree.'
    );
  end if;

  foreach v_column in array columns_to_index.columns loop
    select att.attnum, att.atttypid
    into v_attnum, v_type
    from pg_catalog.pg_attribute as att
    where att.attrelid = (columns_to_index.mended).relation
      and att.attname = v_column
      and att.attnum > 0
      and not att.attisdropped;

    if not found then
      perform runbook.refuse_change_of(
        'P0002',
        format('%s has no column %s.', (columns_to_index.mended).name, quote_ident(v_column)),
        'Columns are written as they are, without quotes.'
      );
    elsif v_attnum = any (v_attnums) then
      perform runbook.refuse_change_of(
        '22023',
        format('The column %s is named twice.', quote_ident(v_column)),
        'Name each column once.'
      );
    elsif not runbook.has_default_operators(v_type, columns_to_index.method) then
      perform runbook.refuse_change_of(
        '22023',
        format(
          'An index by %s cannot be built on column %s, of type %s.',
          columns_to_index.method,
          quote_ident(v_column),
          format_type(v_type, null)
        ),
        'btree and hash compare values; gin is for arrays, jsonb and texts to search; gist for '
        'ranges and geometry.'
      );
    end if;

    v_attnums := v_attnums || v_attnum;
  end loop;

  return v_attnums;
end;
$$;

comment on function runbook.columns_to_index(runbook.mendable_relation, text[], text) is
'The numbers of columns. Raises P0002 for one that is not there, 22023 for one that the method
cannot index.';
revoke all on function runbook.columns_to_index(runbook.mendable_relation, text[], text)
from public;

-- What building an index will take, in words; rough, by the statistics.
create function runbook.index_estimate(
  mended runbook.mendable_relation,
  columns text[],
  method text
)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  with sizes as (
    select
      (index_estimate.mended).pages * current_setting('block_size')::numeric as table_bytes,
      case
        when index_estimate.method in ('btree', 'hash') then (index_estimate.mended).estimated_rows
          -- 16 bytes a row beside the values, and pages that are nine tenths full
          * (16 + coalesce(sum(stt.avg_width), 8 * cardinality(index_estimate.columns))) / 0.9
      end as index_bytes
    from pg_catalog.pg_class as rel
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
    left join pg_catalog.pg_stats as stt on stt.schemaname = nsp.nspname
      and stt.tablename = rel.relname
      and stt.attname = any (index_estimate.columns)
      and not stt.inherited
    where rel.oid = (index_estimate.mended).relation
  )
  select case
    when (index_estimate.mended).estimated_rows is null
      then 'The table was never analyzed, so nothing is known of its size; it is read twice.'
    else format(
      'The table has %s and about %s rows; it is read twice, which takes roughly %s. The index will '
      'take %s of the disk.',
      runbook.size_text(siz.table_bytes),
      (index_estimate.mended).estimated_rows,
      -- Two passes at 50 MB a second, which small instances reach.
      runbook.duration_text(
        make_interval(secs => ceil(2 * siz.table_bytes / 50000000)::double precision)
      ),
      coalesce('about ' || runbook.size_text(siz.index_bytes), 'an unknown part')
    )
  end
  from sizes as siz;
$$;

comment on function runbook.index_estimate(runbook.mendable_relation, text[], text) is
'Size and time of a new index, as sentences.';
revoke all on function runbook.index_estimate(runbook.mendable_relation, text[], text) from public;

-- Refuses to drop an invalid index while something is being built on its table: it may be just that
-- index, which is invalid until it is ready, or the one that mends it.
create function runbook.refuse_index_under_way(index oid)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_name constant text := runbook.relation_name(refuse_index_under_way.index);
  v_pid integer;
  v_text text;
begin
  perform pg_stat_clear_snapshot();

  select
    prg.pid,
    case
      when prg.index_relid = idx.indexrelid then format('%s is being built.', v_name)
      else format(
        '%s is invalid, and an index of its table %s is being built right now.',
        v_name,
        runbook.relation_name(idx.indrelid)
      )
    end
  into v_pid, v_text
  from pg_catalog.pg_index as idx
  inner join pg_catalog.pg_stat_progress_create_index as prg on prg.relid = idx.indrelid
    and prg.datname = current_database()
  where idx.indexrelid = refuse_index_under_way.index
  order by prg.index_relid = idx.indexrelid desc
  limit 1;

  if found then
    perform runbook.refuse_change_of(
      '55000',
      v_text,
      format('Wait until it is built, or cancel-query the session that builds it, %s.', v_pid)
    );
  end if;
end;
$$;

comment on function runbook.refuse_index_under_way(oid) is
'Raises 55000 for an invalid index while an index of its table is being built.';
revoke all on function runbook.refuse_index_under_way(oid) from public;

-- Declares an index built concurrently. An index of the same columns that is valid makes it
-- needless; one that a broken build left behind is dropped first.
create function runbook.create_index(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_method constant text := coalesce(create_index.params ->> 'method', 'btree');
  v_found constant runbook.mendable_relation := runbook.relation_to_change(
    create_index.params ->> 'table'
  );
  v_columns constant text[] := array(
    select named.name
    from jsonb_array_elements_text(create_index.params -> 'columns') with ordinality
      as named (name, position)
    order by named.position
  );
  v_attnums smallint[];
  v_left_behind oid;
begin
  if v_found.kind = 'p' then
    perform runbook.refuse_change_of(
      '0A000',
      format(
        '%s is partitioned, and Postgres cannot build its index concurrently.', v_found.name
      ),
      'Build one on each partition, then by hand: create index … on only the parent, and alter '
      'index … attach partition for each.'
    );
  end if;

  perform runbook.refuse_other_kinds(v_found, array['r', 'm']::"char"[]);
  v_attnums := runbook.columns_to_index(v_found, v_columns, v_method);

  if runbook.index_on(v_found.relation, v_attnums, v_method, true) is not null then
    return;
  end if;

  v_left_behind := runbook.index_on(v_found.relation, v_attnums, v_method, false);

  if v_left_behind is not null then
    perform runbook.refuse_index_under_way(v_left_behind);

    return next runbook.statement_step(
      'drop_index',
      jsonb_build_object('index', runbook.relation_name(v_left_behind)),
      format(
        'Drop %s, which a build that broke off has left invalid.',
        runbook.relation_name(v_left_behind)
      )
    );
  end if;

  return next runbook.statement_step(
    'create_index',
    jsonb_build_object(
      'relation', v_found.name,
      'name', runbook.free_index_name(v_found.relation, v_columns),
      'columns', v_columns,
      'method', v_method,
      'side_effects', jsonb_build_array(
        'reading and writing go on; other changes of the table''s shape wait until it is built',
        'it waits for transactions that are older than itself',
        runbook.index_estimate(v_found, v_columns, v_method)
      )
    ),
    format(
      'Build an index by %s on %s (%s).',
      v_method,
      v_found.name,
      (
        select string_agg(quote_ident(named.name), ', ' order by named.position)
        from unnest(v_columns) with ordinality as named (name, position)
      )
    )
  );
end;
$$;

comment on function runbook.create_index(jsonb) is
'Declares an index on columns of a table {table, columns, method}, built concurrently. Raises P0002,
22023, 42501 and 0A000 for what has no index or is not the project''s, 55000 while it is being built.';
revoke all on function runbook.create_index(jsonb) from public;

-- Whether the checks say that an index does the work of another one.
create function runbook.is_index_superfluous(index_name text)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select exists (
    select
    from runbook.check as chk
    cross join lateral jsonb_array_elements(runbook.run_check(chk.name) -> 'findings')
      as fnd (content)
    where chk.name in ('duplicate_indexes', 'redundant_indexes')
      and fnd.content ->> 'remediation' = 'drop-index'
      and fnd.content #>> '{params,index}' = is_index_superfluous.index_name
  );
$$;

comment on function runbook.is_index_superfluous(text) is
'Whether a check calls an index a duplicate of, or covered by, another.';
revoke all on function runbook.is_index_superfluous(text) from public;

-- What an index is there for, whether or not anybody reads by it; null when for nothing else.
create function runbook.index_duty(index oid)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when con.conname is not null then format('holds the constraint %I', con.conname)
    when idx.indisprimary or idx.indisexclusion then 'holds a constraint'
    when idx.indisreplident
      then 'is the replica identity of its table, by which Realtime and replicas tell rows'
    when inh.inhparent is not null
      then format('is a part of %s', runbook.relation_name(inh.inhparent))
  end
  from pg_catalog.pg_index as idx
  left join pg_catalog.pg_constraint as con on con.conindid = idx.indexrelid
  left join pg_catalog.pg_inherits as inh on inh.inhrelid = idx.indexrelid
  where idx.indexrelid = index_duty.index
  -- Its own constraint before the foreign keys that refer to it.
  order by con.contype = 'f', con.conname
  limit 1;
$$;

comment on function runbook.index_duty(oid) is
'The constraint, replica identity or partitioned index that an index serves, in words, or null.';
revoke all on function runbook.index_duty(oid) from public;

-- For how many days an index must have gone unused before it may go; the check's own figure.
create function runbook.evidence_days()
returns numeric
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    (
      select (tun.thresholds ->> 'window_days')::numeric
      from runbook.check_tuning as tun
      where tun.check_name = 'unused_indexes'
    ),
    (runbook.thresholds_of('unused_indexes') ->> 'window_days')::numeric,
    -- a week, so that what runs on Sundays counts
    7
  );
$$;

comment on function runbook.evidence_days() is
'Days without use after which an index may be dropped as unused.';
revoke all on function runbook.evidence_days() from public;

-- Refuses to drop an index of which it is not known for long enough that nobody needs it. Asks what
-- the check of unused indexes asks, so that the two never disagree.
create function runbook.refuse_needed_index(index oid, name text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_window constant interval := make_interval(
    secs => (86400 * runbook.evidence_days())::double precision
  );
  v_reason constant text := runbook.index_kept_because(refuse_needed_index.index);
  v_scans bigint;
  v_unused_since timestamptz;
begin
  if v_reason is not null then
    perform runbook.refuse_change_of(
      '55000',
      format('%s must stay. %s', refuse_needed_index.name, v_reason),
      'Keep it, or drop it by hand.'
    );
  end if;

  perform pg_stat_clear_snapshot();

  select dis.scans, dis.unused_since
  into v_scans, v_unused_since
  from pg_catalog.pg_class as rel
  -- Of those that are as large.
  cross join lateral runbook.index_disuse(
    rel.relpages * current_setting('block_size')::bigint
  ) as dis
  where rel.oid = refuse_needed_index.index
    and dis.index = rel.oid;

  if v_unused_since is null and v_scans > 0 then
    perform runbook.refuse_change_of(
      '55000',
      format('%s is in use: %s scans were counted.', refuse_needed_index.name, v_scans),
      'An index that is used is dropped by hand only.'
    );
  elsif v_unused_since is null then
    perform runbook.refuse_change_of(
      '55000',
      format('Nobody knows since when %s is unused, or how old it is.', refuse_needed_index.name),
      'The runbook watches indexes of 256 kB and more, once an hour; drop a smaller one by hand.'
    );
  elsif v_unused_since > clock_timestamp() - v_window then
    perform runbook.refuse_change_of(
      '55000',
      format(
        'That %s is not used is known since %s only, which is too short to tell.',
        refuse_needed_index.name,
        runbook.utc_text(v_unused_since)
      ),
      format('Ask again on %s.', runbook.utc_text(v_unused_since + v_window))
    );
  end if;
end;
$$;

comment on function runbook.refuse_needed_index(oid, text) is
'Raises 55000 for an index that must stay, is in use, or is not known to be unused for long enough.';
revoke all on function runbook.refuse_needed_index(oid, text) from public;

-- Declares that an index be dropped concurrently. It comes back from its definition.
create function runbook.drop_index(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_found constant runbook.mendable_relation := runbook.relation_to_change(
    drop_index.params ->> 'index'
  );
  v_duty text;
  v_is_valid boolean;
begin
  if v_found.kind = 'I' then
    perform runbook.refuse_change_of(
      '0A000',
      format(
        '%s is of a partitioned table, and Postgres cannot drop it concurrently.', v_found.name
      ),
      'Drop it by hand: drop index locks the table and its partitions for a moment.'
    );
  end if;

  perform runbook.refuse_other_kinds(v_found, array['i']::"char"[]);
  v_duty := runbook.index_duty(v_found.relation);

  if v_duty is not null then
    perform runbook.refuse_change_of(
      '55000',
      format('%s %s.', v_found.name, v_duty),
      'What it is there for must go first, by hand.'
    );
  end if;

  select idx.indisvalid
  into v_is_valid
  from pg_catalog.pg_index as idx
  where idx.indexrelid = v_found.relation;

  if v_is_valid and not runbook.is_index_superfluous(v_found.name) then
    perform runbook.refuse_needed_index(v_found.relation, v_found.name);
  end if;

  if not v_is_valid then
    perform runbook.refuse_index_under_way(v_found.relation);
  end if;

  return next runbook.statement_step(
    'drop_index',
    jsonb_build_object(
      'index', v_found.name,
      'side_effects', jsonb_build_array(
        'reading and writing go on; it waits for transactions that use the table',
        format(
          '%s of the disk come free',
          runbook.size_text(v_found.pages * current_setting('block_size')::numeric)
        )
      )
    ),
    format(
      'Drop the index %s%s.',
      v_found.name,
      case when v_is_valid then '' else ', which is invalid' end
    )
  );
end;
$$;

comment on function runbook.drop_index(jsonb) is
'Declares that an index {index} be dropped concurrently. Raises 55000 for one that is there for more
than reading, is in use, or has not been watched for long; 42501, 22023, 0A000, P0002.';
revoke all on function runbook.drop_index(jsonb) from public;

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
values
  (
    'create-index',
    'Build an index',
    'Builds an index on columns of a table while reading and writing go on, and cleans up when the '
    'build breaks off.',
    '{
      "type": "object",
      "properties": {
        "table": {
          "type": "string",
          "format": "relation",
          "minLength": 1,
          "maxLength": 200,
          "description": "The table, as SQL writes it: public.profiles."
        },
        "columns": {
          "type": "array",
          "items": {"type": "string"},
          "minItems": 1,
          "maxItems": 32,
          "description": "The columns in the order of the index, without quotes."
        },
        "method": {
          "type": "string",
          "enum": ["btree", "hash", "gin", "gist", "spgist", "brin"],
          "description": "How the index works; btree unless given."
        }
      },
      "required": ["table", "columns"],
      "additionalProperties": false
    }',
    array['table'],
    'runbook.create_index',
    'high',
    null,
    array['foreign_key_without_index', 'index_would_help', 'column_worth_an_index'],
    array['foreign_key_indexes', 'missing_indexes', 'column_statistics']
  ),
  (
    'drop-index',
    'Drop an index',
    'Drops an index while reading and writing go on; its definition is kept for the way back.',
    '{
      "type": "object",
      "properties": {
        "index": {
          "type": "string",
          "format": "relation",
          "minLength": 1,
          "maxLength": 200,
          "description": "The index, as SQL writes it: public.profiles_email_idx."
        }
      },
      "required": ["index"],
      "additionalProperties": false
    }',
    array['index'],
    'runbook.drop_index',
    'high',
    null,
    array['duplicate_index', 'redundant_index', 'invalid_index', 'unused_index'],
    array['duplicate_indexes', 'redundant_indexes', 'invalid_indexes', 'unused_indexes']
  );
