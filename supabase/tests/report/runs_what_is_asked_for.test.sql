begin;

select plan(8);

create function pg_temp.checks(report jsonb)
returns text
language sql
as $$
  select string_agg(ent.content ->> 'check', ' ' order by ent.position)
  from jsonb_array_elements(report -> 'checks') with ordinality as ent (content, position);
$$;

select is(
  pg_temp.checks(runbook.health_check(checks => '{connections,clock_not_shifted}')),
  'clock_not_shifted connections',
  'only the checks that are asked for run'
);

select is(
  pg_temp.checks(runbook.health_check(groups => '{runbook}')),
  'clock_not_shifted versions_agree cron_alive collectors own_cost',
  'or those of a group'
);

select cmp_ok(
  jsonb_array_length(
    runbook.health_check(checks => '{connections}', groups => '{runbook}') -> 'checks'
  ),
  '=', 6,
  'or both'
);

select is(
  runbook.health_check(checks => '{connections}') -> 'partial', 'true', 'such a report is partial'
);
select is(runbook.health_check() ? 'partial', false, 'a whole one is not');

select is(
  (runbook.health_check() -> 'scheduled_cost') ? 'percent_of_one_core',
  true,
  'a report says what the schedule costs'
);

create function pg_temp.refusal(checks text[], groups text[])
returns jsonb
language plpgsql
as $$
declare
  v_detail text;
begin
  perform runbook.health_check(checks => checks, groups => groups);
  return null;
exception
  when sqlstate 'RB400' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return v_detail::jsonb;
end;
$$;

select is(
  pg_temp.refusal('{connections,"we''ird"}', null),
  '[{"path": "checks.1", "message": "is not a known check: \"we''ird\"; a report without a choice names all"}]',
  'a name that nobody knows is refused with its place'
);

select is(
  pg_temp.refusal('{coffee,tea}', '{cups}'),
  '[
    {"path": "checks.0", "message": "is not a known check: \"coffee\"; a report without a choice names all"},
    {"path": "checks.1", "message": "is not a known check: \"tea\"; a report without a choice names all"},
    {
      "path": "groups.0",
      "message": "must be one of runbook, platform, activity, limits, statements, indexes, storage, not \"cups\""
    }
  ]',
  'and so are several'
);

select * from finish();
rollback;
