begin;

select plan(8);

create schema story;
create table story.note (id integer primary key, body text);
-- As it comes, so that its size is known.
alter table story.note alter column body set storage external;

select runbook.tune_check('toast', '{"toast_bytes": 819200, "ratio": 4}');

create function pg_temp.found()
returns text
language sql
as $$
  -- What an index is built over is counted again, TOAST included.
  reindex table story.note;

  select coalesce(
    string_agg(concat_ws(' ', fnd.content ->> 'code', fnd.content ->> 'severity'), ', '), ''
  )
  from jsonb_array_elements(runbook.run_check('toast') -> 'findings') as fnd (content)
  where fnd.content ->> 'subject' = 'story.note';
$$;

create procedure pg_temp.write(rows integer, bytes integer)
language sql
as $$
  insert into story.note
  select (select coalesce(max(nte.id), 0) from story.note as nte) + srs.id, repeat('x', write.bytes)
  from generate_series(1, write.rows) as srs (id);
$$;

select is(pg_temp.found(), '', 'an empty table is silent');

call pg_temp.write(9, 80000);
select is(pg_temp.found(), '', 'large values of less than toast_bytes are');

call pg_temp.write(20000, 100);
call pg_temp.write(5, 80000);
select is(pg_temp.found(), '', 'so are many beside as many rows');

delete from story.note where body not like repeat('x', 101) || '%';
select is(pg_temp.found(), '', 'rows that are dead are still rows of the file');

truncate story.note;
call pg_temp.write(14, 80000);
select is(pg_temp.found(), 'toast_large info', 'values that outweigh the rows by far are told');
select matches(
  (
    select fnd.content ->> 'summary'
    from jsonb_array_elements(runbook.run_check('toast') -> 'findings') as fnd (content)
    where fnd.content ->> 'subject' = 'story.note'
  ),
  '^story\.note keeps 11\d\d kB of large values beside 8192 bytes of rows\. ',
  'with their size'
);

update story.note set body = 'in Storage';
truncate story.note;
insert into story.note values (1, 'in Storage');
select is(pg_temp.found(), '', 'without them it is silent again');

create temporary table fleeting (body text);
alter table fleeting alter column body set storage external;
insert into fleeting select repeat('x', 80000) from generate_series(1, 14);
reindex table fleeting;
select unalike(
  runbook.run_check('toast') ->> 'findings', '%fleeting%', 'temporary tables are nobody''s business'
);

select * from finish();
rollback;
