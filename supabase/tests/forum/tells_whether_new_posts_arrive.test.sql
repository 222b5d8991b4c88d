begin;

select plan(8);

set local client_min_messages = warning;
insert into auth.users (instance_id, id, aud, role, email, email_confirmed_at)
values (
  '00000000-0000-0000-0000-000000000000',
  'cccccccc-0000-4000-8000-00000000c001',
  'authenticated',
  'authenticated',
  'leila@test.example',
  now()
);
insert into public.klassen (id, name, published)
values ('cccccccc-0000-4000-8000-00000000c100', 'Poëzie', true);
insert into public.inschrijvingen (id, student_id, class_id, payment_status)
values (
  'cccccccc-0000-4000-8000-00000000c200',
  'cccccccc-0000-4000-8000-00000000c001',
  'cccccccc-0000-4000-8000-00000000c100',
  'paid'
);

create function pg_temp.diagnosis(more jsonb default '{"email": "leila@test.example"}')
returns jsonb
language sql
as $$
  select runbook.diagnose(
    'forum', '{"class_id": "cccccccc-0000-4000-8000-00000000c100"}' || diagnosis.more
  );
$$;

-- What the first part finds: not how Realtime is.
create function pg_temp.codes(more jsonb default '{"email": "leila@test.example"}')
returns text[]
language sql
as $$
  select coalesce(
    array_agg(distinct fnd.content ->> 'code' order by fnd.content ->> 'code'), '{}'
  )
  from jsonb_array_elements(pg_temp.diagnosis(codes.more) -> 'findings') as fnd (content)
  where (select iss.codes from runbook.issue as iss where iss.name = 'forum')
    ? (fnd.content ->> 'code');
$$;

create function pg_temp.finding(code text)
returns jsonb
language sql
as $$
  select fnd.content
  from jsonb_array_elements(pg_temp.diagnosis() -> 'findings') as fnd (content)
  where fnd.content ->> 'code' = finding.code;
$$;

alter publication supabase_realtime set table public.forum_posts, public.forum_threads;

select is(
  (
    select count(*)
    from jsonb_array_elements(pg_temp.diagnosis() -> 'findings') as fnd (content)
    where fnd.content ->> 'code' = 'table_followed'
  ),
  2::bigint,
  'both tables of the forum are followed'
);
select isnt(
  pg_temp.finding('does_not_listen'), null, 'that no page of hers is subscribed is told'
);

insert into realtime.subscription (subscription_id, entity, claims)
values
  (
    gen_random_uuid(),
    'public.forum_posts',
    '{
      "role": "authenticated",
      "sub": "cccccccc-0000-4000-8000-00000000c001",
      "email": "leila@test.example",
      "app_metadata": {"shown": "never"}
    }'
  ),
  (
    gen_random_uuid(),
    'public.forum_posts',
    '{"role": "authenticated", "sub": "cccccccc-0000-4000-8000-00000000c002"}'
  ),
  (
    gen_random_uuid(),
    'public.notifications',
    '{"role": "authenticated", "sub": "cccccccc-0000-4000-8000-00000000c001"}'
  );
select is(
  pg_temp.finding('listens') #> '{evidence,subscriptions}',
  '1',
  'that one is, to the forum, is told'
);
select unalike(pg_temp.diagnosis()::text, '%never%', 'its claims are not shown');

alter publication supabase_realtime drop table public.forum_threads;
select is(
  pg_temp.finding('table_not_published') ->> 'subject',
  'public.forum_threads',
  'a table of the forum that is not published is found'
);

alter publication supabase_realtime drop table public.forum_posts;
alter publication supabase_realtime add table public.notifications;
select is(
  (
    select count(*)
    from jsonb_array_elements(pg_temp.diagnosis() -> 'findings') as fnd (content)
    where fnd.content ->> 'subject' = 'public.notifications'
  ),
  0::bigint,
  'what is no part of the forum is not looked at'
);

select is(
  (
    select array_agg(prt.function) from runbook.issue_part as prt where prt.issue = 'forum'
  ),
  array['runbook.diagnose_forum_realtime'],
  'Realtime is a part of its own, which answers when the other cannot'
);
select ok(
  (select 'realtime_health' = any (iss.probes) from runbook.issue as iss where iss.name = 'forum'),
  'before it is asked its health is looked at'
);

select * from finish();
rollback;
