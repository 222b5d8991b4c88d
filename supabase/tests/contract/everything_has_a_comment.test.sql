begin;

select plan(3);

select is_empty(
  $$
  select rel.relname
  from pg_catalog.pg_class as rel
  where rel.relnamespace = 'runbook'::regnamespace
    and rel.relkind in ('r', 'v', 'm', 'p', 'c')
    and obj_description(rel.oid, 'pg_class') is null
    and obj_description(rel.reltype, 'pg_type') is null
  $$,
  'every table, view and composite type says what a row means'
);

select is_empty(
  $$
  select dom.typname
  from pg_catalog.pg_type as dom
  where dom.typnamespace = 'runbook'::regnamespace
    and dom.typtype = 'd'
    and obj_description(dom.oid, 'pg_type') is null
  $$,
  'every domain says what its values mean'
);

select is_empty(
  $$
  select grp.rolname
  from pg_catalog.pg_roles as grp
  where grp.rolname like 'runbook\_%'
    and shobj_description(grp.oid, 'pg_authid') is null
  $$,
  'every role says what it may do'
);

select * from finish();
rollback;
