begin;

select plan(23);

set local client_min_messages = warning;
create table public.test_parent (id integer primary key);
create table public.test_child (
  id integer primary key,
  parent_id integer references public.test_parent,
  code text not null,
  other integer,
  constraint test_code_key unique (code)
);
create index test_unused on public.test_child (other) where other > 5;
create index test_foreign on public.test_child (parent_id);
create unique index test_rule on public.test_child (other);
create unique index test_replica on public.test_child (code);
alter table public.test_child replica identity using index test_replica;
create table public.test_parts (id integer, at date) partition by range (at);
create table public.test_part partition of public.test_parts
for values from ('2026-01-01') to ('2027-01-01');
create index test_parts_at on public.test_parts (at);

create function pg_temp.refusal(index text)
returns text
language plpgsql
as $$
begin
  return runbook.remediate('drop-index', jsonb_build_object('index', index), true) ->> 'state';
exception
  when others then
    return sqlstate;
end;
$$;

-- As if the runbook had only begun to watch.
delete from runbook.usage_snapshot where true;
select is(pg_temp.refusal('public.test_unused'), '55000', 'a week must have been counted');
insert into runbook.check_tuning (check_name, thresholds, tuned_by)
values ('unused_indexes', '{"window_days": 0}', 'test');
select is(pg_temp.refusal('public.test_unused'), 'planned', 'then an unused one may go');
select is(
  (runbook.remediate('drop-index', '{"index": "test_unused"}', true) #> '{steps,0}') - array[
    'side_effects', 'progress', 'before', 'after', 'key', 'relation', 'position'
  ],
  '{
    "kind": "statement",
    "operation": "drop_index",
    "summary": "Drop the index public.test_unused.",
    "statement": "drop index concurrently public.test_unused",
    "undo": "create index concurrently test_unused ON public.test_child USING btree (other) WHERE (other > 5)",
    "state": "planned"
  }',
  'by its full name, and comes back as it was'
);
select is(
  runbook.remediate('drop-index', '{"index": "test_unused"}', true) #> '{undo}',
  '{"available": true, "complete": true}', 'all of it comes back'
);
comment on index public.test_unused is 'For the report.';
select is(
  runbook.remediate('drop-index', '{"index": "test_unused"}', true) #> '{undo,complete}',
  'false', 'but a comment'
);

select is(
  runbook.index_duty('public.test_parent_pkey'::regclass),
  'holds the constraint test_parent_pkey',
  'the constraint of an index is named, not a foreign key that refers to it'
);
-- What is known of its use is what the check of unused indexes knows.
create index test_policy on public.test_child (code, other);
create policy test_reads on public.test_child for select using (code <> '');
select is(pg_temp.refusal('public.test_policy'), '55000', 'one that a policy reads by must stay');
drop policy test_reads on public.test_child;
select is(pg_temp.refusal('public.test_policy'), 'planned', 'and may go without it');

delete from runbook.check_tuning where check_name = 'unused_indexes';
insert into runbook.usage_snapshot (taken_at) values (clock_timestamp() - interval '9 days');
select is(
  pg_temp.refusal('public.test_unused'), '55000', 'one that came since the runbook began is new'
);
insert into runbook.index_usage (index, scans, is_older_than_watch, unused_since)
values ('public.test_unused'::regclass, 0, false, clock_timestamp() - interval '6 days');
select is(pg_temp.refusal('public.test_unused'), '55000', 'unused for six days is too short');
update runbook.index_usage
set unused_since = clock_timestamp() - interval '8 days'
where index = 'public.test_unused'::regclass;
select is(pg_temp.refusal('public.test_unused'), 'planned', 'for eight it is enough');
update runbook.index_usage
set scans = 5, unused_since = clock_timestamp() - interval '8 days'
where index = 'public.test_unused'::regclass;
select is(
  pg_temp.refusal('public.test_unused'), 'planned', 'a counter that was reset since is no use'
);
update runbook.index_usage
set scans = 0, unused_since = clock_timestamp()
where index = 'public.test_unused'::regclass;
select is(pg_temp.refusal('public.test_unused'), '55000', 'one that was used a moment ago stays');

select is(pg_temp.refusal(asked.index), asked.code, asked.description)
from (
  values
    ('public.nothing', 'P0002', 'one that is not there'),
    ('public.test_child', '22023', 'a table'),
    ('public.test_child_pkey', '55000', 'that of a primary key'),
    ('public.test_code_key', '55000', 'that of a unique constraint'),
    ('public.test_rule', '55000', 'one that keeps values unique'),
    ('public.test_replica', '55000', 'the replica identity'),
    ('public.test_foreign', '55000', 'the only one of a foreign key'),
    ('public.test_parts_at', '0A000', 'one of a partitioned table'),
    ('public.test_part_at_idx', '55000', 'a part of such a one'),
    ('pg_catalog.pg_class_oid_index', '42501', 'one of Postgres')
) as asked (index, code, description);

select * from finish();
rollback;
