begin;

select plan(8);

create function pg_temp.said(
  bytes numeric, wasted numeric, dead numeric, at timestamptz, of_platform boolean default false
)
returns text
language sql
as $$
  select coalesce(
    fnd.severity || ' ' || (fnd.evidence ->> 'confidence') || coalesce(' ' || fnd.remediation, ''),
    ''
  )
  from runbook.bloat_finding(
    'table_bloated', 'public.t', null, bytes, wasted, dead, at, of_platform,
    '{"percent": 50, "wasted_bytes": 50000000}'
  ) as fnd;
$$;

select is(pg_temp.said(49000000, 48000000, 0, now()), '', 'nearly all of a small table is nothing');
select is(
  pg_temp.said(900000000, 440000000, 0, now()), '', 'neither is a smaller part of a large one'
);
select is(
  pg_temp.said(100000000, 50000000, 0, now()), 'warning high', 'half of a large one is bloat'
);
select is(
  pg_temp.said(100000000, 60000000, 40000000, now()),
  'warning high vacuum-table',
  'of which vacuum can make room where it is dead rows'
);
select is(
  pg_temp.said(100000000, 60000000, 40000000, now(), of_platform => true),
  'warning high',
  'but the platform''s tables are not the runbook''s to vacuum'
);
select is(
  pg_temp.said(100000000, 60000000, null, null),
  'info low',
  'what was estimated only is no warning'
);
select is(pg_temp.said(0, 0, 0, now()), '', 'an empty table is nothing');

create or replace function runbook.extension_schema(name text)
returns text
language sql
stable
as 'select null::text';

select matches(
  (
    select fnd.summary
    from runbook.bloat_finding(
      'table_bloated', 'public.t', null, 100000000, 60000000, null, null, false,
      '{"percent": 50, "wasted_bytes": 50000000}'
    ) as fnd
  ),
  'create extension pgstattuple',
  'without the extension the cure of not knowing is named'
);

select * from finish();
rollback;
