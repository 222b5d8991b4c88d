begin;

select plan(2);

-- The stack may be at work: its ticks leave at once, and what it writes waits until this test has
-- rolled back.
select runbook.lock_for_transaction('tick');
lock table runbook.report in share row exclusive mode;

delete from runbook.report where true;

-- A report every five minutes, of noon and the quarter of an hour after it.
insert into runbook.report (status, checked_at, report, recorded_by, recorded_at)
select
  'ok', now(), '{}', format('%s d %s min', day.number, minute.number),
  date_trunc('day', clock_timestamp()) + interval '12 hours'
  - make_interval(days => day.number) + make_interval(mins => minute.number)
from (values (0), (3), (9)) as day (number)
cross join generate_series(0, 15, 5) as minute (number);

select lives_ok($$ select runbook.forget_old_reports('7 days') $$, 'old reports are tidied');

select bag_eq(
  'select rpt.recorded_by from runbook.report as rpt',
  array[
    '0 d 0 min', '0 d 5 min', '0 d 10 min', '0 d 15 min',
    '3 d 0 min', '3 d 15 min'
  ],
  'of a day all are kept, then one each quarter of an hour, then none'
);

select * from finish();
rollback;
