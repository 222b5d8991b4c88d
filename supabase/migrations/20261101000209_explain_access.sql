-- Explains access: may this person do this to these rows, gate by gate and policy by policy?
--
-- The gates are answered from the catalogs. Then the policies are evaluated as the user over the
-- rows, and at last the same command is tried as the user and rolled back: the proof. Who asked
-- about whom is recorded.

-- Releases the advisory locks of the session that were not held before: the functions of a policy
-- or trigger may take one that no rollback gives back. Returns how many.
create function runbook.release_locks(held_before jsonb)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
-- giving back once more than was taken is how the end is found, and warns
set client_min_messages = error
as $$
declare
  v_lock record;
  v_count integer := 0;
begin
  for v_lock in
    select lck.classid, lck.objid, lck.objsubid, lck.mode
    from pg_catalog.pg_locks as lck
    where lck.locktype = 'advisory'
      and lck.pid = pg_backend_pid()
      and not release_locks.held_before
        @> jsonb_build_array(format('%s %s %s', lck.classid, lck.objid, lck.objsubid))
  loop
    -- Taken several times, it is given back as often.
    loop
      exit when not case
        when v_lock.objsubid = 1 and v_lock.mode = 'ExclusiveLock' then pg_advisory_unlock(
          (v_lock.classid::bigint << 32) | v_lock.objid::bigint
        )
        when v_lock.objsubid = 1 then pg_advisory_unlock_shared(
          (v_lock.classid::bigint << 32) | v_lock.objid::bigint
        )
        when v_lock.mode = 'ExclusiveLock' then pg_advisory_unlock(
          v_lock.classid::bigint::bit(32)::integer, v_lock.objid::bigint::bit(32)::integer
        )
        else pg_advisory_unlock_shared(
          v_lock.classid::bigint::bit(32)::integer, v_lock.objid::bigint::bit(32)::integer
        )
      end;
    end loop;

    v_count := v_count + 1;
  end loop;

  return v_count;
end;
$$;

comment on function runbook.release_locks(jsonb) is
'Gives back the advisory locks of this session that are not among those held before.';
revoke all on function runbook.release_locks(jsonb) from public;

-- The advisory locks that this session holds, as ["classid objid objsubid"].
create function runbook.held_locks()
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return (
    select coalesce(
      jsonb_agg(format('%s %s %s', lck.classid, lck.objid, lck.objsubid)), '[]'
    )
    from pg_catalog.pg_locks as lck
    where lck.locktype = 'advisory'
      and lck.pid = pg_backend_pid()
  );
end;
$$;

comment on function runbook.held_locks() is 'The advisory locks of this session.';
revoke all on function runbook.held_locks() from public;

-- Explains access, without recording who asked. For diagnoses, which ask about several tables and
-- record one look; explain_access is for everyone else.
--
-- Cost: the policies over the rows and the command on them, not begun later than `until` or 3 s
-- after the start; nothing waits longer than 100 ms for a lock. The caller's statement_timeout ends
-- the rest.
create function runbook.access_explanation(params jsonb, until timestamptz default null)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  v_started_at constant timestamptz := clock_timestamp();
  v_until constant timestamptz := least(
    access_explanation.until, v_started_at + interval '3 seconds'
  );
  v_question constant jsonb := runbook.access_question(access_explanation.params);
  v_relation constant oid := (v_question ->> 'relation')::oid;
  v_command constant text := v_question ->> 'command';
  v_columns constant jsonb := runbook.access_columns(v_relation, false);
  v_held constant jsonb := runbook.held_locks();
  v_subject jsonb;
  v_gates jsonb;
  v_shut_by text;
  v_policies jsonb := '{"rows": []}';
  v_rows jsonb;
  v_proof jsonb;
  v_verdict text;
  v_released integer;
begin
  perform runbook.refuse_values(v_columns, v_question -> 'match', 'match');
  perform runbook.refuse_values(v_columns, coalesce(v_question -> 'row', '{}'), 'row');

  v_subject := runbook.access_subject(v_question);
  v_gates := v_subject -> 'gates';

  if not v_gates @> '[{"state": "fail"}]' then
    v_gates := v_gates || runbook.catalog_gates(v_subject ->> 'role', v_question);
  end if;

  select gate.item ->> 'gate'
  into v_shut_by
  from jsonb_array_elements(v_gates) as gate (item)
  where gate.item ->> 'state' = 'fail'
    -- Whether the Data API serves it says nothing about rows.
    and gate.item ->> 'gate' <> 'exposed'
  limit 1;

  if v_shut_by is null then
    v_policies := runbook.explained_policies(v_question, v_subject, v_gates -> -1, v_until);
    v_gates := v_gates || (v_policies -> 'gate');
  end if;

  v_rows := v_policies -> 'rows';

  begin
    v_proof := case
      when v_policies ->> 'obstacle' is not null and v_rows = '[]' then jsonb_build_object(
        'tried', false, 'reason', v_policies ->> 'obstacle', 'agrees', null
      )
      when v_question ->> 'kind' in ('v', 'f') and v_shut_by is null then jsonb_build_object(
        'tried', true,
        'returned', jsonb_build_object('rows', jsonb_array_length(v_rows)),
        'agrees', null
      )
      else runbook.access_proof(
        v_question,
        v_subject,
        v_policies -> 'fetched',
        v_rows,
        v_shut_by,
        coalesce((v_policies -> 'depends_on_session')::boolean, false),
        v_until
      )
    end;
  exception
    when query_canceled then
      v_proof := '{"tried": false, "reason": "It took too long and was stopped.", "agrees": null}';
    when lock_not_available then
      v_proof := '{"tried": false, "reason": "A lock was not free within 100 ms.", "agrees": null}';
  end;

  if v_proof ? 'outcomes' then
    if jsonb_path_exists(v_rows, '$[*] ? (@.visible == null || @.allowed == null)') then
      v_rows := runbook.rows_with_proof(v_rows, v_proof -> 'outcomes', v_command);
    end if;

    v_proof := v_proof - 'outcomes';
  end if;

  v_released := runbook.release_locks(v_held);
  v_verdict := runbook.rows_verdict(v_rows, v_command);
  v_verdict := case
    when v_shut_by is not null or v_gates @> '[{"gate": "exposed", "state": "fail"}]' then 'denied'
    when v_verdict is not null then v_verdict
    when v_gates @> '[{"gate": "policies", "state": "fail"}]' then 'denied'
    when v_gates @> '[{"gate": "policies", "state": "unknown"}]' then 'unknown'
    else 'allowed'
  end;

  return jsonb_build_object(
    'subject', v_subject -> 'subject',
    'role', v_subject -> 'role',
    'claims', v_subject -> 'claims',
    'table', runbook.relation_name(v_relation),
    'command', v_command,
    'verdict', v_verdict,
    'summary', runbook.access_summary(
      v_question, v_subject -> 'subject', v_verdict, v_gates, v_rows,
      v_policies #>> '{fetched,note}'
    ) || case
      when v_proof -> 'agrees' = 'false'
        then ' Tried as the user it came to something else: see disagrees of the proof.' || case
          when v_proof ? 'fired' then format(
            ' The trigger %s may have changed or dropped the row.',
            (select string_agg(trg.name, ', ') from jsonb_array_elements_text(v_proof -> 'fired')
              as trg (name))
          )
          else ''
        end
      when v_verdict = 'allowed' and v_command <> 'select'
        and v_proof #> '{returned,messages,0,message}' is not null
        then format(
          ' Rights and policies allow it, and yet it failed when it was tried: %s',
          runbook.one_line(v_proof #>> '{returned,messages,0,message}', 200)
        )
      else ''
    end,
    'gates', runbook.all_gates(v_gates),
    'rows', v_rows,
    'proof', v_proof || case
      when v_released = 0 then '{}'
      else jsonb_build_object('released_locks', v_released)
    end,
    'took_ms', runbook.ms_since(v_started_at)
  );
end;
$$;

comment on function runbook.access_explanation(jsonb, timestamptz) is
'What runbook.explain_access answers, without a record of who looked. For diagnoses.';
revoke all on function runbook.access_explanation(jsonb, timestamptz) from public;

create table runbook.access_look (
  id bigint generated always as identity,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  request_id text,
  subject text not null,
  role text,
  relation text not null,
  command text not null,
  verdict text not null,
  constraint access_look_pkey primary key (id)
);

create index access_look_at_idx on runbook.access_look (at);

comment on table runbook.access_look is
'Who looked at what as whom: one row a question to explain_access or a diagnosis that reads as a
person. Kept for 90 days.';
comment on column runbook.access_look.relation is
'The table, or the diagnosis that read several.';
comment on column runbook.access_look.subject is
'The id of the account, the role where none was meant, or what was asked for where it is unknown.';

revoke all on table runbook.access_look from public;

-- Lets a look go when its time is over, and not before.
create function runbook.refuse_early_forgetting()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if old.at < clock_timestamp() - interval '90 days' then
    return old;
  end if;

  raise exception 'A look stays on record for 90 days.'
    using errcode = '55000', hint = 'The schedule removes it then.';
end;
$$;

comment on function runbook.refuse_early_forgetting() is 'Keeps records of looks for 90 days.';
revoke all on function runbook.refuse_early_forgetting() from public;

create trigger access_look_stays
before truncate on runbook.access_look
for each statement execute function runbook.refuse_change();

create trigger access_look_stays_for_90_days
before delete on runbook.access_look
for each row execute function runbook.refuse_early_forgetting();

create trigger access_look_is_append_only
before update on runbook.access_look
for each row execute function runbook.refuse_rewriting();

-- Records that the caller looked as a person: of an explanation, or of several as one. Returns
-- {recorded} and why not, where the database cannot be written.
create function runbook.record_access_look(explanation jsonb, asked_for text)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if current_setting('transaction_read_only') = 'on' then
    return jsonb_build_object(
      'recorded', false, 'not_recorded_because', 'The transaction is read-only.'
    );
  end if;

  insert into runbook.access_look (
    actor, request_id, subject, role, relation, command, verdict
  )
  select
    cal.actor,
    cal.request_id,
    coalesce(
      record_access_look.explanation #>> '{subject,user_id}',
      record_access_look.explanation #>> '{subject,role}',
      record_access_look.asked_for,
      'nobody'
    ),
    record_access_look.explanation ->> 'role',
    record_access_look.explanation ->> 'table',
    record_access_look.explanation ->> 'command',
    record_access_look.explanation ->> 'verdict'
  from runbook.caller() as cal;

  return '{"recorded": true}';
exception
  when query_canceled or assert_failure or others then
    return jsonb_build_object(
      'recorded', false,
      'not_recorded_because', format('Writing the record failed with SQLSTATE %s.', sqlstate)
    );
end;
$$;

comment on function runbook.record_access_look(jsonb, text) is
'Records who looked at what as whom: {recorded, not_recorded_because}.';
revoke all on function runbook.record_access_look(jsonb, text) from public;

-- Records that the caller diagnosed an issue that reads as a person: {} where it reads as nobody,
-- else {recorded} and why not. A read-only transaction cannot, so over HTTP it is called again in
-- one of its own.
--
-- Definer: lends a viewer the right to put a look of their own on record.
create function runbook.record_look(issue text, params jsonb, verdict text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_function text;
  v_subject text;
begin
  perform runbook.require_role('viewer');

  select iss.looks_as into v_function from runbook.issue as iss where iss.name = record_look.issue;

  if v_function is null then
    return '{}';
  end if;

  execute format('select %s($1)', v_function) into v_subject using record_look.params;

  if v_subject is null then
    return '{}';
  end if;

  return runbook.record_access_look(
    jsonb_build_object(
      'subject', jsonb_build_object('user_id', v_subject),
      'role', 'authenticated',
      'table', 'diagnose-' || record_look.issue,
      'command', 'select',
      'verdict', record_look.verdict
    ),
    v_subject
  );
exception
  when lock_not_available or query_canceled then
    return jsonb_build_object(
      'recorded', false,
      'not_recorded_because', format('Writing the record failed with SQLSTATE %s.', sqlstate)
    );
end;
$$;

comment on function runbook.record_look(text, jsonb, text) is
'Records that an issue was diagnosed as a person: {recorded, not_recorded_because}, or {}.';
revoke all on function runbook.record_look(text, jsonb, text) from public;
grant execute on function runbook.record_look(text, jsonb, text) to runbook_viewer;

-- Removes records of looks that are older than 90 days.
create function runbook.forget_old_looks()
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  delete from runbook.access_look as look
  where look.at < clock_timestamp() - interval '90 days';
$$;

comment on function runbook.forget_old_looks() is 'Removes looks from more than 90 days ago.';
revoke all on function runbook.forget_old_looks() from public;

-- Who looked at what as whom, newest first: filters actor, subject (an id, a role or an address),
-- since, until, limit and before (an id, for the next page).
--
-- Definer: lends an admin the right to read runbook.access_look.
create function runbook.access_looks(params jsonb default '{}')
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_params constant jsonb := coalesce(access_looks.params, '{}');
  v_limit integer;
  v_since timestamptz;
  v_until timestamptz;
  v_subjects text[];
  v_items jsonb;
begin
  perform runbook.require_role('admin');
  perform runbook.refuse_problems(
    runbook.problems(
      '{
        "properties": {
          "actor": {"type": "string", "maxLength": 200},
          "subject": {"type": "string", "maxLength": 320},
          "since": {"type": "string", "maxLength": 100},
          "until": {"type": "string", "maxLength": 100},
          "limit": {"type": "integer"},
          "before": {"type": "integer"}
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
  v_subjects := case
    when v_params ? 'subject' then array(
      select acc.id::text
      from unnest(runbook.accounts_of(v_params ->> 'subject')) as acc (id)
    ) || (v_params ->> 'subject')
  end;

  select coalesce(jsonb_agg(to_jsonb(page.*) order by page.id desc), '[]')
  into v_items
  from (
    select
      look.id, look.at, look.actor, look.request_id, look.subject, look.role, look.relation,
      look.command, look.verdict
    from runbook.access_look as look
    where (v_params ->> 'before' is null or look.id < (v_params ->> 'before')::numeric)
      and (v_params ->> 'actor' is null or look.actor = v_params ->> 'actor')
      and (v_subjects is null or look.subject = any (v_subjects))
      and (v_since is null or look.at >= v_since)
      and (v_until is null or look.at < v_until)
    order by look.id desc
    limit v_limit
  ) as page;

  return jsonb_build_object(
    'items', v_items,
    'next', case when jsonb_array_length(v_items) = v_limit then v_items #> '{-1,id}' end
  );
end;
$$;

comment on function runbook.access_looks(jsonb) is
'{items, next}: who looked at what as whom, newest first. Raises RB400 for filters that do not fit.';
revoke all on function runbook.access_looks(jsonb) from public;
grant execute on function runbook.access_looks(jsonb) to runbook_admin;

-- Explains why a person can or cannot do something to rows, and records who asked about whom.
--
-- Definer: lends a viewer the right to read rows as the person in question.
-- Cost: as runbook.access_explanation.
create function runbook.explain_access(params jsonb)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  v_explanation jsonb;
begin
  perform runbook.require_role('viewer');

  v_explanation := runbook.access_explanation(explain_access.params);

  return v_explanation
    || runbook.record_access_look(v_explanation, explain_access.params ->> 'user');
end;
$$;

comment on function runbook.explain_access(jsonb) is
'{subject, role, claims, table, command, verdict, summary, gates, rows, proof, took_ms, recorded}: why
a person can or cannot do something to rows. Raises RB400 for parameters that do not fit.';
revoke all on function runbook.explain_access(jsonb) from public;
grant execute on function runbook.explain_access(jsonb) to runbook_viewer;

-- An explanation cut to its point, as a finding for a diagnosis: the gate that shuts, the first row
-- that is not let through and the policies behind it. Not knowing is `skipped`, as everywhere.
create function runbook.access_finding(explanation jsonb, code text)
returns runbook.finding
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_verdict constant text := access_finding.explanation ->> 'verdict';
  v_row jsonb;
begin
  if v_verdict = 'unknown' then
    return runbook.skipped(access_finding.code, access_finding.explanation ->> 'summary');
  end if;

  select row_of.content
  into v_row
  from jsonb_array_elements(access_finding.explanation -> 'rows')
    with ordinality as row_of (content, position)
  where row_of.content -> case access_finding.explanation ->> 'command'
      when 'select' then 'visible'
      else 'allowed'
    end = 'false'
  order by row_of.position
  limit 1;

  return row(
    access_finding.code,
    case v_verdict when 'denied' then 'critical' when 'partly' then 'warning' else 'info' end,
    access_finding.explanation ->> 'table',
    access_finding.explanation ->> 'summary',
    jsonb_strip_nulls(
      jsonb_build_object(
        'verdict', v_verdict,
        'command', access_finding.explanation -> 'command',
        'role', access_finding.explanation -> 'role',
        'gate', (
          select gate.item - 'evidence'
          from jsonb_array_elements(access_finding.explanation -> 'gates')
            with ordinality as gate (item, position)
          where gate.item ->> 'state' = 'fail'
          order by gate.position
          limit 1
        ),
        'row', v_row -> 'key',
        'why', v_row -> 'why',
        'policies', (
          select jsonb_agg(
            jsonb_build_object(
              'name', pol.item -> 'name',
              'verdict', pol.item -> 'verdict',
              'decided_by', pol.item -> 'decided_by'
            )
            order by pol.position
          )
          from jsonb_array_elements(v_row -> 'policies') with ordinality as pol (item, position)
          where pol.item ->> 'verdict' <> 'true'
        ),
        'proof_agrees', access_finding.explanation #> '{proof,agrees}'
      )
    ),
    case
      when (access_finding.explanation #> '{proof,agrees}') = 'true'
        then 'policies evaluated as the user, proved by trying it'
      else 'policies evaluated as the user'
    end,
    null,
    null
  )::runbook.finding;
end;
$$;

comment on function runbook.access_finding(jsonb, text) is
'An explanation as one finding: its sentence, the gate or the row and policies that decided it.';
revoke all on function runbook.access_finding(jsonb, text) from public;
