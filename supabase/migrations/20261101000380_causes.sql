-- The handbook's issues "Slow database queries" and "High memory usage" as guided answers: each
-- asks the checks that can tell a cause, and answers in an order of causes that is kept as data:
-- what stops others now before what is slow by itself, and a cause before what follows from it.
-- Relies on: the checks, which are run as in the health check, cheapest first, under one budget.

create table runbook.cause (
  issue text not null,
  position integer not null,
  check_name text not null,
  code text not null,
  constraint cause_pkey primary key (issue, position),
  constraint cause_is_named_once unique (issue, check_name, code)
);

comment on table runbook.cause is
'The findings of checks that explain an issue, the one to act on first at the top. No foreign keys:
a check that is missing is told as skipped.';

revoke all on table runbook.cause from public;
grant select on table runbook.cause to runbook_viewer;

insert into runbook.cause (issue, position, check_name, code)
values
  -- Somebody waits for somebody: nothing else matters until that is over.
  ('slow-queries', 10, 'blocking', 'root_blocker'),
  ('slow-queries', 20, 'idle_in_transaction', 'idle_in_transaction'),
  ('slow-queries', 30, 'deadlocks', 'deadlocks_happen'),
  -- All are slow, because there is too little of something.
  ('slow-queries', 40, 'connections', 'connections_used_up'),
  ('slow-queries', 50, 'disk_space', 'disk_fills_up'),
  ('slow-queries', 60, 'long_queries', 'long_running_query'),
  ('slow-queries', 70, 'long_transactions', 'long_transaction'),
  ('slow-queries', 80, 'vacuum_horizon', 'vacuum_held_back'),
  -- One statement is slow: which, since when, and what it lacks.
  ('slow-queries', 100, 'slower_statements', 'statement_got_slower'),
  ('slow-queries', 105, 'slower_statements', 'statement_is_new'),
  ('slow-queries', 110, 'slow_statements', 'statement_dominates'),
  ('slow-queries', 120, 'slow_statements', 'statement_slow'),
  ('slow-queries', 130, 'repeated_statements', 'statement_repeated'),
  ('slow-queries', 135, 'repeated_statements', 'statement_per_row'),
  ('slow-queries', 140, 'invalid_indexes', 'invalid_index'),
  ('slow-queries', 150, 'missing_indexes', 'index_would_help'),
  ('slow-queries', 160, 'foreign_key_indexes', 'foreign_key_without_index'),
  ('slow-queries', 170, 'sequential_scans', 'large_table_scanned'),
  ('slow-queries', 180, 'column_statistics', 'column_worth_an_index'),
  ('slow-queries', 190, 'table_statistics', 'statistics_missing'),
  ('slow-queries', 200, 'table_statistics', 'statistics_stale'),
  -- Tables are larger than what is in them.
  ('slow-queries', 210, 'autovacuum_off', 'autovacuum_disabled'),
  ('slow-queries', 220, 'dead_rows', 'dead_rows_pile_up'),
  ('slow-queries', 230, 'bloat', 'table_bloated'),
  ('slow-queries', 240, 'bloat', 'index_bloated'),
  ('slow-queries', 250, 'catalog_bloat', 'catalog_bloated'),
  -- The server works more than it must.
  ('slow-queries', 260, 'temporary_files', 'temporary_files_large'),
  ('slow-queries', 270, 'cache_hit', 'cache_hit_low'),
  ('slow-queries', 280, 'checkpoints', 'checkpoints_too_frequent'),
  ('slow-queries', 290, 'settings', 'setting_unfit'),
  ('slow-queries', 300, 'statement_timeouts', 'statement_timeout_missing'),
  ('slow-queries', 310, 'duplicate_indexes', 'duplicate_index'),
  ('slow-queries', 320, 'redundant_indexes', 'redundant_index'),
  ('slow-queries', 330, 'unused_indexes', 'unused_index'),
  ('slow-queries', 340, 'disk_space', 'disk_used'),

  -- Memory that sessions hold.
  ('memory', 10, 'connections', 'connections_used_up'),
  ('memory', 20, 'settings', 'setting_unfit'),
  ('memory', 30, 'long_queries', 'long_running_query'),
  ('memory', 40, 'temporary_files', 'temporary_files_large'),
  -- Memory that holds what nobody needs: dead rows, empty pages, old rows, idle indexes.
  ('memory', 50, 'vacuum_horizon', 'vacuum_held_back'),
  ('memory', 60, 'autovacuum_off', 'autovacuum_disabled'),
  ('memory', 70, 'dead_rows', 'dead_rows_pile_up'),
  ('memory', 80, 'bloat', 'table_bloated'),
  ('memory', 90, 'bloat', 'index_bloated'),
  ('memory', 100, 'catalog_bloat', 'catalog_bloated'),
  ('memory', 110, 'old_rows', 'rows_older_than_a_year'),
  ('memory', 120, 'toast', 'toast_large'),
  ('memory', 130, 'sequential_scans', 'large_table_scanned'),
  ('memory', 140, 'duplicate_indexes', 'duplicate_index'),
  ('memory', 150, 'redundant_indexes', 'redundant_index'),
  ('memory', 160, 'unused_indexes', 'unused_index'),
  -- More data than the plan has memory and disk for.
  ('memory', 170, 'cache_hit', 'cache_hit_low'),
  ('memory', 180, 'table_growth', 'table_grows_fast'),
  ('memory', 190, 'disk_space', 'disk_fills_up'),
  ('memory', 200, 'disk_space', 'disk_used');

-- What the checks say about the causes of an issue, in the order of the causes; facts that ask for
-- nothing come last. Of one cause ten are told, and then how many there are more.
--
-- Cost: that of the checks, for six seconds at most; then the others are skipped.
-- Misses: what the checks miss. Suppressed findings are told here: who asks wants all causes.
create function runbook.findings_by_cause(issue text)
returns setof runbook.finding
language sql
stable
security invoker
set search_path = ''
as $$
  with causes as (
    select
      cau.position,
      cau.check_name,
      cau.code
    from runbook.cause as cau
    where cau.issue = findings_by_cause.issue
  ),
  asked as (
    select
      cau.check_name,
      min(cau.position) as position
    from causes as cau
    group by cau.check_name
  ),
  entries as materialized (
    select
      ent.content,
      ent.content ->> 'check' as check_name
    from jsonb_array_elements(
      runbook.run_checks(
        names => array(select ask.check_name from asked as ask),
        budget => '6 seconds'
      )
    ) as ent (content)
  ),
  found as (
    select
      cau.position,
      cau.check_name,
      cau.code,
      fnd.content,
      row_number() over of_cause as place,
      count(*) over (partition by cau.position)
      + coalesce((ent.content ->> 'more_findings')::integer, 0) as total
    from entries as ent
    cross join lateral jsonb_array_elements(ent.content -> 'findings') with ordinality
      as fnd (content, place)
    inner join causes as cau
      on cau.check_name = ent.check_name
      and cau.code = fnd.content ->> 'code'
    window of_cause as (partition by cau.position order by fnd.place)
  ),
  answers as (
    select
      fnd.content ->> 'severity' = 'info' as is_last,
      fnd.position,
      fnd.place,
      jsonb_populate_record(null::runbook.finding, fnd.content) as finding
    from found as fnd
    where fnd.place <= 10
    union all
    select
      true,
      fnd.position,
      fnd.place,
      row(
        'more_found',
        'info',
        fnd.check_name,
        format(
          'There are %s more of %s. The health check lists them: {"checks": ["%s"], "detail": true}.',
          fnd.total - 10,
          fnd.code,
          fnd.check_name
        ),
        jsonb_build_object('more', fnd.total - 10),
        'counted by the check',
        null,
        null
      )::runbook.finding
    from found as fnd
    where fnd.place = 10
      and fnd.total > 10
    union all
    select
      true,
      ask.position,
      0,
      case
        when ent.check_name is null
          then runbook.skipped(ask.check_name, 'The catalog has no such check.')
        when ent.content ->> 'status' = 'not_applicable'
          then runbook.not_applicable(ask.check_name, ent.content ->> 'reason')
        else runbook.skipped(ask.check_name, ent.content ->> 'reason')
      end
    from asked as ask
    left join entries as ent on ent.check_name = ask.check_name
    where ent.check_name is null
      or ent.content ->> 'reason' is not null
  )
  select (ans.finding).*
  from answers as ans
  order by ans.is_last, ans.position, ans.place;
$$;

comment on function runbook.findings_by_cause(text) is
'The findings of the checks that explain an issue, in the order of its causes; skipped and
not_applicable rows for checks that could not look.';
revoke all on function runbook.findings_by_cause(text) from public;

-- Why are queries slow?
--
-- Cost: see runbook.findings_by_cause.
-- Misses: the network and the application in front of the database.
create function runbook.diagnose_slow_queries(params jsonb)
returns setof runbook.finding
language sql
stable
security invoker
set search_path = ''
as $$
  select
    fnd.code,
    fnd.severity,
    fnd.subject,
    fnd.summary,
    fnd.evidence,
    fnd.method,
    fnd.remediation,
    fnd.params
  from runbook.findings_by_cause('slow-queries') as fnd;
$$;

comment on function runbook.diagnose_slow_queries(jsonb) is
'The diagnosis of the issue slow-queries, but for what {since} asks.';
revoke all on function runbook.diagnose_slow_queries(jsonb) from public;

-- What uses the memory?
--
-- Cost: see runbook.findings_by_cause.
-- Misses: the server's memory itself, which SQL cannot see.
create function runbook.diagnose_memory(params jsonb)
returns setof runbook.finding
language sql
stable
security invoker
set search_path = ''
as $$
  select
    fnd.code,
    fnd.severity,
    fnd.subject,
    fnd.summary,
    fnd.evidence,
    fnd.method,
    fnd.remediation,
    fnd.params
  from runbook.findings_by_cause('memory') as fnd;
$$;

comment on function runbook.diagnose_memory(jsonb) is
'The diagnosis of the issue memory; takes no parameters.';
revoke all on function runbook.diagnose_memory(jsonb) from public;

insert into runbook.issue (
  name, title, description, parameters, subject_keys, function, keeps_order, codes, blind_spots
)
values
  (
    'slow-queries',
    'Slow database queries',
    'Pages load slowly, or queries time out.',
    '{
      "type": "object",
      "properties": {
        "since": {
          "type": "string",
          "format": "age",
          "minLength": 1,
          "maxLength": 64,
          "description": "Also what took the time since then, such as 1 day or the time of a deployment."
        }
      },
      "required": [],
      "additionalProperties": false
    }',
    '{}',
    'runbook.diagnose_slow_queries',
    true,
    '{"more_found": "Of one cause more was found than is told here."}',
    array[
      'The network, the pooler and the application in front of the database are not seen.',
      'The processor''s load is not seen from SQL; the dashboard shows it.'
    ]
  ),
  (
    'memory',
    'High memory usage',
    'The database crashes, or the platform reports that memory runs out.',
    '{"type": "object", "properties": {}, "required": [], "additionalProperties": false}',
    '{}',
    'runbook.diagnose_memory',
    true,
    '{"more_found": "Of one cause more was found than is told here."}',
    array[
      'How much memory the server has left is not seen from SQL; the dashboard shows it.',
      'Memory of other services on the same machine, such as Auth, is not seen.'
    ]
  );

-- The other codes are those of the checks, with the meaning that stands there.
update runbook.issue as iss
set codes = iss.codes || told.codes
from (
  select
    cau.issue,
    jsonb_object_agg(cau.code, coalesce(chk.codes ->> cau.code, 'See the check.')) as codes
  from runbook.cause as cau
  left join runbook.check as chk on chk.name = cau.check_name
  group by cau.issue
) as told
where told.issue = iss.name;
