begin;

select plan(4);

select is_empty(
  $$
  select dep.classid::regclass, dep.objid, nsp.nspname
  from pg_catalog.pg_depend as dep
  inner join pg_catalog.pg_class as foreign_class
    on foreign_class.oid = dep.refobjid and dep.refclassid = 'pg_class'::regclass
  inner join pg_catalog.pg_namespace as nsp on nsp.oid = foreign_class.relnamespace
  left join pg_catalog.pg_rewrite as rul
    on rul.oid = dep.objid and dep.classid = 'pg_rewrite'::regclass
  left join pg_catalog.pg_class as own
    on own.oid = coalesce(rul.ev_class, dep.objid) and own.relnamespace = 'runbook'::regnamespace
  left join pg_catalog.pg_constraint as con
    on con.oid = dep.objid and dep.classid = 'pg_constraint'::regclass
    and con.connamespace = 'runbook'::regnamespace
  where (own.oid is not null or con.oid is not null)
    and nsp.nspname not in ('runbook', 'pg_catalog', 'pg_toast')
  $$,
  'no table, view or key depends on a relation elsewhere, so no upgrade is blocked'
);

select is_empty(
  $$
  select trg.tgname
  from pg_catalog.pg_trigger as trg
  inner join pg_catalog.pg_class as rel on rel.oid = trg.tgrelid
  inner join pg_catalog.pg_proc as fun on fun.oid = trg.tgfoid
  where fun.pronamespace = 'runbook'::regnamespace
    and rel.relnamespace <> 'runbook'::regnamespace
  $$,
  'no trigger of the runbook stands on a table elsewhere'
);

select is_empty(
  $$
  select rel.relname
  from pg_catalog.pg_class as rel
  where rel.relnamespace = 'runbook'::regnamespace
    and rel.relpersistence <> 'p'
  $$,
  'every table survives a crash'
);

select is_empty(
  $$
  select acl.defaclobjtype
  from pg_catalog.pg_default_acl as acl
  where acl.defaclnamespace = 'runbook'::regnamespace
    or acl.defaclrole in (
      select grp.oid from pg_catalog.pg_roles as grp where grp.rolname like 'runbook\_%'
    )
  $$,
  'no default privilege was changed'
);

select * from finish();
rollback;
