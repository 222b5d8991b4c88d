-- What the server runs out of when nobody vacuums: transaction ids and multixacts. And prepared
-- transactions, which outlive their session and every restart.
--
-- Relies on: nothing but the catalogs.

-- Transaction ids and multixacts of all databases, and of this database's tables. The value is the
-- age of the oldest transaction id.
--
-- Cost: pg_database; only when a database is above a threshold, pg_class once.
-- Misses: the space of multixact members, which SQL cannot see.
create function runbook.check_transaction_ids(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_multiple constant numeric := (check_transaction_ids.settings ->> 'freeze_multiple')::numeric;
  v_xid_warning constant numeric := greatest(
    (check_transaction_ids.settings ->> 'warning')::numeric,
    v_multiple * current_setting('autovacuum_freeze_max_age')::numeric
  );
  v_mxid_warning constant numeric := greatest(
    (check_transaction_ids.settings ->> 'warning')::numeric,
    v_multiple * current_setting('autovacuum_multixact_freeze_max_age')::numeric
  );
  v_critical constant numeric := (check_transaction_ids.settings ->> 'critical')::numeric;
  v_oldest numeric;
  v_findings runbook.finding[] := '{}';
  v_tables runbook.finding[] := '{}';
begin
  with databases as (
    select
      'transaction_ids_low' as code,
      dat.datname::text collate "default" as name,
      age(dat.datfrozenxid)::numeric as age,
      v_xid_warning as warning,
      'transaction ids' as what,
      dat.datallowconn as allows_connections
    from pg_catalog.pg_database as dat
    union all
    select
      'multixacts_low',
      dat.datname::text collate "default",
      mxid_age(dat.datminmxid)::numeric,
      v_mxid_warning,
      'multixacts',
      dat.datallowconn
    from pg_catalog.pg_database as dat
  )
  select
    (select max(dbs.age) from databases as dbs where dbs.code = 'transaction_ids_low'),
    coalesce(
      array_agg(
        row(
          dbs.code,
          case when dbs.age >= v_critical then 'critical' else 'warning' end,
          format('database %I', dbs.name),
          format(
            'Database %I has %s of the 2,147 million %s in use (%s %%). The server stops '
            'accepting writes at the end. %s',
            left(dbs.name, 40),
            btrim(to_char(dbs.age / 1000000, '999,990.9')) || ' million',
            dbs.what,
            round(100 * dbs.age / 2147483648, 1),
            case
              when dbs.name = current_database()
                then 'Vacuum its oldest tables; look first at what vacuum waits for.'
              else 'Connect to it and run VACUUM.'
            end
          ),
          jsonb_build_object('age', dbs.age, 'threshold', dbs.warning),
          'datfrozenxid and datminmxid of pg_database',
          null,
          null
        )::runbook.finding
        order by dbs.age desc
      ) filter (where dbs.age >= dbs.warning),
      '{}'
    )
  into v_oldest, v_findings
  from databases as dbs;

  if cardinality(v_findings) > 0 then
    with tables as (
      select
        'transaction_ids_low' as code,
        coalesce(own.oid, rel.oid) as oid,
        age(rel.relfrozenxid)::numeric as age
      from pg_catalog.pg_class as rel
      left join pg_catalog.pg_class as own on own.reltoastrelid = rel.oid
      where rel.relkind in ('r', 'm', 't')
        and rel.relfrozenxid <> '0'
        and age(rel.relfrozenxid) >= v_xid_warning
      union all
      select
        'multixacts_low',
        coalesce(own.oid, rel.oid),
        mxid_age(rel.relminmxid)::numeric
      from pg_catalog.pg_class as rel
      left join pg_catalog.pg_class as own on own.reltoastrelid = rel.oid
      where rel.relkind in ('r', 'm', 't')
        and rel.relminmxid <> '0'
        and mxid_age(rel.relminmxid) >= v_mxid_warning
    ),
    ranked as (
      select
        tab.code,
        tab.oid,
        max(tab.age) as age,
        -- The server's own tables, which are not vacuumed by a remediation.
        tab.oid < 16384 as is_catalog,
        row_number() over (
          partition by tab.code, tab.oid < 16384
          order by max(tab.age) desc, tab.oid
        ) as place
      from tables as tab
      group by tab.code, tab.oid
    ),
    named as (
      select
        rnk.code,
        rnk.age,
        runbook.relation_name(rnk.oid) as name,
        rnk.is_catalog
      from ranked as rnk
      where rnk.place <= case when rnk.is_catalog then 5 else 20 end
    )
    select
      coalesce(
        array_agg(
          row(
            nam.code,
            case when nam.age >= v_critical then 'critical' else 'warning' end,
            nam.name,
            format(
              'Table %s has not been vacuumed whole for %s million %s. Vacuum it.',
              left(nam.name, 120),
              btrim(to_char(nam.age / 1000000, '999,990.9')),
              case
                when nam.code = 'transaction_ids_low' then 'transactions'
                else 'multixacts'
              end
            ),
            jsonb_build_object('age', nam.age),
            'relfrozenxid and relminmxid of pg_class, the TOAST table''s included',
            case when not nam.is_catalog then 'vacuum-table' end,
            case when not nam.is_catalog then jsonb_build_object('table', nam.name) end
          )::runbook.finding
          order by nam.age desc, nam.name
        ),
        '{}'
      )
    into v_tables
    from named as nam
    where nam.name is not null;
  end if;

  return row(v_oldest, v_findings || v_tables)::runbook.check_result;
end;
$$;

comment on function runbook.check_transaction_ids(jsonb) is
'Transaction ids and multixacts that are in use: transaction_ids_low, multixacts_low.';
revoke all on function runbook.check_transaction_ids(jsonb) from public;

-- Prepared transactions that nobody has committed or rolled back. They keep their locks and dead
-- rows, also through a restart. The value is the number of all that are prepared.
--
-- Cost: pg_prepared_xacts; no lock.
-- Misses: who was to commit it; only the name tells.
create function runbook.check_prepared_transactions(settings jsonb)
returns runbook.check_result
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when current_setting('max_prepared_transactions')::integer = 0
      then runbook.check_answer(
        null,
        runbook.not_applicable(
          'prepared_transactions', 'Prepared transactions are switched off on this server.'
        )
      )
    else row(
      count(pxa.gid),
      coalesce(
        array_agg(
          row(
            'prepared_transaction_orphaned',
            case
              when pxa.prepared < clock_timestamp() - make_interval(
                secs => (check_prepared_transactions.settings ->> 'critical_after_s')
                  ::double precision
              )
                then 'critical'
              else 'warning'
            end,
            format('prepared transaction %s', left(pxa.gid, 60)),
            format(
              'Transaction %s was prepared by %s in database %s %s ago, and not ended. In that '
              'database, as its owner: %s prepared %s;',
              left(quote_literal(pxa.gid), 60),
              pxa.owner,
              pxa.database,
              runbook.duration_text(clock_timestamp() - pxa.prepared),
              'rollback',
              left(quote_literal(pxa.gid), 60)
            ),
            jsonb_build_object(
              'gid', left(pxa.gid, 200),
              'owner', pxa.owner,
              'database', pxa.database,
              'prepared_at', pxa.prepared,
              'age_in_transactions', age(pxa.transaction)
            ),
            'pg_prepared_xacts',
            null,
            null
          )::runbook.finding
          order by pxa.prepared
        ) filter (
          where pxa.prepared < clock_timestamp() - make_interval(
            secs => (check_prepared_transactions.settings ->> 'after_s')::double precision
          )
        ),
        '{}'
      )
    )::runbook.check_result
  end
  from pg_catalog.pg_prepared_xacts as pxa;
$$;

comment on function runbook.check_prepared_transactions(jsonb) is
'Prepared transactions that nobody ends: prepared_transaction_orphaned.';
revoke all on function runbook.check_prepared_transactions(jsonb) from public;

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
    'transaction_ids',
    'Transaction ids',
    'Transaction ids and multixacts in use, by database and table, against the hard limit.',
    'runbook.check_transaction_ids',
    200,
    'limits',
    'transactions',
    -- Autovacuum forces a vacuum at autovacuum_freeze_max_age (200 million), so an age a little
    -- above it is the normal course; at half as much again it does not get through. AWS advises
    -- to alert at 500 million; check_postgres is critical near 1,300 million.
    '{"warning": 500000000, "critical": 1300000000, "freeze_multiple": 1.5}',
    '{
      "transaction_ids_low": "Autovacuum does not keep up, and transaction ids will run out.",
      "multixacts_low": "Autovacuum does not keep up, and multixacts will run out."
    }'
  ),
  (
    'prepared_transactions',
    'Prepared transactions',
    'Transactions that were prepared for a commit in two phases, and not ended.',
    'runbook.check_prepared_transactions',
    210,
    'limits',
    'prepared',
    -- Ours: a manager of transactions ends what it prepared within seconds.
    '{"after_s": 300, "critical_after_s": 3600}',
    '{"prepared_transaction_orphaned": "A prepared transaction is not ended by anybody."}'
  );
