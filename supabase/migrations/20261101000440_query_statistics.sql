-- What the runbook can do about counts of statements that have grown stale: begin them anew.
--
-- Figures that the runbook keeps over time are brought up to date first, so that what is lost is
-- only what pg_stat_statements itself still held.

-- The schema of pg_stat_statements; null where it is not installed.
create function runbook.statement_statistics_schema()
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select nsp.nspname::text collate "default"
  from pg_catalog.pg_extension as ext
  inner join pg_catalog.pg_namespace as nsp on nsp.oid = ext.extnamespace
  where ext.extname = 'pg_stat_statements';
$$;

comment on function runbook.statement_statistics_schema() is
'The schema of pg_stat_statements, or null.';
revoke all on function runbook.statement_statistics_schema() from public;

-- How many entries the statistics of statements hold, and since when they count.
create function runbook.statement_statistics_state()
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_schema constant text := runbook.statement_statistics_schema();
  v_state jsonb;
begin
  execute format(
    'select pg_catalog.jsonb_build_object(
       ''entries'', (select count(*) from %1$I.pg_stat_statements(false)),
       ''since'', (select inf.stats_reset from %1$I.pg_stat_statements_info as inf)
     )',
    v_schema
  )
  into v_state;

  return v_state;
end;
$$;

comment on function runbook.statement_statistics_state() is
'{entries, since} of pg_stat_statements.';
revoke all on function runbook.statement_statistics_state() from public;

-- Forgets the statistics of statements, and sees that they begin anew. Collectors that keep figures
-- from them take their snapshot first.
create function runbook.reset_statement_statistics(args jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_schema constant text := runbook.statement_statistics_schema();
  v_collector runbook.collector;
  v_before jsonb;
  v_after jsonb;
  v_kept text[] := '{}';
begin
  if v_schema is null then
    raise exception 'pg_stat_statements is not installed here.'
      using errcode = 'RBEFF', hint = 'There is nothing to reset.';
  end if;

  v_before := runbook.statement_statistics_state();

  for v_collector in
    select col.name, col.function, col.every, col.keep, col.description
    from runbook.collector as col
    where col.name like 'statement%'
    order by col.name
  loop
    execute format(
      'select %s($1)', (v_collector.function || '(interval)')::regprocedure::oid::regproc
    )
    using v_collector.keep;
    v_kept := v_kept || v_collector.name;
  end loop;

  execute format('select %I.pg_stat_statements_reset()', v_schema);
  v_after := runbook.statement_statistics_state();

  if (v_after ->> 'since')::timestamptz <= (v_before ->> 'since')::timestamptz then
    raise exception 'The statistics were told to begin anew, and count since % as before.',
      v_after ->> 'since'
      using
        errcode = 'RBEFF',
        hint = 'Somebody else may have reset them at the same time.';
  end if;

  return jsonb_build_object(
    'before', v_before,
    'after', v_after,
    'kept_by', v_kept,
    'run_id', reset_statement_statistics.args -> 'run_id'
  );
end;
$$;

comment on function runbook.reset_statement_statistics(jsonb) is
'The effect reset_statement_statistics: {before, after, kept_by}. Raises RBEFF without the extension, and when nothing came of it.';
revoke all on function runbook.reset_statement_statistics(jsonb) from public;

insert into runbook.effect (name, function, refusal_function, description, undo)
values (
  'reset_statement_statistics',
  'runbook.reset_statement_statistics',
  null,
  'Forgets what pg_stat_statements has counted.',
  'none: counts that were forgotten do not come back.'
);

-- Declares that the counting of statements begin anew.
create function runbook.reset_query_statistics(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_schema constant text := runbook.statement_statistics_schema();
  v_state jsonb;
begin
  if v_schema is null then
    perform runbook.refuse_change_of(
      '55000',
      'pg_stat_statements is not installed here, so there is nothing to reset.',
      'create extension pg_stat_statements with schema extensions;'
    );
  elsif not exists (
    select
    from pg_catalog.pg_proc as fun
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = fun.pronamespace
    where nsp.nspname = v_schema
      and fun.proname like 'pg_stat_statements%reset'
      and has_function_privilege(fun.oid, 'execute')
  ) then
    perform runbook.refuse_change_of(
      '42501',
      format('%s may not reset pg_stat_statements.', session_user),
      'A superuser can grant execute on its function.'
    );
  end if;

  begin
    v_state := runbook.statement_statistics_state();
  exception
    when object_not_in_prerequisite_state then
      perform runbook.refuse_change_of(
        '55000',
        'pg_stat_statements is installed, but the server has not loaded it.',
        'It must stand in shared_preload_libraries.'
      );
  end;

  return next runbook.effect_step(
    'reset_statement_statistics',
    '{}',
    format(
      'Forget the counts of %s statements since %s, for everyone who reads them%s.',
      v_state ->> 'entries',
      runbook.utc_text((v_state ->> 'since')::timestamptz),
      (
        select ', after a last snapshot by ' || string_agg(col.name, ', ' order by col.name)
        from runbook.collector as col
        where col.name like 'statement%'
      )
    )
  );
end;
$$;

comment on function runbook.reset_query_statistics(jsonb) is
'Declares that pg_stat_statements forget its counts. Raises 55000 where it is not there, 42501
where it may not be reset.';
revoke all on function runbook.reset_query_statistics(jsonb) from public;

insert into runbook.remediation (
  name,
  title,
  description,
  parameters,
  subject_keys,
  function,
  risk,
  issue,
  cures
)
values (
  'reset-query-statistics',
  'Begin the statistics of statements anew',
  'Makes pg_stat_statements forget its counts, so that what is slow now is not hidden by the past.',
  '{"type": "object", "properties": {}, "additionalProperties": false}',
  '{}',
  'runbook.reset_query_statistics',
  'low',
  null,
  '{}'
);
