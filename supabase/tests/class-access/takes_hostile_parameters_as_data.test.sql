begin;

select plan(9);

create function pg_temp.refusal(issue text, params jsonb)
returns text
language plpgsql
as $$
declare
  v_detail text;
begin
  perform runbook.diagnose(refusal.issue, refusal.params);
  return 'answered';
exception
  when sqlstate 'RB400' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return v_detail::jsonb #>> '{0,path}';
end;
$$;

select is(
  pg_temp.refusal('class-access', '{"email": "a@b.example", "class_id": "1 or true --"}'),
  'class_id',
  'a class that is too short to be one is refused'
);
select is(
  pg_temp.refusal(
    'class-access',
    '{"email": "a@b.example", "class_id": "30000000-0000-4000-8000-000000\u0027;--0"}'
  ),
  'class_id',
  'so is one with a quote in it'
);
select is(
  pg_temp.refusal('forum', '{"class_id": "30000000-0000-4000-8000-00000000000g"}'),
  'class_id',
  'and one with a letter that it cannot have'
);
select is(pg_temp.refusal('forum', '{}'), 'class_id', 'the forum is that of a class');
select is(
  pg_temp.refusal('class-access', '{"enrollment_id": "\u0027; drop table public.klassen; --"}'),
  'enrollment_id',
  'an enrolment that cannot be one is refused'
);
select is(
  pg_temp.refusal(
    'class-access',
    '{
      "enrollment_id": "40000000-0000-4000-8000-000000000031",
      "email": "pending-payment@demo.example"
    }'
  ),
  'enrollment_id',
  'an enrolment has its person'
);
select is(
  pg_temp.refusal('class-access', '{"email": "x\u0027 or true; --@demo.example"}'),
  'answered',
  'an address is looked up as it is'
);
select is(
  pg_temp.refusal('realtime', '{"table": "pg_catalog.pg_class; drop table x"}'),
  'table',
  'what is no table''s name is refused'
);
select is(
  pg_temp.refusal('class-access', '{"class_id": "30000000-0000-4000-8000-000000000001"}'),
  'email',
  'somebody must be named'
);

select * from finish();
rollback;
