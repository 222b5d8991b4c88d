-- The handbook's question for missing indexes, which goes by what ANALYZE knows of columns.
-- Relies on: runbook.asked_columns, which reads what statements ask by; no lock on any table.
-- The handbook's own query is answered here with the conditions that it left out.

-- The handbook's own question, done right: columns with many values that lie scattered in a table,
-- that statements ask by, and that no index begins with.
--
-- The handbook asks for n_distinct > 100, which passes over every column whose number of values
-- grows with the table (those are negative ratios), and for a correlation below 0.5, which holds
-- for any that falls as the table grows. It lists small tables and columns that are indexed or
-- never asked by.
--
-- Cost: texts of the busiest statements, pg_stats for their columns; no lock on any table.
-- Misses: columns that only functions or joins ask by; tables that were never analyzed.
create function runbook.check_column_statistics(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_obstacle runbook.finding := runbook.statements_obstacle('column_statistics');
  v_result runbook.check_result;
begin
  if v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  with asked as (
    select
      ask.relation,
      ask."column",
      min(ask.column_name) as column_name,
      max(ask.table_rows) as table_rows,
      max(ask.distinct_values) as distinct_values,
      max(ask.correlation) as correlation,
      count(distinct ask.queryid) as statements,
      sum(ask.calls) as calls
    from runbook.asked_columns(check_column_statistics.settings, 100) as ask
    where ask.usage in ('equality', 'range', 'join')
      and ask.distinct_values
        > (check_column_statistics.settings ->> 'min_distinct')::double precision
      and abs(ask.correlation)
        < (check_column_statistics.settings ->> 'max_correlation')::double precision
    group by ask.relation, ask."column"
  ),
  found as (
    select
      ask.column_name,
      ask.table_rows,
      ask.distinct_values,
      ask.correlation,
      ask.statements,
      ask.calls,
      runbook.relation_name(ask.relation) as table_name,
      row_number() over (order by ask.calls desc, ask.relation, ask."column") as position
    from asked as ask
    where not exists (
      select
      from pg_catalog.pg_index as idx
      where idx.indrelid = ask.relation
        and idx.indisvalid
        and idx.indkey[0] = ask."column"
    )
  )
  select
    (select count(*) from found),
    coalesce(
      array_agg(
        row(
          'column_worth_an_index',
          'info',
          format('%s.%I', fnd.table_name, fnd.column_name),
          left(
            format(
              '%s.%I has about %s values in %s rows, scattered (correlation %s), and no index begins '
              'with it; %s statements with %s calls ask by it. Create one, if they are slow.',
              fnd.table_name,
              fnd.column_name,
              round(fnd.distinct_values),
              fnd.table_rows,
              round(fnd.correlation::numeric, 2),
              fnd.statements,
              fnd.calls
            ),
            300
          ),
          jsonb_build_object(
            'distinct_values', round(fnd.distinct_values),
            'rows', fnd.table_rows,
            'correlation', fnd.correlation,
            'statements', fnd.statements,
            'calls', fnd.calls
          ),
          'estimated by ANALYZE; columns read from the texts of statements',
          'create-index',
          jsonb_build_object(
            'table', fnd.table_name, 'columns', jsonb_build_array(fnd.column_name)
          )
        )::runbook.finding
        order by fnd.position
      ) filter (where fnd.position <= 100),
      '{}'
    )
  into v_result.value, v_result.findings
  from found as fnd;

  if v_result.value = 0 and v_result.findings = '{}' then
    v_obstacle := runbook.statements_too_new(
      'column_statistics', (check_column_statistics.settings ->> 'least_s')::numeric
    );

    if v_obstacle.code is not null then
      return runbook.check_answer(null, v_obstacle);
    end if;
  end if;

  return v_result;
end;
$$;

comment on function runbook.check_column_statistics(jsonb) is
'Number of scattered columns with many values, asked by and not indexed: column_worth_an_index.';
revoke all on function runbook.check_column_statistics(jsonb) from public;

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
  -- min_distinct and max_correlation are the handbook's.
  (
    'column_statistics',
    'Columns worth an index',
    'Scattered columns with many values that statements ask by and no index begins with.',
    'runbook.check_column_statistics',
    460,
    'statements',
    'columns',
    '{
      "window_hours": 24,
      "least_s": 900,
      "min_rows": 10000,
      "min_distinct": 100,
      "max_correlation": 0.5
    }',
    '{"column_worth_an_index": "A column with many scattered values is asked by and not indexed."}'
  );
