begin;

select plan(5);

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

create type public.test_mood as enum ('fine', 'so-so "quoted"');
create type public.test_pair as (a integer, b text);
create domain public.test_tag as text check (value <> '');
create domain public.test_tags as text[];
create table public.test_everything (
  id uuid primary key,
  b boolean, i2 smallint, i8 bigint, f4 real, f8 double precision, n numeric, n2 numeric(30, 10),
  t text, v varchar(20), c char(8), c1 "char", nm name, bin bytea, bits bit(5), vbits bit varying,
  d date, tm time, tmz timetz, ts timestamp, tsz timestamptz, span interval,
  j json, jb jsonb, x xml, ip inet, net cidr, mac macaddr, o oid, reg regclass, lsn pg_lsn,
  pt point, poly polygon, r int4range, mr nummultirange, tsr tstzrange, tv tsvector,
  mood public.test_mood, pair public.test_pair, tag public.test_tag, tags public.test_tags,
  ints integer[], texts text[], times timestamptz[], pairs public.test_pair[],
  moods public.test_mood[], jsons jsonb[], cash money
);
insert into public.test_everything values (
  'aaaaaaaa-0000-4000-8000-000000000001',
  true, -32768, 9223372036854775807, 0.1, 0.30000000000000004, 'NaN', 1.10,
  E'line\nbreak " \\ \' $1 %s', 'é', 'pad', 'x', 'nm', '\x00ff10', '10101', '',
  '0044-03-15 BC', '23:59:59.999999', '12:00:00+05:30', 'infinity', '-infinity',
  '-1 year 2 mons -3 days 04:05:06.789',
  '{"z" : 1,  "a": [1.0, 1.00], "z": 2}', '{"n": 1.10, "s": null}', '<a b="c">&amp;</a>',
  '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', 4294967295, 'pg_class', '16/B374D848',
  '(1.5,-2)', '((0,0),(1,1),(1,0))', '[1,10)', '{[1.5,2.5),(3,)}',
  '[2020-01-01 00:00+00,infinity)', 'fat:2A cat:3',
  'so-so "quoted"', '(7,"x,""y")', 'tag', '{a,"b c"}',
  '[-1:1]={1,NULL,3}', '{{a,b},{"c,d",""}}', '{2020-01-01 00:00+00,infinity}',
  '{"(1,a)","(2,\"b c\")"}', '{fine,"so-so \"quoted\""}', '{"{\"a\": 1}"}', '12.34'
);
insert into public.test_everything (id, jb)
values ('aaaaaaaa-0000-4000-8000-000000000002', '"text"');

create function pg_temp.everything()
returns text
language sql
set timezone = 'UTC'
set datestyle = 'ISO, YMD'
set intervalstyle = 'postgres'
set bytea_output = 'hex'
set extra_float_digits = 3
as $$ select string_agg(evr::text, '; ' order by evr.id) from public.test_everything as evr; $$;
create temporary table before as select pg_temp.everything() as content;
create temporary table done (answer jsonb);

insert into public.test_wanted (declared)
select runbook.delete_step('public.test_everything', jsonb_build_object('id', evr.id), 'Delete.')
from public.test_everything as evr;

set local timezone = 'Asia/Kolkata';
set local datestyle = 'German';
set local intervalstyle = 'sql_standard';
set local bytea_output = 'escape';
set local extra_float_digits = -5;
insert into done select runbook.remediate('test-remedy', '{}', reason => 'test');
select is(pg_temp.everything(), null, 'rows with values of every type are deleted');

set local timezone = 'America/New_York';
set local datestyle = 'SQL, MDY';
select is(
  (
    select runbook.undo((answer #>> '{run,id}')::bigint, reason => 'back') #>> '{run,error}'
    from done
  ),
  null,
  'the undo meets no error'
);
select is(
  pg_temp.everything(), (select content from before), 'and restores each value to the letter'
);

-- And by way of an update.
delete from public.test_wanted where true;
delete from done where true;
insert into public.test_wanted (declared)
select runbook.update_step(
  'public.test_everything',
  '{"id": "aaaaaaaa-0000-4000-8000-000000000001"}',
  (
    select jsonb_object_agg(att.attname, null)
    from pg_catalog.pg_attribute as att
    where att.attrelid = 'public.test_everything'::regclass
      and att.attnum > 1
  ),
  'Empty it.'
);
insert into done select runbook.remediate('test-remedy', '{}', reason => 'test');
select is(
  (
    select (evr.t is null and evr.pairs is null)
    from public.test_everything as evr
    order by evr.id
    limit 1
  ),
  true,
  'an update empties every column'
);
insert into done
select runbook.undo((answer #>> '{run,id}')::bigint, reason => 'back') from done;
select is(
  pg_temp.everything(), (select content from before), 'and its undo restores each value as well'
);

select * from finish();
rollback;
