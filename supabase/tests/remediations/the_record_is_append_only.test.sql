begin;

select plan(6);

select runbook.remediate('unblock-login', '{"email": "record@test.example"}', reason => 'test');

select throws_ok(
  $$ update runbook.run set reason = 'nicer' where true $$,
  '55000', null, 'a run cannot be changed'
);

select throws_ok('delete from runbook.run where true', '55000', null, 'nor deleted');
select throws_ok('truncate runbook.run cascade', '55000', null, 'nor truncated');
select throws_ok(
  $$ update runbook.step set summary = 'nicer' where true $$,
  '55000', null, 'a step cannot be changed'
);
select throws_ok('delete from runbook.step where true', '55000', null, 'nor deleted');
select throws_ok('truncate runbook.step', '55000', null, 'nor truncated');

select * from finish();
rollback;
