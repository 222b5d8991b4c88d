-- Statements that a program runs once for each row of another one: N+1 queries. Each call is fast,
-- so no list of slow statements shows them; a page of fifty rows makes fifty of them.
-- Relies on: runbook.busiest_statements, foreign keys. Conservative on purpose: a lookup that every
-- request makes looks much alike and is no fault.

-- Statements that are run once for each row of another one.
--
-- The sign is arithmetic: the same role runs a statement about as often as another one returned
-- rows, several times for each of its calls; and a foreign key leads from the one's table to the
-- other's, to the very column that is asked by. Statements inside of functions that ran a hundred
-- times more often than all clients together sent statements need no other one: the function is
-- called for each row, as one in a policy of row level security is.
--
-- Cost: the counters of pg_stat_statements, texts of the statements that are called most.
-- Misses: statements inside functions while pg_stat_statements.track is top, and loops of PL/pgSQL
-- before Postgres 16, which counts no rows of a cursor; tables without foreign keys; a program that
-- remembers what it fetched, so that the numbers do not meet.
create function runbook.check_repeated_statements(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_obstacle runbook.finding := runbook.statements_obstacle('repeated_statements');
  v_min_calls constant bigint := check_repeated_statements.settings ->> 'min_calls';
  v_times constant numeric := check_repeated_statements.settings ->> 'times';
  v_warning_times constant numeric := check_repeated_statements.settings ->> 'warning_times';
  v_mean_ms constant double precision := check_repeated_statements.settings ->> 'max_mean_ms';
  v_tolerance constant numeric := check_repeated_statements.settings ->> 'tolerance_percent';
  v_nested_times constant numeric := check_repeated_statements.settings ->> 'nested_times';
  v_nested_ms constant double precision
    := check_repeated_statements.settings ->> 'nested_total_ms';
  v_per_row runbook.finding[];
  v_result runbook.check_result;
begin
  if v_obstacle.code is not null then
    return runbook.check_answer(null, v_obstacle);
  end if;

  with busy as materialized (
    select
      bsy.userid,
      bsy.queryid,
      bsy.toplevel,
      bsy.calls,
      bsy.total_ms,
      bsy.rows,
      bsy.query,
      bsy.columns,
      bsy.sent_calls
    from runbook.busiest_statements(
      -- Without min_calls: the list is called less often than what is run for its rows.
      jsonb_build_object('window_hours', check_repeated_statements.settings -> 'window_hours'),
      'calls',
      200
    ) as bsy
  ),
  statements as materialized (
    select
      row_number() over () as id,
      bsy.userid,
      bsy.queryid,
      bsy.toplevel,
      bsy.calls,
      bsy.total_ms,
      bsy.rows,
      bsy.query,
      bsy.columns
    from busy as bsy
    where bsy.query ~* '^(select|with)\y'
  ),
  uses as materialized (
    select
      stm.id,
      used.relation::oid as relation,
      used.column,
      used.usage
    from statements as stm
    cross join lateral jsonb_to_recordset(stm.columns)
      as used (relation bigint, "column" int2, usage text)
  ),
  -- One column that refers to one column, read from either end.
  links as materialized (
    select
      con.conrelid as relation,
      con.conkey[1] as column,
      con.confrelid as other_relation
    from pg_catalog.pg_constraint as con
    where con.contype = 'f'
      and cardinality(con.conkey) = 1
    union
    select con.confrelid, con.confkey[1], con.conrelid
    from pg_catalog.pg_constraint as con
    where con.contype = 'f'
      and cardinality(con.conkey) = 1
    -- Two tables that refer to the same third one are linked by it: posts and tasks of a class.
    union
    select one.conrelid, one.conkey[1], other.conrelid
    from pg_catalog.pg_constraint as one
    inner join pg_catalog.pg_constraint as other
      on other.confrelid = one.confrelid
      and other.conrelid <> one.conrelid
      and other.contype = 'f'
    where one.contype = 'f'
      and cardinality(one.conkey) = 1
  ),
  repeated as (
    select
      one.id,
      one.userid,
      one.queryid,
      one.toplevel,
      one.calls,
      one.total_ms,
      one.query,
      lst.calls as list_calls,
      lst.rows as list_rows,
      lst.query as list_query,
      one.calls::numeric / lst.calls as times,
      row_number() over (
        partition by one.id
        order by abs(one.calls - lst.rows), lst.calls, lst.id
      ) as place
    from statements as one
    inner join statements as lst
      on lst.userid = one.userid
      and lst.toplevel = one.toplevel
      and lst.id <> one.id
    where one.calls >= v_min_calls
      and one.total_ms / one.calls <= v_mean_ms
      and one.calls >= v_times * lst.calls
      and lst.rows >= v_times * lst.calls
      and abs(one.calls - lst.rows) <= one.calls * v_tolerance / 100
      and exists (
        select
        from uses as asked
        inner join links as lnk
          on lnk.relation = asked.relation and lnk.column = asked.column
        inner join uses as listed
          on listed.relation = lnk.other_relation
          and listed.usage = 'read'
        where asked.id = one.id
          and asked.usage = 'equality'
          and listed.id = lst.id
      )
  ),
  found as (
    select
      rep.userid,
      rep.queryid,
      rep.toplevel,
      rep.calls,
      rep.list_calls,
      rep.list_rows,
      rep.query,
      rep.list_query,
      round(rep.times, 1) as times,
      round((rep.total_ms / rep.calls)::numeric, 2) as mean_ms,
      round(rep.total_ms::numeric) as total_ms,
      row_number() over (order by rep.calls desc, rep.id) as position
    from repeated as rep
    where rep.place = 1
  ),
  per_row as (
    select
      row(
        'statement_per_row',
        'warning',
        format('%s %s', runbook.role_name(bsy.userid), bsy.queryid),
        left(
          format(
            'A function runs it %s times, as %s, for %s statements that were sent: once for each row. '
            'In a policy write (select function()) where it takes no column. %s',
            bsy.calls,
            runbook.role_name(bsy.userid),
            bsy.sent_calls,
            bsy.query
          ),
          300
        ),
        jsonb_build_object(
          'role', runbook.role_name(bsy.userid),
          'queryid', bsy.queryid::text,
          'calls', bsy.calls,
          'statements_sent', bsy.sent_calls,
          'total_ms', round(bsy.total_ms::numeric),
          'statement', left(bsy.query, 300)
        ),
        'compared calls in pg_stat_statements',
        null,
        null
      )::runbook.finding as found,
      row_number() over (order by bsy.calls desc, bsy.queryid) as position
    from busy as bsy
    where not bsy.toplevel
      and bsy.calls >= v_nested_times * bsy.sent_calls
      and bsy.total_ms >= v_nested_ms
  )
  select
    (select coalesce(array_agg(prw.found order by prw.position), '{}') from per_row as prw),
    (select count(*) from found),
    coalesce(
      array_agg(
        row(
          'statement_repeated',
          case when fnd.times >= v_warning_times then 'warning' else 'info' end,
          format('%s %s', runbook.role_name(fnd.userid), fnd.queryid),
          left(
            format(
              '%s runs it %s times for each call of another (%s calls for its %s rows): fetch all rows '
              'at once. %s … after: %s',
              runbook.role_name(fnd.userid),
              fnd.times,
              fnd.calls,
              fnd.list_rows,
              left(fnd.query, 90),
              left(fnd.list_query, 60)
            ),
            300
          ),
          jsonb_build_object(
            'role', runbook.role_name(fnd.userid),
            'queryid', fnd.queryid::text,
            'calls', fnd.calls,
            'mean_ms', fnd.mean_ms,
            'total_ms', fnd.total_ms,
            'is_inside_a_function', not fnd.toplevel,
            'statement', left(fnd.query, 300),
            'list_calls', fnd.list_calls,
            'list_rows', fnd.list_rows,
            'list', left(fnd.list_query, 300)
          ),
          'compared calls and rows in pg_stat_statements, and foreign keys',
          null,
          null
        )::runbook.finding
        order by fnd.position
      ) filter (where fnd.position <= 100),
      '{}'
    )
  into v_per_row, v_result.value, v_result.findings
  from found as fnd;

  if v_result.value = 0 and v_per_row = '{}' then
    v_obstacle := runbook.statements_too_new(
      'repeated_statements', (check_repeated_statements.settings ->> 'least_s')::numeric
    );

    if v_obstacle.code is not null then
      return runbook.check_answer(null, v_obstacle);
    end if;
  end if;

  return row(
    v_result.value + cardinality(v_per_row),
    (v_per_row || v_result.findings)[:100]
  )::runbook.check_result;
end;
$$;

comment on function runbook.check_repeated_statements(jsonb) is
'Number of statements that are run once for each row: statement_repeated, statement_per_row.';
revoke all on function runbook.check_repeated_statements(jsonb) from public;

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
  -- times: a page that asks twice is written so, one that asks thrice loops. tolerance_percent:
  -- calls and rows are counted at different moments. max_mean_ms: what is slower is found by its
  -- time.
  (
    'repeated_statements',
    'Repeated statements (N+1)',
    'Statements that a program runs once for each row of another one.',
    'runbook.check_repeated_statements',
    450,
    'statements',
    'statements',
    '{
      "window_hours": 24,
      "least_s": 900,
      "min_calls": 500,
      "times": 3,
      "warning_times": 10,
      "max_mean_ms": 10,
      "tolerance_percent": 15,
      "nested_times": 100,
      "nested_total_ms": 1000
    }',
    '{
      "statement_repeated": "A statement is run once for each row that another one returned.",
      "statement_per_row": "A function runs a statement for each row, such as in a policy."
    }'
  );
