-- What the runbook can do about a table's dead rows and statistics: VACUUM and ANALYZE it now.
--
-- Both end without an error where Postgres would not do them, so their steps look whether they were
-- done, and say who keeps dead rows from being removed.

-- Refuses a table that this login may not vacuum: Postgres would skip it with a warning.
create function runbook.refuse_skipped_table(mended runbook.mendable_relation)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_may_maintain boolean := false;
begin
  if current_setting('server_version_num')::integer >= 170000 then
    execute 'select pg_catalog.has_table_privilege($1, ''maintain'')'
    into v_may_maintain
    using (refuse_skipped_table.mended).relation;
  end if;

  if not v_may_maintain
    and not (refuse_skipped_table.mended).is_ours
    and not exists (
      select
      from pg_catalog.pg_database as dat
      where dat.datname = current_database()
        and pg_has_role(dat.datdba, 'usage')
    )
  then
    perform runbook.refuse_change_of(
      '42501',
      format(
        '%s belongs to another role, so Postgres would skip it.',
        (refuse_skipped_table.mended).name
      ),
      'The owner of the table or of the database may do this.'
    );
  end if;
end;
$$;

comment on function runbook.refuse_skipped_table(runbook.mendable_relation) is
'Raises 42501 for a table that VACUUM and ANALYZE would skip.';
revoke all on function runbook.refuse_skipped_table(runbook.mendable_relation) from public;

-- Declares a VACUUM of a table.
create function runbook.vacuum_table(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_found constant runbook.mendable_relation := runbook.relation_to_mend(
    vacuum_table.params ->> 'table'
  );
  v_holder text;
begin
  if v_found.kind = 'p' then
    perform runbook.refuse_change_of(
      '22023',
      format('%s is partitioned: its rows are in its partitions.', v_found.name),
      'Name a partition.'
    );
  end if;

  perform runbook.refuse_other_kinds(v_found, array['r', 'm']::"char"[]);
  perform runbook.refuse_skipped_table(v_found);
  v_holder := runbook.horizon_holder();

  return next runbook.statement_step(
    'vacuum',
    jsonb_build_object(
      'relation', v_found.name,
      'side_effects', jsonb_build_array(
        'reading and writing go on; other changes of the table''s shape wait until it is done',
        'the space of dead rows is used again, and mostly not given back to the disk',
        coalesce(
          'what died after this began stays: ' || v_holder,
          'nobody keeps dead rows from being removed'
        )
      )
    ),
    format(
      'Remove the dead rows of %s: about %s%s.',
      v_found.name,
      pg_stat_get_dead_tuples(v_found.relation),
      -- no pages: nobody has counted them yet, and asking for the size would lock the table
      case
        when v_found.pages > 0 then ', in a table of '
          || runbook.size_text(v_found.pages * current_setting('block_size')::numeric)
        else ''
      end
    )
  );
end;
$$;

comment on function runbook.vacuum_table(jsonb) is
'Declares a VACUUM of {table}. Raises 42501 for a table that would be skipped or is of Postgres,
22023 for what is no table, P0002.';
revoke all on function runbook.vacuum_table(jsonb) from public;

-- Declares an ANALYZE of a table.
create function runbook.analyze_table(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_found constant runbook.mendable_relation := runbook.relation_to_mend(
    analyze_table.params ->> 'table'
  );
begin
  perform runbook.refuse_other_kinds(v_found, array['r', 'm', 'p']::"char"[]);
  perform runbook.refuse_skipped_table(v_found);

  return next runbook.statement_step(
    'analyze',
    jsonb_build_object(
      'relation', v_found.name,
      'side_effects', jsonb_build_array(
        'reading and writing go on; other changes of the table''s shape wait until it is done',
        'plans of later statements may change, mostly for the better'
      )
    ),
    format(
      'Read a sample of %s anew, so that plans go by its present content: about %s changes since the '
      'last time.',
      v_found.name,
      pg_stat_get_mod_since_analyze(v_found.relation)
    )
  );
end;
$$;

comment on function runbook.analyze_table(jsonb) is
'Declares an ANALYZE of {table}. Raises 42501 for a table that would be skipped or is of Postgres,
22023 for what is no table, P0002.';
revoke all on function runbook.analyze_table(jsonb) from public;

insert into runbook.remediation (
  name,
  title,
  description,
  parameters,
  subject_keys,
  function,
  risk,
  issue,
  cures,
  checks
)
values
  (
    'vacuum-table',
    'Remove the dead rows of a table',
    'Runs VACUUM on a table, and looks whether Postgres did it.',
    '{
      "type": "object",
      "properties": {
        "table": {
          "type": "string",
          "format": "relation",
          "minLength": 1,
          "maxLength": 200,
          "description": "The table, as SQL writes it: public.profiles."
        }
      },
      "required": ["table"],
      "additionalProperties": false
    }',
    array['table'],
    'runbook.vacuum_table',
    'low',
    null,
    array['dead_rows_pile_up', 'transaction_ids_low', 'multixacts_low'],
    array['dead_rows', 'transaction_ids']
  ),
  (
    'analyze-table',
    'Renew the statistics of a table',
    'Runs ANALYZE on a table, and looks whether Postgres did it.',
    '{
      "type": "object",
      "properties": {
        "table": {
          "type": "string",
          "format": "relation",
          "minLength": 1,
          "maxLength": 200,
          "description": "The table, as SQL writes it: public.profiles."
        }
      },
      "required": ["table"],
      "additionalProperties": false
    }',
    array['table'],
    'runbook.analyze_table',
    'low',
    null,
    array['statistics_missing', 'statistics_stale'],
    array['table_statistics']
  );
