begin;

select plan(6);

create function public.test_collect(keep interval)
returns bigint
language plpgsql
as $$
begin
  perform set_config('test.kept', keep::text, true);
  return 1;
end;
$$;
insert into runbook.collector (name, function, every, keep, description)
values ('statement_test', 'public.test_collect', '1 hour', '8 days', 'Test.');

create temporary table planned as
select runbook.remediate('reset-query-statistics', '{}', true) as answer;
select is(
  (select pln.answer #>> '{steps,0,kind}' from planned as pln), 'effect', 'it is an effect'
);
select is(
  (select pln.answer #>> '{undo,reason}' from planned as pln),
  'counts that were forgotten do not come back.',
  'which is not taken back'
);
select is(current_setting('test.kept', true), null, 'a plan does nothing');

create temporary table done as
select runbook.remediate('reset-query-statistics', '{}', reason => 'test') as answer;
select is((select dne.answer ->> 'state' from done as dne), 'succeeded', 'it is done');
select ok(
  (
    select (dne.answer #>> '{steps,0,progress,result,after,since}')::timestamptz
    > (dne.answer #>> '{steps,0,progress,result,before,since}')::timestamptz
    from done as dne
  ),
  'and seen, by when the counting began'
);
select is(current_setting('test.kept'), '8 days', 'after a last snapshot of what is kept');

select * from finish();
rollback;
