begin;

select plan(6);

create temporary view granted as
select
  fun.proname::text collate "default" as name,
  has_function_privilege('runbook_viewer', fun.oid, 'execute') as viewer,
  has_function_privilege('runbook_operator', fun.oid, 'execute') as operator,
  has_function_privilege('runbook_admin', fun.oid, 'execute') as admin
from pg_catalog.pg_proc as fun
where fun.pronamespace = 'runbook'::regnamespace;

select results_eq(
  'select name from granted where viewer order by name',
  array[
    'access_parameters', 'access_probes', 'caller', 'carried_probe', 'check_entry', 'check_names',
    'chosen_checks', 'completed_entries', 'compose_report', 'diagnose', 'due_probes',
    'duration_text', 'entry_sentences', 'explain_access', 'facts_of', 'freeze_state',
    'fresh_probe', 'health_check', 'now', 'overall_status', 'parameters', 'record_look',
    'recorded_entries', 'recorded_report', 'refuse_problems', 'remediate',
    'remediation_for_caller', 'report_parts', 'report_text', 'require_role', 'run_check',
    'run_checks', 'run_of', 'runs', 'scheduled_cost', 'severity_rank', 'shortened_entry',
    'status_sentence', 'suppressed_entry', 'suppressions_in_force', 'thresholds_of', 'undo',
    'unit_text', 'utc_text', 'value_text', 'version', 'wrapped'
  ],
  'a viewer may call what reads, and be refused by remediate and undo'
);

select results_eq(
  'select name from granted where operator and not viewer order by name',
  array['run_remediation'],
  'an operator may run the engine as well'
);

select results_eq(
  'select name from granted where admin and not operator order by name',
  array[
    'access_looks', 'add_member', 'freeze', 'member_list', 'remove_member', 'tune_check', 'unfreeze'
  ],
  'an admin may manage members and thresholds as well'
);

select is_empty(
  $$
  select grp.rolname, rel.relname, prv.name
  from (values ('runbook_viewer'), ('runbook_operator'), ('runbook_admin')) as grp (rolname)
  cross join pg_catalog.pg_class as rel
  cross join (values ('insert'), ('update'), ('delete'), ('truncate')) as prv (name)
  where rel.relnamespace = 'runbook'::regnamespace
    and rel.relkind in ('r', 'v', 'p')
    and has_table_privilege(grp.rolname, rel.oid, prv.name)
  $$,
  'no role of the runbook may write to a table, except through a function'
);

select is_empty(
  $$
  select rel.relname
  from pg_catalog.pg_class as rel
  where rel.relname in (
    'access_look', 'call', 'forgetting', 'freeze', 'member', 'pseudonym_key', 'refusal', 'run',
    'step', 'ticket'
  )
    and rel.relnamespace = 'runbook'::regnamespace
    and has_table_privilege('runbook_admin', rel.oid, 'select')
  $$,
  'members, runs and tickets are not read past the functions'
);

select is_empty(
  $$
  select grp.rolname
  from pg_catalog.pg_roles as grp
  where grp.rolname like 'runbook\_%'
    and (
      grp.rolcanlogin or grp.rolsuper or grp.rolcreaterole or grp.rolcreatedb
      or grp.rolbypassrls or grp.rolreplication
    )
  $$,
  'the roles cannot log in and have no attribute of power'
);

select * from finish();
rollback;
