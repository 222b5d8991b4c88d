begin;

select plan(4);

-- The functions that remediations name, and those of ours that they call, however deep.
create temporary table declaring as
with recursive ours as (
  select fun.oid, fun.proname, fun.prosrc, fun.provolatile
  from pg_catalog.pg_proc as fun
  where fun.pronamespace = 'runbook'::regnamespace
),
reached as (
  select ours.oid, ours.proname, ours.prosrc, ours.provolatile
  from runbook.remediation as rem
  inner join ours on ours.oid = to_regprocedure(rem.function || '(jsonb)')
  union
  select ours.oid, ours.proname, ours.prosrc, ours.provolatile
  from reached
  inner join ours on reached.prosrc ~ ('runbook\.' || ours.proname || '\(')
)
select reached.* from reached;

create function pg_temp.is_irrevocable(source text)
returns boolean
language sql
as $$
  select source ~* (
    '(pg_terminate_backend|pg_cancel_backend|pg_stat_reset|pg_stat_statements_reset\(\)'
    || '|net\.http_(get|post|delete)|dblink|\mnextval|\msetval|advisory_|pg_notify|\mnotify\M'
    || '|lo_import|lo_export|\mcopy\M[^;]*program|pg_switch_wal|select cron\.schedule'
    || '|vault\.create_secret)'
  );
$$;

select cmp_ok(
  (select count(*) from declaring), '>',
  (select count(*) from runbook.remediation),
  'remediations name functions, and these call others'
);

select is_empty(
  $$ select dcl.proname from declaring as dcl where pg_temp.is_irrevocable(dcl.prosrc) $$,
  'none of them does what a rollback does not undo'
);

select is_empty(
  $$
  select dcl.proname
  from declaring as dcl
  where dcl.provolatile = 'v'
    -- It is volatile because it reads the clock.
    and dcl.proname <> 'ms_since'
  $$,
  'none of them may write'
);

select bag_eq(
  $$
  select fun.proname::text collate "default"
  from pg_catalog.pg_proc as fun
  where fun.pronamespace = 'runbook'::regnamespace
    and pg_temp.is_irrevocable(fun.prosrc)
    -- It only names such functions: it looks for the right to call them.
    and fun.proname <> 'missing_extension_rights'
  $$,
  array[
    'cancel_backend', 'collect', 'evaluate_group', 'install_schedule', 'lock_for_transaction',
    'release_locks', 'reset_statement_statistics', 'ring', 'terminate_backend', 'tick'
  ],
  'only these do: effects of the closed list, the bell, the schedule and locks'
);

select * from finish();
rollback;
