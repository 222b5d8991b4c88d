-- Which tables and indexes a remediation may touch: those of the project, and not what belongs to
-- Postgres, to the platform or to somebody else.
--
-- Only catalogs are read, so a plan is made while the table itself is locked.

create type runbook.mendable_relation as (
  relation oid,
  name text,
  kind "char",
  persistence "char",
  pages bigint,
  estimated_rows bigint,
  is_ours boolean,
  is_of_platform boolean
);

comment on type runbook.mendable_relation is
'A table or index that a remediation is asked to work on, as the catalog knows it.';

revoke all on type runbook.mendable_relation from public;

-- Finds a relation for a remediation. System catalogs and temporary tables are refused.
create function runbook.relation_to_mend(name text)
returns runbook.mendable_relation
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_relation constant oid := runbook.relation_of(relation_to_mend.name);
  v_found runbook.mendable_relation;
  v_schema text;
begin
  select
    rel.oid,
    format('%I.%I', nsp.nspname, rel.relname),
    rel.relkind,
    rel.relpersistence,
    rel.relpages,
    -- -1 says that nobody has counted
    nullif(rel.reltuples, -1)::bigint,
    pg_has_role(rel.relowner, 'usage'),
    not runbook.is_application_schema(nsp.oid),
    nsp.nspname
  into
    v_found.relation,
    v_found.name,
    v_found.kind,
    v_found.persistence,
    v_found.pages,
    v_found.estimated_rows,
    v_found.is_ours,
    v_found.is_of_platform,
    v_schema
  from pg_catalog.pg_class as rel
  inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
  where rel.oid = v_relation;

  if v_schema in ('pg_catalog', 'information_schema', 'pg_toast') then
    perform runbook.refuse_change_of(
      '42501',
      format('%s belongs to Postgres itself.', v_found.name),
      'Postgres keeps its own tables in order; name a table of the project.'
    );
  elsif v_found.persistence = 't' then
    perform runbook.refuse_change_of(
      '22023',
      format('%s is temporary: it is of one session, which alone can work on it.', v_found.name),
      'Name a table of the project.'
    );
  end if;

  return v_found;
end;
$$;

comment on function runbook.relation_to_mend(text) is
'A relation by its name. Raises P0002 and 22023 as runbook.relation_of does, 42501 for a system
catalog, 22023 for a temporary table.';
revoke all on function runbook.relation_to_mend(text) from public;

-- Finds a relation whose shape is to be changed: it must be the project's own.
create function runbook.relation_to_change(name text)
returns runbook.mendable_relation
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_found constant runbook.mendable_relation := runbook.relation_to_mend(relation_to_change.name);
begin
  if v_found.is_of_platform then
    perform runbook.refuse_change_of(
      '42501',
      format('%s belongs to the platform.', v_found.name),
      'The platform changes its schemas by itself; name a table of the project.'
    );
  elsif not v_found.is_ours then
    perform runbook.refuse_change_of(
      '42501',
      format('%s belongs to another role.', v_found.name),
      format('Only its owner may do this; %s is not a member of that role.', session_user)
    );
  end if;

  return v_found;
end;
$$;

comment on function runbook.relation_to_change(text) is
'A relation of the project by its name. Raises 42501 for one of Postgres, of the platform or of
another role.';
revoke all on function runbook.relation_to_change(text) from public;

-- What a relation is called by people.
create function runbook.kind_text(kind "char")
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case kind_text.kind
    when 'r' then 'a table'
    when 'p' then 'a partitioned table'
    when 'm' then 'a materialized view'
    when 'v' then 'a view'
    when 'f' then 'a foreign table'
    when 'S' then 'a sequence'
    when 'i' then 'an index'
    when 'I' then 'an index of a partitioned table'
    else 'a relation of another kind'
  end;
$$;

comment on function runbook.kind_text("char") is 'A kind of relation in words: a table, a view.';
revoke all on function runbook.kind_text("char") from public;

-- Refuses a relation whose kind does not fit.
create function runbook.refuse_other_kinds(mended runbook.mendable_relation, kinds "char"[])
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if (refuse_other_kinds.mended).kind <> all (refuse_other_kinds.kinds) then
    perform runbook.refuse_change_of(
      '22023',
      format(
        '%s is %s.',
        (refuse_other_kinds.mended).name,
        runbook.kind_text((refuse_other_kinds.mended).kind)
      ),
      format(
        'Name %s.',
        (
          select string_agg(runbook.kind_text(fitting.kind), ' or ' order by fitting.position)
          from unnest(refuse_other_kinds.kinds) with ordinality as fitting (kind, position)
        )
      )
    );
  end if;
end;
$$;

comment on function runbook.refuse_other_kinds(runbook.mendable_relation, "char"[]) is
'Raises 22023 for a relation of a kind that is not among those given.';
revoke all on function runbook.refuse_other_kinds(runbook.mendable_relation, "char"[]) from public;

-- A size for people.
create function runbook.size_text(bytes numeric)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select pg_size_pretty(round(size_text.bytes));
$$;

comment on function runbook.size_text(numeric) is 'A size in bytes for people: 340 MB.';
revoke all on function runbook.size_text(numeric) from public;
