-- The check of missing indexes. With HypoPG the planner proves an index; without it only what the
-- counters themselves prove is said.
-- Relies on: runbook.index_candidates, runbook.planned_costs, runbook.table_reads.

-- Indexes that would help busy statements.
--
-- With HypoPG the planner is asked, over as many columns as pay. Without it a single column is
-- named only where three things agree: a statement asks by it and reads half of the table at each
-- call, the table is read whole again and again, and the column has many values. What would need
-- more columns is `skipped`.
--
-- Cost: the counters and texts of the busiest statements; with HypoPG up to five plans each of at
-- most ten queries, which lock their table as readers while they are planned. A table with an
-- exclusive lock on it, held or awaited, is not planned.
-- Misses: what texts do not show: statements in functions, functions over columns, joins; indexes
-- of other kinds than btree; what the new index costs at each write.
create function runbook.check_missing_indexes(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_obstacle runbook.finding := runbook.statements_obstacle('missing_indexes');
  v_hypopg constant name := (
    select nsp.nspname
    from pg_catalog.pg_extension as ext
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = ext.extnamespace
    where ext.extname = 'hypopg'
  );
  v_owner constant oid := (
    select rol.oid from pg_catalog.pg_roles as rol where rol.rolname = current_user
  );
  v_times constant double precision := check_missing_indexes.settings ->> 'times_cheaper';
  v_locked oid[];
  v_candidate record;
  v_costs jsonb;
  v_before double precision;
  v_best double precision;
  v_length integer;
  v_columns int2[];
  v_proven jsonb := '[]';
  v_unproven text[] := '{}';
  v_reasons text[] := '{}';
  v_result runbook.check_result;
begin
  if v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  for v_candidate in
    select
      cnd.relation,
      cnd.columns,
      cnd.equalities,
      cnd.has_order,
      cnd.table_rows,
      cnd.table_pages,
      cnd.first_share,
      cnd.queryid,
      cnd.userid,
      cnd.calls,
      cnd.total_ms,
      cnd.blocks_per_call,
      cnd.query,
      rds.sequential_scans,
      wat.owner
    from runbook.index_candidates(check_missing_indexes.settings) as cnd
    inner join runbook.watched_relation as wat on wat.relation = cnd.relation
    left join runbook.table_reads(
      clock_timestamp()
      - make_interval(hours => (check_missing_indexes.settings ->> 'window_hours')::integer)
    ) as rds on rds.relation = cnd.relation
    where not runbook.is_index_there(cnd.relation, cnd.columns)
    order by cnd.total_ms desc, cnd.queryid
    limit 10
  loop
    v_costs := null;
    v_before := null;
    v_best := null;
    v_columns := null;

    if v_hypopg is not null and v_candidate.owner = v_owner then
      v_locked := coalesce(
        v_locked,
        (select coalesce(array_agg(lck.relation), '{}') from runbook.exclusive_locks() as lck)
      );

      if v_candidate.relation = any (v_locked) then
        v_costs := '{"error": "somebody holds or awaits an exclusive lock on it"}';
      else
        v_costs := runbook.planned_costs(
          v_candidate.relation,
          v_candidate.columns,
          v_candidate.equalities,
          v_candidate.has_order,
          v_hypopg
        );
      end if;
    end if;

    if jsonb_typeof(v_costs) = 'array' then
      select
        max(cst.cost) filter (where cst.columns = 0),
        min(cst.cost) filter (where cst.columns > 0)
      into v_before, v_best
      from jsonb_to_recordset(v_costs) as cst (columns integer, cost double precision);

      -- The fewest columns that do nearly as well as the best.
      select min(cst.columns)
      into v_length
      from jsonb_to_recordset(v_costs) as cst (columns integer, cost double precision)
      where cst.columns > 0
        and cst.cost <= 1.5 * v_best;

      if v_best <= v_before / v_times then
        v_columns := v_candidate.columns[:v_length];
      end if;
    elsif v_costs is not null then
      v_reasons := v_reasons || format(
        '%s was not planned: %s.',
        runbook.relation_name(v_candidate.relation),
        v_costs ->> 'error'
      );
    elsif v_candidate.blocks_per_call >= 0.5 * v_candidate.table_pages
      and v_candidate.sequential_scans
        >= (check_missing_indexes.settings ->> 'min_calls')::bigint
      and v_candidate.first_share
        <= (check_missing_indexes.settings ->> 'max_share')::double precision
    then
      v_columns := v_candidate.columns[:1];
    elsif cardinality(v_candidate.columns) > 1 then
      v_unproven := v_unproven || runbook.relation_name(v_candidate.relation);
    end if;

    if v_columns is not null and not runbook.is_index_there(v_candidate.relation, v_columns) then
      v_proven := v_proven || jsonb_build_object(
        'relation', v_candidate.relation::bigint,
        'columns', to_jsonb(v_columns),
        'table_rows', v_candidate.table_rows,
        'queryid', v_candidate.queryid::text,
        'userid', v_candidate.userid::bigint,
        'calls', v_candidate.calls,
        'total_ms', v_candidate.total_ms,
        'blocks', round(v_candidate.blocks_per_call),
        'query', v_candidate.query,
        'cost', v_before,
        'cost_with_index', v_best
      );
    end if;
  end loop;

  with proven as (
    select
      prv.relation::oid as relation,
      prv.columns,
      prv.table_rows,
      prv.queryid,
      prv.userid::oid as userid,
      prv.calls,
      prv.total_ms,
      prv.blocks,
      prv.query,
      prv.cost,
      prv.cost_with_index,
      count(*) over same_index as statements,
      sum(prv.total_ms) over same_index as all_ms,
      row_number() over (partition by prv.relation, prv.columns order by prv.total_ms desc) as place
    from jsonb_to_recordset(v_proven) as prv (
      relation bigint,
      columns jsonb,
      table_rows bigint,
      queryid text,
      userid bigint,
      calls bigint,
      total_ms double precision,
      blocks bigint,
      query text,
      cost double precision,
      cost_with_index double precision
    )
    window same_index as (partition by prv.relation, prv.columns)
  ),
  found as (
    select
      prv.table_rows,
      prv.queryid,
      prv.calls,
      prv.blocks,
      prv.query,
      prv.cost,
      prv.cost_with_index,
      prv.statements,
      prv.all_ms,
      runbook.role_name(prv.userid) as role_name,
      round((prv.total_ms / prv.calls)::numeric, 1) as mean_ms,
      runbook.relation_name(prv.relation) as table_name,
      (
        select jsonb_agg(att.attname order by col.position)
        from jsonb_array_elements_text(prv.columns) with ordinality as col (number, position)
        inner join pg_catalog.pg_attribute as att
          on att.attrelid = prv.relation and att.attnum = col.number::int2
      ) as columns
    from proven as prv
    where prv.place = 1
      -- A longer index of another statement serves this one too.
      and not exists (
        select
        from proven as lng
        where lng.relation = prv.relation
          and jsonb_array_length(lng.columns) > jsonb_array_length(prv.columns)
          and jsonb_path_query_array(
            lng.columns,
            '$[0 to $last]',
            jsonb_build_object('last', jsonb_array_length(prv.columns) - 1)
          ) = prv.columns
      )
  )
  select
    count(*),
    coalesce(
      array_agg(
        row(
          'index_would_help',
          'warning',
          fnd.table_name,
          left(
            format(
              'An index on %s (%s) would help: %s reads %s blocks at each of %s calls, %s ms each%s. %s',
              fnd.table_name,
              (
                select string_agg(format('%I', col.name), ', ' order by col.position)
                from jsonb_array_elements_text(fnd.columns) with ordinality as col (name, position)
              ),
              fnd.role_name,
              fnd.blocks,
              fnd.calls,
              fnd.mean_ms,
              case
                when fnd.cost is not null
                  then format(
                    '; planned cost %s instead of %s',
                    round(fnd.cost_with_index::numeric),
                    round(fnd.cost::numeric)
                  )
                else ''
              end,
              fnd.query
            ),
            300
          ),
          jsonb_build_object(
            'columns', fnd.columns,
            'rows', fnd.table_rows,
            'role', fnd.role_name,
            'queryid', fnd.queryid,
            'calls', fnd.calls,
            'mean_ms', fnd.mean_ms,
            'blocks_per_call', fnd.blocks,
            'statements', fnd.statements,
            'cost', fnd.cost,
            'cost_with_index', fnd.cost_with_index,
            'statement', left(fnd.query, 300)
          ),
          case
            when fnd.cost is not null then 'planned with a hypothetical index (HypoPG)'
            else 'blocks a call and scans of the table agree; not planned, HypoPG is not installed'
          end,
          'create-index',
          jsonb_build_object('table', fnd.table_name, 'columns', fnd.columns)
        )::runbook.finding
        order by fnd.all_ms desc, fnd.table_name, fnd.columns
      ),
      '{}'
    )
  into v_result.value, v_result.findings
  from found as fnd;

  if v_unproven <> '{}' then
    v_reasons := v_reasons || format(
      'An index over several columns may help on %s. Only HypoPG can tell: create extension hypopg '
      'with schema extensions;',
      (
        select string_agg(distinct unp.name, ', ')
        from unnest(v_unproven) as unp (name)
      )
    );
  end if;

  if v_reasons <> '{}' then
    v_result.findings := v_result.findings || runbook.skipped(
      'missing_indexes',
      left(array_to_string(v_reasons, ' '), 500)
    );
  end if;

  if v_result.value = 0 and v_result.findings = '{}' then
    v_obstacle := runbook.statements_too_new(
      'missing_indexes', (check_missing_indexes.settings ->> 'least_s')::numeric
    );

    if v_obstacle.code is not null then
      return runbook.check_answer(null, v_obstacle);
    end if;
  end if;

  return v_result;
end;
$$;

comment on function runbook.check_missing_indexes(jsonb) is
'Number of indexes that busy statements ask for: index_would_help.';
revoke all on function runbook.check_missing_indexes(jsonb) from public;

insert into runbook.check (
  name,
  title,
  description,
  function,
  position,
  check_group,
  unit,
  thresholds,
  codes
)
values
  -- min_blocks: half a megabyte at each call. max_share: an index that leaves more than a twentieth
  -- of a table is hardly used. times_cheaper: the planner's guesses are good to a factor of two.
  (
    'missing_indexes',
    'Missing indexes',
    'Indexes that busy statements ask for, proven by the planner where HypoPG is installed.',
    'runbook.check_missing_indexes',
    470,
    'statements',
    'indexes',
    '{
      "window_hours": 24,
      "least_s": 900,
      "min_rows": 10000,
      "min_calls": 10,
      "min_mean_ms": 1,
      "min_blocks": 64,
      "max_share": 0.05,
      "times_cheaper": 2
    }',
    '{"index_would_help": "A busy statement reads much that an index would spare it."}'
  );
