-- Rows under policies: the engine fetches them, and a reader evaluates each policy over them as the
-- user, whose own rights and policies hold for what a policy's subquery reads.
--
-- The rows themselves go to the reader, as an array of the table's row type, and stand there under
-- the table's name: nothing is written out and read back, so every type keeps its exact value.
-- A whole statement a policy; only where one raises are its rows asked one by one.

-- Runs statements as one of the three roles; the only place that calls the readers.
--
-- A statement_timeout strikes once a top-level statement: after one was stopped nothing would stop
-- the next, so from then on none is begun.
create function runbook.read_as(
  role text,
  source anyarray,
  statements text[],
  content jsonb,
  settings jsonb,
  until timestamptz
)
returns jsonb[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_answers jsonb[];
begin
  if coalesce(cardinality(read_as.statements), 0) = 0 then
    return '{}';
  end if;

  if current_setting('runbook.stopped_statement', true) = statement_timestamp()::text then
    return array_fill(null::jsonb, array[cardinality(read_as.statements)]);
  end if;

  case read_as.role
    when 'anon' then
      v_answers := runbook.read_as_anon(
        read_as.source, read_as.statements, read_as.content, read_as.settings, read_as.until
      );
    when 'authenticated' then
      v_answers := runbook.read_as_authenticated(
        read_as.source, read_as.statements, read_as.content, read_as.settings, read_as.until
      );
    when 'service_role' then
      v_answers := runbook.read_as_service_role(
        read_as.source, read_as.statements, read_as.content, read_as.settings, read_as.until
      );
    else
      raise exception 'There is no reader for the role %.', quote_nullable(read_as.role)
        using errcode = '22023', hint = 'There is one for anon, authenticated and service_role.';
  end case;

  if exists (
    select
    from unnest(v_answers) as got (answer)
    where got.answer #>> '{answer,sqlstate}' = '57014'
  ) then
    perform set_config('runbook.stopped_statement', statement_timestamp()::text, true);
  end if;

  return runbook.without_values(v_answers, read_as.settings);
end;
$$;

comment on function runbook.read_as(text, anyarray, text[], jsonb, jsonb, timestamptz) is
'Runs statements through the reader of a role; null for those that were not begun.';
revoke all on function runbook.read_as(text, anyarray, text[], jsonb, jsonb, timestamptz)
from public;

-- What the Data API sets for a request before it acts: path, claims, method; and that nothing is
-- written where it only reads. Its own reads are read-only transactions too.
create function runbook.api_settings(schema text, relation text, command text, claims jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'search_path',
      case
        when exposed.schemas is null or api_settings.schema = any (exposed.schemas)
          then quote_ident(api_settings.schema) || ', '
        else ''
      end || coalesce(runbook.api_setting('pgrst.db_extra_search_path'), 'public, extensions'),
      'request.jwt.claims', api_settings.claims::text,
      'request.method', case api_settings.command
        when 'select' then 'GET'
        when 'insert' then 'POST'
        when 'update' then 'PATCH'
        else 'DELETE'
      end,
      'request.path', '/' || api_settings.relation,
      'request.headers', '{}',
      'request.cookies', '{}',
      'row_security', 'on',
      'enable_seqscan', current_setting('enable_seqscan'),
      'client_min_messages', 'error'
    )
    || case
      when api_settings.command = 'select' then '{"transaction_read_only": "on"}'::jsonb
      else '{}'
    end
    -- The old form of the claims, which auth.uid() prefers: what a session still has is not meant.
    || coalesce(
      (
        select jsonb_object_agg(old.name, '')
        from unnest(
          array[
            'request.jwt.claim', 'request.jwt.claim.sub', 'request.jwt.claim.role',
            'request.jwt.claim.email'
          ]
        ) as old (name)
        where current_setting(old.name, true) <> ''
      ),
      '{}'
    )
    from (select runbook.api_schemas()) as exposed (schemas)
  );
end;
$$;

comment on function runbook.api_settings(text, text, text, jsonb) is
'The settings {name: value} under which the Data API would run a command on a table.';
revoke all on function runbook.api_settings(text, text, text, jsonb) from public;

-- The statement that asks a question of all rows, or of one. $1 are the rows, $2 the content.
create function runbook.condition_statement(
  ask jsonb,
  question jsonb,
  conditions text[],
  source text,
  content text,
  form text
)
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select format(
      'select pg_catalog.jsonb_agg(pg_catalog.to_jsonb(array[%s]::boolean[])) from %s as %I',
      (
        select string_agg(format('(%s)', condition.text), ', ' order by condition.position)
        from unnest(condition_statement.conditions) with ordinality as condition (text, position)
      ),
      case
        when condition_statement.question ->> 'over' = 'new' then format(
          condition_statement.ask ->> 'new_source',
          'pg_catalog.unnest(' || condition_statement.source || ')'
        )
        -- A policy may name the columns of the system, which a row alone does not have.
        when condition_statement.form = 'places' then format(
          '(select (elem.whole).*, (elem.place ->> 0)::pg_catalog.tid as ctid,
              (elem.place ->> 1)::pg_catalog.oid as tableoid,
              (elem.place ->> 2)::pg_catalog.xid as xmin
            from (
              select whole.row as whole, %2$s -> ''places'' -> (whole.n - 1)::integer as place
              from (
                select (%1$s)[serial.n] as row, serial.n
                from pg_catalog.generate_series(
                  pg_catalog.array_lower(%1$s, 1), pg_catalog.array_upper(%1$s, 1)
                ) as serial (n)
              ) as whole
            ) as elem)',
          condition_statement.source,
          condition_statement.content
        )
        else 'pg_catalog.unnest(' || condition_statement.source || ')'
      end,
      condition_statement.ask ->> 'alias'
    )
  );
end;
$$;

comment on function runbook.condition_statement(jsonb, jsonb, text[], text, text, text) is
'The statement that evaluates conditions over rows under the table''s name.';
revoke all on function runbook.condition_statement(jsonb, jsonb, text[], text, text, text)
from public;

-- What an answer of a reader says about a condition, as JSON: true, false, null, {sqlstate,
-- message} where Postgres raised it, {unknown} where it is our way of asking that failed.
create function runbook.verdict_of_answer(answer jsonb)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return (
    select case
      when verdict_of_answer.answer is null then jsonb_build_object(
        'unknown', 'The time was spent before it was looked at.'
      )
      when not (verdict_of_answer.answer -> 'failed')::boolean
        then coalesce(verdict_of_answer.answer -> 'answer', 'null')
      when failure.sqlstate = '57014' then jsonb_build_object(
        'unknown',
        format('It was stopped after %s ms.', verdict_of_answer.answer ->> 'took_ms')
      )
      when failure.sqlstate = 'RB413' and failure.is_own
        then jsonb_build_object('unknown', failure.message)
      when failure.sqlstate = '55P03' then jsonb_build_object(
        'unknown', 'It needs a lock that was not free.'
      )
      when failure.sqlstate = '42501' and failure.message like '%security-definer function%'
        then jsonb_build_object(
          'unknown', format('It tries to change the role of the session: %s.', failure.message)
        )
      when failure.is_own
        and failure.sqlstate in (
          '42601', '42703', '42704', '42725', '42804', '42846', '42883', '42P01', '42P02', '42P10',
          '42P18', '42P21', '42P22', '0A000'
        )
        then jsonb_build_object(
          'unknown', format('Its text cannot be read back: %s.', failure.message)
        )
      else jsonb_build_object('sqlstate', failure.sqlstate, 'message', failure.message)
    end
    from (
      select
        verdict_of_answer.answer #>> '{answer,sqlstate}' as sqlstate,
        verdict_of_answer.answer #>> '{answer,message}' as message,
        coalesce((verdict_of_answer.answer #> '{answer,is_own}')::boolean, false) as is_own
    ) as failure
  );
end;
$$;

comment on function runbook.verdict_of_answer(jsonb) is
'A condition''s verdict from the answer of a reader: true, false, null, {sqlstate, message} or
{unknown}.';
revoke all on function runbook.verdict_of_answer(jsonb) from public;

-- Rows without what a question does not read of them, where together they are large: as literals
-- they would be written out and read back at some cost. Values of domains stay, which may refuse
-- null.
create function runbook.rows_as_read(source anyarray, reads jsonb)
returns anyarray
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_rows rows_as_read.source%type := rows_as_read.source;
  v_relation oid;
  v_values text;
begin
  if pg_column_size(rows_as_read.source) < 8192
    or coalesce(jsonb_typeof(rows_as_read.reads), 'null') <> 'array'
  then
    return rows_as_read.source;
  end if;

  select ele.typrelid
  into v_relation
  from pg_catalog.pg_type as arr
  inner join pg_catalog.pg_type as ele on ele.oid = arr.typelem
  where arr.oid = pg_typeof(rows_as_read.source);

  select string_agg(
    case
      when rows_as_read.reads ? att.attname or typ.typtype = 'd' or att.attlen > 0
        then format('(whole.row).%I', att.attname)
      else 'null'
    end,
    ', ' order by att.attnum
  )
  into v_values
  from pg_catalog.pg_attribute as att
  inner join pg_catalog.pg_type as typ on typ.oid = att.atttypid
  where att.attrelid = v_relation
    and att.attnum > 0
    and not att.attisdropped;

  execute format(
    'select array_agg(row(%s)::%s order by whole.n)
     from (
       select $1[serial.n] as row, serial.n from generate_subscripts($1, 1) as serial (n) offset 0
     ) as whole',
    v_values,
    runbook.relation_name(v_relation)
  )
  into v_rows
  using rows_as_read.source;

  return v_rows;
end;
$$;

comment on function runbook.rows_as_read(anyarray, jsonb) is
'Rows of a table, of which large ones have only the columns that are read.';
revoke all on function runbook.rows_as_read(anyarray, jsonb) from public;

-- Asks conditions whose text names schemas that the role may not use: of all rows together, or of
-- each of `rows` by itself. A view that takes its reader's rights keeps what it names by oid, as a
-- policy does: it is parsed here, and rights and row level security are the reader's. It is gone
-- when the answers are there.
--
-- Misses: in a read-only transaction no view can be made; a prepared statement takes its place,
-- which Postgres parses again as the reader where row level security must be put in.
create function runbook.ask_parsed_here(
  source anyarray,
  ask jsonb,
  question jsonb,
  conditions text[],
  rows integer[] default null,
  form text default 'rows'
)
returns jsonb[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  -- Text of 2 MB is written and read back in half a second.
  v_size_limit constant integer := 2000000;
  v_started_at constant timestamptz := clock_timestamp();
  v_answer_count constant integer := coalesce(cardinality(ask_parsed_here.rows), 1);
  v_rows constant ask_parsed_here.source%type := runbook.rows_as_read(
    ask_parsed_here.source, ask_parsed_here.question -> 'reads'
  );
  v_size integer := 0;
  v_literal text;
  v_is_view constant boolean := current_setting('transaction_read_only') = 'off';
  v_statement text;
  v_is_parsed boolean := false;
  v_answers jsonb[];
begin
  if v_started_at > (ask_parsed_here.ask ->> 'until')::timestamptz
    or current_setting('runbook.stopped_statement', true) = statement_timestamp()::text
  then
    return array_fill(null::jsonb, array[v_answer_count]);
  end if;

  -- One by one: as a whole the text may be longer than a text can be, and what is stored compressed
  -- does not tell.
  for v_index in 1..cardinality(v_rows) loop
    v_size := v_size + octet_length(v_rows[v_index]::text);

    if v_size > v_size_limit then
      return array_fill(
        jsonb_build_object(
          'failed', true,
          'answer', jsonb_build_object(
            'sqlstate', 'RB413',
            'message', format(
              'It reads more than %s MB of these rows, too much to be read back; ask about fewer, '
              'by match or limit.',
              v_size_limit / 1000000
            ),
            'is_own', true
          )
        ),
        array[v_answer_count]
      );
    end if;
  end loop;

  if not v_is_view and ask_parsed_here.rows is not null then
    v_answers := array[]::jsonb[];

    for v_index in 1..cardinality(ask_parsed_here.rows) loop
      v_answers := v_answers || runbook.ask_parsed_here(
        ask_parsed_here.source[
          ask_parsed_here.rows[v_index]:ask_parsed_here.rows[v_index]
        ],
        ask_parsed_here.ask,
        ask_parsed_here.question,
        ask_parsed_here.conditions,
        null,
        ask_parsed_here.form
      );
    end loop;

    return v_answers;
  end if;

  v_literal := format('%L::%s', v_rows::text, pg_typeof(v_rows));
  v_statement := runbook.condition_statement(
    ask_parsed_here.ask,
    ask_parsed_here.question,
    ask_parsed_here.conditions,
    case
      when ask_parsed_here.rows is null then v_literal
      else format('(%s)[runbook_serial.n:runbook_serial.n]', v_literal)
    end,
    format('%L::pg_catalog.jsonb', ask_parsed_here.ask -> 'content'),
    ask_parsed_here.form
  );

  if exists (
    select from pg_catalog.pg_prepared_statements as pre where pre.name = 'runbook_condition'
  ) then
    execute 'deallocate runbook_condition';
  end if;

  begin
    -- What is parsed finds its names on the reader's path.
    perform pg_catalog.set_config(
      'search_path', ask_parsed_here.ask #>> '{settings,search_path}', true
    );

    if v_is_view then
      execute pg_catalog.format(
        'create temporary view runbook_condition (n, answer) with (security_invoker = true) as
         select runbook_serial.n, (%s)
         from pg_catalog.generate_series(1, %s) as runbook_serial (n)',
        v_statement,
        case
          when ask_parsed_here.rows is null then 1
          else pg_catalog.cardinality(v_rows)
        end
      );
      execute pg_catalog.format(
        'grant select on pg_temp.runbook_condition to %I', ask_parsed_here.ask ->> 'role'
      );
    else
      execute 'prepare runbook_condition as ' || v_statement;
    end if;

    v_is_parsed := true;
    v_answers := runbook.read_as(
      ask_parsed_here.ask ->> 'role',
      v_rows,
      case
        when not v_is_view then array['execute runbook_condition']
        else array(
          select pg_catalog.format(
            'select con.answer from pg_temp.runbook_condition as con where con.n = %s', asked.row
          )
          from pg_catalog.unnest(coalesce(ask_parsed_here.rows, array[1]))
            with ordinality as asked (row, position)
          order by asked.position
        )
      end,
      ask_parsed_here.ask -> 'content',
      ask_parsed_here.ask -> 'settings',
      (ask_parsed_here.ask ->> 'until')::timestamptz
    );
    raise exception using errcode = 'RB000', message = 'rolled back', hint = 'Caught below.';
  exception
    when assert_failure or query_canceled or others then
      if not v_is_parsed then
        if sqlstate = '57014' then
          perform pg_catalog.set_config(
            'runbook.stopped_statement', pg_catalog.statement_timestamp()::text, true
          );
        end if;

        return pg_catalog.array_fill(
          pg_catalog.jsonb_build_object(
            'failed', true,
            'answer', pg_catalog.jsonb_build_object(
              'sqlstate', case when sqlstate in ('42703', '57014') then sqlstate else '42601' end,
              'message', sqlerrm,
              'is_own', true
            ),
            'took_ms', runbook.ms_since(v_started_at)
          ),
          array[v_answer_count]
        );
      elsif v_answers is null then
        raise;
      end if;
  end;

  if v_is_view then
    return v_answers;
  end if;

  execute 'deallocate runbook_condition';

  -- A table or function that the role may not use is a fault of the policy; the schema is not.
  if v_answers[1] #>> '{answer,sqlstate}' = '42501'
    and (v_answers[1] #> '{answer,is_own}')::boolean
    and v_answers[1] #>> '{answer,message}' ~* 'schema'
  then
    return array[pg_catalog.jsonb_set(v_answers[1], '{answer,sqlstate}', '"42704"')];
  end if;

  return v_answers;
end;
$$;

comment on function runbook.ask_parsed_here(anyarray, jsonb, jsonb, text[], integer[], text) is
'The answers of a reader to conditions that are parsed with the rights of the schema''s owner: one
over all rows, or one for each of rows.';
revoke all on function runbook.ask_parsed_here(anyarray, jsonb, jsonb, text[], integer[], text)
from public;

-- Asks conditions of rows one by one: an answer for each row and each condition, in that order.
create function runbook.ask_each(
  source anyarray,
  ask jsonb,
  question jsonb,
  conditions text[],
  rows integer[]
)
returns jsonb[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_answers jsonb[] := array[]::jsonb[];
  v_of_condition jsonb[];
begin
  if not ask_each.question ? 'out_of_reach' then
    return runbook.read_as(
      ask_each.ask ->> 'role',
      ask_each.source,
      array(
        select runbook.condition_statement(
          ask_each.ask,
          ask_each.question,
          array[condition.text],
          format('$1[%s:%s]', asked.row, asked.row),
          '$2',
          'rows'
        )
        from unnest(ask_each.rows) as asked (row)
        cross join unnest(ask_each.conditions) with ordinality as condition (text, position)
        order by asked.row, condition.position
      ),
      ask_each.ask -> 'content',
      ask_each.ask -> 'settings',
      (ask_each.ask ->> 'until')::timestamptz
    );
  end if;

  v_answers := array_fill(
    null::jsonb, array[cardinality(ask_each.rows) * cardinality(ask_each.conditions)]
  );

  for v_condition in 1..cardinality(ask_each.conditions) loop
    v_of_condition := runbook.ask_parsed_here(
      ask_each.source,
      ask_each.ask,
      ask_each.question,
      ask_each.conditions[v_condition:v_condition],
      ask_each.rows
    );

    for v_row in 1..cardinality(ask_each.rows) loop
      v_answers[(v_row - 1) * cardinality(ask_each.conditions) + v_condition]
        := v_of_condition[v_row];
    end loop;
  end loop;

  return v_answers;
end;
$$;

comment on function runbook.ask_each(anyarray, jsonb, jsonb, text[], integer[]) is
'The answers to conditions asked of rows one by one.';
revoke all on function runbook.ask_each(anyarray, jsonb, jsonb, text[], integer[]) from public;

-- The verdicts of one question, an array of [condition, …] a row, from the answer to it as a whole;
-- where that failed and it may be a row's doing, row by row.
create function runbook.verdicts_of(source anyarray, ask jsonb, question jsonb, answer jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_conditions constant text[] := array(
    select condition.text
    from jsonb_array_elements_text(verdicts_of.question -> 'conditions') as condition (text)
  );
  v_rows constant integer := cardinality(verdicts_of.source);
  v_answer jsonb := verdicts_of.answer;
  v_verdict jsonb;
  v_answers jsonb[];
begin
  if (v_answer -> 'failed')::boolean
    and v_answer #>> '{answer,sqlstate}' = '42703'
    and (v_answer #> '{answer,is_own}')::boolean
    and verdicts_of.question ->> 'over' = 'old'
  then
    v_answer := case
      when verdicts_of.question ? 'out_of_reach' then (
        runbook.ask_parsed_here(
          verdicts_of.source, verdicts_of.ask, verdicts_of.question, v_conditions, null, 'places'
        )
      )[1]
      else (runbook.read_as(
        verdicts_of.ask ->> 'role',
        verdicts_of.source,
        array[
          runbook.condition_statement(
            verdicts_of.ask, verdicts_of.question, v_conditions, '$1', '$2', 'places'
          )
        ],
        verdicts_of.ask -> 'content',
        verdicts_of.ask -> 'settings',
        (verdicts_of.ask ->> 'until')::timestamptz
      ))[1]
    end;
  end if;

  if v_answer is not null and not (v_answer -> 'failed')::boolean then
    return coalesce(nullif(v_answer -> 'answer', 'null'), '[]');
  end if;

  v_verdict := runbook.verdict_of_answer(v_answer);

  if v_rows = 0 or v_verdict ? 'unknown' then
    return (
      select coalesce(
        jsonb_agg((select jsonb_agg(v_verdict) from unnest(v_conditions) as one (condition))),
        '[]'
      )
      from generate_series(1, v_rows)
    );
  end if;

  v_answers := runbook.ask_each(
    verdicts_of.source,
    verdicts_of.ask,
    verdicts_of.question,
    v_conditions,
    array(select serial.n from generate_series(1, v_rows) as serial (n))
  );

  return (
    select jsonb_agg(per_row.verdicts order by per_row.n)
    from (
      select
        (got.position - 1) / cardinality(v_conditions) as n,
        jsonb_agg(
          case
            when not (got.answer -> 'failed')::boolean
              then coalesce(got.answer #> '{answer,0,0}', 'null')
            else runbook.verdict_of_answer(got.answer)
          end
          order by got.position
        ) as verdicts
      from unnest(v_answers) with ordinality as got (answer, position)
      group by 1
    ) as per_row
  );
end;
$$;

comment on function runbook.verdicts_of(anyarray, jsonb, jsonb, jsonb) is
'[[verdict of each condition] of each row] for one question.';
revoke all on function runbook.verdicts_of(anyarray, jsonb, jsonb, jsonb) from public;

-- Evaluates all questions over rows: {rows: [{verdicts: [[…] a question], joined: {phase:
-- verdict}}], took_ms: [a question]}.
--
-- Postgres joins the policies and stops at what decides, so an error in one may never come to pass:
-- where one raises, the joined condition is asked for that row.
create function runbook.judged(source anyarray, ask jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_questions constant jsonb := judged.ask -> 'questions';
  v_count constant integer := jsonb_array_length(v_questions);
  v_rows constant integer := cardinality(judged.source);
  v_until constant timestamptz := (judged.ask ->> 'until')::timestamptz;
  v_plain integer[];
  v_answers jsonb[];
  v_all jsonb[] := array_fill(null::jsonb, array[greatest(v_count, 1)]);
  v_verdicts jsonb := '[]';
  v_phase jsonb;
  v_position bigint;
  v_raising integer[];
  v_joined jsonb := '{}';
begin
  v_plain := array(
    select question.position
    from jsonb_array_elements(v_questions) with ordinality as question (item, position)
    where not question.item ?| array['out_of_reach', 'unknowable']
    order by question.position
  );

  v_answers := runbook.read_as(
    judged.ask ->> 'role',
    judged.source,
    array(
      select runbook.condition_statement(
        judged.ask,
        v_questions -> (asked.position - 1),
        array(
          select condition.text
          from jsonb_array_elements_text(v_questions -> (asked.position - 1) -> 'conditions')
            as condition (text)
        ),
        '$1',
        '$2',
        'rows'
      )
      from unnest(v_plain) as asked (position)
    ),
    judged.ask -> 'content',
    judged.ask -> 'settings',
    v_until
  );

  for v_index in 1..cardinality(v_plain) loop
    v_all[v_plain[v_index]] := v_answers[v_index];
  end loop;

  for v_index in 1..v_count loop
    if v_questions -> (v_index - 1) ? 'unknowable' then
      v_verdicts := v_verdicts || jsonb_build_array(
        (
          select coalesce(
            jsonb_agg(
              jsonb_build_array(
                jsonb_build_object('unknown', v_questions -> (v_index - 1) -> 'unknowable')
              )
            ),
            '[]'
          )
          from generate_series(1, v_rows)
        )
      );
      continue;
    end if;

    if v_questions -> (v_index - 1) ? 'out_of_reach' then
      v_all[v_index] := (runbook.ask_parsed_here(
        judged.source,
        judged.ask,
        v_questions -> (v_index - 1),
        array(
          select condition.text
          from jsonb_array_elements_text(v_questions -> (v_index - 1) -> 'conditions')
            as condition (text)
        )
      ))[1];
    end if;

    v_verdicts := v_verdicts || jsonb_build_array(
      runbook.verdicts_of(
        judged.source, judged.ask, v_questions -> (v_index - 1), v_all[v_index]
      )
    );
  end loop;

  for v_phase, v_position in
    select phase.item, phase.position - 1
    from jsonb_array_elements(judged.ask -> 'phases') with ordinality as phase (item, position)
    where jsonb_path_exists(v_verdicts, '$[*][*][*].sqlstate')
  loop
    -- Rows for which a policy of the phase raises, and none could not be asked.
    v_raising := array(
      select serial.n
      from generate_series(1, v_rows) as serial (n)
      where exists (
        select
        from jsonb_array_elements_text(v_phase -> 'questions') as asked (position)
        -- or a part of it, which Postgres may evaluate before the part that decides
        where jsonb_path_exists(
          v_verdicts -> asked.position::integer -> (serial.n - 1), '$[*].sqlstate'
        )
      )
      order by serial.n
    );

    if cardinality(v_raising) > 0 then
      v_answers := runbook.ask_each(
        judged.source,
        judged.ask,
        v_phase || case
          when exists (
            select
            from jsonb_array_elements_text(v_phase -> 'questions') as asked (position)
            where v_questions -> asked.position::integer ? 'out_of_reach'
          )
            then '{"out_of_reach": true}'::jsonb
          else '{}'
        end,
        array[v_phase ->> 'joined'],
        v_raising
      );

      for v_index in 1..cardinality(v_raising) loop
        v_joined := v_joined || jsonb_build_object(
          format('%s %s', v_raising[v_index], v_position),
          case
            when not (v_answers[v_index] -> 'failed')::boolean
              then coalesce(v_answers[v_index] #> '{answer,0,0}', 'null')
            else runbook.verdict_of_answer(v_answers[v_index])
          end
        );
      end loop;
    end if;
  end loop;

  return jsonb_build_object(
    'rows', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'verdicts', coalesce(of_row.verdicts, '[]'),
            'joined', case
              when v_joined = '{}' then v_joined
              else (
                select coalesce(
                  jsonb_object_agg(split_part(entry.key, ' ', 2), entry.value), '{}'
                )
                from jsonb_each(v_joined) as entry (key, value)
                where split_part(entry.key, ' ', 1) = serial.n::text
              )
            end
          )
          order by serial.n
        ),
        '[]'
      )
      from generate_series(1, v_rows) as serial (n)
      left join (
        select verdict.n, jsonb_agg(verdict.item order by asked.position) as verdicts
        from jsonb_array_elements(v_verdicts) with ordinality as asked (item, position)
        cross join jsonb_array_elements(asked.item) with ordinality as verdict (item, n)
        group by verdict.n
      ) as of_row on of_row.n = serial.n
    ),
    'took_ms', (
      select jsonb_agg(got.answer -> 'took_ms' order by got.position)
      from unnest(v_all) with ordinality as got (answer, position)
    )
  );
end;
$$;

comment on function runbook.judged(anyarray, jsonb) is
'{rows: [{verdicts, joined}], took_ms}: every policy over every row, as the user.';
revoke all on function runbook.judged(anyarray, jsonb) from public;
