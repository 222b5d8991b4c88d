begin;

select plan(9);

create schema story;
create table story.plain (id integer, body text);
insert into story.plain select generate_series(1, 1000), 'x';
analyze story.plain;

create function pg_temp.triggers(of_toast boolean default false)
returns text
language sql
as $$
  select concat_ws(
    ' ',
    trim_scale(vst.dead_trigger), trim_scale(vst.changed_trigger),
    coalesce(trim_scale(vst.inserted_trigger)::text, 'never'), vst.autovacuum_is_on
  )
  from runbook.vacuum_state as vst
  where vst.table_oid = 'story.plain'::regclass
    and vst.is_toast = of_toast;
$$;

select is(pg_temp.triggers(), '250 150 1200 t', 'the server''s settings make the triggers');
select is(pg_temp.triggers(true), '50 50 1000 t', 'a TOAST table has its own');

alter table story.plain set (
  autovacuum_vacuum_threshold = 10,
  autovacuum_vacuum_scale_factor = 0.5,
  autovacuum_analyze_threshold = 20,
  autovacuum_analyze_scale_factor = 0.01,
  autovacuum_vacuum_insert_threshold = -1
);
select is(pg_temp.triggers(), '510 30 never t', 'parameters of the table count before them');
select is(
  pg_temp.triggers(true), '10 20 never t', 'and for its TOAST table, which has none of its own'
);

alter table story.plain set (toast.autovacuum_vacuum_threshold = 7);
select is(
  pg_temp.triggers(true), '7 50 1000 t', 'but one that has any takes nothing from its table'
);

alter table story.plain set (autovacuum_enabled = off);
select is(pg_temp.triggers(), '510 30 never f', 'autovacuum that is off for the table is off');
select is(pg_temp.triggers(true), '7 50 1000 t', 'and on for the TOAST table that says otherwise');

create temporary table fleeting (id integer);
select is_empty(
  $$ select from runbook.vacuum_state as vst where vst.relation = 'fleeting'::regclass $$,
  'temporary tables are nobody''s but their session''s'
);
select is_empty(
  $$ select from runbook.vacuum_state as vst where vst.schema = 'pg_catalog'::regnamespace $$,
  'the catalogs are left out'
);

select * from finish();
rollback;
