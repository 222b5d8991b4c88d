begin;

select plan(21);

create function pg_temp.answer(email text)
returns text
language sql
as $$
  select coalesce(
    runbook.diagnose('login', jsonb_build_object('email', email)) #>> '{findings,0,code}',
    'nothing'
  );
$$;

select is(pg_temp.answer(hostile.email), 'no_such_user', format('harmless: %s', hostile.email))
from (
  values
    ('x'' or ''1''=''1'),
    ('x"; drop schema runbook cascade; --'),
    ('%'),
    ('$1 $$ \\ {{email}}'),
    ('مريم@مدرسة.example'),
    (e'a\nb\tc@test.example'),
    (e'\u202emoc.elpmaxe@nimda'),
    ('a+%@gmail.com'),
    ('@'),
    ('@gmail.com'),
    ('+@gmail.com'),
    ('a@'),
    ('a@@b@gmial.com'),
    ('a(*[\@gm(*[\.com'),
    (repeat('+.', 150) || '@gmail.com'),
    (repeat('a', 150) || '@' || repeat('b', 150)),
    (repeat('@', 320))
) as hostile (email);

select is(pg_temp.answer(repeat('x', 320)), 'no_such_user', '320 characters are an address');

select throws_ok(
  $$ select pg_temp.answer(repeat('x', 321)) $$,
  'RB400', null, '321 characters are refused'
);

select throws_ok(
  $$ select pg_temp.answer(repeat('''', 10000)) $$,
  'RB400', null, '10,000 quotes are refused'
);

select is(
  runbook.remediate(
    'unblock-login',
    jsonb_build_object('email', 'x'' or identifier <> '''),
    reason => 'hostile'
  ) ->> 'state',
  'no_op',
  'a hostile address unblocks nobody'
);

select * from finish();
rollback;
