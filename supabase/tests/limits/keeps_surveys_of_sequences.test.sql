begin;

select plan(10);

-- The stack may be at work: what it writes waits until this test has rolled back.
lock table runbook.sequence_survey in share row exclusive mode;
delete from runbook.sequence_survey where true;
create sequence public.test_used as integer;
create sequence public.test_fresh as integer;
select setval('public.test_used', 1200000000);
select setval('public.test_fresh', 1000);

select is(runbook.collect_sequence_values('30 days'), 1::bigint, 'one row is written');
select results_eq(
  'select snp.sequence, snp.last_value from runbook.sequence_snapshot as snp',
  $$values ('public.test_used'::regclass::oid, 1200000000::numeric)$$,
  'for the sequence that has used a twentieth of its numbers'
);

insert into runbook.sequence_survey (taken_at, sequences)
values (clock_timestamp() - interval '31 days', 1);
insert into runbook.sequence_snapshot (taken_at, sequence, last_value)
select min(svy.taken_at), 'public.test_used'::regclass, 1
from runbook.sequence_survey as svy;

select is(runbook.collect_sequence_values('30 days'), 1::bigint, 'the next writes one as well');
select is((select count(*) from runbook.sequence_survey), 2::bigint, 'and an old survey goes');
select is(
  (select count(*) from runbook.sequence_snapshot), 2::bigint, 'with what was kept of it'
);

drop sequence public.test_used;
select is(
  runbook.run_check('sequences') ->> 'status', 'ok', 'a sequence that is gone is no trouble'
);

-- Of very many sequences only a part is read at a time.
delete from runbook.sequence_survey where true;
create sequence public.test_small as smallint maxvalue 10;
select setval('public.test_small', 10);
create sequence public.test_large as bigint maxvalue 1000000000000;
select setval('public.test_large', 1000000000000);

create function pg_temp.told(at_once integer)
returns text
language sql
as $$
  select string_agg(concat_ws(' ', fnd.subject, fnd.severity), ', ' order by fnd.subject)
  from unnest(
    (
      runbook.check_sequences(
        runbook.thresholds_of('sequences') || jsonb_build_object('sequences_at_once', told.at_once)
      )
    ).findings
  ) as fnd;
$$;

select is(
  pg_temp.told(100000), 'public.test_large critical, public.test_small critical',
  'where there are few, all of them are read'
);
select is(
  pg_temp.told(1), 'public.test_small critical, skipped',
  'before a survey those with the fewest numbers are, and that others were not is said'
);
select is(runbook.collect_sequence_values('30 days'), 2::bigint, 'a survey finds both');
select is(
  pg_temp.told(1), 'public.test_large critical, public.test_small critical',
  'and then nothing is left out'
);

select * from finish();
rollback;
