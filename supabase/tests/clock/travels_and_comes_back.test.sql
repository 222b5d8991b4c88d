begin;

select plan(6);

select is(runbook.now(), now(), 'the clock shows the real time');

select is(
  runbook.shift_clock('1 hour'),
  now() + interval '1 hour',
  'shifting answers the new time'
);

select runbook.shift_clock('-10 minutes');
select is(runbook.now(), now() + interval '50 minutes', 'shifts add up');

select throws_ok(
  $$ set local role runbook_admin; select runbook.shift_clock('1 hour') $$,
  '42501', null, 'only the owner of the schema shifts it'
);

select runbook.shift_clock(null);
select is(runbook.now(), now(), 'null goes back to the real time');

select throws_ok(
  'insert into runbook.clock (id) values (false)',
  '23514', null, 'there is one clock'
);

select * from finish();
rollback;
