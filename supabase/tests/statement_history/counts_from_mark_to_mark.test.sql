begin;

select plan(13);

-- Others may have taken snapshots; this one takes its own, and those of the schedule wait. What
-- pg_stat_statements counts is moved by moving the marks that it is compared with.
lock table runbook.statement_snapshot in share row exclusive mode;
delete from runbook.statement_snapshot where id is not null;
delete from runbook.statement_mark where queryid is not null;
delete from runbook.statement_text where queryid is not null;

-- A statement that nobody else can run meanwhile, and that takes more time than most.
create temporary table own (id integer);
select count(*) from own right join generate_series(1, 1000000) as num (n) on num.n = own.id;

create temporary table chosen as
select fig.userid, fig.dbid, fig.queryid, fig.toplevel, fig.calls, fig.total_ms
from runbook.statement_figures() as fig
inner join extensions.pg_stat_statements as sta
  on sta.userid = fig.userid and sta.dbid = fig.dbid and sta.queryid = fig.queryid
where sta.query like 'select count(*) from own right join %'
order by fig.total_ms desc
limit 1;

create function pg_temp.gained()
returns bigint
language sql
as $$
  select gns.calls
  from runbook.statement_gain as gns
  inner join pg_temp.chosen as cho
    on cho.userid = gns.userid and cho.dbid = gns.dbid
    and cho.queryid = gns.queryid and cho.toplevel = gns.toplevel
  order by gns.snapshot_id desc
  limit 1;
$$;

select is(runbook.collect_statements('14 days'), 1::bigint, 'the first snapshot writes no gains');
select isnt_empty('select from runbook.statement_mark', 'it sets the marks');
select is(
  (select snp.began_at from runbook.statement_snapshot as snp), null,
  'and covers no time'
);
select isnt_empty(
  $$
  select
  from runbook.statement_text as txt
  inner join pg_temp.chosen as cho on cho.queryid = txt.queryid
  $$,
  'but it keeps the texts of what a window of a day tells of'
);
-- The next one shall find it by itself.
delete from runbook.statement_text where queryid is not null;

-- 7 calls that came after the snapshot.
update runbook.statement_mark as mrk
set calls = mrk.calls - 7, total_ms = 0
from pg_temp.chosen as cho
where mrk.queryid = cho.queryid and mrk.userid = cho.userid and mrk.dbid = cho.dbid
  and mrk.toplevel = cho.toplevel;

select runbook.collect_statements('14 days');
select is(pg_temp.gained(), 7::bigint, 'the next one counts what came since');

select isnt_empty(
  $$
  select
  from runbook.statement_text as txt
  inner join pg_temp.chosen as cho on cho.queryid = txt.queryid
  $$,
  'and keeps the text'
);

-- More calls than there are: the counters were reset in between.
update runbook.statement_mark as mrk
set calls = mrk.calls + 1000000
from pg_temp.chosen as cho
where mrk.queryid = cho.queryid and mrk.userid = cho.userid and mrk.dbid = cho.dbid
  and mrk.toplevel = cho.toplevel;

select runbook.collect_statements('14 days');
select is(
  pg_temp.gained(), (select cho.calls from chosen as cho),
  'of a counter that fell everything counts'
);

-- Two statements that the extension has forgotten, one of them long ago.
insert into runbook.statement_mark (
  userid, dbid, queryid, toplevel, calls, total_ms, rows, blocks, blocks_read, temp_blocks,
  first_seen_at, seen_at
)
values
  (1, 1, 1, true, 1, 1, 1, 1, 0, 0, now(), now() - interval '1 hour'),
  (1, 1, 2, true, 1, 1, 1, 1, 0, 0, now(), now() - interval '2 days');

select runbook.collect_statements('14 days');
select results_eq(
  'select mrk.queryid from runbook.statement_mark as mrk where mrk.userid = 1',
  array[1::bigint],
  'what the extension has forgotten for a day loses its mark'
);

select is(
  (
    select count(*)
    from runbook.statement_gain as gns
    inner join runbook.statement_snapshot as snp on snp.id = gns.snapshot_id
    where snp.id = (select max(lst.id) from runbook.statement_snapshot as lst)
      and gns.calls <= 0
  ),
  0::bigint,
  'no gain is negative'
);

-- One that only the oldest snapshot tells of: what other sessions run may be asked for any time.
insert into runbook.statement_text (dbid, queryid, query, columns)
select cho.dbid, -42, 'select from long_ago', '[]'
from pg_temp.chosen as cho;
insert into runbook.statement_gain
select (gain.content).*
from (
  select jsonb_populate_record(gns, '{"queryid": -42}') as content
  from runbook.statement_gain as gns
  order by gns.snapshot_id
  limit 1
) as gain;

update runbook.statement_snapshot
set taken_at = taken_at - interval '15 days'
where began_at is not null;

select runbook.collect_statements('14 days');
select is(
  (
    select count(*)
    from runbook.statement_snapshot as snp
    where snp.taken_at < now() - interval '14 days'
  ),
  0::bigint,
  'what is too old goes'
);

select is_empty(
  'select from runbook.statement_text as txt where txt.queryid = -42', 'and its texts with it'
);

select throws_ok(
  $$ select count(*) from runbook.statements_since(now(), 'beauty') $$,
  '22023', null,
  'statements are sorted by what they cost, and by nothing else'
);

select cmp_ok(
  (select count(*) from runbook.statements_since(now() - interval '1 day', 'total_ms', 3)), '<=',
  3::bigint,
  'as many are listed as were asked for'
);

select * from finish();
rollback;
