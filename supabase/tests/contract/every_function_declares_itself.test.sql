begin;

select plan(6);

create temporary view product_function as
select
  fun.oid,
  fun.proname,
  fun.prosecdef,
  fun.provolatile,
  fun.proconfig,
  fun.oid::regprocedure::text as signature
from pg_catalog.pg_proc as fun
where fun.pronamespace = 'runbook'::regnamespace;

select isnt_empty('select from product_function', 'the schema has functions to look at');

select is_empty(
  $$
  select fun.signature
  from product_function as fun
  where obj_description(fun.oid, 'pg_proc') is null
  $$,
  'every function has a comment'
);

select results_eq(
  $$
  select fun.proname::text collate "default"
  from product_function as fun
  where not coalesce('search_path=""' = any (fun.proconfig), false)
  order by 1
  $$,
  array[
    'bring_rows_back', 'count_old_rows', 'fetch_and_judge', 'literals_of',
    'move_old_rows', 'read_as_anon', 'read_as_authenticated', 'read_as_service_role', 'read_row',
    'refuse_values', 'row_locker', 'rows_hanging_on', 'rows_moved', 'settle_constraints',
    'taken_keys', 'write_row'
  ],
  'every function has an empty search_path but those that run the application''s code'
);

select is_empty(
  $$
  select fun.signature
  from product_function as fun
  where fun.proname in (
    'bring_rows_back', 'count_old_rows', 'fetch_and_judge', 'literals_of',
    'move_old_rows', 'read_as_anon', 'read_as_authenticated', 'read_as_service_role', 'read_row',
    'refuse_values', 'row_locker', 'rows_hanging_on', 'rows_moved', 'settle_constraints',
    'taken_keys', 'write_row'
  )
    and not 'search_path=public, extensions, pg_temp' = any (fun.proconfig)
  $$,
  'those have the path of the API, and temporary tables last'
);

select results_eq(
  $$
  select fun.proname::text collate "default"
  from product_function as fun
  where fun.prosecdef
  order by 1
  $$,
  array[
    'access_looks', 'add_member', 'diagnose', 'explain_access', 'freeze', 'freeze_state',
    'member_list', 'read_as_anon', 'read_as_authenticated', 'read_as_service_role',
    'record_look', 'remove_member', 'run_check', 'run_of', 'run_remediation', 'runs',
    'suppressions_in_force', 'tune_check', 'unfreeze'
  ],
  'security definer are these functions and no others'
);

select is_empty(
  $$
  select ent.function
  from (
    select iss.function from runbook.issue as iss
    union all
    select prt.function from runbook.issue_part as prt
    union all
    select rem.function from runbook.remediation as rem
    union all
    select chk.function from runbook.check as chk
  ) as ent
  left join product_function as fun on fun.oid = to_regprocedure(ent.function || '(jsonb)')
  where fun.provolatile is distinct from 's'
  $$,
  'every function that the catalog names exists and is stable, so it cannot write'
);

select * from finish();
rollback;
