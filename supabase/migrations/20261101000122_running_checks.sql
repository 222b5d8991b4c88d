-- Running checks: one alone, several under one budget, a group on schedule with its results kept.
--
-- A statement has one time limit, however many checks it runs. So a check that hangs is cancelled
-- with the statement's budget and caught here: it is `error`, those behind it are `skipped`, and
-- it is quarantined: it runs last until it has passed once. The others run by what they last cost.
-- Relies on: the catalog's groups; the schedule, which gives each group's statement its timeout.

create table runbook.check_state (
  check_name text not null,
  entry jsonb not null,
  took_ms numeric,
  measured_at timestamptz not null,
  due_at timestamptz not null,
  quarantined_at timestamptz,
  constraint check_state_pkey primary key (check_name),
  constraint check_state_check_name_fkey foreign key (check_name)
    references runbook.check (name) on delete cascade
)
with (fillfactor = 50);

comment on table runbook.check_state is
'What the schedule last measured for each check. Real clock.';
comment on column runbook.check_state.entry is 'The entry of a report, with all of its findings.';
comment on column runbook.check_state.took_ms is
'What the check cost when it last ran, to its end or until it was cancelled.';
comment on column runbook.check_state.due_at is 'When the schedule evaluates it again.';
comment on column runbook.check_state.quarantined_at is
'Since when it runs behind the others: it was cancelled, and has not passed since.';

revoke all on table runbook.check_state from public;
grant select on table runbook.check_state to runbook_viewer;

-- Names of the checks in the order in which they run: by what they last cost, then those that were
-- never measured, at the end those in quarantine.
create function runbook.check_names()
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
set lock_timeout = '100ms'
as $$
begin
  return (
    select coalesce(
      array_agg(
        chk.name
        order by stt.quarantined_at nulls first, stt.took_ms nulls last, chk.position
      ),
      '{}'
    )
    from runbook.check as chk
    left join runbook.check_state as stt on stt.check_name = chk.name
  );
exception
  -- Somebody changes the table of costs: the checks themselves answer all the same.
  when lock_not_available then
    return array(select chk.name from runbook.check as chk order by chk.position);
end;
$$;

comment on function runbook.check_names() is 'The checks in the order to run them, cheapest first.';
revoke all on function runbook.check_names() from public;
grant execute on function runbook.check_names() to runbook_viewer;

-- The checks that somebody asks for by name, by group or both, in the order to run them; all of
-- them where neither is given.
create function runbook.chosen_checks(checks text[] default null, groups text[] default null)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_problems jsonb;
begin
  select coalesce(jsonb_agg(prb.content), '[]')
  into v_problems
  from (
    select jsonb_build_object(
      'path', format('checks.%s', ask.position - 1),
      'message', format(
        'is not a known check: %s; a report without a choice names all',
        runbook.value_text(to_jsonb(ask.name))
      )
    )
    from unnest(chosen_checks.checks) with ordinality as ask (name, position)
    where not exists (select from runbook.check as chk where chk.name = ask.name)
    union all
    select jsonb_build_object(
      'path', format('groups.%s', ask.position - 1),
      'message', format(
        'must be one of %s, not %s',
        (
          select string_agg(grp.name, ', ' order by grp.position)
          from runbook.check_group as grp
        ),
        runbook.value_text(to_jsonb(ask.name))
      )
    )
    from unnest(chosen_checks.groups) with ordinality as ask (name, position)
    where not exists (select from runbook.check_group as grp where grp.name = ask.name)
  ) as prb (content);

  perform runbook.refuse_problems(v_problems);

  return (
    select coalesce(array_agg(nam.name order by nam.position), '{}')
    from unnest(runbook.check_names()) with ordinality as nam (name, position)
    inner join runbook.check as chk on chk.name = nam.name
    where chosen_checks.checks is null and chosen_checks.groups is null
      or nam.name = any (chosen_checks.checks)
      or chk.check_group = any (chosen_checks.groups)
  );
end;
$$;

comment on function runbook.chosen_checks(text[], text[]) is
'The checks of these names and groups, cheapest first; all of them for nulls. Raises RB400 for a
name that the catalog does not have.';
revoke all on function runbook.chosen_checks(text[], text[]) from public;
grant execute on function runbook.chosen_checks(text[], text[]) to runbook_viewer;

-- The status of a check from its findings: a problem outweighs not knowing.
create function runbook.status_of(findings runbook.finding[])
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select case
    when bool_or(fnd.severity = 'critical') then 'critical'
    when bool_or(fnd.severity = 'warning') then 'warning'
    when bool_or(fnd.severity = 'skipped') then 'skipped'
    when bool_or(fnd.severity = 'not_applicable') then 'not_applicable'
    else 'ok'
  end
  from unnest(status_of.findings) as fnd;
$$;

comment on function runbook.status_of(runbook.finding[]) is
'ok, warning, critical, skipped or not_applicable.';
revoke all on function runbook.status_of(runbook.finding[]) from public;

-- The first hundred findings, each with texts of a bounded length: what a check quotes (a
-- statement, a name) may be of any size, and a report must not be.
create function runbook.bounded_findings(findings runbook.finding[])
returns runbook.finding[]
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select array_agg(
    row(
      fnd.code,
      fnd.severity,
      left(fnd.subject, 200),
      case
        -- One of exactly 300 was cut by its check.
        when char_length(fnd.summary) >= 300 then left(fnd.summary, 299) || '…'
        else fnd.summary
      end,
      case
        when octet_length(fnd.evidence::text) > 2000
          then jsonb_build_object(
            'left_out', format('%s bytes', octet_length(fnd.evidence::text))
          )
        else fnd.evidence
      end,
      left(fnd.method, 200),
      fnd.remediation,
      fnd.params
    )::runbook.finding
    order by fnd.position
  )
  from unnest(bounded_findings.findings) with ordinality as fnd (
    code, severity, subject, summary, evidence, method, remediation, params, position
  )
  where fnd.position <= 100;
$$;

comment on function runbook.bounded_findings(runbook.finding[]) is
'At most 100 findings with a summary of at most 300 characters and evidence of at most 2,000 bytes.';
revoke all on function runbook.bounded_findings(runbook.finding[]) from public;

-- One entry of a report. Each key is always there, but for `reason`.
create function runbook.check_entry(
  check_name text,
  status text,
  result runbook.check_result,
  threshold jsonb,
  took_ms numeric,
  reason text
)
returns jsonb
language sql
immutable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'check', check_entry.check_name,
    'status', check_entry.status,
    'value', (check_entry.result).value,
    'threshold', nullif(check_entry.threshold, '{}'),
    'took_ms', check_entry.took_ms,
    -- Most checks find nothing, and a function is planned anew each time that it is called.
    'findings', case
      when cardinality((check_entry.result).findings) > 0
        then runbook.facts_of((check_entry.result).findings)
      else '[]'
    end
  ) || jsonb_strip_nulls(jsonb_build_object('reason', check_entry.reason));
$$;

comment on function runbook.check_entry(text, text, runbook.check_result, jsonb, numeric, text) is
'{check, status, value, threshold, took_ms, findings, reason?}.';
revoke all on function
runbook.check_entry(text, text, runbook.check_result, jsonb, numeric, text)
from public;
grant execute on function
runbook.check_entry(text, text, runbook.check_result, jsonb, numeric, text)
to runbook_viewer;

-- Runs one check and returns its entry of the report. Never raises.
--
-- Definer: lends a viewer the right to read what the check reads (statistics, pg_cron's tables).
create function runbook.run_check(check_name text, scheduled boolean default false)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set lock_timeout = '100ms'
set timezone = 'UTC'
-- Plans over catalogs are misjudged, and compiling one takes longer than running it.
set jit = off
-- Nor may looking take the worker processes that the application's queries wait for.
set max_parallel_workers_per_gather = 0
as $$
declare
  v_started_at constant timestamptz := clock_timestamp();
  v_function text;
  v_thresholds jsonb;
  v_value numeric;
  v_findings runbook.finding[];
  v_status text;
  v_reason text;
  v_sqlstate text;
begin
  begin
    select chk.function, runbook.thresholds_of(chk.name)
    into v_function, v_thresholds
    from runbook.check as chk
    where chk.name = run_check.check_name;

    if not found then
      return runbook.check_entry(
        run_check.check_name,
        'error',
        null,
        null,
        runbook.ms_since(v_started_at),
        'The catalog has no such check.'
      );
    end if;

    execute format(
      'select found.value, found.findings from %s($1) as found',
      (v_function || '(jsonb)')::regprocedure::oid::regproc
    )
    into v_value, v_findings
    using v_thresholds || jsonb_build_object('scheduled', run_check.scheduled);

    v_status := 'ok';

    if cardinality(v_findings) > 0 then
      v_status := runbook.status_of(v_findings);

      select string_agg(fnd.summary, ' ')
      into v_reason
      from unnest(v_findings) as fnd
      where fnd.severity in ('skipped', 'not_applicable');
    end if;
  exception
    when lock_not_available then
      v_status := 'skipped';
      v_reason := 'A lock was not free; a change of the schema may be under way.';
    when query_canceled then
      v_status := 'error';
      v_sqlstate := sqlstate;
      v_reason := 'It was cancelled: too slow, or on request.';
    when assert_failure or others then
      v_status := 'error';
      v_sqlstate := sqlstate;
      v_reason := format('It failed with SQLSTATE %s: %s', sqlstate, sqlerrm);
  end;

  return runbook.check_entry(
    run_check.check_name,
    v_status,
    row(
      v_value,
      case when cardinality(v_findings) > 0 then runbook.bounded_findings(v_findings) end
    )::runbook.check_result,
    v_thresholds,
    runbook.ms_since(v_started_at),
    left(v_reason, 1000)
  ) || jsonb_strip_nulls(
    jsonb_build_object(
      'sqlstate', v_sqlstate,
      'more_findings', nullif(greatest(cardinality(v_findings) - 100, 0), 0)
    )
  );
end;
$$;

comment on function runbook.run_check(text, boolean) is
'Runs one check: {check, status, value, threshold, took_ms, findings, reason?, sqlstate?,
more_findings?}. Never raises. A scheduled run accepts probes of the minute before.';
revoke all on function runbook.run_check(text, boolean) from public;
grant execute on function runbook.run_check(text, boolean) to runbook_viewer;

-- Runs checks, cheapest first, for as long as the budget lasts. The time limit of a statement
-- strikes once: after a check that was cancelled nothing would stop the next one.
create function runbook.run_checks(
  scheduled boolean default false,
  names text[] default null,
  budget interval default '20 seconds'
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_deadline constant timestamptz := clock_timestamp() + run_checks.budget;
  v_is_spent boolean := false;
  v_name text;
  v_entry jsonb;
  v_entries jsonb[] := '{}';
begin
  for v_name in
    select nam.name
    from unnest(runbook.check_names()) with ordinality as nam (name, position)
    where run_checks.names is null
      or nam.name = any (run_checks.names)
    order by nam.position
  loop
    if v_is_spent then
      v_entry := runbook.check_entry(v_name, 'skipped', null, null, 0, 'budget spent');
    else
      v_entry := runbook.run_check(v_name, run_checks.scheduled);
      v_is_spent := coalesce(v_entry ->> 'sqlstate' = '57014', false)
        or clock_timestamp() >= v_deadline;
    end if;

    v_entries := v_entries || v_entry;
  end loop;

  return to_jsonb(v_entries);
end;
$$;

comment on function runbook.run_checks(boolean, text[], interval) is
'Runs all checks, or those of the names, and returns their entries as an array. After one that was
cancelled, and when the budget is spent, the others are skipped.';
revoke all on function runbook.run_checks(boolean, text[], interval) from public;
grant execute on function runbook.run_checks(boolean, text[], interval) to runbook_viewer;

-- Keeps what the schedule measured. A check that was cancelled, or that ate the whole budget
-- without being stopped, is quarantined until it has passed once. One that the budget did not
-- reach is due at once, and keeps the cost that is known of it.
create function runbook.keep_entries(entries jsonb)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  with given as (
    select
      ent.content,
      chk.name,
      grp.every,
      grp.largest_share,
      (ent.content ->> 'took_ms')::numeric as took_ms,
      ent.content ->> 'reason' is not distinct from 'budget spent' as is_left_out,
      coalesce(ent.content ->> 'sqlstate' = '57014', false)
        or (ent.content ->> 'took_ms')::numeric >= 1000 * extract(epoch from grp.budget)
        as is_too_slow
    from jsonb_array_elements(keep_entries.entries) as ent (content)
    inner join runbook.check as chk on chk.name = ent.content ->> 'check'
    inner join runbook.check_group as grp on grp.name = chk.check_group
  )
  insert into runbook.check_state as stt (
    check_name, entry, took_ms, measured_at, due_at, quarantined_at
  )
  select
    given.name,
    given.content,
    case when not given.is_left_out then given.took_ms end,
    clock_timestamp(),
    clock_timestamp() + case
      when given.is_left_out then interval '0'
      else greatest(
        given.every,
        least(
          interval '1 hour',
          make_interval(secs => (given.took_ms / 1000 / given.largest_share)::double precision)
        )
      )
    end,
    case when given.is_too_slow then clock_timestamp() end
  from given
  on conflict on constraint check_state_pkey do update
  set
    entry = excluded.entry,
    took_ms = coalesce(excluded.took_ms, stt.took_ms),
    measured_at = excluded.measured_at,
    due_at = excluded.due_at,
    quarantined_at = case
      when excluded.took_ms is null then stt.quarantined_at
      when excluded.quarantined_at is null then null
      else coalesce(stt.quarantined_at, excluded.quarantined_at)
    end;
$$;

comment on function runbook.keep_entries(jsonb) is
'Keeps entries of checks as the latest: what they cost, when they are due, whether in quarantine.';
revoke all on function runbook.keep_entries(jsonb) from public;

-- Evaluates the checks of a group that are due, or all of them, and keeps the entries. What the
-- schedule calls, in a statement whose timeout is the group's budget. One at a time a group.
create function runbook.evaluate_group(group_name text, even_if_not_due boolean default false)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_budget interval;
  v_due text[];
begin
  select grp.budget
  into v_budget
  from runbook.check_group as grp
  where grp.name = evaluate_group.group_name;

  if not found then
    raise exception 'There is no group of checks %.',
      coalesce(quote_literal(evaluate_group.group_name), 'null')
      using errcode = 'RB404', hint = 'select name from runbook.check_group;';
  end if;

  if current_setting('transaction_read_only')::boolean then
    raise notice 'The database is read-only, so nothing was evaluated: it could not be kept.';
    return 0;
  end if;

  if not pg_try_advisory_xact_lock(
    hashtextextended('runbook checks ' || evaluate_group.group_name, 0)
  ) then
    raise notice 'Another evaluation of this group is under way.';
    return 0;
  end if;

  select array_agg(chk.name)
  into v_due
  from runbook.check as chk
  left join runbook.check_state as stt on stt.check_name = chk.name
  where chk.check_group = evaluate_group.group_name
    and (
      evaluate_group.even_if_not_due
      or stt.due_at is null
      -- The schedule comes on the minute, give or take a moment.
      or stt.due_at <= clock_timestamp() + interval '10 seconds'
    );

  if v_due is null then
    return 0;
  end if;

  perform runbook.keep_entries(
    runbook.run_checks(scheduled => true, names => v_due, budget => v_budget)
  );

  return cardinality(v_due);
end;
$$;

comment on function runbook.evaluate_group(text, boolean) is
'Evaluates those checks of a group that are due and keeps their entries. Returns how many it were.
Raises RB404 for an unknown group; does nothing on a read-only database.';
revoke all on function runbook.evaluate_group(text, boolean) from public;

-- The latest entry of each check, with the time at which it was measured. One that is overdue no
-- longer says that all is well; what it found stays found.
create function runbook.recorded_entries()
returns jsonb
language sql
stable
security invoker
set search_path = ''
set timezone = 'UTC'
as $$
  select coalesce(
    jsonb_agg(
      case
        when clock_timestamp() < stt.due_at + interval '3 minutes' then stt.entry
        when stt.entry ->> 'status' in ('warning', 'critical', 'error')
          then stt.entry || jsonb_build_object('reason', overdue.reason)
        else runbook.check_entry(
          stt.check_name, 'skipped', null, null, stt.took_ms, overdue.reason
        )
      end || jsonb_build_object('measured_at', stt.measured_at)
    ),
    '[]'
  )
  from runbook.check_state as stt
  cross join lateral (
    select format(
      'It was measured at %s and due again at %s: the job runbook-checks is late.',
      runbook.utc_text(stt.measured_at),
      runbook.utc_text(stt.due_at)
    ) as reason
  ) as overdue;
$$;

comment on function runbook.recorded_entries() is
'What the schedule last measured, as entries with measured_at.';
revoke all on function runbook.recorded_entries() from public;
grant execute on function runbook.recorded_entries() to runbook_viewer;
