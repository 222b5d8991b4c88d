begin;

select plan(3);

-- 2026-11-23 is a Monday.
create function pg_temp.due(schedule text, at timestamptz default '2026-11-23 08:54:50+00')
returns text
language sql
as $$
  select to_char(
    runbook.cron_last_due(schedule, at, 'GMT') at time zone 'GMT', 'YYYY-MM-DD HH24:MI:SS'
  );
$$;

select results_eq(
  $$
  select pg_temp.due(given.schedule)
  from (
    values
      (1, '* * * * *'), (2, '*/5 * * * *'), (3, '0 3 * * *'), (4, '30 23 * * 1-5'),
      (5, '0 0 1 * *'), (6, '0 0 $ * *'), (7, '0 9 * * mon'), (8, '0 9 * jan sun'),
      (9, '15 10 13 * fri'), (10, '15 10 */13 * fri'), (11, '5,10 8-9 * * *'),
      (12, '0 0 * * 7'), (13, '10-40/15 */2 * * *'), (14, '30 seconds'), (15, '@hourly'),
      (16, ' @Weekly '), (17, '0 9 23 11 *'), (18, '54 8 * * *'), (19, '55 8 * * *')
  ) as given (position, schedule)
  order by given.position
  $$,
  array[
    '2026-11-23 08:54:00', '2026-11-23 08:50:00', '2026-11-23 03:00:00', '2026-11-20 23:30:00',
    '2026-11-01 00:00:00', '2026-10-31 00:00:00', '2026-11-16 09:00:00', '2026-01-25 09:00:00',
    '2026-11-20 10:15:00', '2026-08-14 10:15:00', '2026-11-23 08:10:00',
    '2026-11-22 00:00:00', '2026-11-23 08:40:00', '2026-11-23 08:54:20', '2026-11-23 08:00:00',
    '2026-11-22 00:00:00', '2025-11-23 09:00:00', '2026-11-23 08:54:00', '2026-11-22 08:55:00'
  ],
  'a schedule was last due when pg_cron would have begun it'
);

select is(
  runbook.cron_last_due('0 3 * * *', '2026-11-23 08:54:50+00', 'America/New_York'),
  '2026-11-23 03:00:00-05',
  'in the zone that pg_cron goes by'
);

select is_empty(
  $$
  select given.schedule
  from (
    values
      (''), ('@reboot'), ('61 * * * *'), ('* * * *'), ('x y z a b'), ('5-1 * * * *'),
      ('*/0 * * * *'), ('0 0 31 2 *'), ('0 0 32 * *'), ('99 seconds'), (null)
  ) as given (schedule)
  where pg_temp.due(given.schedule) is not null
  $$,
  'what is no schedule, or never due, is not known'
);

select * from finish();
rollback;
