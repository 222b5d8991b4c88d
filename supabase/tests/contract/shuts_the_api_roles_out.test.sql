begin;

select plan(6);

create temporary view outsider as
select rol.name
from (values ('anon'), ('authenticated'), ('service_role'), ('authenticator')) as rol (name);

select is_empty(
  $$
  select out.name
  from outsider as out
  where has_schema_privilege(out.name, 'runbook', 'usage')
    or has_schema_privilege(out.name, 'runbook', 'create')
  $$,
  'no role of the API may use the schema'
);

select is_empty(
  $$
  select out.name, fun.oid::regprocedure
  from outsider as out
  cross join pg_catalog.pg_proc as fun
  where fun.pronamespace = 'runbook'::regnamespace
    and has_function_privilege(out.name, fun.oid, 'execute')
  $$,
  'no role of the API may call a function'
);

select is_empty(
  $$
  select out.name, rel.relname, prv.name
  from outsider as out
  cross join pg_catalog.pg_class as rel
  cross join (
    values ('select'), ('insert'), ('update'), ('delete'), ('truncate'), ('references'), ('trigger')
  ) as prv (name)
  where rel.relnamespace = 'runbook'::regnamespace
    and rel.relkind in ('r', 'v', 'm', 'p', 'f')
    and has_table_privilege(out.name, rel.oid, prv.name)
  $$,
  'no role of the API may do anything with a table or view'
);

select is_empty(
  $$
  select out.name, seq.relname
  from outsider as out
  cross join pg_catalog.pg_class as seq
  where seq.relnamespace = 'runbook'::regnamespace
    and seq.relkind = 'S'
    and has_sequence_privilege(out.name, seq.oid, 'usage, select, update')
  $$,
  'no role of the API may use a sequence'
);

select is_empty(
  $$
  select typ.typname
  from pg_catalog.pg_type as typ
  left join pg_catalog.pg_class as cls on cls.oid = typ.typrelid
  where typ.typnamespace = 'runbook'::regnamespace
    and typ.typtype in ('c', 'd', 'e')
    and (cls.relkind = 'c' or typ.typrelid = 0)
    and has_type_privilege('anon', typ.oid, 'usage')
  $$,
  'no role of the API may use a type'
);

select is_empty(
  $$
  select out.name, grp.name
  from outsider as out
  cross join (values ('runbook_viewer'), ('runbook_operator'), ('runbook_admin')) as grp (name)
  where pg_has_role(out.name, grp.name, 'member')
  $$,
  'no role of the API is a member of a role of the runbook'
);

select * from finish();
rollback;
