-- The end of the installation: which version this is, and which migrations made it.
--
-- A later release adds a row. The schedule is made last, so that no tick meets half a schema;
-- without pg_cron nothing is scheduled, and a notice says so.

insert into runbook.release (version, migrations)
values (
  '0.1.0',
  array[
    '20261101000010',
    '20261101000020',
    '20261101000030',
    '20261101000040',
    '20261101000050',
    '20261101000060',
    '20261101000070',
    '20261101000080',
    '20261101000090',
    '20261101000091',
    '20261101000092',
    '20261101000093',
    '20261101000094',
    '20261101000095',
    '20261101000096',
    '20261101000100',
    '20261101000101',
    '20261101000102',
    '20261101000110',
    '20261101000115',
    '20261101000120',
    '20261101000125',
    '20261101000130',
    '20261101000330',
    '20261101000331',
    '20261101000332',
    '20261101000333',
    '20261101000334',
    '20261101000900',
    '20261101000910',
    '20261101000990'
  ]
);

select runbook.install_schedule();
