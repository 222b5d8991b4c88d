-- Which indexes the workload asks for. The columns come from the texts of the busiest statements,
-- the proof from the planner: HypoPG, where it is installed, lets it plan with an index that does
-- not exist.
-- Relies on: runbook.busiest_statements; HypoPG is looked for when called.

-- Columns by which the busiest statements ask, with what ANALYZE knows of them. One row for each
-- statement, column and usage, of tables of so many rows and more.
create function runbook.asked_columns(settings jsonb, at_most integer)
returns table (
  queryid bigint,
  userid oid,
  calls bigint,
  total_ms double precision,
  blocks bigint,
  query text,
  relation oid,
  table_rows bigint,
  table_pages integer,
  "column" int2,
  column_name name,
  usage text,
  place bigint,
  distinct_values double precision,
  correlation real
)
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with asked as materialized (
    select
      bsy.queryid,
      bsy.userid,
      bsy.calls,
      bsy.total_ms,
      bsy.blocks,
      bsy.query,
      used.relation::oid as relation,
      used."column",
      used.usage,
      used.place
    from runbook.busiest_statements(
      asked_columns.settings, 'total_ms', asked_columns.at_most
    ) as bsy
    cross join lateral rows from (
      jsonb_to_recordset(bsy.columns) as (relation bigint, "column" int2, usage text)
    ) with ordinality as used (relation, "column", usage, place)
    where used.usage <> 'read'
  )
  select
    ask.queryid,
    ask.userid,
    ask.calls,
    ask.total_ms,
    ask.blocks,
    ask.query,
    ask.relation,
    wat.rows,
    wat.pages,
    ask."column",
    att.attname,
    ask.usage,
    ask.place,
    case
      when sta.n_distinct < 0 then -sta.n_distinct * wat.rows
      else sta.n_distinct
    end,
    sta.correlation
  from asked as ask
  -- With a limit each is one look-up by key; without, the planner may read whole catalogs.
  cross join lateral (
    select one.rows, one.pages, one.schema_name, one.name
    from runbook.watched_relation as one
    where one.relation = ask.relation
      and one.kind in ('r', 'm')
      and one.rows >= (asked_columns.settings ->> 'min_rows')::bigint
    limit 1
  ) as wat
  cross join lateral (
    select one.attname, one.atttypid
    from pg_catalog.pg_attribute as one
    where one.attrelid = ask.relation
      and one.attnum = ask."column"
      and not one.attisdropped
    limit 1
  ) as att
  left join lateral (
    select one.n_distinct, one.correlation, one.avg_width
    from pg_catalog.pg_stats as one
    where one.schemaname = wat.schema_name
      and one.tablename = wat.name
      and one.attname = att.attname
      and not one.inherited
    limit 1
  ) as sta on true
  -- What a btree can hold: a type with an order, and values of a sensible width.
  where exists (
    select
    from pg_catalog.pg_type as typ
    where typ.oid = att.atttypid
      and (
        typ.typcategory in ('S', 'E', 'N', 'D', 'B')
        or exists (
          select
          from pg_catalog.pg_opclass as opc
          where opc.opcmethod = 403
            and opc.opcdefault
            and opc.opcintype = typ.oid
        )
      )
    limit 1
  )
    and coalesce(sta.avg_width, 0) <= 500;
$$;

comment on function runbook.asked_columns(jsonb, integer) is
'By which columns of large tables the busiest statements ask, and how many values those have; null
where the table was never analyzed.';
revoke all on function runbook.asked_columns(jsonb, integer) from public;

-- Indexes that might help one statement each, from the columns that it asks by: those compared for
-- equality, the most selective first, then what it sorts by or else a range. At most three columns.
--
-- Only for statements that read much at each call, and only where the columns leave few rows.
create function runbook.index_candidates(settings jsonb)
returns table (
  relation oid,
  columns int2[],
  equalities integer,
  has_order boolean,
  queryid bigint,
  userid oid,
  calls bigint,
  total_ms double precision,
  blocks_per_call double precision,
  query text,
  table_rows bigint,
  table_pages integer,
  first_share double precision
)
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with asked as materialized (
    select
      ask.queryid,
      ask.userid,
      ask.calls,
      ask.total_ms,
      ask.blocks,
      ask.query,
      ask.relation,
      ask.table_rows,
      ask.table_pages,
      ask."column",
      ask.usage,
      ask.place,
      ask.distinct_values
    from runbook.asked_columns(index_candidates.settings, 50) as ask
  ),
  equal as (
    select
      ask.queryid,
      ask.userid,
      ask.relation,
      (array_agg(distinct_column."column" order by distinct_column.distinct_values desc))[1:3]
        as columns,
      1 / max(distinct_column.distinct_values) as first_share
    from (select distinct prs.queryid, prs.userid, prs.relation from asked as prs) as ask
    cross join lateral (
      select distinct eqs."column", eqs.distinct_values
      from asked as eqs
      where eqs.queryid = ask.queryid
        and eqs.userid = ask.userid
        and eqs.relation = ask.relation
        and eqs.usage = 'equality'
        and eqs.distinct_values > 0
    ) as distinct_column
    group by ask.queryid, ask.userid, ask.relation
  ),
  sorted as (
    select
      ask.queryid,
      ask.userid,
      ask.relation,
      array_agg(ask."column" order by ask.place) as columns
    from asked as ask
    where ask.usage in ('order', 'order_desc')
    group by ask.queryid, ask.userid, ask.relation
    having count(distinct ask.usage) = 1
  ),
  ranged as (
    select
      ask.queryid,
      ask.userid,
      ask.relation,
      (array_agg(ask."column" order by ask.place))[1:1] as columns
    from asked as ask
    where ask.usage = 'range'
    group by ask.queryid, ask.userid, ask.relation
  )
  select distinct on (eqs.relation, eqs.queryid, eqs.userid)
    eqs.relation,
    (
      select (array_agg(col.number order by col.position))[1:3]
      from (
        select cll.number, min(cll.position) as position
        from unnest(eqs.columns || coalesce(rng.columns, srt.columns, '{}'))
          with ordinality as cll (number, position)
        group by cll.number
      ) as col
    ),
    cardinality(eqs.columns),
    rng.columns is null and srt.columns is not null,
    eqs.queryid,
    eqs.userid,
    ask.calls,
    ask.total_ms,
    ask.blocks::double precision / ask.calls,
    ask.query,
    ask.table_rows,
    ask.table_pages,
    eqs.first_share
  from equal as eqs
  inner join asked as ask
    on ask.queryid = eqs.queryid
    and ask.userid = eqs.userid
    and ask.relation = eqs.relation
  left join sorted as srt
    on srt.queryid = eqs.queryid and srt.userid = eqs.userid and srt.relation = eqs.relation
  left join ranged as rng
    on rng.queryid = eqs.queryid and rng.userid = eqs.userid and rng.relation = eqs.relation;
$$;

comment on function runbook.index_candidates(jsonb) is
'Columns of a possible index for each busy statement that reads much: not yet proven.';
revoke all on function runbook.index_candidates(jsonb) from public;

-- Whether an index begins with these columns already, in this order.
create function runbook.is_index_there(relation oid, columns int2[])
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select exists (
    select
    from pg_catalog.pg_index as idx
    inner join pg_catalog.pg_class as rel on rel.oid = idx.indexrelid
    where idx.indrelid = is_index_there.relation
      and rel.relam = 403
      and idx.indisvalid
      and idx.indpred is null
      and idx.indnkeyatts >= cardinality(is_index_there.columns)
      and (idx.indkey::int2[])[0:cardinality(is_index_there.columns) - 1]
        = (array[0::int2] || is_index_there.columns)[2:]
  );
$$;

comment on function runbook.is_index_there(oid, int2[]) is
'Whether a valid btree index over all rows begins with these columns.';
revoke all on function runbook.is_index_there(oid, int2[]) from public;

-- What the planner would pay for asking a table by these columns, as it is and with an index on
-- each beginning of them: [{columns, cost}], the first without an index. It plans a query of its
-- own over the table's columns, never the text of a statement, whose functions would be called in
-- planning.
--
-- Takes the lock of a reader on the table, for the planning only: all is rolled back. It leaves
-- other hypothetical indexes and prepared statements of the session alone.
create function runbook.planned_costs(
  relation oid,
  columns int2[],
  equalities integer,
  has_order boolean,
  hypopg_schema name
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set jit = off
as $$
declare
  v_table constant text := runbook.relation_name(planned_costs.relation);
  -- Nobody else's: the name is drawn.
  v_statement constant text := 'runbook_' || md5(random()::text);
  v_names text[];
  v_types text[];
  v_where text;
  v_order text := '';
  v_prepare text;
  v_explain text;
  v_plan jsonb;
  v_index oid;
  v_index_name text;
  v_costs jsonb := '[]';
  v_error text;
begin
  select
    array_agg(format('%I', att.attname) order by col.position),
    array_agg(format_type(att.atttypid, null) order by col.position)
  into v_names, v_types
  from unnest(planned_costs.columns) with ordinality as col (number, position)
  inner join pg_catalog.pg_attribute as att
    on att.attrelid = planned_costs.relation and att.attnum = col.number;

  select string_agg(
    format(
      '%s %s $%s',
      v_names[at],
      case when at <= planned_costs.equalities then '=' else '>=' end,
      at
    ),
    ' and '
    order by at
  )
  into v_where
  from generate_series(1, cardinality(v_names)) as at
  where at <= planned_costs.equalities or not planned_costs.has_order;

  if planned_costs.has_order and cardinality(v_names) > planned_costs.equalities then
    v_order := format(
      ' order by %s limit 100',
      array_to_string(v_names[planned_costs.equalities + 1:], ', ')
    );
    v_types := v_types[:planned_costs.equalities];
  end if;

  v_prepare := format(
    'prepare %I (%s) as select * from only %s where %s%s',
    v_statement,
    array_to_string(v_types, ', '),
    v_table,
    v_where,
    v_order
  );
  v_explain := format(
    'explain (format json) execute %I (%s)',
    v_statement,
    array_to_string(array_fill('null'::text, array[cardinality(v_types)]), ', ')
  );

  begin
    for v_at in 0 .. cardinality(v_names) loop
      if v_at > 0 then
        execute format(
          'select hyp.indexrelid, hyp.indexname from %I.hypopg_create_index($1) as hyp',
          planned_costs.hypopg_schema
        )
        into v_index, v_index_name
        using format('create index on %s (%s)', v_table, array_to_string(v_names[:v_at], ', '));
      end if;

      -- Prepared anew each time: a plan that is kept knows nothing of the new index.
      execute v_prepare;
      execute v_explain into v_plan;
      execute format('deallocate %I', v_statement);

      if v_at = 0 or jsonb_path_exists(
        v_plan, '$.**."Index Name" ? (@ == $name)', jsonb_build_object('name', v_index_name)
      ) then
        v_costs := v_costs || jsonb_build_object(
          'columns', v_at, 'cost', v_plan #> '{0,Plan,Total Cost}'
        );
      end if;

      if v_at > 0 then
        execute format('select %I.hypopg_drop_index($1)', planned_costs.hypopg_schema)
        using v_index;
        v_index := null;
      end if;
    end loop;

    -- Gives the lock on the table back.
    raise exception 'planned' using errcode = 'RB000', hint = 'This never leaves the function.';
  exception
    when sqlstate 'RB000' then
      v_error := null;
    when lock_not_available then
      v_error := 'its lock was not free';
    when query_canceled then
      raise;
    when assert_failure or others then
      v_error := format('it failed with SQLSTATE %s: %s', sqlstate, sqlerrm);
  end;

  if v_index is not null then
    execute format('select %I.hypopg_drop_index($1)', planned_costs.hypopg_schema) using v_index;
  end if;

  if exists (
    select
    from pg_catalog.pg_prepared_statements as pst
    where pst.name = v_statement
  ) then
    execute format('deallocate %I', v_statement);
  end if;

  if v_error is not null then
    return jsonb_build_object('error', v_error);
  end if;

  return v_costs;
end;
$$;

comment on function runbook.planned_costs(oid, int2[], integer, boolean, name) is
'[{columns, cost}]: the planner''s cost without an index and with one on the first so many columns,
where it would use it; {error} when it could not be planned.';
revoke all on function runbook.planned_costs(oid, int2[], integer, boolean, name) from public;
