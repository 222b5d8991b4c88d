begin;

select plan(13);

set local client_min_messages = warning;
create table public.test_back (
  id integer primary key,
  mail text unique,
  at timestamptz not null,
  note text
);
insert into public.test_back (id, mail, at, note)
select num, nullif('mail ' || num, 'mail 3'), now() - interval '3 years', 'as it was'
from generate_series(1, 4) as num;
create temporary table before as select bck::text as content from public.test_back as bck;

create function pg_temp.planned(run text)
returns jsonb
language sql
as $$
  select case
    when planned.run is null then runbook.remediate(
      'archive-rows',
      '{"table": "public.test_back", "column": "at", "older_than": "1 year", "batch_rows": 2}',
      true
    )
    else runbook.undo(planned.run::bigint, true)
  end;
$$;
create function pg_temp.undo(key text)
returns text
language sql
as $$
  select runbook.undo(
    current_setting('test.run')::bigint, reason => 'test', idempotency_key => undo.key,
    plan_hash => pg_temp.planned(current_setting('test.run')) ->> 'plan_hash'
  ) #>> '{run,id}';
$$;
create function pg_temp.refusal()
returns text
language plpgsql
as $$
declare
  v_detail text;
begin
  perform pg_temp.planned(current_setting('test.run'));
  return null;
exception
  when sqlstate 'RB408' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return v_detail::jsonb #>> '{differences,0,now}';
end;
$$;

create temporary table plan as select pg_temp.planned(null) as answer;
select set_config(
  'test.run',
  runbook.remediate(
    'archive-rows', pln.answer -> 'params',
    reason => 'test', idempotency_key => 'one', plan_hash => pln.answer ->> 'plan_hash'
  ) #>> '{run,id}',
  true
)
from plan as pln;
select runbook.advance_runs() from generate_series(1, 4);
select is((select count(*) from public.test_back), 0::bigint, 'all rows are in the archive');

insert into public.test_back (id, mail, at) values (9, 'mail 2', now());
select is(
  pg_temp.refusal(), 'one row with the values of archived rows in public.test_back_mail_key',
  'a unique value that is taken refuses the undo before it begins'
);
update public.test_back set mail = null where id = 9;
select is(pg_temp.refusal(), null, 'two nulls do not meet');
delete from public.test_back where id = 9;

-- What a trigger writes, the archive has not held.
create function public.test_stamp()
returns trigger
language plpgsql
as $$
begin
  if new.id > 2 then
    new.note := 'stamped';
  end if;
  return new;
end;
$$;
create trigger test_stamp before insert on public.test_back
for each row execute function public.test_stamp();

create temporary table broken as select pg_temp.undo('two') as id;
select runbook.advance_runs() from generate_series(1, 4);
create temporary table seen as
select runbook.run_of(brk.id::bigint) as answer from broken as brk;
select is(
  (select sen.answer ->> 'state' from seen as sen), 'failed', 'rows that come back changed fail'
);
select matches(
  (select sen.answer #>> '{run,error,message}' from seen as sen),
  '^Of 2 rows that came back to public.test_back a trigger has changed 2', 'which is said'
);
select matches(
  (select sen.answer #>> '{run,error,hint}' from seen as sen), 'Disable the trigger', 'with a cure'
);
select is(
  (select array_agg(bck.id order by bck.id) from public.test_back as bck), '{1,2}',
  'the batch before is back'
);

alter table public.test_back disable trigger test_stamp;
delete from archive.public_test_back where id = 4;
select is(pg_temp.refusal(), '1', 'a row that somebody took from the archive is a difference');
insert into archive.public_test_back (runbook_run, runbook_archived_at, id, mail, at, note)
select current_setting('test.run')::bigint, now(), 4, 'mail 4', arc.at, 'as it was'
from archive.public_test_back as arc;
select is(pg_temp.refusal(), null, 'those that are back already are none');

select isnt(pg_temp.undo('three'), null, 'the undo is asked for again');
select runbook.advance_runs() from generate_series(1, 4);
select results_eq(
  'select bck::text from public.test_back as bck order by 1',
  'select bef.content from before as bef order by 1',
  'and everything is as it was'
);
select is((select count(*) from archive.public_test_back), 0::bigint, 'the archive is empty');
select is(
  runbook.run_of(current_setting('test.run')::bigint) ->> 'state', 'undone', 'the run is undone'
);

select * from finish();
rollback;
