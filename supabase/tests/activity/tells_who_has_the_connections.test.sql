begin;

select plan(3);

create function pg_temp.findings(thresholds jsonb)
returns setof runbook.finding
language sql
as $$
  select fnd.*
  from unnest((runbook.check_connections(findings.thresholds)).findings) as fnd;
$$;

select is_empty(
  $$ select pg_temp.findings('{"warning": 101, "critical": 101}') $$,
  'below the limit nothing is told'
);
select is(
  (
    select array_agg(fnd.severity::text)
    from pg_temp.findings('{"warning": 0, "critical": 101}') as fnd
    where fnd.subject = 'connections'
  ),
  '{warning}',
  'above it there is one finding for the server'
);
select matches(
  (
    select fnd.summary
    from pg_temp.findings('{"warning": 0, "critical": 101}') as fnd
    where fnd.subject = 'connections'
  ),
  'The largest group: [0-9]+ of .+ as .+, .+\. .+\.$',
  'which names the largest group, and what to do about it'
);

select * from finish();
rollback;
