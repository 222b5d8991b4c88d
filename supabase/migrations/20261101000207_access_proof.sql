-- The proof: the same command tried as the user, each row in a subtransaction that is rolled back,
-- and compared with what the policies were found to say.
--
-- A select is tried in a read-only subtransaction, which nothing below can make writable again. A
-- write fires the table's triggers and holds the locks of its rows until it is rolled back; what no
-- rollback undoes is named in the answer.

-- The condition that finds one fetched row in the user's own statement: by its place where the user
-- may read the whole table, else by its key. Null when neither can be read.
create function runbook.proof_condition(role text, relation oid, columns jsonb, item jsonb)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_key constant text[] := runbook.naming_columns(proof_condition.relation);
begin
  if has_table_privilege(proof_condition.role, proof_condition.relation, 'select') then
    return format(
      'target.ctid = %L::pg_catalog.tid and target.tableoid = %L::pg_catalog.oid',
      proof_condition.item #>> '{place,0}',
      proof_condition.item #>> '{place,1}'
    );
  end if;

  if v_key = '{}' or exists (
    select
    from unnest(v_key) as named (name)
    where not has_column_privilege(
      proof_condition.role, proof_condition.relation, named.name, 'select'
    )
  ) then
    return null;
  end if;

  return (
    select string_agg(format('target.%I = %L', literal.key, literal.value), ' and ')
    from jsonb_each_text(
      runbook.literals_of(
        proof_condition.columns,
        (
          select jsonb_object_agg(named.name, proof_condition.item -> 'key' -> named.name)
          from unnest(v_key) as named (name)
        )
      )
    ) as literal (key, value)
  );
end;
$$;

comment on function runbook.proof_condition(text, oid, jsonb, jsonb) is
'The condition under which the user''s statement finds one row, or null.';
revoke all on function runbook.proof_condition(text, oid, jsonb, jsonb) from public;

-- The statement that does a command to the rows of a condition and counts them. Of an update
-- without literals, `settable` is the column that is set to itself.
create function runbook.proof_statement(
  relation oid,
  command text,
  literals jsonb,
  settable text,
  condition text
)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_table constant text := runbook.relation_name(proof_statement.relation);
begin
  -- The row cannot be named by what the user may read.
  if proof_statement.condition is null then
    return null;
  end if;

  return case proof_statement.command
    when 'select' then format(
      'select pg_catalog.to_jsonb(pg_catalog.count(*)) from %s as target where %s',
      v_table, proof_statement.condition
    )
    when 'delete' then format(
      'with done as (delete from %s as target where %s returning 1)
       select pg_catalog.to_jsonb(pg_catalog.count(*)) from done',
      v_table, proof_statement.condition
    )
    when 'update' then format(
      'with done as (update %s as target set %s where %s returning 1)
       select pg_catalog.to_jsonb(pg_catalog.count(*)) from done',
      v_table,
      coalesce(
        (
          select string_agg(format('%I = %L', literal.key, literal.value), ', ')
          from jsonb_each_text(proof_statement.literals) as literal (key, value)
        ),
        quote_ident(proof_statement.settable) || ' = target.'
        || quote_ident(proof_statement.settable)
      ),
      proof_statement.condition
    )
    when 'insert' then format(
      'with done as (insert into %s as target %s returning 1)
       select pg_catalog.to_jsonb(pg_catalog.count(*)) from done',
      v_table,
      coalesce(
        (
          select format(
            '(%s) values (%s)',
            string_agg(quote_ident(literal.key), ', ' order by literal.key),
            string_agg(quote_nullable(literal.value), ', ' order by literal.key)
          )
          from jsonb_each_text(proof_statement.literals) as literal (key, value)
          having count(*) > 0
        ),
        'default values'
      )
    )
  end;
end;
$$;

comment on function runbook.proof_statement(oid, text, jsonb, text, text) is
'A command on the rows of a condition, as one statement that counts them; null without a condition.';
revoke all on function runbook.proof_statement(oid, text, jsonb, text, text) from public;

-- Why every such statement of the user fails before it looks at a row, as {sqlstate, message}: two
-- policies that need each other, a table or function that a policy uses and the user may not. Null
-- when it does not fail. The command is planned and not run.
create function runbook.plan_failure(
  question jsonb,
  role text,
  literals jsonb,
  settings jsonb,
  until timestamptz
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_relation constant oid := (plan_failure.question ->> 'relation')::oid;
  v_command constant text := plan_failure.question ->> 'command';
  v_filter text;
  v_settable text;
  v_verdict jsonb;
begin
  -- A filter reads columns, and so the policies for select are put in as well.
  select format('target.%I is not null', col.name)
  into v_filter
  from runbook.column_rights(plan_failure.role, v_relation) as col
  where col.may_select
  order by col.number
  limit 1;

  select col.name
  into v_settable
  from runbook.column_rights(plan_failure.role, v_relation) as col
  where col.may_update
    and col.may_select
    and not col.is_computed
    and v_command = 'update'
  order by col.number
  limit 1;

  if v_command = 'update' and v_settable is null and plan_failure.literals = '{}' then
    return null;
  end if;

  v_verdict := runbook.verdict_of_answer(
    (
      runbook.read_as(
        plan_failure.role,
        array[]::integer[],
        array[
          'explain (format json) ' || runbook.proof_statement(
            v_relation,
            v_command,
            plan_failure.literals,
            v_settable,
            case when v_command = 'insert' then 'true' else coalesce(v_filter, 'true') end
          )
        ],
        '{}',
        plan_failure.settings,
        plan_failure.until
      )
    )[1]
  );

  return case when v_verdict ? 'sqlstate' then v_verdict end;
end;
$$;

comment on function runbook.plan_failure(jsonb, text, jsonb, jsonb, timestamptz) is
'{sqlstate, message} when a user''s command fails before it looks at a row, else null.';
revoke all on function runbook.plan_failure(jsonb, text, jsonb, jsonb, timestamptz) from public;

-- Why a write is not tried on a table: what hangs on its rows would be rewritten before the
-- rollback, which may take long. Null when it is tried.
--
-- Misses: what triggers do.
create function runbook.proof_obstacle(relation oid, command text)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select format(
      'Deleting would first rewrite rows of %s, which is large (foreign key %s).',
      runbook.relation_name(child.oid), quote_ident(con.conname)
    )
    from pg_catalog.pg_constraint as con
    inner join pg_catalog.pg_class as child on child.oid = con.conrelid
    where con.confrelid = proof_obstacle.relation
      and con.contype = 'f'
      and con.confdeltype in ('c', 'n', 'd')
      and proof_obstacle.command = 'delete'
      -- 100 MiB: more than a few rows of each, and checked without an index.
      and child.relpages > 12800
    order by child.relpages desc
    limit 1
  );
end;
$$;

comment on function runbook.proof_obstacle(oid, text) is
'Why a command is not tried on a table as proof, or null.';
revoke all on function runbook.proof_obstacle(oid, text) from public;

-- The triggers of the application that a write fires.
create function runbook.triggers_of(relation oid, command text)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select array(
      select trg.tgname::text collate "default"
      from pg_catalog.pg_trigger as trg
      where trg.tgrelid = triggers_of.relation
        and not trg.tgisinternal
        and trg.tgenabled in ('O', 'A')
        -- bits of pg_trigger.tgtype: 4 insert, 8 delete, 16 update
        and trg.tgtype & case triggers_of.command
          when 'insert' then 4
          when 'delete' then 8
          when 'update' then 16
          else 0
        end <> 0
      order by trg.tgname
    )
  );
end;
$$;

comment on function runbook.triggers_of(oid, text) is
'The enabled triggers of a table that a command fires, by name.';
revoke all on function runbook.triggers_of(oid, text) from public;

-- What trying one row came to: {got, is_proof, message}. `is_proof` is false where something other
-- than rights and policies decided, such as a trigger or a lock.
create function runbook.proof_outcome(answer jsonb, command text)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select case
      when proof_outcome.answer is null then jsonb_build_object(
        'is_proof', false, 'message', 'The time was spent before it was tried.'
      )
      when not (proof_outcome.answer -> 'failed')::boolean then jsonb_build_object(
        'is_proof', true, 'got', (proof_outcome.answer -> 'answer')::bigint > 0
      )
      -- Finding the partition comes before the policies' checks.
      when failure.words like '23514: no partition of relation %'
        then jsonb_build_object('is_proof', false, 'message', failure.words)
      -- The policies' checks come before the table's constraints, so here they have let it pass.
      when proof_outcome.command <> 'select' and failure.sqlstate like '23%' and failure.is_own
        then jsonb_build_object('is_proof', true, 'got', true, 'message', failure.words)
      when failure.sqlstate in ('57014', '55P03', '40001', '40P01')
        or failure.words like '%security-definer function%'
        then jsonb_build_object('is_proof', false, 'message', failure.words)
      when proof_outcome.command = 'select' or failure.sqlstate = '42501' and failure.is_own
        then jsonb_build_object('is_proof', true, 'got', false, 'message', failure.words)
      else jsonb_build_object('is_proof', false, 'got', false, 'message', failure.words)
    end
    from (
      select
        proof_outcome.answer #>> '{answer,sqlstate}' as sqlstate,
        coalesce((proof_outcome.answer #> '{answer,is_own}')::boolean, false) as is_own,
        format(
          '%s: %s',
          proof_outcome.answer #>> '{answer,sqlstate}',
          proof_outcome.answer #>> '{answer,message}'
        ) as words
    ) as failure
  );
end;
$$;

comment on function runbook.proof_outcome(jsonb, text) is
'{got, is_proof, message} of trying a command on one row.';
revoke all on function runbook.proof_outcome(jsonb, text) from public;

-- Tries a command on each fetched row, and returns one outcome a row; null when it was not tried.
create function runbook.tried(
  question jsonb,
  role text,
  columns jsonb,
  settings jsonb,
  fetched jsonb,
  until timestamptz
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_relation constant oid := (tried.question ->> 'relation')::oid;
  v_command constant text := tried.question ->> 'command';
  v_literals constant jsonb := runbook.literals_of(
    tried.columns, coalesce(tried.question -> 'row', '{}')
  );
  v_items constant jsonb := tried.fetched -> 'items';
  v_settable text;
  v_statements text[];
  v_answers jsonb[];
begin
  if v_command = 'select'
    and v_items #> '{0,place}' is not null
    and has_table_privilege(tried.role, v_relation, 'select')
  then
    -- All rows at once; where that fails, one by one.
    v_answers := runbook.read_as(
      tried.role,
      array[]::integer[],
      array[
        format(
          'select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(target.ctid, target.tableoid))
           from %s as target
           where target.ctid = any (
             array(
               select (item.content #>> ''{place,0}'')::pg_catalog.tid
               from pg_catalog.jsonb_array_elements($2) as item (content)
             )
           )',
          runbook.relation_name(v_relation)
        )
      ],
      v_items,
      tried.settings,
      tried.until
    );

    if not (v_answers[1] -> 'failed')::boolean then
      return (
        select jsonb_agg(
          jsonb_build_object(
            'is_proof', true,
            'got', coalesce(
              nullif(v_answers[1] -> 'answer', 'null')
                @> jsonb_build_array((item.content -> 'place') - 2),
              false
            )
          )
          order by item.position
        )
        from jsonb_array_elements(v_items) with ordinality as item (content, position)
      );
    end if;
  end if;

  if v_command = 'update' then
    select col.name
    into v_settable
    from runbook.column_rights(tried.role, v_relation) as col
    where not col.is_computed
      and (
        v_items #> '{0,condition}' is not null
        or col.may_update and (col.may_select or v_literals <> '{}')
      )
    order by col.number
    limit 1;
  end if;

  v_statements := array(
    select runbook.proof_statement(
      v_relation, v_command, v_literals, v_settable,
      case
        when v_command = 'insert' then 'true'
        else coalesce(
          item.content ->> 'condition',
          runbook.proof_condition(tried.role, v_relation, tried.columns, item.content)
        )
      end
    )
    from jsonb_array_elements(v_items) with ordinality as item (content, position)
    order by item.position
  );

  if v_statements[1] is null then
    return null;
  end if;

  v_answers := runbook.read_as(
    tried.role,
    array[]::integer[],
    v_statements,
    '{}',
    tried.settings,
    tried.until
  );

  return (
    select jsonb_agg(runbook.proof_outcome(got.answer, v_command) order by got.position)
    from unnest(v_answers) with ordinality as got (answer, position)
  );
end;
$$;

comment on function runbook.tried(jsonb, text, jsonb, jsonb, jsonb, timestamptz) is
'[{got, is_proof, message}]: a command tried on each row as the user; null where no row can be
named by what the user may read.';
revoke all on function runbook.tried(jsonb, text, jsonb, jsonb, jsonb, timestamptz) from public;

-- The rows that are no longer what they were when they were fetched: a difference says nothing of
-- them. Positions from 0.
create function runbook.rows_moved(relation oid, fetched jsonb)
returns integer[]
language plpgsql
volatile
security invoker
set search_path = public, extensions, pg_temp
as $$
declare
  v_moved integer[];
begin
  execute pg_catalog.format(
    'select array(
       select (item.position - 1)::pg_catalog.int4
       from pg_catalog.jsonb_array_elements($1) with ordinality as item (content, position)
       where not exists (
         select
         from %s as target
         where target.ctid = (item.content #>> ''{place,0}'')::pg_catalog.tid
           and target.tableoid = (item.content #>> ''{place,1}'')::pg_catalog.oid
           and target.xmin = (item.content #>> ''{place,2}'')::pg_catalog.xid
       )
     )',
    runbook.relation_name(rows_moved.relation)
  )
  into v_moved
  using rows_moved.fetched -> 'items';

  return v_moved;
end;
$$;

comment on function runbook.rows_moved(oid, jsonb) is
'Positions of the fetched rows that have been changed or deleted since.';
revoke all on function runbook.rows_moved(oid, jsonb) from public;

-- The proof of an explanation, {tried, returned, agrees, disagrees}, from the outcomes of its rows.
create function runbook.proof_of(question jsonb, rows jsonb, outcomes jsonb, moved integer[])
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return (
    with compared as materialized (
      select
        row_of.content -> 'key' as key,
        row_of.content -> case proof_of.question ->> 'command'
          when 'select' then 'visible'
          else 'allowed'
        end as expected,
        outcome.content -> 'got' as got,
        outcome.content ->> 'message' as message,
        (
          (outcome.content -> 'is_proof')::boolean
          -- what a policy was found to raise
          or starts_with(outcome.content ->> 'message', row_of.content ->> 'raises')
        )
        and row_of.position - 1 <> all (proof_of.moved) as is_proof,
        row_of.position
      from jsonb_array_elements(proof_of.rows) with ordinality as row_of (content, position)
      inner join jsonb_array_elements(proof_of.outcomes)
        with ordinality as outcome (content, position)
        on outcome.position = row_of.position
    )
    select jsonb_strip_nulls(
      jsonb_build_object(
        'tried', true,
        'compared', count(*) filter (where com.is_proof and com.expected in ('true', 'false')),
        'returned', jsonb_build_object(
          'rows', count(*) filter (where com.got = 'true' and com.message is null),
          'keys', case
            when proof_of.question ->> 'command' = 'select' then coalesce(
              jsonb_agg(com.key order by com.position) filter (where com.got = 'true'), '[]'
            )
          end,
          'messages', (
            select jsonb_agg(jsonb_build_object('message', said.message, 'rows', said.rows))
            from (
              select told.message, count(*) as rows
              from compared as told
              where told.message is not null
              group by told.message
              order by count(*) desc, told.message
              limit 5
            ) as said
          )
        ),
        'disagrees', jsonb_agg(
          jsonb_strip_nulls(
            jsonb_build_object(
              'key', com.key,
              'expected', com.expected,
              'got', com.got,
              'message', com.message
            )
          )
          order by com.position
        ) filter (
          where com.is_proof and com.expected in ('true', 'false') and com.got <> com.expected
        )
      )
    ) || jsonb_build_object(
      'agrees', case
        when bool_or(
          com.is_proof and com.expected in ('true', 'false') and com.got <> com.expected
        ) then false
        when bool_or(com.is_proof and com.expected in ('true', 'false')) then true
      end
    )
    from compared as com
  );
end;
$$;

comment on function runbook.proof_of(jsonb, jsonb, jsonb, integer[]) is
'{tried, returned, agrees, disagrees}: what was tried, compared row by row with the verdicts.';
revoke all on function runbook.proof_of(jsonb, jsonb, jsonb, integer[]) from public;

-- Proves an explanation, where it can be proved.
--
-- Cost: the command on each row. A write holds the rows' locks meanwhile and fires triggers.
create function runbook.access_proof(
  question jsonb,
  subject jsonb,
  fetched jsonb,
  rows jsonb,
  shut_by text,
  depends_on_session boolean,
  until timestamptz
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_relation constant oid := (access_proof.question ->> 'relation')::oid;
  v_command constant text := access_proof.question ->> 'command';
  v_role constant text := access_proof.subject ->> 'role';
  v_columns constant jsonb := runbook.access_columns(v_relation, false);
  v_settings constant jsonb := runbook.api_settings(
    access_proof.question ->> 'schema',
    (select rel.relname::text from pg_catalog.pg_class as rel where rel.oid = v_relation),
    v_command,
    access_proof.subject -> 'claims'
  );
  v_triggers constant text[] := runbook.triggers_of(v_relation, v_command);
  v_outcomes jsonb;
  v_proof jsonb;
  v_reason text;
  v_survives jsonb;
begin
  v_reason := case
    when not (access_proof.question -> 'proof')::boolean then 'It was not asked for.'
    when access_proof.shut_by in ('user', 'claims', 'role')
      then 'There is no token to try it with.'
    when v_role not in ('anon', 'authenticated', 'service_role')
      then format('There is no reader for the role %s.', quote_ident(v_role))
    when clock_timestamp() > access_proof.until then 'The time was spent.'
    when current_setting('runbook.stopped_statement', true) = statement_timestamp()::text
      then 'A policy was stopped by the time limit, so no more is tried.'
    when access_proof.depends_on_session
      then 'A policy depends on the request or its session, and this is not the Data API''s.'
    when access_proof.question ->> 'kind' not in ('r', 'p', 'm') and v_command <> 'select'
      then 'Writes through a view are not tried.'
    when v_command <> 'select' and current_setting('transaction_read_only') = 'on'
      then 'The transaction is read-only, so no write can be tried.'
    else runbook.proof_obstacle(v_relation, v_command)
  end;

  if v_reason is null and access_proof.shut_by is not null then
    -- Without a row: the privileges are looked at before any is sought.
    v_outcomes := runbook.tried(
      access_proof.question, v_role, v_columns, v_settings,
      jsonb_build_object(
        'items', jsonb_build_array(
          jsonb_build_object(
            'condition', coalesce(
              (
                select '(' || string_agg(
                  format('target.%I is null', named.key), ' or '
                ) || ') and false'
                from unnest(
                  case
                    when access_proof.question -> 'match' <> '{}' then array(
                      select given.key
                      from jsonb_object_keys(access_proof.question -> 'match') as given (key)
                    )
                    when v_command = 'select' then '{}'
                    else runbook.naming_columns(v_relation)
                  end
                ) as named (key)
              ),
              'false'
            )
          )
        )
      ),
      access_proof.until
    );

    if v_outcomes is null then
      return jsonb_build_object(
        'tried', false, 'reason', 'There is no column to try it with.', 'agrees', null
      );
    end if;

    return jsonb_build_object(
      'tried', true,
      'returned', jsonb_build_object('messages', jsonb_build_array(v_outcomes -> 0 -> 'message')),
      -- A policy may fail before the privilege is missed: it fails either way.
      'agrees', v_outcomes #> '{0,got}' = 'false'
    );
  end if;

  if v_reason is null and jsonb_array_length(access_proof.rows) = 0 then
    v_reason := 'There is no row to try it on.';
  end if;

  if v_reason is null then
    v_outcomes := runbook.tried(
      access_proof.question, v_role, v_columns, v_settings, access_proof.fetched,
      access_proof.until
    );

    if v_outcomes is null then
      v_reason := 'The user may not read the columns that name the rows.';
    end if;
  end if;

  if v_reason is not null then
    return jsonb_build_object('tried', false, 'reason', v_reason, 'agrees', null);
  end if;

  v_proof := runbook.proof_of(access_proof.question, access_proof.rows, v_outcomes, '{}');

  -- A row that somebody changed meanwhile is no disagreement.
  if v_proof -> 'agrees' = 'false' and v_command <> 'insert' then
    v_proof := runbook.proof_of(
      access_proof.question,
      access_proof.rows,
      v_outcomes,
      runbook.rows_moved(v_relation, access_proof.fetched)
    );
  end if;

  v_survives := case
    when v_command = 'select' then '[]'
    else to_jsonb(
      array(
        select 'numbers drawn from sequences'
        where cardinality(v_triggers) > 0
          or v_command = 'insert' and exists (
            select
            from jsonb_array_elements(v_columns) as col (item)
            where col.item ->> 'sequence' is not null
              and not coalesce(access_proof.question -> 'row', '{}') ? (col.item ->> 'name')
          )
        union all
        select 'what triggers did outside of the database'
        where cardinality(v_triggers) > 0
      )
    )
  end;

  return v_proof || jsonb_build_object('outcomes', v_outcomes) || case
    when cardinality(v_triggers) = 0 then '{}'
    else jsonb_build_object('fired', to_jsonb(v_triggers))
  end || case
    when v_survives = '[]' then '{}'
    else jsonb_build_object('survives', v_survives)
  end;
end;
$$;

comment on function runbook.access_proof(jsonb, jsonb, jsonb, jsonb, text, boolean, timestamptz) is
'{tried, reason, returned, agrees, disagrees, fired, survives}: the command itself, tried as the user
and rolled back.';
revoke all on function runbook.access_proof(jsonb, jsonb, jsonb, jsonb, text, boolean, timestamptz)
from public;

-- What the database itself said of the rows whose policies could not be evaluated.
create function runbook.rows_with_proof(rows jsonb, outcomes jsonb, command text)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select coalesce(
      jsonb_agg(
        row_of.content || case
          when row_of.content -> asked.field = 'null' and outcome.is_proof
            then jsonb_build_object(
              asked.field, outcome.content -> 'got',
              'why', format(
                'Tried as the user, it %s. %s',
                case
                  when outcome.content -> 'got' = 'true' then 'goes through'
                  when outcome.message is null then 'does not'
                  else format('fails with %s', outcome.message)
                end,
                row_of.content ->> 'why'
              )
            )
            || case
              when outcome.content -> 'got' = 'true' or outcome.message is null then '{}'
              -- It is the message that begins with it.
              else jsonb_build_object('raises', split_part(outcome.message, ':', 1))
            end
          else '{}'
        end
        order by row_of.position
      ),
      '[]'
    )
    from jsonb_array_elements(rows_with_proof.rows) with ordinality as row_of (content, position)
    inner join lateral (
      select
        tried.content,
        tried.position,
        tried.content ->> 'message' as message,
        (tried.content -> 'is_proof')::boolean
          -- A write may fail for other things; here it is what a policy was found to raise.
          or row_of.content -> 'policies'
            @> jsonb_build_array(jsonb_build_object('message', tried.content -> 'message'))
          as is_proof
      from jsonb_array_elements(rows_with_proof.outcomes)
        with ordinality as tried (content, position)
    ) as outcome on outcome.position = row_of.position
    cross join (
      select case rows_with_proof.command when 'select' then 'visible' else 'allowed' end
    ) as asked (field)
  );
end;
$$;

comment on function runbook.rows_with_proof(jsonb, jsonb, text) is
'The rows, with what the proof says where the policies'' verdict is not known.';
revoke all on function runbook.rows_with_proof(jsonb, jsonb, text) from public;
