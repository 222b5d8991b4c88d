begin;

select plan(20);

set local client_min_messages = warning;
-- A remediation that declares what the test puts into a table.
create table public.test_wanted (
  id bigint generated always as identity primary key,
  declared runbook.declared_step
);
create function public.test_remedy(params jsonb)
returns setof runbook.declared_step
language sql
stable
as $$ select (wtd.declared).* from public.test_wanted as wtd order by wtd.id $$;
insert into runbook.remediation
  (name, title, description, parameters, subject_keys, function, risk, issue, cures)
values (
  'test-remedy', 'Test', 'Test.', '{"type": "object", "properties": {}}', '{}',
  'public.test_remedy', 'low', null, '{}'
);

create table public.test_account (
  id integer primary key,
  plan text,
  seats integer,
  note text,
  updated_at timestamptz
);
create function public.test_touch()
returns trigger
language plpgsql
as $$ begin new.updated_at := clock_timestamp(); return new; end; $$;
create trigger test_touch before update on public.test_account
for each row execute function public.test_touch();
insert into public.test_account values (1, 'free', 5, 'mine', '2020-01-01 00:00:00+00');
insert into public.test_wanted (declared)
values (runbook.update_step(
  'public.test_account', '{"id": 1}', '{"plan": "paid", "seats": 50}', 'Upgrade.'
));
create function pg_temp.run(answer jsonb)
returns bigint
language sql
as $$ select (answer #>> '{run,id}')::bigint; $$;

create function pg_temp.account()
returns jsonb
language sql
as $$ select to_jsonb(acc) - 'updated_at' from public.test_account as acc; $$;
create function pg_temp.refusal(id bigint)
returns jsonb
language plpgsql
as $$
declare
  v_detail text;
begin
  perform runbook.undo(id, true);
  return '"planned"';
exception
  when sqlstate 'RB408' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return v_detail::jsonb;
end;
$$;

create temporary table first as
select pg_temp.run(runbook.remediate('test-remedy', '{}', reason => 'test')) as id;

select is(
  runbook.run_of((select fst.id from first as fst)) -> 'undo',
  '{"available": true, "complete": true}',
  'a run says that it can be undone'
);

create temporary table planned as
select runbook.undo((select fst.id from first as fst), true) as answer;
select is(
  (select pln.answer #> '{steps,0,after}' from planned as pln) - 'updated_at',
  '{"id": 1, "plan": "free", "seats": 5}',
  'the plan of an undo shows the row as it will be'
);
select is(pg_temp.account() ->> 'plan', 'paid', 'and changes nothing');
select is(
  (select pln.answer #> '{steps,0,side_effects}' from planned as pln),
  '["trigger test_touch fires", "a trigger sets updated_at anew"]',
  'and names what a trigger will not let come back'
);

update public.test_account set seats = 60, note = 'theirs' where id = 1;

select is(
  (
    select jsonb_agg(dif - 'now' - 'left')
    from jsonb_array_elements(
      pg_temp.refusal((select fst.id from first as fst)) -> 'differences'
    ) as dif
    where dif ->> 'column' <> 'updated_at'
  ),
  '[{"key": {"id": 1}, "column": "seats", "relation": "public.test_account"}]',
  'after someone else''s change the plan is refused with the difference'
);

create temporary table refused as
select runbook.undo((select fst.id from first as fst), reason => 'back') as answer;

select is(
  (
    select dif - 'key' - 'relation'
    from refused as ref
    cross join jsonb_array_elements(ref.answer #> '{run,error,differences}') as dif
    where dif ->> 'column' = 'seats'
  ),
  '{"column": "seats", "left": 50, "now": 60}',
  'and so is the undo itself, with what was left and what is there'
);
select is(
  (select ref.answer ->> 'state' from refused as ref),
  'undo_refused',
  'which is a run of that state'
);
select is(
  (select run.state from runbook.run as run where run.id = (select fst.id from first as fst)),
  'succeeded',
  'the run to be undone is untouched'
);
select is(
  pg_temp.account(), '{"id": 1, "plan": "paid", "seats": 60, "note": "theirs"}', 'and so is the row'
);

select throws_ok(
  format('select runbook.undo(%s, true)', (select pg_temp.run(ref.answer) from refused as ref)),
  'RB408', null, 'a refused undo cannot be undone'
);
select throws_ok('select runbook.undo(-1, true)', 'P0002', null, 'nor a run that does not exist');
select throws_ok(
  format(
    'set local role runbook_viewer; select runbook.undo(%s, true)',
    (select fst.id from first as fst)
  ),
  'RB405', null, 'a viewer is refused'
);
select throws_ok(
  format('select runbook.undo(%s)', (select fst.id from first as fst)),
  'RB400', null, 'and whoever gives no reason'
);

-- As the run left it, by the same trigger's clock.
alter table public.test_account disable trigger test_touch;
update public.test_account as acc
set seats = 50, updated_at = (stp.after ->> 'updated_at')::timestamptz
from runbook.step as stp
where stp.run_id = (select fst.id from first as fst);
alter table public.test_account enable trigger test_touch;
set local timezone = 'Asia/Kathmandu';
set local datestyle = 'German';

create temporary table undone as
select runbook.undo(
  (select fst.id from first as fst), reason => 'back', idempotency_key => 'undo-1'
) as answer;
select is(
  pg_temp.account(),
  '{"id": 1, "plan": "free", "seats": 5, "note": "theirs"}',
  'else the columns that the run changed come back, and no others'
);
select is(
  (select run.state from runbook.run as run where run.id = (select fst.id from first as fst)),
  'undone',
  'and the run is undone'
);
select is(
  runbook.undo((select fst.id from first as fst), reason => 'back', idempotency_key => 'undo-1'),
  (select und.answer from undone as und),
  'the same key gives the same answer'
);
select is(
  runbook.undo((select fst.id from first as fst), reason => 'again') ->> 'state',
  'no_op',
  'undoing what is undone does nothing new'
);

select is(
  runbook.undo((select pg_temp.run(und.answer) from undone as und), reason => 'forth') ->> 'state',
  'succeeded',
  'the undo of the undo succeeds'
);
select is(
  pg_temp.account(),
  '{"id": 1, "plan": "paid", "seats": 50, "note": "theirs"}',
  'and brings back what the run had made'
);

create or replace function public.test_touch()
returns trigger
language plpgsql
as $$ begin new.plan := 'paid'; return new; end; $$;
select is(
  runbook.undo(
    (select max(run.id) from runbook.run as run where run.state = 'succeeded'), reason => 'back'
  ) #> '{run,error,differences}',
  '[{
    "relation": "public.test_account", "key": {"id": 1}, "column": "plan",
    "left": "free", "now": "paid"
  }]',
  'what the application does not let come back is refused, not half undone'
);

select * from finish();
rollback;
