begin;

select plan(19);

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

select is(pg_temp.codes(), '{no_posts}', 'a class without posts has an empty forum');
select is(
  pg_temp.finding('no_posts') ->> 'severity', 'info', 'which is as it should be'
);
select is(pg_temp.codes('{}'), '{no_posts}', 'for everybody alike');

insert into public.forum_threads (id, class_id, title)
values (
  'cccccccc-0000-4000-8000-00000000c300', 'cccccccc-0000-4000-8000-00000000c100', 'Vraag'
);
insert into public.forum_posts (id, class_id, thread_id, body)
values (
  'cccccccc-0000-4000-8000-00000000c400',
  'cccccccc-0000-4000-8000-00000000c100',
  'cccccccc-0000-4000-8000-00000000c300',
  'x'
);
select is(
  pg_temp.codes(), '{posts_there,sees_posts,sees_threads}', 'a post that she sees is no trouble'
);
select is(pg_temp.codes('{}'), '{posts_there}', 'without a person nobody is looked as');

insert into public.forum_posts (class_id, thread_id, body, is_approved)
values (
  'cccccccc-0000-4000-8000-00000000c100', 'cccccccc-0000-4000-8000-00000000c300', 'y', false
);
select is(
  pg_temp.finding('posts_there') #> '{evidence,unapproved}', '1', 'those that wait are counted'
);
select is(
  (pg_temp.finding('sees_posts') -> 'evidence') - array['class_id', 'column_name'],
  '{"seen": 1, "taken": 2}',
  'and how many of them she sees'
);

update public.forum_posts set is_approved = false
where class_id = 'cccccccc-0000-4000-8000-00000000c100';
select is(
  pg_temp.codes(), '{posts_hidden,posts_unapproved,sees_threads}',
  'where none is approved she sees none'
);
select is(pg_temp.codes('{}'), '{posts_unapproved}', 'and nobody else does');
select matches(
  pg_temp.finding('posts_hidden') ->> 'summary', 'Members can view approved posts',
  'the explanation names the policy'
);

update public.forum_posts set is_approved = true
where class_id = 'cccccccc-0000-4000-8000-00000000c100';
update public.inschrijvingen set payment_status = 'pending'
where id = 'cccccccc-0000-4000-8000-00000000c200';
select is(
  pg_temp.codes(), '{posts_hidden,posts_there,threads_hidden,unpaid}',
  'who has not paid sees none, and is told why'
);
select is(
  pg_temp.finding('posts_hidden') ->> 'severity', 'info', 'that they are hidden is then right'
);
select is(
  pg_temp.finding('unpaid') ->> 'remediation', 'mark-enrollment-paid', 'the cure is at hand'
);

delete from public.inschrijvingen where id = 'cccccccc-0000-4000-8000-00000000c200';
select is(
  pg_temp.codes(), '{not_enrolled,posts_hidden,posts_there,threads_hidden}',
  'nor does who is not enrolled'
);
select is(
  pg_temp.codes('{"email": "nobody-at-all@test.example"}'), '{no_such_user,posts_there}',
  'of an address without an account that is said'
);

select tests.become('leila@test.example');
select is_empty(
  $$ select from public.forum_posts where class_id = 'cccccccc-0000-4000-8000-00000000c100' $$,
  'and really she sees none'
);
select tests.become_nobody();

select is(
  runbook.diagnose('forum', '{"class_id": "cccccccc-0000-4000-8000-00000000c1ff"}')
    #>> '{findings,0,code}',
  'class_missing',
  'a class that is not there has no forum'
);

drop table public.forum_threads cascade;
select is(pg_temp.codes('{}'), '{posts_there}', 'a forum may do without threads');

drop table public.forum_posts cascade;
select is(
  pg_temp.diagnosis() #>> '{not_applicable,0,check}',
  'no_posts',
  'without a table of posts there is nothing to diagnose'
);

select * from finish();
rollback;
