begin;

select plan(24);

set local client_min_messages = warning;
-- The stack may be at work: its ticks leave at once while this test holds their lock.
select runbook.lock_for_transaction('tick');
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
create function pg_temp.run(answer jsonb)
returns bigint
language sql
as $$ select (answer #>> '{run,id}')::bigint; $$;

create table public.test_many (id integer primary key, archived boolean not null default false);
insert into public.test_many select num from generate_series(1, 25) as num;
create function public.test_archive(args jsonb, cursor jsonb)
returns jsonb
language plpgsql
as $$
declare
  v_last integer := coalesce((cursor ->> 'id')::integer, 0);
  v_next integer := v_last + 10;
begin
  if args ? 'fail' and v_last >= 10 then
    raise exception 'stuck' using errcode = '55000';
  end if;
  update public.test_many set archived = true where id > v_last and id <= v_next;
  return jsonb_build_object(
    'done', v_next >= 25,
    'cursor', jsonb_build_object('id', v_next),
    'rows', least(v_next, 25) - v_last
  );
end;
$$;
create function public.test_restore(args jsonb, cursor jsonb)
returns jsonb
language plpgsql
as $$
begin
  update public.test_many set archived = false
  where id <= (args #>> '{undoes,cursor,id}')::integer;
  return '{"done": true, "rows": 10}';
end;
$$;
insert into runbook.batch_function (name, function, undo_function, description)
values ('test_archive', 'public.test_archive', 'public.test_restore', 'Test.');
insert into public.test_wanted (declared)
values (runbook.batch_step('test_archive', '{"why": "old"}', 'Archive 25 rows.'));
create function pg_temp.archived()
returns bigint
language sql
as $$ select count(*) from public.test_many where archived; $$;

create temporary table first as
select runbook.remediate('test-remedy', '{}', reason => 'test') as answer;
select set_config('test.run', (select pg_temp.run(fst.answer)::text from first as fst), true);
create function pg_temp.answer()
returns jsonb
language sql
as $$ select runbook.run_of(current_setting('test.run')::bigint); $$;

select is((select answer ->> 'state' from first), 'applying', 'applying only begins');
select is(pg_temp.archived(), 0::bigint, 'and changes no row yet');
select runbook.advance_runs();
select is(pg_temp.archived(), 10::bigint, 'a tick does one batch');
select is(
  (pg_temp.answer() #> '{steps,0,progress}') - 'at',
  '{"batches": 1, "rows": 10, "cursor": {"id": 10}}',
  'and notes how far it came'
);
select runbook.freeze('deploy');
select runbook.advance_runs();
select is(pg_temp.archived(), 10::bigint, 'a freeze pauses it');
select runbook.unfreeze('done');
select runbook.advance_runs();
select runbook.advance_runs();
select is(pg_temp.archived(), 25::bigint, 'the last tick does the rest');
select is(pg_temp.answer() ->> 'state', 'succeeded', 'and ends the run');
select runbook.advance_runs();
select is(pg_temp.answer() #>> '{steps,0,progress,batches}', '3', 'a further tick does nothing');

create temporary table undone as
select runbook.undo(current_setting('test.run')::bigint, reason => 'back') as answer;
select is((select answer #>> '{steps,0,statement}' from undone),
  'public.test_restore {"why": "old"}', 'the undo is a batch too'
);
select runbook.advance_runs();
select is(pg_temp.archived(), 0::bigint, 'which takes the batches back');
select is(pg_temp.answer() ->> 'state', 'undone', 'and makes the run undone');

update public.test_wanted
set declared = runbook.batch_step('test_archive', '{"fail": true}', 'Archive.');
select set_config(
  'test.run', pg_temp.run(runbook.remediate('test-remedy', '{}', reason => 'test'))::text, true
);
select runbook.advance_runs() from generate_series(1, 3);
select is(pg_temp.answer() ->> 'state', 'applying', 'a batch that fails is tried again');
select runbook.advance_runs();
select is(
  pg_temp.answer() #> '{run,error}',
  '{"sqlstate": "55000", "message": "stuck", "position": 1}',
  'three times, then the run has failed'
);
select is(pg_temp.archived(), 10::bigint, 'what was done stays');
select set_config(
  'test.run',
  pg_temp.run(runbook.undo(current_setting('test.run')::bigint, reason => 'back'))::text,
  true
);
select runbook.advance_runs();
select is(pg_temp.archived(), 0::bigint, 'and can be taken back');

-- Where no tick comes, whoever asks for a run moves it on.
update public.test_wanted set declared = runbook.batch_step('test_archive', '{}', 'Archive.');
update runbook.heartbeat set ticked_at = clock_timestamp() where id;
select set_config(
  'test.run', pg_temp.run(runbook.remediate('test-remedy', '{}', reason => 'test'))::text, true
);
create function pg_temp.refusal()
returns text
language plpgsql
as $$
declare
  v_hint text;
begin
  perform runbook.remediate('test-remedy', '{}', reason => 'again');
  return null;
exception
  when others then
    get stacked diagnostics v_hint = pg_exception_hint;
    return sqlstate || ' ' || v_hint;
end;
$$;
select is(pg_temp.refusal(), 'RB410 Wait until it has ended.', 'while the tick comes one waits');
update runbook.heartbeat set ticked_at = clock_timestamp() - interval '4 minutes' where id;
select matches(
  pg_temp.refusal(), '^RB410 .*advance_runs', 'without it the refusal says what to call'
);

create function pg_temp.take_up()
returns boolean
language sql
as $$ select runbook.take_up_run(current_setting('test.run')::bigint); $$;
select ok(not pg_temp.take_up(), 'one that has just begun is left to whoever applied it');
select is(pg_temp.archived(), 0::bigint, 'so nothing was done');
alter table runbook.run disable trigger user;
update runbook.run set started_at = clock_timestamp() - interval '1 minute'
where id = current_setting('test.run')::bigint;
alter table runbook.run enable trigger user;
update runbook.heartbeat set ticked_at = clock_timestamp() where id;
select ok(not pg_temp.take_up(), 'and so it is to the tick');
update runbook.heartbeat set ticked_at = null where id;
select ok(pg_temp.take_up(), 'else asking for it does a batch, and there is more');
select is(pg_temp.archived(), 10::bigint, 'which is one batch');
select ok(not pg_temp.take_up(), 'while somebody is at it nobody else begins');
select is(pg_temp.archived(), 10::bigint, 'so that it goes on at its own pace');

select * from finish();
rollback;
