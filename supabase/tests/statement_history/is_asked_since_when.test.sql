begin;

select plan(8);

select is_empty(
  $$ select found.code from runbook.diagnose_since('{}') as found $$,
  'without a time nothing is told'
);

select throws_ok(
  $$ select runbook.diagnose('slow-queries', '{"since": "yesterdayish"}') $$,
  'RB400',
  null,
  'a time that is none is refused'
);

select throws_ok(
  $$ select runbook.diagnose('slow-queries', '{"since": "2999-01-01T00:00:00Z"}') $$,
  'RB400',
  null,
  'so is one in the future'
);

select throws_ok(
  $$ select runbook.diagnose('slow-queries', '{"since": 5}') $$,
  'RB400',
  null,
  'and what is no text'
);

select lives_ok(
  $$ select runbook.diagnose_since('{"since": "2026-01-01T00:00:00Z"}') $$,
  'a time is taken as it is'
);

select cmp_ok(
  (
    select count(*)
    from runbook.diagnose_since('{"since": "1 day"}') as found
    where found.code = 'statement_since'
  ),
  '<=',
  5::bigint,
  'an age counts from now, and five statements are told'
);

select cmp_ok(
  (
    select count(*)
    from runbook.diagnose_since('{"since": "1 day"}') as found
    where found.code = 'statement_since'
  ),
  '>',
  0::bigint,
  'at least one of them'
);

select is_empty(
  $$
  select chk.name, code.key
  from runbook.check as chk
  cross join lateral jsonb_object_keys(chk.codes) as code (key)
  where exists (
      select
      from runbook.cause as cau
      where cau.check_name = chk.name
    )
    and not exists (
      select
      from runbook.cause as cau
      where cau.check_name = chk.name
        and cau.code = code.key
    )
  $$,
  'a check that is asked for a cause keeps none of its findings to itself'
);

select * from finish();
rollback;
