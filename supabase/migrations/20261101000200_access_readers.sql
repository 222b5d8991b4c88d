-- The three readers: functions that run a statement as anon, authenticated or service_role, and
-- roll it back.
--
-- `set role` is refused below a security definer function, and where it is not, the statement could
-- set it back and be postgres. So each reader is owned by the role that it reads as: what it runs
-- has that role's rights and row level security, and an attempt to change the role gets 42501.
-- They belong to those roles but are not executable by them: the owner of the schema alone calls.

do $$
declare
  v_role text;
begin
  foreach v_role in array array['anon', 'authenticated', 'service_role'] loop
    execute format(
      $create$
      create function runbook.read_as_%1$s(
        source anyarray,
        statements text[],
        content jsonb,
        settings jsonb,
        until timestamptz
      )
      returns jsonb[]
      language plpgsql
      volatile
      security definer
      set search_path = public, extensions, pg_temp
      as $body$
      declare
        v_answers jsonb[] := array[]::jsonb[];
        v_answer jsonb;
        v_started_at timestamptz;
        v_is_done boolean;
        v_is_cancelled boolean := false;
        v_state text;
        v_message text;
        v_context text;
      begin
        for v_index in 1..pg_catalog.cardinality(read_as_%1$s.statements) loop
          if v_is_cancelled or pg_catalog.clock_timestamp() > read_as_%1$s.until then
            -- Not looked at.
            v_answers := v_answers || null::jsonb;
            continue;
          end if;

          v_started_at := pg_catalog.clock_timestamp();
          v_is_done := false;
          v_answer := null;

          begin
            perform pg_catalog.set_config(stg.key, stg.value, true)
            from pg_catalog.jsonb_each_text(read_as_%1$s.settings) as stg (key, value);

            execute read_as_%1$s.statements[v_index]
            into v_answer
            using read_as_%1$s.source, read_as_%1$s.content;

            v_is_done := true;
            -- Back to where it was, whatever the statement did.
            raise exception using errcode = 'RB000', message = 'rolled back', hint = 'Caught below.';
          exception
            when assert_failure or query_canceled or others then
              if not v_is_done then
                get stacked diagnostics
                  v_state = returned_sqlstate,
                  v_message = message_text,
                  v_context = pg_exception_context;
                v_is_cancelled := v_state = '57014';
                v_answer := pg_catalog.jsonb_build_object(
                  'sqlstate', v_state,
                  'message', v_message,
                  -- Not raised by a function that the statement calls, but by itself.
                  'is_own', v_context like 'PL/pgSQL function runbook.read_as_%%'
                );
              end if;
          end;

          v_answers := v_answers || pg_catalog.jsonb_build_object(
            'answer', v_answer,
            'failed', not v_is_done,
            'took_ms', pg_catalog.round(
              1000 * extract(epoch from pg_catalog.clock_timestamp() - v_started_at), 2
            )
          );
        end loop;

        return v_answers;
      end;
      $body$
      $create$,
      v_role
    );

    execute format(
      'comment on function runbook.read_as_%1$s(anyarray, text[], jsonb, jsonb, timestamptz) is %2$L',
      v_role,
      'Runs each statement as ' || v_role || ' with $1 (source) and $2 (content) under settings, and
rolls it back: {answer, failed, took_ms} each, null for what was not begun until then.'
    );
    execute format(
      'revoke all on function
         runbook.read_as_%1$s(anyarray, text[], jsonb, jsonb, timestamptz) from public',
      v_role
    );

    -- A new owner must be able to create in the schema, so for a moment it may.
    execute format('grant create on schema runbook to %I', v_role);
    execute format(
      'alter function runbook.read_as_%1$s(anyarray, text[], jsonb, jsonb, timestamptz)
       owner to %1$I',
      v_role
    );
    execute format('revoke create on schema runbook from %I', v_role);
    execute format(
      'grant execute on function
         runbook.read_as_%1$s(anyarray, text[], jsonb, jsonb, timestamptz) to current_user',
      v_role
    );
    execute format(
      'revoke all on function
         runbook.read_as_%1$s(anyarray, text[], jsonb, jsonb, timestamptz) from %1$I',
      v_role
    );
  end loop;
end;
$$;
