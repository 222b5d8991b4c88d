-- From the verdicts of policies to what happens to a row, and to sentences for people.
--
-- A command passes phases: policies of one command over the old or the new row. An update needs the
-- update policies to find the row, the select policies because its filter reads, and both again as
-- checks of the new row. In each, one permissive policy must be true and no restrictive one else.

-- The phases of a command, in the order in which they are told. `visibility` marks those that say
-- whether the row is seen; the others say whether it may be written.
create function runbook.access_phases(command text)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select case access_phases.command
      when 'select' then '[{"of": "select", "part": "using", "over": "old"}]'::jsonb
      when 'insert' then '[
        {"of": "insert", "part": "check", "over": "new"},
        {"of": "select", "part": "check", "over": "new"}
      ]'
      when 'update' then '[
        {"of": "update", "part": "using", "over": "old"},
        {"of": "select", "part": "using", "over": "old"},
        {"of": "update", "part": "check", "over": "new"},
        {"of": "select", "part": "check", "over": "new"}
      ]'
      when 'delete' then '[
        {"of": "delete", "part": "using", "over": "old"},
        {"of": "select", "part": "using", "over": "old"}
      ]'
    end
  );
end;
$$;

comment on function runbook.access_phases(text) is
'[{of, part, over}]: whose policies a command passes, as using or as check, over which row.';
revoke all on function runbook.access_phases(text) from public;

-- A text on one line, cut to what fits into a sentence.
create function runbook.one_line(words text, length integer)
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select case
      when char_length(flat.words) > one_line.length
        then left(flat.words, one_line.length - 1) || '…'
      else flat.words
    end
    from (select regexp_replace(btrim(one_line.words), '\s+', ' ', 'g')) as flat (words)
  );
end;
$$;

comment on function runbook.one_line(text, integer) is 'A text on one line, at most this long.';
revoke all on function runbook.one_line(text, integer) from public;

-- Whether a part of a filter raises that reads no column. Where a table has heirs or partitions
-- Postgres evaluates such a part once, ahead of all that reads a row, whichever policy it belongs
-- to. By the names of the columns, so a part with a subquery that has a column of the same name
-- passes for one that reads the row.
create function runbook.raises_ahead(question jsonb, words text[])
returns boolean
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return raises_ahead.question ? 'has_heirs'
    and raises_ahead.question ->> 'over' = 'old'
    and jsonb_typeof(raises_ahead.question -> 'reads') = 'array'
    and exists (
      select
      from unnest(
        runbook.joined_parts(raises_ahead.question -> 'tree'), raises_ahead.words
      ) as part (expression, word)
      where part.word = 'error'
        and not exists (
          select
          from jsonb_array_elements_text(raises_ahead.question -> 'reads') as col (name)
          where part.expression ~* concat(
            '(^|\W)',
            regexp_replace(col.name, '([^[:alnum:]_])', '\\\1', 'g'),
            '(\W|$)'
          )
        )
    );
end;
$$;

comment on function runbook.raises_ahead(jsonb, text[]) is
'Whether a part of a policy''s filter raises before any row is looked at. words are its parts''.';
revoke all on function runbook.raises_ahead(jsonb, text[]) from public;

-- One policy's part in the explanation of a row.
create function runbook.policy_verdict(question jsonb, verdicts jsonb)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_verdict constant jsonb := policy_verdict.verdicts -> 0;
  v_word constant text := runbook.verdict_word(v_verdict);
  v_words jsonb;
  v_decision jsonb;
  v_joined text[] := array[]::text[];
  v_depends_on_order boolean;
begin
  if policy_verdict.question #> '{tree,parts}' is not null then
    select jsonb_object_agg(
      leaf.expression,
      -- the first verdict is that of the whole
      runbook.verdict_word(policy_verdict.verdicts -> (leaf.position - 1)::integer)
    )
    into v_words
    from jsonb_array_elements_text(policy_verdict.question -> 'conditions')
      with ordinality as leaf (expression, position)
    where leaf.position > 1;

    -- Of a condition of very many parts only the whole is asked.
    if v_words is not null then
      v_decision := runbook.condition_decision(policy_verdict.question -> 'tree', v_words);
    end if;

    -- A check is evaluated as it is written, a filter is not: Postgres splits it at `and` and takes
    -- the parts by their cost.
    if policy_verdict.question ->> 'over' = 'old' and v_words is not null then
      v_joined := runbook.joined_words(policy_verdict.question -> 'tree', v_words);
    end if;
  end if;

  v_depends_on_order := 'error' = any (v_joined)
    and v_joined && array['false', 'null']
    -- What may not be used at all is found before any part is evaluated.
    and coalesce(v_verdict ->> 'sqlstate', '') not in ('42501', '42P17');

  return jsonb_strip_nulls(
    jsonb_build_object(
      'name', policy_verdict.question -> 'name',
      'kind', policy_verdict.question -> 'kind',
      'command', policy_verdict.question -> 'command',
      'part', policy_verdict.question -> 'part',
      'verdict', v_word,
      'message', case
        when v_verdict ? 'sqlstate'
          then format('%s: %s', v_verdict ->> 'sqlstate', v_verdict ->> 'message')
        else v_verdict ->> 'unknown'
      end,
      'expression', policy_verdict.question #> '{tree,expression}',
      'depends_on_order', case when v_depends_on_order then true end,
      'raises_ahead', case
        when coalesce(v_verdict ->> 'sqlstate', '') not in ('42501', '42P17')
          and runbook.raises_ahead(
            policy_verdict.question,
            case when v_joined = '{}' then array[v_word] else v_joined end
          )
          then true
      end
    )
  ) || jsonb_build_object(
    'decided_by', case
      when policy_verdict.question #> '{tree,parts}' is null then jsonb_build_array(
        jsonb_build_object(
          'expression', policy_verdict.question #> '{tree,expression}', 'verdict', v_word
        )
      )
      -- Parts that together give something else could not be evaluated alone.
      when v_decision ->> 'word' = v_word then v_decision -> 'decided_by'
      else '[]'
    end
  );
end;
$$;

comment on function runbook.policy_verdict(jsonb, jsonb) is
'{name, kind, command, part, verdict, message, expression, depends_on_order, raises_ahead, decided_by}
of a policy for a row.';
revoke all on function runbook.policy_verdict(jsonb, jsonb) from public;

-- Which parts made a policy what it is, as words.
create function runbook.deciding_words(policy jsonb)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return (
    select runbook.one_line(
      coalesce(
        (
          select string_agg(
            format('%s is %s', part.item ->> 'expression', part.item ->> 'verdict'),
            ', ' order by part.position
          )
          from jsonb_array_elements(deciding_words.policy -> 'decided_by')
            with ordinality as part (item, position)
          -- One on its own has the verdict of the whole, which is told already.
          having count(*) > 1
        ),
        (
          select part.item ->> 'expression'
          from jsonb_array_elements(deciding_words.policy -> 'decided_by') as part (item)
        ),
        deciding_words.policy ->> 'expression'
      ),
      160
    )
  );
end;
$$;

comment on function runbook.deciding_words(jsonb) is 'The deciding parts of a policy on one line.';
revoke all on function runbook.deciding_words(jsonb) from public;

-- What one phase comes to for a row: {word, why}. `policies` are the row's verdicts of the phase.
create function runbook.phase_verdict(phase jsonb, policies jsonb, joined jsonb, role text)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_of constant text := phase_verdict.phase ->> 'of';
  v_ahead jsonb;
  v_first jsonb;
  v_permissive jsonb;
  v_word text;
begin
  select jsonb_agg(pol.item order by pol.position)
  into v_permissive
  from jsonb_array_elements(phase_verdict.policies) with ordinality as pol (item, position)
  where pol.item ->> 'kind' = 'permissive';

  if v_permissive is null then
    return jsonb_build_object(
      'word', 'false',
      'is_shut', true,
      'why', format(
        'No permissive policy for %s applies to %s, so nothing is let through.',
        v_of, quote_ident(phase_verdict.role)
      )
    );
  end if;

  select pol.item
  into v_first
  from jsonb_array_elements(phase_verdict.policies) with ordinality as pol (item, position)
  where pol.item ->> 'verdict' = 'unknown'
  order by pol.position
  limit 1;

  if found then
    return jsonb_build_object(
      'word', 'unknown',
      'why', format(
        'The policy %s could not be evaluated. %s',
        quote_ident(v_first ->> 'name'), v_first ->> 'message'
      )
    );
  end if;

  -- Several permissive policies are joined by `or`, which is evaluated as it is written.
  select pol.item
  into v_first
  from jsonb_array_elements(phase_verdict.policies) with ordinality as pol (item, position)
  where pol.item ? 'depends_on_order'
    and (pol.item ->> 'kind' = 'restrictive' or jsonb_array_length(v_permissive) = 1)
    and coalesce(phase_verdict.joined ->> 'sqlstate', '') not in ('42501', '42P17')
  order by pol.position
  limit 1;

  if found then
    return jsonb_build_object(
      'word', 'unknown',
      'why', format(
        'One part of the policy %s raises and another is not true; Postgres evaluates them in the '
        'order of their cost, so the statement fails or leaves the row out. The proof tells.',
        quote_ident(v_first ->> 'name')
      )
    );
  end if;

  select pol.item
  into v_ahead
  from jsonb_array_elements(phase_verdict.policies) with ordinality as pol (item, position)
  where pol.item ? 'raises_ahead'
    and (pol.item ->> 'kind' = 'restrictive' or jsonb_array_length(v_permissive) = 1)
  order by pol.position
  limit 1;

  if v_ahead is not null
    -- null: nobody asked, since the others decide
    and runbook.verdict_word(phase_verdict.joined) in ('false', 'null')
  then
    return jsonb_build_object(
      'word', 'unknown',
      'why', format(
        'A part of the policy %s that reads no column raises, and another policy is not true; which '
        'of them Postgres evaluates first decides whether the statement fails or leaves the row '
        'out. The proof tells.',
        quote_ident(v_ahead ->> 'name')
      )
    );
  end if;

  if phase_verdict.joined is not null then
    v_word := runbook.verdict_word(phase_verdict.joined);

    -- Postgres takes a cheap condition that can tell nobody anything ahead of the others.
    if v_word = 'error'
      and phase_verdict.phase ->> 'over' = 'old'
      and phase_verdict.joined ->> 'sqlstate' not in ('42501', '42P17')
      and (
        jsonb_path_exists(
          phase_verdict.policies,
          '$[*] ? (@.kind == "restrictive" && (@.verdict == "false" || @.verdict == "null"))'
        )
        or not jsonb_path_exists(
          v_permissive, '$[*] ? (@.verdict == "true" || @.verdict == "error")'
        )
      )
    then
      return jsonb_build_object(
        'word', 'unknown',
        'why', format(
          'One policy raises %s and another is not true; which of them Postgres evaluates first '
          'decides whether the statement fails or leaves the row out. The proof tells.',
          phase_verdict.joined ->> 'sqlstate'
        )
      );
    end if;

    if v_word in ('error', 'unknown') then
      select pol.item
      into v_first
      from jsonb_array_elements(phase_verdict.policies) with ordinality as pol (item, position)
      -- A part may raise before the one that alone would have decided.
      order by pol.item ->> 'verdict' = 'error' desc, pol.position
      limit 1;

      return jsonb_build_object(
        'word', v_word,
        'raises', phase_verdict.joined -> 'sqlstate',
        'raises_ahead', v_ahead is not null,
        'why', case
          when v_word = 'unknown' then format(
            'The policies could not be evaluated together. %s', phase_verdict.joined ->> 'unknown'
          )
          when v_first ->> 'verdict' = 'error' then format(
            'The whole statement fails: the policy %s raises %s',
            quote_ident(v_first ->> 'name'), v_first ->> 'message'
          )
          else format(
            'The whole statement fails: the policies together raise %s: %s',
            phase_verdict.joined ->> 'sqlstate', phase_verdict.joined ->> 'message'
          )
        end
      );
    end if;
  end if;

  select pol.item
  into v_first
  from jsonb_array_elements(phase_verdict.policies) with ordinality as pol (item, position)
  where pol.item ->> 'kind' = 'restrictive'
    and pol.item ->> 'verdict' in ('false', 'null')
  order by pol.position
  limit 1;

  if found then
    return jsonb_build_object(
      'word', 'false',
      'why', format(
        'The restrictive policy %s is %s: %s',
        quote_ident(v_first ->> 'name'), v_first ->> 'verdict', runbook.deciding_words(v_first)
      )
    );
  end if;

  select pol.item
  into v_first
  from jsonb_array_elements(v_permissive) with ordinality as pol (item, position)
  where pol.item ->> 'verdict' = 'true'
  order by pol.position
  limit 1;

  if found and coalesce(v_word, 'true') = 'true' then
    return jsonb_build_object(
      'word', 'true',
      'why', format(
        'The policy %s lets it through: %s',
        quote_ident(v_first ->> 'name'), runbook.deciding_words(v_first)
      )
    );
  end if;

  if v_word = 'true' then
    return jsonb_build_object(
      'word', 'true',
      'why', 'Together the policies let it through; what raises in them is not evaluated.'
    );
  end if;

  v_first := v_permissive -> 0;

  return jsonb_build_object(
    'word', 'false',
    'why', case
      when jsonb_array_length(v_permissive) = 1 then format(
        'The only permissive policy for %s, %s, is %s: %s',
        v_of, quote_ident(v_first ->> 'name'), v_first ->> 'verdict',
        runbook.deciding_words(v_first)
      )
      else format(
        'None of the %s permissive policies for %s is true: %s',
        jsonb_array_length(v_permissive), v_of,
        runbook.one_line(
          (
            select string_agg(
              format('%s is %s', quote_ident(pol.item ->> 'name'), pol.item ->> 'verdict'),
              ', ' order by pol.position
            )
            from jsonb_array_elements(v_permissive) with ordinality as pol (item, position)
          ),
          300
        )
      )
    end
  );
end;
$$;

comment on function runbook.phase_verdict(jsonb, jsonb, jsonb, text) is
'{word, why, raises}: whether the policies of a phase let a row through, and why, in one sentence.';
revoke all on function runbook.phase_verdict(jsonb, jsonb, jsonb, text) from public;

-- What the phases of a command come to for a row: {visible, allowed, why, policies}. `judged` is
-- the row's entry of runbook.judged.
create function runbook.row_verdict(ask jsonb, judged jsonb)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_command constant text := row_verdict.ask ->> 'command';
  v_policies jsonb := '[]';
  v_of_phase jsonb;
  v_phase jsonb;
  v_position bigint;
  v_outcome jsonb;
  v_outcomes jsonb := '[]';
  v_decisive jsonb;
  v_later jsonb;
  v_visible text;
  v_allowed text;
begin
  for v_phase, v_position in
    select phase.item, phase.position - 1
    from jsonb_array_elements(row_verdict.ask -> 'phases') with ordinality as phase (item, position)
  loop
    select coalesce(
      jsonb_agg(
        runbook.policy_verdict(
          row_verdict.ask -> 'questions' -> asked.number::integer,
          row_verdict.judged -> 'verdicts' -> asked.number::integer
        )
        order by asked.position
      ),
      '[]'
    )
    into v_of_phase
    from jsonb_array_elements_text(v_phase -> 'questions')
      with ordinality as asked (number, position);

    v_outcome := runbook.phase_verdict(
      v_phase,
      v_of_phase,
      row_verdict.judged -> 'joined' -> v_position::text,
      row_verdict.ask ->> 'role'
    ) || v_phase;
    v_outcomes := v_outcomes || v_outcome;
    v_policies := v_policies || v_of_phase;

    -- The first that does not let it through tells; an insert needs no more than its first.
    if v_decisive is null
      and v_outcome ->> 'word' <> 'true'
      and not (v_command = 'insert' and v_position > 0)
    then
      v_decisive := v_outcome;
    end if;
  end loop;

  if v_decisive ->> 'part' = 'using'
    and coalesce(v_decisive ->> 'raises', '') not in ('42501', '42P17')
  then
    select outcome.content
    into v_later
    from jsonb_array_elements(v_outcomes) with ordinality as outcome (content, position)
    where outcome.content ->> 'part' = 'using'
      and outcome.content ->> 'word' = 'false'
    order by outcome.content ? 'is_shut' desc, outcome.position
    limit 1;

    if v_later ? 'is_shut' then
      -- Nothing is found whatever the row is, so nothing is evaluated.
      v_decisive := v_later;
    elsif v_decisive ->> 'word' = 'error' and v_later is not null then
      v_decisive := v_decisive - 'raises' || jsonb_build_object(
        'word', 'unknown',
        'why', format(
          'One policy raises %s and another is not true; which of them Postgres evaluates first '
          'decides whether the statement fails or leaves the row out. The proof tells.',
          v_decisive ->> 'raises'
        )
      );
    elsif v_decisive ->> 'word' = 'false' then
      select outcome.content
      into v_later
      from jsonb_array_elements(v_outcomes) as outcome (content)
      where outcome.content ->> 'part' = 'using'
        and outcome.content ->> 'word' = 'error'
        and (outcome.content ->> 'raises_ahead')::boolean
      limit 1;

      if found then
        v_decisive := v_decisive || jsonb_build_object(
          'word', 'unknown',
          'why', format(
            'A part of a policy that reads no column raises %s, and another policy is not true; '
            'which of them Postgres evaluates first decides whether the statement fails or leaves '
            'the row out. The proof tells.',
            v_later ->> 'raises'
          )
        );
      end if;
    end if;
  end if;

  v_visible := case v_command
    when 'select' then v_outcomes #>> '{0,word}'
    when 'insert' then v_outcomes #>> '{1,word}'
    else v_outcomes #>> '{1,word}'
  end;
  v_allowed := case
    when v_command = 'select' then null
    when v_decisive is null then 'true'
    else v_decisive ->> 'word'
  end;

  return jsonb_build_object(
    'visible', case when v_visible <> 'unknown' then v_visible = 'true' end,
    'why', case
      when v_decisive is null then v_outcomes #>> '{0,why}'
      when v_command in ('update', 'delete') and v_decisive ->> 'part' = 'using'
        and v_decisive ->> 'word' = 'false'
        then format('The %s does not find the row. %s', v_command, v_decisive ->> 'why')
      when v_decisive ->> 'part' = 'check' and v_decisive ->> 'word' = 'false'
        then format('The new row is refused (42501). %s', v_decisive ->> 'why')
      else v_decisive ->> 'why'
    end,
    'policies', v_policies
  ) || case
    when v_decisive ->> 'word' = 'error'
      then jsonb_build_object('raises', v_decisive -> 'raises')
    when v_decisive ->> 'part' = 'check' and v_decisive ->> 'word' = 'false'
      then '{"raises": "42501"}'
    else '{}'
  end || case
    when v_command = 'select' then '{}'
    else jsonb_build_object(
      'allowed', case when v_allowed <> 'unknown' then v_allowed = 'true' end
    )
  end;
end;
$$;

comment on function runbook.row_verdict(jsonb, jsonb) is
'{visible, allowed, why, policies, raises} of a row: raises is the SQLSTATE with which the statement
fails. Of an insert, visible says whether returning works.';
revoke all on function runbook.row_verdict(jsonb, jsonb) from public;
