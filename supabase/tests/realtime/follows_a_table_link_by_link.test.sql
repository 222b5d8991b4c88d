begin;

select plan(17);

set local client_min_messages = warning;
create table public."we'ird ""Näme" (id integer primary key, note text);
revoke all on public."we'ird ""Näme" from anon, authenticated;
grant select on public."we'ird ""Näme" to authenticated;

create function pg_temp.codes()
returns text[]
language sql
as $$
  select coalesce(
    array_agg(distinct fnd.content ->> 'code' order by fnd.content ->> 'code'), '{}'
  )
  from jsonb_array_elements(
    runbook.diagnose('realtime', '{"table": "public.\"we''ird \"\"Näme\""}') -> 'findings'
  ) as fnd (content)
  where fnd.content ->> 'subject' like '%Näme%';
$$;

create function pg_temp.finding(code text)
returns jsonb
language sql
as $$
  select fnd.content
  from jsonb_array_elements(runbook.diagnose('realtime', '{}') -> 'findings') as fnd (content)
  where fnd.content ->> 'code' = finding.code;
$$;

create function pg_temp.subscribe(role text, count integer)
returns void
language sql
as $$
  insert into realtime.subscription (subscription_id, entity, claims)
  select
    gen_random_uuid(),
    'public."we''ird ""Näme"'::regclass,
    jsonb_build_object('role', subscribe.role, 'sub', 'somebody', 'email', 'secret@test.example')
  from generate_series(1, subscribe.count);
$$;

select is(pg_temp.codes(), '{table_not_published}', 'a table that is not published is found');

alter publication supabase_realtime add table public."we'ird ""Näme";
select is(pg_temp.codes(), '{table_followed}', 'published, it is followed');

alter table public."we'ird ""Näme" enable row level security;
select is(
  pg_temp.codes(), '{select_policy_missing}',
  'with row level security and no policy for select nobody gets a row'
);

create policy reads on public."we'ird ""Näme" for select to anon using (true);
create policy writes on public."we'ird ""Näme" for insert to authenticated with check (true);
select is(
  pg_temp.codes(), '{select_policy_missing}',
  'a policy for another role or another command is no help'
);

create policy reads_too on public."we'ird ""Näme" for all using (false);
select is(
  pg_temp.codes(), '{table_followed}',
  'one for everybody counts; what it answers is not asked here'
);

revoke select on public."we'ird ""Näme" from authenticated;
select is(pg_temp.codes(), '{grant_missing}', 'without the grant there are errors instead of rows');

grant select (id) on public."we'ird ""Näme" to authenticated;
select is(pg_temp.codes(), '{table_followed}', 'a grant for a column is enough');

select pg_temp.subscribe('authenticated', 2);
select pg_temp.subscribe('anon', 1);
select is(
  pg_temp.codes(), '{grant_missing}', 'the roles that are subscribed are those that are looked at'
);
grant select on public."we'ird ""Näme" to anon;
select matches(
  (
    select fnd.content ->> 'summary'
    from jsonb_array_elements(
      runbook.diagnose('realtime', '{"table": "public.\"we''ird \"\"Näme\""}') -> 'findings'
    ) as fnd (content)
    where fnd.content ->> 'code' = 'table_followed'
  ),
  'one subscription as anon, 2 subscriptions as authenticated',
  'subscriptions are counted by role'
);
select unalike(
  runbook.diagnose('realtime', '{}')::text, '%secret@test%', 'no claim is shown'
);

alter table public."we'ird ""Näme" replica identity nothing;
select is(
  pg_temp.codes(), '{replica_identity_missing}', 'without a replica identity updates fail'
);
select throws_ok(
  $$ update public."we'ird ""Näme" set note = 'x' $$, '55000', null, 'as they really do'
);

alter table public."we'ird ""Näme" replica identity full;
alter table public."we'ird ""Näme" drop constraint "we'ird ""Näme_pkey";
select is(
  pg_temp.codes(), '{no_primary_key}', 'without a primary key Realtime sends an error'
);
alter table public."we'ird ""Näme" add primary key (id);

alter publication supabase_realtime set (publish = 'insert, update');
select is(pg_temp.codes(), '{operation_not_published}', 'an operation that is left out is found');
alter publication supabase_realtime set (publish = 'insert, update, delete');

alter publication supabase_realtime drop table public."we'ird ""Näme";
select is(
  pg_temp.finding('table_not_published') ->> 'subject',
  'public."we''ird ""Näme"',
  'what somebody listens to in vain is found without being named'
);

alter publication supabase_realtime add table public."we'ird ""Näme" where (id > 1);
select is(pg_temp.codes(), '{table_followed}', 'a filter of rows is no fault');

drop publication supabase_realtime;
select isnt(
  pg_temp.finding('publication_missing'), null, 'without the publication nothing is sent'
);

select * from finish();
rollback;
