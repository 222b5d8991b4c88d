begin;

select plan(12);

create schema story;

create function pg_temp.found()
returns text
language sql
as $$
  select coalesce(
    string_agg(
      format(
        '%s %s %s',
        fnd.content ->> 'subject',
        fnd.content #>> '{evidence,old_rows}',
        coalesce(fnd.content ->> 'remediation', '-')
      ),
      ', '
      order by fnd.position
    ),
    ''
  )
  from jsonb_array_elements(runbook.run_check('old_rows') -> 'findings') with ordinality
    as fnd (content, position)
  where fnd.content ->> 'subject' like 'story.%';
$$;

-- 10,000 rows, the oldest of them so long ago, evenly up to the newest.
create procedure pg_temp.fill(oldest interval, newest interval default '0')
language plpgsql
as $$
begin
  execute 'truncate story.event';
  insert into story.event ("when ""made", updated_at)
  select
    now() - newest - (oldest - newest) * n / 10000.0,
    now() - interval '3 years' + n * interval '1 hour'
  from generate_series(0, 9999) as srs (n);
  analyze story.event;
end;
$$;

create table story.event (
  id bigint generated always as identity primary key,
  "when ""made" timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

select is(pg_temp.found(), '', 'an empty table is silent');

call pg_temp.fill('11 months');
select is(pg_temp.found(), '', 'so is one whose rows are younger, whatever updated_at says');

select runbook.tune_check('old_rows', '{"min_rows": 100}');
call pg_temp.fill('380 days');
select is(pg_temp.found(), '', 'so is one of which less than a twentieth is older');

select runbook.tune_check('old_rows', null);
call pg_temp.fill('730 days', '60 days');
select is(pg_temp.found(), '', 'so is an archive that no longer grows');

call pg_temp.fill('730 days');
select matches(
  pg_temp.found(), '^story\.event (49|50)00 archive-rows$', 'half of it older is found'
);
select is(
  (
    select fnd.content - 'summary' - 'evidence' - 'method' - 'severity' - 'code' - 'subject'
    from jsonb_array_elements(runbook.run_check('old_rows') -> 'findings') as fnd (content)
    where fnd.content ->> 'subject' = 'story.event'
  ),
  '{
    "remediation": "archive-rows",
    "params": {"table": "story.event", "column": "when \"made", "older_than": "1 year"}
  }',
  'with the remediation ready to send'
);

create table story.child (event_id bigint references story.event (id));
select matches(
  pg_temp.found(), '^story\.event \d+ -$', 'a table that others refer to is found without a cure'
);
drop table story.child;

alter table story.event alter column "when ""made" drop default;
select is(pg_temp.found(), '', 'a column without a default and without an index proves nothing');

create index on story.event ("when ""made");
select is(pg_temp.found(), '', 'nor one whose rows lie against its order');

create table story.sorted as select * from story.event order by "when ""made";
alter table story.sorted alter column "when ""made" set not null;
create index on story.sorted ("when ""made");
analyze story.sorted;
select matches(
  pg_temp.found(), '^story\.sorted \d+ archive-rows$', 'indexed and in order it is found'
);

delete from story.sorted where "when ""made" < now() - interval '1 year';
analyze story.sorted;
select is(pg_temp.found(), '', 'cured it is silent');

select ok(
  runbook.run_check('old_rows') @? '$.findings[*] ? (@.subject == "public.analytics_events")',
  'the table of the demo stands there all the time'
);

select * from finish();
rollback;
