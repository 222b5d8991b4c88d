-- pg_net, the requests that the database itself sends: is its worker there, does the queue move,
-- and do the requests succeed? Webhooks, cron jobs that call functions and the runbook's bell stand
-- on it.
--
-- pg_net's tables are read in plpgsql only, so that nothing depends on them.

-- Whether pg_net's worker is among the server's processes; null where it cannot be told. A
-- function, so that tests can say otherwise.
create function runbook.pg_net_worker_is_running()
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select exists (
    select
    from pg_catalog.pg_stat_activity as act
    where act.backend_type ilike 'pg_net%'
      or act.application_name ilike 'pg_net %'
  );
$$;

comment on function runbook.pg_net_worker_is_running() is
'Whether the worker of pg_net is among the server''s processes.';
revoke all on function runbook.pg_net_worker_is_running() from public;

-- Does pg_net send what is queued, and with success?
--
-- Cost: at most queue_length rows of the queue, and the answers of the last hour by their index, at
-- most 10,000.
-- Misses: which request an answer belongs to (the queue forgets it), answers that were lost in a
-- crash or removed after six hours, and requests that were never queued.
create function runbook.check_pg_net(settings jsonb)
returns runbook.check_result
language plpgsql
stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_findings runbook.finding[] := array[]::runbook.finding[];
  v_queue_limit constant bigint := (check_pg_net.settings ->> 'queue_length')::bigint;
  v_queued bigint;
  v_sent record;
begin
  if to_regclass('net.http_request_queue') is null or to_regclass('net._http_response') is null then
    return row(
      null,
      array[runbook.not_applicable('pg_net', 'pg_net is not installed here.')]
    )::runbook.check_result;
  end if;

  -- Its tables are unlogged, and cannot be read before the server has recovered.
  if pg_is_in_recovery() then
    return runbook.check_answer(
      null,
      runbook.not_applicable('pg_net', 'No request leaves a replica; ask the primary.')
    );
  end if;

  execute '
    select count(*)
    from (select from net.http_request_queue as que limit $1) as queued'
  into v_queued
  using v_queue_limit;

  if not runbook.pg_net_worker_is_running() then
    v_findings := v_findings || row(
      'pg_net_worker_down',
      'critical',
      'pg_net',
      'The worker of pg_net is not running, so no request leaves the database: webhooks, cron jobs '
      'that call functions, the runbook''s bell. Try select net.worker_restart(); else restart the '
      'database.',
      jsonb_build_object('queued', v_queued),
      'looked for in pg_stat_activity',
      null,
      null
    )::runbook.finding;
  elsif v_queued >= v_queue_limit then
    v_findings := v_findings || row(
      'pg_net_queue_long',
      'warning',
      'pg_net',
      format(
        '%s requests or more wait in pg_net''s queue. It sends some 200 at a time, and a slow answer '
        'holds up the others: look for long timeouts and triggers that send one request a row.',
        v_queued
      ),
      jsonb_build_object('queued', v_queued),
      'counted in net.http_request_queue',
      null,
      null
    )::runbook.finding;
  end if;

  execute '
    select
      count(*) as answers,
      count(*) filter (where rsp.timed_out) as timed_out,
      count(*) filter (where rsp.status_code is null and not coalesce(rsp.timed_out, false))
        as unsent,
      count(*) filter (where rsp.status_code >= 400) as refused,
      (array_agg(left(rsp.error_msg, 120) order by rsp.created desc)
        filter (where rsp.error_msg is not null))[1] as error,
      mode() within group (order by rsp.status_code)
        filter (where rsp.status_code >= 400) as status
    from (
      select
        latest.timed_out, latest.status_code, latest.error_msg, latest.created
      from net._http_response as latest
      where latest.created > clock_timestamp() - interval ''1 hour''
      order by latest.created desc
      limit 10000
    ) as rsp'
  into v_sent;

  if v_sent.answers >= (check_pg_net.settings ->> 'min_answers')::bigint
    and 100.0 * (v_sent.timed_out + v_sent.unsent + v_sent.refused)
      >= (check_pg_net.settings ->> 'failed_percent')::numeric * v_sent.answers
  then
    v_findings := v_findings || row(
      'pg_net_requests_fail',
      'warning',
      'pg_net',
      format(
        'Of %s requests of the last hour %s timed out, %s could not be sent and %s were refused%s. %s',
        v_sent.answers,
        v_sent.timed_out,
        v_sent.unsent,
        v_sent.refused,
        coalesce(' (mostly ' || v_sent.status || ')', ''),
        case
          when v_sent.timed_out + v_sent.unsent >= v_sent.refused
            then format('%s. It may help: select net.worker_restart();', v_sent.error)
          else 'See net._http_response, and the logs of what is called.'
        end
      ),
      jsonb_build_object(
        'answers', v_sent.answers,
        'timed_out', v_sent.timed_out,
        'unsent', v_sent.unsent,
        'refused', v_sent.refused,
        'status', v_sent.status,
        'error', v_sent.error
      ),
      'counted in net._http_response',
      null,
      null
    )::runbook.finding;
  end if;

  return row(v_sent.answers, v_findings)::runbook.check_result;
end;
$$;

comment on function runbook.check_pg_net(jsonb) is
'How many requests of the last hour pg_net knows the end of: pg_net_worker_down, pg_net_queue_long,
pg_net_requests_fail.';
revoke all on function runbook.check_pg_net(jsonb) from public;

-- Sources: hosted projects had 30 % of timeouts chronically (curl#18216); below ten answers a share
-- means nothing; a thousand requests are five seconds of work for the worker.
insert into runbook.check (
  name,
  title,
  description,
  function,
  position,
  check_group,
  unit,
  thresholds,
  codes
)
values (
  'pg_net',
  'Requests of the database (pg_net)',
  'pg_net''s worker is there, its queue moves, and its requests succeed.',
  'runbook.check_pg_net',
  610,
  'platform',
  'requests in an hour',
  '{"queue_length": 1000, "min_answers": 10, "failed_percent": 20}',
  '{
    "pg_net_worker_down": "The worker is not among the server''s processes.",
    "pg_net_queue_long": "Many requests wait to be sent.",
    "pg_net_requests_fail": "A large part of the last hour''s requests failed."
  }'
);
