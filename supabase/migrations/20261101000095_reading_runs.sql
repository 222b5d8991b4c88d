-- Reading the record: runs, newest first, and one run.
--
-- Whoever may diagnose may read what was done. Beside it stands what was refused: the edge function
-- writes that down after the refused transaction has gone, since a refusal rolls itself back.

-- Refuses to apply while a run of the same remediation for the same subject is under way.
create function runbook.refuse_second_run(remediation text, subject text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_run_id bigint;
begin
  select run.id
  into v_run_id
  from runbook.run as run
  where run.state = 'applying'
    and run.remediation = refuse_second_run.remediation
    and lower(btrim(run.subject)) is not distinct from lower(btrim(refuse_second_run.subject))
  limit 1;

  if found then
    raise exception 'Run % of % is still under way.', v_run_id, refuse_second_run.remediation
      using
        errcode = 'RB410',
        detail = jsonb_build_object('run', v_run_id)::text,
        hint = runbook.waiting_hint();
  end if;
end;
$$;

comment on function runbook.refuse_second_run(text, text) is
'Raises RB410 with {run} while a run for the same subject is under way.';
revoke all on function runbook.refuse_second_run(text, text) from public;

-- A time in a filter; what is none is a problem of the parameters.
create function runbook.time_of(params jsonb, path text)
returns timestamptz
language plpgsql
stable
security invoker
set search_path = ''
set timezone = 'UTC'
as $$
begin
  return (time_of.params ->> time_of.path)::timestamptz;
exception
  when data_exception then
    perform runbook.refuse_problems(
      jsonb_build_array(
        jsonb_build_object(
          'path', time_of.path,
          'message', format(
            'must be a time such as 2026-11-23T08:00:00Z, not %s',
            runbook.value_text(time_of.params -> time_of.path)
          )
        )
      )
    );
end;
$$;

comment on function runbook.time_of(jsonb, text) is
'A parameter as a time; without a zone it is UTC. Raises RB400.';
revoke all on function runbook.time_of(jsonb, text) from public;

-- Where a page of runs begins: what an earlier page gave as `next`.
create function runbook.cursor_of(params jsonb)
returns bigint
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_text text;
begin
  if not cursor_of.params ? 'cursor' then
    return null;
  end if;

  v_text := convert_from(decode(cursor_of.params ->> 'cursor', 'base64'), 'UTF8');

  if v_text !~ '^run [0-9]{1,18}$' then
    raise data_exception using message = 'no cursor', hint = 'Caught below.';
  end if;

  return substr(v_text, 5)::bigint;
exception
  when data_exception then
    perform runbook.refuse_problems(
      '[{"path": "cursor", "message": "must be the next of an earlier page"}]'
    );
end;
$$;

comment on function runbook.cursor_of(jsonb) is 'The id behind a cursor. Raises RB400.';
revoke all on function runbook.cursor_of(jsonb) from public;

-- Lists runs, newest first: filters remediation, state, actor, subject, since and until (by start),
-- limit and cursor.
--
-- Definer: lends a viewer the right to read runbook.run.
-- Cost: reads back through the primary key until the page is full.
create function runbook.runs(params jsonb default '{}')
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_params constant jsonb := coalesce(runs.params, '{}');
  v_limit integer;
  v_since timestamptz;
  v_until timestamptz;
  v_before bigint;
  v_items jsonb;
  v_ids bigint[];
begin
  perform runbook.require_role('viewer');
  perform runbook.refuse_problems(
    runbook.problems(
      '{
        "properties": {
          "remediation": {"type": "string", "maxLength": 200},
          "state": {
            "type": "string",
            "enum": [
              "applying", "succeeded", "no_op", "failed", "undone", "undo_refused", "abandoned"
            ]
          },
          "actor": {"type": "string", "maxLength": 200},
          "subject": {"type": "string", "maxLength": 500},
          "since": {"type": "string", "maxLength": 100},
          "until": {"type": "string", "maxLength": 100},
          "limit": {"type": "integer"},
          "cursor": {"type": "string", "maxLength": 100}
        }
      }',
      v_params
    )
  );

  if (v_params ->> 'limit')::numeric not between 1 and 100 then
    perform runbook.refuse_problems('[{"path": "limit", "message": "must be from 1 to 100"}]');
  end if;

  v_limit := coalesce((v_params ->> 'limit')::numeric::integer, 20);
  v_since := runbook.time_of(v_params, 'since');
  v_until := runbook.time_of(v_params, 'until');
  v_before := runbook.cursor_of(v_params);

  select
    coalesce(jsonb_agg(page.item order by page.id desc), '[]'),
    array_agg(page.id order by page.id desc)
  into v_items, v_ids
  from (
    select run.id, runbook.run_summary(run) as item
    from runbook.run as run
    where (v_before is null or run.id < v_before)
      and (not v_params ? 'remediation' or run.remediation = v_params ->> 'remediation')
      and (not v_params ? 'state' or run.state = v_params ->> 'state')
      and (not v_params ? 'actor' or run.actor = v_params ->> 'actor')
      and (
        not v_params ? 'subject'
        or lower(run.subject) = lower(btrim(v_params ->> 'subject'))
      )
      and (v_since is null or run.started_at >= v_since)
      and (v_until is null or run.started_at < v_until)
    order by run.id desc
    -- one more, to know whether there is another page
    limit v_limit + 1
  ) as page;

  return jsonb_build_object(
    'items', case
      when cardinality(v_ids) > v_limit then v_items - v_limit
      else v_items
    end,
    'next', case
      when cardinality(v_ids) > v_limit
        then encode(convert_to(format('run %s', v_ids[v_limit]), 'UTF8'), 'base64')
    end
  );
end;
$$;

comment on function runbook.runs(jsonb) is
'A page of runs, newest first: {items, next}; `next` is the cursor of the page behind, or null.
Raises RB400 with the paths of filters that do not fit.';
revoke all on function runbook.runs(jsonb) from public;
grant execute on function runbook.runs(jsonb) to runbook_viewer;

-- One run with its steps.
--
-- Definer: lends a viewer the right to read runbook.run, step and call.
create function runbook.run_of(id bigint)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
as $$
begin
  perform runbook.require_role('viewer');

  if not exists (select from runbook.run as run where run.id = run_of.id) then
    raise exception 'There is no run %.', coalesce(run_of.id::text, 'null')
      using
        errcode = 'P0002',
        detail = '{"refused": true}',
        hint = 'remediation-runs lists them; in psql select runbook.runs(''{}'').';
  end if;

  return runbook.run_answer(run_of.id);
end;
$$;

comment on function runbook.run_of(bigint) is
'One run in the shape of a remediation''s answer. Raises P0002.';
revoke all on function runbook.run_of(bigint) from public;
grant execute on function runbook.run_of(bigint) to runbook_viewer;

-- Keeps that a request was refused; what of its parameters names a secret is left out. Called after
-- the refused transaction, so only the owner of the schema may.
create function runbook.record_refusal(
  claims jsonb,
  name text,
  code text,
  message text,
  params jsonb default '{}'
)
returns bigint
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into runbook.refusal (actor, name, params, code, reason)
  values (
    case
      when record_refusal.claims ->> 'role' = 'service_role'
        and not record_refusal.claims ? 'sub'
        then coalesce('key:' || (record_refusal.claims ->> 'key_name'), 'nobody')
      else coalesce('user:' || (record_refusal.claims ->> 'sub'), 'nobody')
    end,
    left(record_refusal.name, 200),
    runbook.redacted(coalesce(record_refusal.params, '{}')),
    left(record_refusal.code, 200),
    left(record_refusal.message, 1000)
  )
  returning id;
$$;

comment on function runbook.record_refusal(jsonb, text, text, text, jsonb) is
'Records a refused request: verified claims, the remediation, the code and message of the answer.';
revoke all on function runbook.record_refusal(jsonb, text, text, text, jsonb) from public;

-- Definer: lends an admin the right to read runbook.member and addresses in Auth.
create function runbook.member_list()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
as $$
begin
  perform runbook.require_role('admin');

  return jsonb_build_object(
    'items',
    (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'user_id', mem.user_id,
            'email', usr.email,
            'role', mem.role,
            'added_by', mem.added_by,
            'added_at', mem.added_at
          )
          order by usr.email, mem.user_id
        ),
        '[]'
      )
      from runbook.member as mem
      left join auth.users as usr on usr.id = mem.user_id
    ),
    'next', null
  );
end;
$$;

comment on function runbook.member_list() is
'All members: {items: [{user_id, email, role, added_by, added_at}], next: null}.';
revoke all on function runbook.member_list() from public;
grant execute on function runbook.member_list() to runbook_admin;
