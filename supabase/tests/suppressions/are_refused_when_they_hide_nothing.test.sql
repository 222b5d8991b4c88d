begin;

select plan(12);

create function pg_temp.problems(params jsonb)
returns jsonb
language plpgsql
as $$
declare
  v_detail text;
begin
  perform runbook.remediate(
    'suppress-finding',
    jsonb_build_object(
      'check', 'clock_not_shifted', 'code', 'clock_shifted', 'until', now() + interval '1 day'
    ) || params,
    reason => 'test'
  );
  return '[]';
exception
  when sqlstate 'RB400' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return (
      select jsonb_agg(prb.content -> 'path')
      from jsonb_array_elements(v_detail::jsonb) as prb (content)
    );
end;
$$;

select throws_ok(
  $$ select pg_temp.problems('{}') $$, 'P0002', null, 'what is not found cannot be suppressed'
);

select runbook.shift_clock('1 second');

select is(pg_temp.problems('{"check": "coffee"}'), '["check"]', 'there is no such check');
select is(pg_temp.problems('{"code": "odd"}'), '["code"]', 'the check has no such code');
select is(pg_temp.problems('{"until": "soon"}'), '["until"]', 'this is no time');
select is(pg_temp.problems('{"until": "infinity"}'), '["until"]', 'nor is this an expiry');
select is(pg_temp.problems('{"until": "2020-01-01"}'), '["until"]', 'nor this');
select is(
  pg_temp.problems(jsonb_build_object('until', now() + interval '367 days')),
  '["until"]',
  'a year is the longest'
);
select is(pg_temp.problems('{"subject": ""}'), '["subject"]', 'an empty subject is none');
select is(pg_temp.problems('{"reason": "x"}'), '["reason"]', 'the reason is the run''s own');
select throws_ok(
  $$ select pg_temp.problems('{"subject": "other"}') $$, 'P0002', null, 'not of this subject'
);

select throws_ok(
  $$
  select runbook.remediate(
    'suppress-finding',
    jsonb_build_object(
      'check', 'clock_not_shifted', 'code', 'clock_shifted', 'until', now() + interval '1 day'
    )
  )
  $$,
  'RB400', null, 'without a reason nothing is suppressed'
);

select throws_ok(
  $$
  set local role runbook_viewer;
  select runbook.remediate(
    'suppress-finding',
    jsonb_build_object(
      'check', 'clock_not_shifted', 'code', 'clock_shifted', 'until', now() + interval '1 day'
    ),
    reason => 'test'
  )
  $$,
  'RB405', null, 'a viewer may not'
);

select * from finish();
rollback;
