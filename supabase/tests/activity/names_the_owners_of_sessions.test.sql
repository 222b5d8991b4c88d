begin;

select plan(2);

select results_eq(
  $$
  select runbook.session_owner(one.application, one.role_name, one.backend)
  from (
    values
      (1, 'PostgREST 12.2', 'authenticator', 'client backend'),
      (2, 'x', 'authenticator', 'client backend'),
      (3, 'Supavisor', 'postgres', 'client backend'),
      (4, 'realtime_rls', 'supabase_admin', 'client backend'),
      (5, '', 'supabase_auth_admin', 'client backend'),
      (6, '', 'supabase_storage_admin', 'client backend'),
      (7, 'pg_cron', 'postgres', 'client backend'),
      (8, '', 'postgres', 'pg_cron'),
      (9, 'pg_net 0.20.4', 'postgres', 'client backend'),
      (10, 'supabase/dashboard-query-editor', 'postgres', 'client backend'),
      (11, 'postgres.js', 'postgres', 'client backend'),
      (12, 'runbook health-check', 'postgres', 'client backend'),
      (13, 'DBeaver', 'postgres', 'client backend'),
      (14, '', 'postgres', 'walsender'),
      (15, '', null, 'autovacuum worker'),
      (16, '', 'postgres', 'client backend')
  ) as one (position, application, role_name, backend)
  order by one.position
  $$,
  array[
    'PostgREST (Data API)', 'PostgREST (Data API)', 'Supavisor (pooler)', 'Realtime', 'Auth',
    'Storage', 'pg_cron', 'pg_cron', 'pg_net', 'dashboard', 'edge function or server (postgres.js)',
    'the runbook', 'DBeaver', 'replication', 'autovacuum', 'client backend'
  ],
  'the platform''s services are known by application, role and kind of backend'
);

select is(
  char_length(runbook.session_owner(repeat('x', 60), 'postgres', 'client backend')), 40,
  'a name that a client gives itself has an end'
);

select * from finish();
rollback;
