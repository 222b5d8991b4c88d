-- Collectors: functions that keep figures over time, so that a check can tell growth, a rate or
-- "since yesterday". Each is called when its interval has passed, in a statement of its own.
-- Relies on: nothing but the schema; the schedule calls what is due.

create table runbook.collector (
  name text not null,
  function text not null,
  every interval not null,
  keep interval not null,
  description text not null,
  constraint collector_pkey primary key (name),
  constraint name_is_snake_case check (name ~ '^[a-z][a-z0-9]*(_[a-z0-9]+)*$'),
  constraint every_is_a_minute_or_more check (every >= interval '1 minute')
);

comment on table runbook.collector is 'What keeps figures over time, and how often.';
comment on column runbook.collector.function is
'Qualified name of a volatile function (keep interval) returning bigint: it writes one snapshot,
removes those that are older than `keep`, and returns how many rows it wrote.';

revoke all on table runbook.collector from public;
grant select on table runbook.collector to runbook_viewer;
