-- What a request for a change must hold, before anything is looked at: parameters that fit their
-- schema with ages resolved to instants, a reason, a key; and the hash that binds an apply to the
-- plan that somebody saw.

-- What identifies a plan: when any of it differs, the world moved. What a change generates (the
-- image after it, the key of a new row) is no part.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.plan_hash_of(name text, params jsonb, steps jsonb, undo_of bigint)
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    select encode(
      sha256(
        convert_to(
          jsonb_build_object(
            'remediation', plan_hash_of.name,
            'undo_of', plan_hash_of.undo_of,
            'params', plan_hash_of.params,
            'steps', coalesce(
              jsonb_agg(
                jsonb_build_object(
                  'kind', stp.content -> 'kind',
                  'operation', stp.content -> 'operation',
                  'relation', stp.content -> 'relation',
                  'key', case
                    when stp.content ->> 'operation' <> 'insert' then stp.content -> 'key'
                  end,
                  'before', stp.content -> 'before',
                  'content', stp.content -> 'content',
                  'statement', stp.content -> 'statement'
                )
                order by stp.position
              ),
              '[]'
            )
          )::text,
          'UTF8'
        )
      ),
      'hex'
    )
    from jsonb_array_elements(plan_hash_of.steps) with ordinality as stp (content, position)
  );
end;
$$;

comment on function runbook.plan_hash_of(text, jsonb, jsonb, bigint) is
'A fingerprint of a plan: name, parameters and each step''s target, row before, changed columns,
statement or call.';
revoke all on function runbook.plan_hash_of(text, jsonb, jsonb, bigint) from public;

-- What is wrong with a request beside the remediation's own parameters. Applying needs a reason,
-- which may have to tell more (a payment note), and then the problem says what; at high risk also
-- the hash of a plan that was seen, and a name for the change.
create function runbook.request_problems(
  reason_schema jsonb,
  risk text,
  dry_run boolean,
  reason text,
  idempotency_key text,
  plan_hash text
)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_problems constant jsonb := runbook.problems(
    jsonb_build_object(
      'properties',
      jsonb_build_object(
        'reason', request_problems.reason_schema,
        'idempotency_key', '{"type": "string", "minLength": 1, "maxLength": 255}'::jsonb,
        'plan_hash', '{"type": "string", "minLength": 64, "maxLength": 64}'::jsonb
      )
    ) || case
      when coalesce(request_problems.dry_run, false) then '{}'::jsonb
      when request_problems.risk = 'high'
        then '{"required": ["reason", "idempotency_key", "plan_hash"]}'::jsonb
      else '{"required": ["reason"]}'::jsonb
    end,
    jsonb_strip_nulls(
      jsonb_build_object(
        'reason', btrim(request_problems.reason),
        'idempotency_key', request_problems.idempotency_key,
        'plan_hash', request_problems.plan_hash
      )
    )
  );
begin
  return (
    select coalesce(
      jsonb_agg(
        case
          when prb.content ->> 'path' = 'reason' then prb.content || jsonb_build_object(
            'message',
            concat_ws(
              ': ', prb.content ->> 'message', request_problems.reason_schema ->> 'description'
            )
          )
          else prb.content
        end
        order by prb.position
      ),
      '[]'
    )
    from jsonb_array_elements(v_problems) with ordinality as prb (content, position)
  );
end;
$$;

comment on function runbook.request_problems(jsonb, text, boolean, text, text, text) is
'Problems of a request to remediate, as an array of {path, message}: applying needs a reason that
fits its JSON Schema, and at high risk an idempotency_key and a plan_hash.';
revoke all on function runbook.request_problems(jsonb, text, boolean, text, text, text) from public;

-- Parameters as a run keeps them. A property of `"format": "age"` takes `30 days` and becomes the
-- time that was 30 days ago; a time stays as it is, so a plan's parameters can be sent back. One of
-- `"format": "relation"` becomes the full name of that table or index, and one of `"instant"` a
-- time in UTC, so that it is one subject however it was written.
create function runbook.resolved_params(schema jsonb, params jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_params jsonb := resolved_params.params;
  v_property text;
  v_format text;
  v_value text;
begin
  for v_property, v_format in
    select prop.key, prop.value ->> 'format'
    from jsonb_each(coalesce(resolved_params.schema -> 'properties', '{}')) as prop (key, value)
    where prop.value ->> 'format' in ('age', 'instant', 'relation')
      and jsonb_typeof(v_params -> prop.key) = 'string'
  loop
    v_value := v_params ->> v_property;

    begin
      -- Newer servers take it for an age.
      if v_format = 'age' and v_value ~* 'infinity' then
        raise data_exception using message = 'no age', hint = 'Caught below.';
      end if;

      v_params := v_params || jsonb_build_object(
        v_property,
        case
          when v_format = 'relation' then to_jsonb(
            runbook.relation_name(runbook.relation_of(v_value))
          )
          when v_format = 'instant' or v_value ~ '^\d{4}-'
            then to_jsonb(v_value::timestamptz)
          else to_jsonb((select runbook.now()) - v_value::interval)
        end
      );
    exception
      when data_exception then
        perform runbook.refuse_problems(
          jsonb_build_array(
            jsonb_build_object(
              'path', v_property,
              'message', format(
                '%s, not %s',
                case v_format
                  when 'age'
                    then 'must be an age such as 30 days, or a time such as 2026-11-23T08:00:00Z'
                  when 'instant' then 'must be a time such as 2026-11-23T08:00:00Z'
                  else 'must be a name such as public.profiles'
                end,
                runbook.value_text(to_jsonb(v_value))
              )
            )
          )
        );
    end;
  end loop;

  return v_params;
end;
$$;

comment on function runbook.resolved_params(jsonb, jsonb) is
'Parameters in which relative ages are instants and names of relations are full. Raises RB400, and
P0002 for a relation that does not exist.';
revoke all on function runbook.resolved_params(jsonb, jsonb) from public;
