begin;

select plan(2);

set local client_min_messages = warning;
insert into public.klassen (id, name, published)
values ('cccccccc-0000-4000-8000-00000000c100', 'Poëzie', true);
insert into public.inschrijvingen (student_id, class_id, payment_status)
values (
  '10000000-0000-4000-8000-000000000010', 'cccccccc-0000-4000-8000-00000000c100', 'paid'
);
insert into public.forum_threads (id, class_id, author_id, title)
values (
  'cccccccc-0000-4000-8000-00000000c300', 'cccccccc-0000-4000-8000-00000000c100',
  '10000000-0000-4000-8000-000000000003', 'Rijm'
);
alter table public.forum_posts disable trigger user;
insert into public.forum_posts (thread_id, class_id, author_id, body, is_approved)
select
  'cccccccc-0000-4000-8000-00000000c300', 'cccccccc-0000-4000-8000-00000000c100',
  '10000000-0000-4000-8000-000000000003', 'Een regel', num > 25
from generate_series(1, 30) as num;

create function pg_temp.finding(code text)
returns jsonb
language sql
as $$
  select fnd.content
  from jsonb_array_elements(
    runbook.diagnose(
      'forum',
      '{"class_id": "cccccccc-0000-4000-8000-00000000c100", "email": "ok@demo.example"}'
    ) -> 'findings'
  ) as fnd (content)
  where fnd.content ->> 'code' = finding.code;
$$;

select alike(
  pg_temp.finding('sees_posts') ->> 'summary', 'Sees 5 of 20 posts%',
  'many posts that wait for approval do not hide those that do not'
);
select is(pg_temp.finding('posts_hidden'), null, 'so the posts are not said to be hidden');

select * from finish();
rollback;
