-- What is asked of a table: its rows within bounds, its policies as questions, and the new row that
-- an insert or update would write.
--
-- Expressions of policies and defaults are read by functions that lock the table for a moment, so
-- all of this runs behind a look for exclusive locks and under a lock_timeout.

-- A type as SQL names it, of a domain the one beneath it: without what its checks do.
create function runbook.base_type(type oid, modifier integer)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_type oid := base_type.type;
  v_modifier integer := base_type.modifier;
  v_below record;
begin
  loop
    select typ.typbasetype, typ.typtypmod
    into v_below
    from pg_catalog.pg_type as typ
    where typ.oid = v_type
      and typ.typtype = 'd';

    if not found then
      return format_type(v_type, v_modifier);
    end if;

    v_type := v_below.typbasetype;
    v_modifier := v_below.typtypmod;
  end loop;
end;
$$;

comment on function runbook.base_type(oid, integer) is
'The name of a type with its modifier, of a domain that of the type beneath it.';
revoke all on function runbook.base_type(oid, integer) from public;

-- What must be known of a table's columns: types, what is generated and, where a new row is made,
-- the defaults as text, which are read under a lock on the table.
create function runbook.access_columns(relation oid, with_expressions boolean)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select coalesce(
      jsonb_agg(
        jsonb_build_object(
          'name', att.attname,
          'type', format_type(att.atttypid, att.atttypmod),
          'base_type', case
            when typ.typtype = 'd' then runbook.base_type(att.atttypid, att.atttypmod)
          end,
          'is_generated', att.attgenerated <> '',
          'is_identity', att.attidentity <> '',
          'is_always_identity', att.attidentity = 'a',
          'expression', case
            when access_columns.with_expressions then pg_get_expr(def.adbin, def.adrelid)
          end,
          'type_default', case when typ.typtype = 'd' then typ.typdefault end,
          'sequence', coalesce(
            (
              select dep.refobjid::bigint
              from pg_catalog.pg_depend as dep
              inner join pg_catalog.pg_class as seq on seq.oid = dep.refobjid and seq.relkind = 'S'
              where dep.classid = 'pg_catalog.pg_attrdef'::regclass
                and dep.objid = def.oid
                and dep.refclassid = 'pg_catalog.pg_class'::regclass
              limit 1
            ),
            (
              select dep.objid::bigint
              from pg_catalog.pg_depend as dep
              where att.attidentity <> ''
                and dep.classid = 'pg_catalog.pg_class'::regclass
                and dep.refclassid = 'pg_catalog.pg_class'::regclass
                and dep.refobjid = att.attrelid
                and dep.refobjsubid = att.attnum
                and dep.deptype = 'i'
              limit 1
            )
          )
        )
        order by att.attnum
      ),
      '[]'
    )
    from pg_catalog.pg_attribute as att
    inner join pg_catalog.pg_type as typ on typ.oid = att.atttypid
    left join pg_catalog.pg_attrdef as def on def.adrelid = att.attrelid and def.adnum = att.attnum
    where att.attrelid = access_columns.relation
      and att.attnum > 0
      and not att.attisdropped
  );
end;
$$;

comment on function runbook.access_columns(oid, boolean) is
'[{name, type, base_type, is_generated, is_identity, expression, type_default, sequence}] of a
table; base_type of a domain only.';
revoke all on function runbook.access_columns(oid, boolean) from public;

-- The value that a sequence would give next, without taking it.
create function runbook.next_of_sequence(sequence oid)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return (
    select coalesce(
      pg_sequence_last_value(seq.seqrelid::regclass) + seq.seqincrement, seq.seqstart
    )
    from pg_catalog.pg_sequence as seq
    where seq.seqrelid = next_of_sequence.sequence
  );
end;
$$;

comment on function runbook.next_of_sequence(oid) is
'The next value of a sequence, as far as it can be told without drawing it.';
revoke all on function runbook.next_of_sequence(oid) from public;

-- JSON as columns, `"a" integer, "b" text`, for jsonb_to_record. Domains stand as what is beneath
-- them: the check of one is the application's code, and is only run where it is rolled back.
create function runbook.record_columns(columns jsonb, names text[])
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select string_agg(
      format(
        '%I %s',
        col.item ->> 'name',
        coalesce(col.item ->> 'base_type', col.item ->> 'type')
      ),
      ', ' order by col.position
    )
    from jsonb_array_elements(record_columns.columns) with ordinality as col (item, position)
    where col.item ->> 'name' = any (record_columns.names)
  );
end;
$$;

comment on function runbook.record_columns(jsonb, text[]) is
'A column definition list of the named columns.';
revoke all on function runbook.record_columns(jsonb, text[]) from public;

-- Refuses values that no column has or takes, by their path.
create function runbook.refuse_values(columns jsonb, given jsonb, path text)
returns void
language plpgsql
volatile
security invoker
set search_path = public, extensions, pg_temp
as $$
declare
  v_problems jsonb := '[]';
  v_name text;
  v_column jsonb;
begin
  for v_name in
    select named.key from pg_catalog.jsonb_object_keys(refuse_values.given) as named (key)
  loop
    select col.item
    into v_column
    from pg_catalog.jsonb_array_elements(refuse_values.columns) as col (item)
    where col.item ->> 'name' = v_name;

    if not found then
      v_problems := v_problems || pg_catalog.jsonb_build_object(
        'path', refuse_values.path || '.' || v_name, 'message', 'is no column of the table'
      );
    elsif runbook.is_secret_column(v_name) then
      v_problems := v_problems || pg_catalog.jsonb_build_object(
        'path', refuse_values.path || '.' || v_name, 'message', 'is a secret, which is never asked'
      );
    elsif refuse_values.path = 'row'
      and (
        (v_column -> 'is_generated')::boolean or (v_column -> 'is_always_identity')::boolean
      )
    then
      v_problems := v_problems || pg_catalog.jsonb_build_object(
        'path', refuse_values.path || '.' || v_name, 'message', 'is generated and takes no value'
      );
    else
      begin
        execute pg_catalog.format(
          'select %s from pg_catalog.jsonb_to_record($1) as given (%s)',
          case
            when refuse_values.path = 'match' and refuse_values.given -> v_name <> 'null'
              then pg_catalog.format('given.%1$I = given.%1$I', v_name)
          end,
          runbook.record_columns(
            pg_catalog.jsonb_build_array(v_column - 'base_type'), array[v_name]
          )
        )
        using refuse_values.given;

        -- Whatever a check of a domain did.
        raise exception using errcode = 'RB000', message = 'rolled back', hint = 'Caught below.';
      exception
        when sqlstate 'RB000' then
          null;
        when undefined_function then
          v_problems := v_problems || pg_catalog.jsonb_build_object(
            'path', refuse_values.path || '.' || v_name,
            'message', pg_catalog.format(
              'cannot be compared: the type %s has no =', v_column ->> 'type'
            )
          );
        when assert_failure or others then
          v_problems := v_problems || pg_catalog.jsonb_build_object(
            'path', refuse_values.path || '.' || v_name,
            'message', pg_catalog.format('does not fit the type %s', v_column ->> 'type')
          );
      end;
    end if;
  end loop;

  perform runbook.refuse_problems(v_problems);
end;
$$;

comment on function runbook.refuse_values(jsonb, jsonb, text) is
'Raises RB400 with the path of each value that no column has or takes.';
revoke all on function runbook.refuse_values(jsonb, jsonb, text) from public;

-- Values as the texts of their columns' types, {name: text or null}. In the user's statements they
-- stand as literals without a type: naming one would ask for rights on its schema.
create function runbook.literals_of(columns jsonb, given jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = public, extensions, pg_temp
as $$
declare
  v_names constant text[] := array(
    select named.key from pg_catalog.jsonb_object_keys(literals_of.given) as named (key)
  );
  v_literals jsonb := '{}';
begin
  if v_names <> '{}' then
    execute pg_catalog.format(
      'select pg_catalog.jsonb_object_agg(literal.name, literal.value)
       from pg_catalog.jsonb_to_record($1) as given (%s)
       cross join lateral (values %s) as literal (name, value)',
      runbook.record_columns(literals_of.columns, v_names),
      (
        select pg_catalog.string_agg(
          pg_catalog.format('(%1$L, given.%1$I::pg_catalog.text)', named.name), ', '
        )
        from pg_catalog.unnest(v_names) as named (name)
      )
    )
    into v_literals
    using literals_of.given;
  end if;

  return v_literals;
end;
$$;

comment on function runbook.literals_of(jsonb, jsonb) is
'The values that are given, as texts of their columns'' types.';
revoke all on function runbook.literals_of(jsonb, jsonb) from public;

-- The rows that a command would leave, as a source for questions: a format with the old rows.
-- What is not given comes from the old row or, of an insert, from the defaults, which the user's
-- own rights compute.
create function runbook.new_source(relation oid, columns jsonb, literals jsonb, command text)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_table constant text := runbook.relation_name(new_source.relation);
  v_alias constant text := (
    select quote_ident(rel.relname)
    from pg_catalog.pg_class as rel
    where rel.oid = new_source.relation
  );
  v_values text;
  v_generated text;
  v_has_generated boolean;
  v_source text;
begin
  select
    string_agg(
      case
        when new_source.literals ? (col.item ->> 'name')
          then quote_nullable(new_source.literals ->> (col.item ->> 'name'))
        when new_source.command = 'update' and not (col.item -> 'is_generated')::boolean
          then format('%s.%I', v_alias, col.item ->> 'name')
        when (col.item -> 'is_generated')::boolean then 'null'
        when col.item ->> 'sequence' is not null
          then quote_literal(runbook.next_of_sequence((col.item ->> 'sequence')::oid))
        else coalesce(
          '(' || (col.item ->> 'expression') || ')',
          '(' || (col.item ->> 'type_default') || ')',
          'null'
        )
      end,
      ', ' order by col.position
    ),
    string_agg(
      case
        when (col.item -> 'is_generated')::boolean then '(' || (col.item ->> 'expression') || ')'
        else format('%s.%I', v_alias, col.item ->> 'name')
      end,
      ', ' order by col.position
    ),
    bool_or((col.item -> 'is_generated')::boolean)
  into v_values, v_generated, v_has_generated
  from jsonb_array_elements(new_source.columns) with ordinality as col (item, position);

  -- A format: what is not a place for its argument has its percent signs doubled.
  v_source := 'pg_catalog.unnest((select pg_catalog.array_agg(row('
    || replace(v_values, '%', '%%') || ')::' || replace(v_table, '%', '%%')
    || ') from %s as ' || replace(v_alias, '%', '%%') || '))';

  if v_has_generated then
    v_source := 'pg_catalog.unnest((select pg_catalog.array_agg(row('
      || replace(v_generated, '%', '%%') || ')::' || replace(v_table, '%', '%%')
      || ') from ' || v_source || ' as ' || replace(v_alias, '%', '%%') || '))';
  end if;

  return v_source;
end;
$$;

comment on function runbook.new_source(oid, jsonb, jsonb, text) is
'The new rows of an insert or update as a source: a format of the old rows.';
revoke all on function runbook.new_source(oid, jsonb, jsonb, text) from public;

-- Whether an expression reads a row as a whole, which leaves no trace among the columns on which it
-- depends.
create function runbook.reads_whole_row(expression pg_node_tree)
returns boolean
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return coalesce(reads_whole_row.expression::text like '%:varattno 0 %', false);
end;
$$;

comment on function runbook.reads_whole_row(pg_node_tree) is
'Whether an expression names a row as a whole.';
revoke all on function runbook.reads_whole_row(pg_node_tree) from public;

-- The columns of its table that a policy reads; null where it reads the row as a whole.
create function runbook.columns_read(policy oid)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select array(
      select att.attname::text collate "default"
      from pg_catalog.pg_depend as dep
      inner join pg_catalog.pg_attribute as att
        on att.attrelid = dep.refobjid and att.attnum = dep.refobjsubid
      where dep.classid = 'pg_catalog.pg_policy'::regclass
        and dep.objid = pol.oid
        and dep.refclassid = 'pg_catalog.pg_class'::regclass
        and dep.refobjid = pol.polrelid
      order by 1
    )
    from pg_catalog.pg_policy as pol
    where pol.oid = columns_read.policy
      and not runbook.reads_whole_row(pol.polqual)
      and not runbook.reads_whole_row(pol.polwithcheck)
  );
end;
$$;

comment on function runbook.columns_read(oid) is
'The columns of its table that a policy reads, or null where it reads the whole row.';
revoke all on function runbook.columns_read(oid) from public;

-- The triggers that may change what a policy reads of a new row: those before each row whose
-- function names one of the policy's columns, writes the row as a whole or returns another; or
-- writes any column, where the policy reads the row as a whole or a generated column.
--
-- Misses: triggers before the statement, which may change what a policy reads elsewhere.
create function runbook.changing_triggers(relation oid, command text, policy oid)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return array(
    select trg.tgname::text collate "default"
    from pg_catalog.pg_trigger as trg
    inner join pg_catalog.pg_proc as fun on fun.oid = trg.tgfoid
    inner join pg_catalog.pg_language as lan on lan.oid = fun.prolang
    where trg.tgrelid = changing_triggers.relation
      and not trg.tgisinternal
      and trg.tgenabled in ('O', 'A')
      -- bits of pg_trigger.tgtype: 1 for each row, 2 before, 4 insert, 16 update
      and trg.tgtype & 3 = 3
      and trg.tgtype & case changing_triggers.command
        when 'insert' then 4
        when 'update' then 16
        else 0
      end <> 0
      and (
        fun.prosrc ~* '\mnew\s*:?=|\minto\s+new\M(?!\.)|\mexecute\M'
        or regexp_replace(fun.prosrc, '--[^\n]*', '', 'g')
          ~* '\mreturn\s+(?!(new|old|null|coalesce\s*\(\s*new\s*,\s*old\s*\))\s*;)'
        or lan.lanname <> 'plpgsql'
        or fun.prosrc ~* '\mnew\s*\.' and exists (
          select
          from (select runbook.columns_read(changing_triggers.policy)) as policy (reads)
          where policy.reads is null
            or exists (
              select
              from pg_catalog.pg_attribute as att
              where att.attrelid = changing_triggers.relation
                and att.attname = any (policy.reads)
                and att.attgenerated <> ''
            )
        )
        or exists (
          select
          from unnest(runbook.columns_read(changing_triggers.policy)) as col (name)
          where fun.prosrc ~* concat(
            '(^|\W)', regexp_replace(col.name, '([^[:alnum:]_])', '\\\1', 'g'), '(\W|$)'
          )
        )
      )
    order by trg.tgname
  );
end;
$$;

comment on function runbook.changing_triggers(oid, text, oid) is
'Names of triggers that may change a new row in what a policy reads.';
revoke all on function runbook.changing_triggers(oid, text, oid) from public;

-- The policies of a table as questions over rows, by phase: {phases, questions, policies, ignored}.
-- A policy without an expression for the phase counts for nothing, as in Postgres.
--
-- Cost: pg_get_expr locks the table for a moment.
create function runbook.access_questions(role text, relation oid, command text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_phase jsonb;
  v_phases jsonb := '[]';
  v_questions jsonb := '[]';
  v_of_phase jsonb;
  v_has_generated constant boolean := exists (
    select
    from pg_catalog.pg_attribute as att
    where att.attrelid = access_questions.relation
      and att.attgenerated <> ''
      and not att.attisdropped
  );
  v_has_heirs constant boolean := exists (
    select
    from pg_catalog.pg_inherits as inh
    where inh.inhparent = access_questions.relation
  );
  v_defaults_reach constant text[] := runbook.schemas_out_of_reach(
    'pg_catalog.pg_attrdef',
    array(
      select def.oid
      from pg_catalog.pg_attrdef as def
      where def.adrelid = access_questions.relation
    ),
    access_questions.role
  );
begin
  for v_phase in
    select phase.item
    from jsonb_array_elements(runbook.access_phases(access_questions.command)) as phase (item)
  loop
    select coalesce(jsonb_agg(found.question order by found.name collate "C"), '[]')
    into v_of_phase
    from (
      select
        app.name,
        jsonb_build_object(
          'name', app.name,
          'kind', case when app.is_permissive then 'permissive' else 'restrictive' end,
          'is_permissive', app.is_permissive,
          'command', v_phase ->> 'of',
          'part', v_phase ->> 'part',
          'over', v_phase ->> 'over',
          -- What is generated may be made of any column.
          'reads', case
            when v_phase ->> 'over' = 'old' or not v_has_generated
              then to_jsonb(runbook.columns_read(app.policy))
          end,
          'expression', app.expression,
          'tree', tree.content,
          'conditions', to_jsonb(
            array[app.expression] || case
              when tree.content ? 'parts' and cardinality(leaves.expressions) <= 12
                then leaves.expressions
              else '{}'
            end
          )
        )
        || case
          when dependence.reason is not null then jsonb_build_object(
            'unknowable',
            format('It depends on the request or its session: %s.', dependence.reason),
            'is_of_session', true
          )
          when v_phase ->> 'over' = 'new' and cardinality(change.triggers) > 0
            then jsonb_build_object(
              'unknowable',
              format(
                'The trigger %s may change the row before this policy sees it. The proof tells.',
                array_to_string(change.triggers, ', ')
              )
            )
          else '{}'
        end
        || case when v_has_heirs then '{"has_heirs": true}' else '{}'::jsonb end
        || case
          when reach.schemas = '{}' then '{}'
          else jsonb_build_object('out_of_reach', to_jsonb(reach.schemas))
        end as question
      from (
        select
          pol.policy,
          pol.name,
          pol.is_permissive,
          pg_get_expr(
            case
              when v_phase ->> 'part' = 'check' and v_phase ->> 'of' = access_questions.command
                then coalesce(row_of.polwithcheck, row_of.polqual)
              else row_of.polqual
            end,
            row_of.polrelid
          ) as expression
        from runbook.policies_of(
          access_questions.role, access_questions.relation, v_phase ->> 'of'
        ) as pol
        inner join pg_catalog.pg_policy as row_of on row_of.oid = pol.policy
        where pol.applies
        offset 0
      ) as app
      cross join lateral (select runbook.condition_tree(app.expression)) as tree (content)
      cross join lateral (
        select array(
          select distinct leaf.expression
          from unnest(runbook.condition_leaves(tree.content)) as leaf (expression)
          order by 1
        )
      ) as leaves (expressions)
      cross join lateral (
        select runbook.session_dependence(app.policy, app.expression)
      ) as dependence (reason)
      cross join lateral (
        select runbook.changing_triggers(
          access_questions.relation, access_questions.command, app.policy
        )
      ) as change (triggers)
      cross join lateral (
        select runbook.schemas_out_of_reach(
          'pg_catalog.pg_policy', array[app.policy], access_questions.role
        ) || case when v_phase ->> 'over' = 'new' then v_defaults_reach else '{}' end
      ) as reach (schemas)
      where app.expression is not null
    ) as found;

    v_phases := v_phases || (
      v_phase || jsonb_build_object(
        'reads', (
          select case
            when bool_and(jsonb_typeof(question.item -> 'reads') = 'array') then (
              select jsonb_agg(distinct col.name)
              from jsonb_path_query(v_of_phase, '$[*].reads[*]') as col (name)
            )
          end
          from jsonb_array_elements(v_of_phase) as question (item)
        ),
        'joined', runbook.joined_conditions(v_of_phase, v_phase ->> 'part' = 'check'),
        'questions', (
          select coalesce(jsonb_agg(serial.n), '[]')
          from generate_series(
            jsonb_array_length(v_questions),
            jsonb_array_length(v_questions) + jsonb_array_length(v_of_phase) - 1
          ) as serial (n)
        )
      )
    );
    v_questions := v_questions || v_of_phase;
  end loop;

  return jsonb_build_object('phases', v_phases, 'questions', v_questions);
end;
$$;

comment on function runbook.access_questions(text, oid, text) is
'{phases, questions}: what the policies of a table ask of each row for a command.';
revoke all on function runbook.access_questions(text, oid, text) from public;

-- Where the rows of `match` are read from, within bounds: {source, note}. A large table whose
-- filter no index serves is read from its beginning only, and the note says how much of it.
--
-- 20,000 pages of 8 KiB are read in well under a second from memory, in a few from a disk.
--
-- Cost: rows of pg_inherits, pg_class and pg_index.
create function runbook.bounded_source(
  relation oid,
  columns jsonb,
  alias text,
  given jsonb,
  condition text,
  page_limit integer default 20000
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_row_limit constant integer := 10000;
  v_table constant text := runbook.relation_name(bounded_source.relation);
  v_filter constant text[] := array(
    select named.key from jsonb_object_keys(bounded_source.given) as named (key)
  );
  v_kind "char";
  v_pages bigint;
  v_leaves bigint;
  v_leading text;
  v_is_unique boolean;
begin
  select rel.relkind
  into v_kind
  from pg_catalog.pg_class as rel
  where rel.oid = bounded_source.relation;

  if v_kind in ('v', 'f') then
    return jsonb_build_object(
      'source', format('%s as %I %s', v_table, bounded_source.alias, bounded_source.condition)
    );
  end if;

  with recursive below as (
    select bounded_source.relation as relation
    union
    select inh.inhrelid
    from below
    inner join pg_catalog.pg_inherits as inh on inh.inhparent = below.relation
  )
  select sum(rel.relpages), count(*) filter (where rel.relkind <> 'p')
  into v_pages, v_leaves
  from below
  inner join pg_catalog.pg_class as rel on rel.oid = below.relation;

  if v_pages <= bounded_source.page_limit then
    return jsonb_build_object(
      'source', format('%s as %I %s', v_table, bounded_source.alias, bounded_source.condition)
    );
  end if;

  select att.attname, idx.indisunique and idx.indnkeyatts = 1
  into v_leading, v_is_unique
  from pg_catalog.pg_index as idx
  inner join pg_catalog.pg_attribute as att
    on att.attrelid = idx.indrelid and att.attnum = idx.indkey[0]
  where idx.indrelid = bounded_source.relation
    and idx.indisvalid
    and idx.indpred is null
    and att.attname = any (v_filter)
  order by idx.indisunique and idx.indnkeyatts = 1 desc, idx.indnkeyatts
  limit 1;

  if v_is_unique or v_leading is not null and cardinality(v_filter) = 1 then
    return jsonb_build_object(
      'by_index', true,
      'source', format('%s as %I %s', v_table, bounded_source.alias, bounded_source.condition)
    );
  end if;

  if v_leading is not null then
    return jsonb_build_object(
      'by_index', true,
      'source', format(
        '%1$s as %2$I %3$s and %2$I.ctid = any (
           array(
             select near.ctid
             from %1$s as near
             cross join pg_catalog.jsonb_to_record($1) as sought (%4$s)
             where %6$s
             limit %7$s
           )
         )',
        v_table,
        bounded_source.alias,
        bounded_source.condition,
        runbook.record_columns(bounded_source.columns, array[v_leading]),
        v_leading,
        case
          when bounded_source.given -> v_leading = 'null' then format('near.%I is null', v_leading)
          else format('near.%1$I = sought.%1$I', v_leading)
        end,
        v_row_limit
      ),
      'note', format(
        'Looked through were at most %s rows with this %s.', v_row_limit, quote_ident(v_leading)
      )
    );
  end if;

  return jsonb_strip_nulls(
    jsonb_build_object(
      'source', format(
        '%s as %I %s and %I.ctid < ''(%s,0)''::pg_catalog.tid',
        v_table,
        bounded_source.alias,
        bounded_source.condition,
        bounded_source.alias,
        greatest(bounded_source.page_limit / greatest(v_leaves, 1), 1)
      ),
      'note', case
        when cardinality(v_filter) > 0 then format(
          'Only about %s %% of the table was looked through: no index begins with a column of '
          'match.',
          greatest(1, 100 * bounded_source.page_limit / v_pages)
        )
      end
    )
  );
end;
$$;

comment on function runbook.bounded_source(oid, jsonb, text, jsonb, text, integer) is
'{source, by_index, note}: the from and where of the matching rows, within bounds on a large
table; by_index says that an index must be used.';
revoke all on function runbook.bounded_source(oid, jsonb, text, jsonb, text, integer) from public;
