-- Checks of what indexes are: exact duplicates, prefixes of another index, and invalid ones.
-- They compare the raw columns of pg_index. The definition in words (pg_get_indexdef) would lock
-- each table, and so hang behind a waiting ALTER TABLE.
-- Relies on: runbook.watched_index.

-- An expression or predicate of an index as text that equal ones share. Before Postgres 17 the
-- stored tree also holds where in the statement each node stood.
create function runbook.tree_text(tree pg_node_tree)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select regexp_replace(tree_text.tree::text, ' :location -?\d+', '', 'g');
$$;

comment on function runbook.tree_text(pg_node_tree) is
'A stored expression without the positions of its parts, so that equal ones are equal.';
revoke all on function runbook.tree_text(pg_node_tree) from public;

-- Two indexes that are one and the same: all of pg_index that matters is equal.
--
-- Cost: pg_index and pg_class once; no lock on any table.
-- Misses: expressions that mean the same and are written differently; indexes of other owners.
create function runbook.check_duplicate_indexes(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with shared as materialized (
    select shr.relation, shr.column
    from runbook.shared_first_column as shr
  ),
  candidates as materialized (
    select
      wat.index,
      wat.relation,
      wat.access_method,
      wat.key_columns,
      wat.keys::int2[] as keys,
      wat.operator_classes::oid[] as operator_classes,
      wat.collations::oid[] as collations,
      wat.options::int2[] as options,
      wat.is_unique,
      wat.is_nulls_not_distinct,
      wat.is_immediate,
      wat.expressions,
      wat.predicate,
      wat.pages,
      wat.kind,
      wat.is_attached,
      wat.is_of_constraint,
      wat.is_replica_identity,
      wat.is_clustered
    from shared as shr
    inner join runbook.watched_index as wat
      on wat.relation = shr.relation and wat.keys[0] = shr.column
    where wat.is_usable
      and not wat.is_exclusion
  ),
  alike as materialized (
    select distinct twin.index
    from candidates as cnd
    inner join candidates as twin
      on twin.relation = cnd.relation
      and twin.index <> cnd.index
      and twin.access_method = cnd.access_method
      and twin.keys = cnd.keys
  ),
  described as (
    select
      cnd.index,
      cnd.relation,
      cnd.pages,
      cnd.kind,
      cnd.is_attached,
      cnd.is_of_constraint,
      cnd.is_replica_identity,
      pg_stat_get_numscans(cnd.index) as scans,
      -- What differs between indexes that are alike in the columns above: the grouping's key.
      row(
        cnd.relation, cnd.access_method, cnd.key_columns, cnd.keys, cnd.operator_classes,
        cnd.collations, cnd.options, cnd.is_unique, cnd.is_nulls_not_distinct, cnd.is_immediate,
        runbook.tree_text(cnd.expressions), runbook.tree_text(cnd.predicate),
        (
          select array_agg(att.attoptions::text order by att.attnum)
          from pg_catalog.pg_attribute as att
          where att.attrelid = cnd.index
        )
      )::text as shape,
      cnd.is_clustered
    from candidates as cnd
    inner join alike on alike.index = cnd.index
  ),
  ranked as (
    select
      dsc.index,
      dsc.relation,
      dsc.pages,
      dsc.kind,
      dsc.scans,
      dsc.is_of_constraint or dsc.is_replica_identity or dsc.is_attached as is_needed,
      dsc.is_attached,
      first_value(dsc.index) over best_first as kept,
      row_number() over best_first as place
    from described as dsc
    window best_first as (
      partition by dsc.shape
      order by
        dsc.is_of_constraint desc,
        dsc.is_replica_identity desc,
        dsc.is_attached desc,
        dsc.is_clustered desc,
        dsc.scans desc,
        dsc.index
    )
  ),
  found as (
    select
      rnk.index,
      rnk.relation,
      rnk.kept,
      rnk.scans,
      rnk.pages * current_setting('block_size')::bigint as bytes,
      rnk.is_needed,
      rnk.kind,
      row_number() over (order by rnk.is_needed, rnk.pages desc, rnk.index) as position
    from ranked as rnk
    where rnk.place > 1
      -- A part of a partitioned index goes with the whole, which is reported itself.
      and not rnk.is_attached
  ),
  named as (
    select
      fnd.position,
      fnd.scans,
      fnd.bytes,
      fnd.is_needed,
      fnd.kind,
      runbook.relation_name(fnd.index) as name,
      runbook.relation_name(fnd.kept) as kept_name,
      runbook.relation_name(fnd.relation) as table_name
    from found as fnd
    where fnd.position <= 100
  )
  select row(
    (select count(*) from found),
    coalesce(
      array_agg(
        row(
          'duplicate_index',
          case
            when nmd.bytes >= (check_duplicate_indexes.settings ->> 'warning_bytes')::bigint
              then 'warning'
            else 'info'
          end,
          nmd.name,
          left(
            case
              when nmd.is_needed
                then format(
                  '%s on %s is the same as %s (%s). A constraint, a foreign key or the replica '
                  'identity stands on each of them: drop the constraint that is one too many.',
                  nmd.name,
                  nmd.table_name,
                  nmd.kept_name,
                  pg_size_pretty(nmd.bytes)
                )
              else format(
                '%s on %s is the same as %s: %s and a part of every write for nothing. Drop it.',
                nmd.name,
                nmd.table_name,
                nmd.kept_name,
                pg_size_pretty(nmd.bytes)
              )
            end,
            300
          ),
          jsonb_build_object(
            'table', nmd.table_name,
            'keep', nmd.kept_name,
            'bytes', nmd.bytes,
            'scans', nmd.scans
          ),
          'compared in pg_index; size by relpages',
          -- A partitioned index cannot be dropped concurrently.
          case when nmd.kind = 'i' and not nmd.is_needed then 'drop-index' end,
          case
            when nmd.kind = 'i' and not nmd.is_needed then jsonb_build_object('index', nmd.name)
          end
        )::runbook.finding
        order by nmd.position
      ),
      '{}'
    )
  )::runbook.check_result
  from named as nmd;
$$;

comment on function runbook.check_duplicate_indexes(jsonb) is
'Number of indexes that another one equals in everything: duplicate_index.';
revoke all on function runbook.check_duplicate_indexes(jsonb) from public;

-- Indexes whose columns another index begins with. A unique one is never redundant: it forbids what
-- the longer one allows.
--
-- Cost: pg_index and pg_class once; no lock on any table.
-- Misses: indexes over expressions; a prefix in the opposite order, which could be read backwards;
-- the case that the longer index is so much larger that the shorter one pays.
create function runbook.check_redundant_indexes(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with shared as materialized (
    select shr.relation, shr.column
    from runbook.shared_first_column as shr
  ),
  trees as materialized (
    select
      wat.index,
      wat.relation,
      wat.columns,
      wat.key_columns,
      wat.keys::int2[] as keys,
      wat.operator_classes::oid[] as operator_classes,
      wat.collations::oid[] as collations,
      wat.options::int2[] as options,
      wat.is_unique,
      wat.predicate,
      wat.expressions is not null as has_expressions,
      wat.pages,
      wat.kind,
      wat.is_attached,
      wat.is_of_constraint or wat.is_replica_identity or wat.is_clustered as is_needed
    from shared as shr
    inner join runbook.watched_index as wat
      on wat.relation = shr.relation and wat.keys[0] = shr.column
    inner join pg_catalog.pg_am as acm on acm.oid = wat.access_method
    where wat.is_usable
      and acm.amname = 'btree'
  ),
  covered as (
    select
      srt.index,
      srt.relation,
      srt.pages,
      srt.kind,
      lng.index as longer,
      lng.pages as longer_pages,
      row_number() over (partition by srt.index order by lng.pages, lng.index) as place
    from trees as srt
    inner join trees as lng
      on lng.relation = srt.relation
      and lng.index <> srt.index
      and lng.kind = srt.kind
      and lng.key_columns >= srt.key_columns
      -- The vectors count from 0; of equal ones the duplicate check speaks, unless one is unique.
      and (lng.key_columns > srt.key_columns or lng.is_unique)
      and lng.keys[0:srt.key_columns - 1] = srt.keys[0:srt.key_columns - 1]
      and lng.operator_classes[0:srt.key_columns - 1]
        = srt.operator_classes[0:srt.key_columns - 1]
      and lng.collations[0:srt.key_columns - 1] = srt.collations[0:srt.key_columns - 1]
      and lng.options[0:srt.key_columns - 1] = srt.options[0:srt.key_columns - 1]
      and (srt.columns = srt.key_columns or srt.keys[srt.key_columns:] <@ lng.keys)
      and (lng.predicate is null) = (srt.predicate is null)
      and (
        srt.predicate is null
        or runbook.tree_text(lng.predicate) = runbook.tree_text(srt.predicate)
      )
    where not srt.is_unique
      and not srt.is_needed
      and not srt.is_attached
      and not srt.has_expressions
  ),
  found as (
    select
      cov.index,
      cov.relation,
      cov.longer,
      cov.kind,
      cov.pages * current_setting('block_size')::bigint as bytes,
      cov.longer_pages * current_setting('block_size')::bigint as longer_bytes,
      row_number() over (order by cov.pages desc, cov.index) as position
    from covered as cov
    where cov.place = 1
  ),
  named as (
    select
      fnd.position,
      fnd.index,
      fnd.longer,
      fnd.bytes,
      fnd.longer_bytes,
      fnd.kind,
      runbook.relation_name(fnd.index) as name,
      runbook.relation_name(fnd.longer) as longer_name,
      runbook.relation_name(fnd.relation) as table_name
    from found as fnd
    where fnd.position <= 100
  )
  select row(
    (select count(*) from found),
    coalesce(
      array_agg(
        row(
          'redundant_index',
          case
            when nmd.bytes >= (check_redundant_indexes.settings ->> 'warning_bytes')::bigint
              then 'warning'
            else 'info'
          end,
          nmd.name,
          left(
            format(
              '%s on %s (%s) is the beginning of %s (%s), which serves the same queries. Drop the '
              'shorter one.',
              nmd.name,
              nmd.table_name,
              pg_size_pretty(nmd.bytes),
              nmd.longer_name,
              pg_size_pretty(nmd.longer_bytes)
            ),
            300
          ),
          jsonb_build_object(
            'table', nmd.table_name,
            'longer', nmd.longer_name,
            'bytes', nmd.bytes,
            'longer_bytes', nmd.longer_bytes,
            'scans', pg_stat_get_numscans(nmd.index),
            'longer_scans', pg_stat_get_numscans(nmd.longer)
          ),
          'compared in pg_index; sizes by relpages',
          case when nmd.kind = 'i' then 'drop-index' end,
          case when nmd.kind = 'i' then jsonb_build_object('index', nmd.name) end
        )::runbook.finding
        order by nmd.position
      ),
      '{}'
    )
  )::runbook.check_result
  from named as nmd;
$$;

comment on function runbook.check_redundant_indexes(jsonb) is
'Number of indexes that another one begins with: redundant_index.';
revoke all on function runbook.check_redundant_indexes(jsonb) from public;

-- Indexes that no query may use. A CREATE INDEX CONCURRENTLY that failed leaves one behind: every
-- write still pays for it. One that is being built or dropped right now looks the same and is left
-- alone.
--
-- Cost: pg_index once; where there are invalid ones, the progress of builds and pg_locks once.
-- Misses: what a failed REINDEX CONCURRENTLY left on a TOAST table.
create function runbook.check_invalid_indexes(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
set jit = off
as $$
  with broken as materialized (
    select
      wat.index,
      wat.relation,
      wat.pages,
      wat.kind,
      wat.is_unique
    from runbook.watched_index as wat
    where not wat.is_usable
  ),
  building as materialized (
    select
      prg.index_relid as index,
      prg.relid as relation
    from pg_catalog.pg_stat_progress_create_index as prg
    where exists (select from broken)
      and prg.datname = current_database()
      and prg.command like '%CONCURRENTLY'
  ),
  -- DROP INDEX CONCURRENTLY keeps this lock on the index while it waits for old transactions.
  dropping as materialized (
    select lck.relation as index
    from pg_catalog.pg_locks as lck
    where exists (select from broken)
      and lck.locktype = 'relation'
      and lck.mode in ('ShareUpdateExclusiveLock', 'AccessExclusiveLock')
      and lck.granted
      and lck.pid <> pg_backend_pid()
  ),
  found as (
    select
      brk.index,
      brk.relation,
      brk.kind,
      brk.is_unique,
      -- One whose build or drop broke off early is passed over by writes, too.
      (
        select idx.indisready
        from pg_catalog.pg_index as idx
        where idx.indexrelid = brk.index
      ) as is_written,
      brk.pages * current_setting('block_size')::bigint as bytes,
      row_number() over (order by brk.kind desc, brk.pages desc, brk.index) as position
    from broken as brk
    where not exists (
      select
      from building as bld
      where bld.index = brk.index or (bld.index = 0 and bld.relation = brk.relation)
    )
      and not exists (
        select
        from dropping as drp
        where drp.index = brk.index
      )
  ),
  named as (
    select
      fnd.position,
      fnd.kind,
      fnd.bytes,
      fnd.is_unique,
      fnd.is_written,
      runbook.relation_name(fnd.index) as name,
      runbook.relation_name(fnd.relation) as table_name
    from found as fnd
    where fnd.position <= 100
  )
  select row(
    (select count(*) from found),
    coalesce(
      array_agg(
        row(
          'invalid_index',
          'warning',
          nmd.name,
          left(
            case
              when nmd.kind = 'I'
                then format(
                  '%s on %s is invalid: not every partition has its part of it. Create the missing '
                  'ones and attach them.',
                  nmd.name,
                  nmd.table_name
                )
              else format(
                '%s on %s is invalid: its build, or its drop, failed or was cancelled. No query uses '
                'it%s%s. Drop it, then build it again if it is needed.',
                nmd.name,
                nmd.table_name,
                case when nmd.is_written then ', every write pays for it' else '' end,
                case when nmd.is_unique then ', and nothing is sure to be unique' else '' end
              )
            end,
            300
          ),
          jsonb_build_object('table', nmd.table_name, 'bytes', nmd.bytes),
          'read from pg_index; no build or drop of it is under way',
          case when nmd.kind = 'i' then 'drop-index' end,
          case when nmd.kind = 'i' then jsonb_build_object('index', nmd.name) end
        )::runbook.finding
        order by nmd.position
      ),
      '{}'
    )
  )::runbook.check_result
  from named as nmd;
$$;

comment on function runbook.check_invalid_indexes(jsonb) is
'Number of indexes that no query may use: invalid_index.';
revoke all on function runbook.check_invalid_indexes(jsonb) from public;

insert into runbook.check (
  name,
  title,
  description,
  function,
  position,
  check_group,
  unit,
  thresholds,
  codes
)
values
  (
    'invalid_indexes',
    'Invalid indexes',
    'What a failed CREATE INDEX CONCURRENTLY left behind: no query uses it, writes may pay.',
    'runbook.check_invalid_indexes',
    300,
    'indexes',
    'indexes',
    '{}',
    '{"invalid_index": "An index that no query may use and that is not being built."}'
  ),
  -- warning_bytes: below 1 MB (128 pages) an index costs a write, but neither memory nor disk that
  -- anybody would notice.
  (
    'duplicate_indexes',
    'Duplicate indexes',
    'Two indexes that are equal in columns, order, operators, collation, predicate and kind.',
    'runbook.check_duplicate_indexes',
    310,
    'indexes',
    'indexes',
    '{"warning_bytes": 1048576}',
    '{"duplicate_index": "An index that another one equals in everything."}'
  ),
  (
    'redundant_indexes',
    'Redundant indexes',
    'Indexes whose columns another index begins with.',
    'runbook.check_redundant_indexes',
    320,
    'indexes',
    'indexes',
    '{"warning_bytes": 1048576}',
    '{"redundant_index": "An index that is the beginning of another."}'
  );
