-- What the school teaches: levels, classes, enrolments, tasks and their submissions, the forum, and
-- fifteen months of page statistics. All of it is healthy; 70_troubles.sql breaks things afterwards.
-- Relies on: the people of 50_people.sql; rows of people who are not there are left out.

select setseed(0.2025);

insert into public.levels (id, name, description, position)
values
  ('20000000-0000-4000-8000-000000000001', 'A1 Beginner', 'Het alfabet en de eerste zinnen', 1),
  ('20000000-0000-4000-8000-000000000002', 'A2 Basis', 'Eenvoudige gesprekken', 2),
  ('20000000-0000-4000-8000-000000000003', 'B1 Gevorderd', 'Vrij spreken en lezen', 3),
  ('20000000-0000-4000-8000-000000000004', 'B2 Expert', 'Grammatica en klassieke teksten', 4),
  ('20000000-0000-4000-8000-000000000005', 'Thema', 'Losse cursussen voor elk niveau', 5)
on conflict do nothing;

insert into public.klassen (
  id,
  name,
  description,
  level_id,
  teacher_id,
  published,
  price_cents,
  starts_on
)
select
  plan.id::uuid,
  plan.name,
  plan.description,
  plan.level_id::uuid,
  teacher.id,
  true,
  plan.price_cents,
  current_date - plan.days_ago
from (
  values
    (
      '30000000-0000-4000-8000-000000000001', 'Arabisch voor beginners',
      'Lezen en schrijven van alif tot ya', '20000000-0000-4000-8000-000000000001',
      'youssef@demo.example', 14900, 300
    ),
    (
      '30000000-0000-4000-8000-000000000002', 'Arabisch basis',
      'Op de markt, in de trein, bij familie', '20000000-0000-4000-8000-000000000002',
      'khadija@demo.example', 16900, 280
    ),
    (
      '30000000-0000-4000-8000-000000000003', 'Conversatie',
      'Elke week een gesprek', '20000000-0000-4000-8000-000000000003',
      'viewer@demo.example', 19900, 200
    ),
    (
      '30000000-0000-4000-8000-000000000004', 'Koranrecitatie en tajwied',
      'Opnamen om mee te oefenen', '20000000-0000-4000-8000-000000000005',
      'youssef@demo.example', 12900, 250
    ),
    (
      '30000000-0000-4000-8000-000000000005', 'Kalligrafie',
      'Nashk en thuluth met rietpen', '20000000-0000-4000-8000-000000000005',
      'khadija@demo.example', 9900, 25
    ),
    (
      '30000000-0000-4000-8000-000000000006', 'Zomercursus',
      'Zes weken intensief', '20000000-0000-4000-8000-000000000002',
      'khadija@demo.example', 24900, 10
    ),
    (
      '30000000-0000-4000-8000-000000000007', 'Arabisch voor kinderen',
      'Liedjes, letters en verhalen', '20000000-0000-4000-8000-000000000001',
      'viewer@demo.example', 8900, 320
    ),
    (
      '30000000-0000-4000-8000-000000000008', 'Grammatica',
      'Nahw en sarf', '20000000-0000-4000-8000-000000000004',
      'youssef@demo.example', 21900, 260
    )
) as plan (id, name, description, level_id, teacher, price_cents, days_ago)
join public.profiles as teacher on teacher.email = plan.teacher
on conflict do nothing;

-- The people of the demo table, one class each (ok@ has two); no-enrollment@ has none.
insert into public.inschrijvingen (id, student_id, class_id, payment_status, paid_at, enrolled_at)
select
  plan.id::uuid,
  student.id,
  plan.class_id::uuid,
  'paid',
  student.created_at + interval '1 hour',
  student.created_at + interval '30 minutes'
from (
  values
    ('40000000-0000-4000-8000-000000000010', 'ok@demo.example', '30000000-0000-4000-8000-000000000001'),
    ('40000000-0000-4000-8000-000000000110', 'ok@demo.example', '30000000-0000-4000-8000-000000000008'),
    ('40000000-0000-4000-8000-000000000011', 'blocked@demo.example', '30000000-0000-4000-8000-000000000001'),
    ('40000000-0000-4000-8000-000000000013', 'banned@demo.example', '30000000-0000-4000-8000-000000000002'),
    ('40000000-0000-4000-8000-000000000014', 'google@demo.example', '30000000-0000-4000-8000-000000000002'),
    ('40000000-0000-4000-8000-000000000016', 'email-change@demo.example', '30000000-0000-4000-8000-000000000001'),
    ('40000000-0000-4000-8000-000000000017', 'second-factor@demo.example', '30000000-0000-4000-8000-000000000008'),
    ('40000000-0000-4000-8000-000000000018', 'sso@partner-school.example', '30000000-0000-4000-8000-000000000007'),
    ('40000000-0000-4000-8000-000000000019', 'amina-demo@gmail.com', '30000000-0000-4000-8000-000000000001'),
    ('40000000-0000-4000-8000-000000000020', 'karim+arabisch@demo.example', '30000000-0000-4000-8000-000000000002'),
    ('40000000-0000-4000-8000-000000000021', 'was-banned@demo.example', '30000000-0000-4000-8000-000000000002'),
    ('40000000-0000-4000-8000-000000000022', 'was-blocked@demo.example', '30000000-0000-4000-8000-000000000001'),
    ('40000000-0000-4000-8000-000000000031', 'pending-payment@demo.example', '30000000-0000-4000-8000-000000000001'),
    ('40000000-0000-4000-8000-000000000033', 'unpublished-class@demo.example', '30000000-0000-4000-8000-000000000006'),
    ('40000000-0000-4000-8000-000000000034', 'refunded@demo.example', '30000000-0000-4000-8000-000000000002'),
    ('40000000-0000-4000-8000-000000000035', 'lost-policy@demo.example', '30000000-0000-4000-8000-000000000004'),
    ('40000000-0000-4000-8000-000000000041', 'empty-forum@demo.example', '30000000-0000-4000-8000-000000000005'),
    ('40000000-0000-4000-8000-000000000042', 'hidden-posts@demo.example', '30000000-0000-4000-8000-000000000003')
) as plan (id, email, class_id)
join public.profiles as student on student.email = plan.email
on conflict do nothing;

-- Each of the sixty has three of the six classes with many students.
insert into public.inschrijvingen (id, student_id, class_id, payment_status, paid_at, enrolled_at)
select
  (
    '40000000-0000-4000-8000-' || right(student.id::text, 8) || lpad(choice::text, 4, '0')
  )::uuid,
  student.id,
  (array[
    '30000000-0000-4000-8000-000000000001',
    '30000000-0000-4000-8000-000000000002',
    '30000000-0000-4000-8000-000000000003',
    '30000000-0000-4000-8000-000000000004',
    '30000000-0000-4000-8000-000000000007',
    '30000000-0000-4000-8000-000000000008'
  ]::uuid[])[1 + (right(student.id::text, 2)::integer + 2 * choice) % 6],
  'paid',
  student.created_at + interval '2 hours',
  student.created_at + interval '1 hour'
from public.profiles as student
cross join generate_series(0, 2) as choice
where student.email like 'student0__@demo.example'
on conflict do nothing;

-- Twelve tasks a class. The class for recitation works with recordings instead.
insert into public.tasks (id, class_id, title, description, due_at, created_at)
select
  (
    '50000000-0000-4000-8000-' || right(klassen.id::text, 8) || lpad(number::text, 4, '0')
  )::uuid,
  klassen.id,
  'Opdracht ' || number || ': ' || (array[
    'Vertaal de dialoog', 'Leer de woordenlijst', 'Schrijf een kort verhaal', 'Oefen de uitspraak'
  ])[1 + number % 4],
  'Lever je werk in voor de volgende les.',
  now() + (number - 9) * interval '7 days',
  now() + (number - 11) * interval '7 days'
from public.klassen
cross join generate_series(1, 12) as number
where klassen.id <> '30000000-0000-4000-8000-000000000004'
on conflict do nothing;

insert into public.submissions (task_id, student_id, content, grade, submitted_at)
select
  tasks.id,
  enrolled.student_id,
  'Mijn uitwerking van ' || tasks.title,
  case when tasks.due_at < now() - interval '10 days' then 5 + round(random()::numeric * 5, 1) end,
  tasks.due_at - random() * interval '3 days'
from public.tasks
join public.inschrijvingen as enrolled on enrolled.class_id = tasks.class_id
join public.profiles as student on student.id = enrolled.student_id
where tasks.due_at < now()
  and student.email like 'student0__@demo.example'
on conflict do nothing;

insert into public.recordings (id, class_id, title, storage_path, duration_seconds, recorded_at)
select
  (
    '51000000-0000-4000-8000-' || right(klassen.id::text, 8) || lpad(number::text, 4, '0')
  )::uuid,
  klassen.id,
  'Les ' || number,
  'recordings/' || klassen.id || '/' || number || '.mp4',
  1800 + number * 60,
  now() - (40 - number) * interval '7 days'
from public.klassen
cross join generate_series(1, 34) as number
where klassen.id = '30000000-0000-4000-8000-000000000004'
on conflict do nothing;

-- 200 threads of 30 posts in the five classes that talk, and six threads for Conversatie. The
-- triggers stay off meanwhile: they would write each thread's row 30 times.
insert into public.forum_threads (
  id,
  class_id,
  author_id,
  title,
  posts_count,
  last_post_at,
  created_at
)
select
  ('60000000-0000-4000-8000-' || lpad(number::text, 12, '0'))::uuid,
  klassen.id,
  klassen.teacher_id,
  (array[
    'Vraag over les', 'Uitspraak van de letter ع', 'Wie oefent mee?', 'Tips voor de toets', 'Huiswerk'
  ])[1 + number % 5] || ' ' || number,
  30,
  now() - (206 - number) * interval '1 day' + interval '7 hours 15 minutes',
  now() - (206 - number) * interval '1 day'
from generate_series(1, 206) as number
join public.klassen on klassen.id = case
  when number > 200 then '30000000-0000-4000-8000-000000000003'::uuid
  else (array[
    '30000000-0000-4000-8000-000000000001',
    '30000000-0000-4000-8000-000000000002',
    '30000000-0000-4000-8000-000000000004',
    '30000000-0000-4000-8000-000000000007',
    '30000000-0000-4000-8000-000000000008'
  ]::uuid[])[1 + number % 5]
end
on conflict do nothing;

alter table public.forum_posts disable trigger user;

with members as (
  select
    class_id,
    array_agg(student_id order by student_id) as students
  from public.inschrijvingen
  group by class_id
)
insert into public.forum_posts (id, class_id, thread_id, author_id, body, created_at, updated_at)
select
  (
    '70000000-0000-4000-8000-' || right(threads.id::text, 8) || lpad(number::text, 4, '0')
  )::uuid,
  threads.class_id,
  threads.id,
  members.students[1 + (number * 7) % cardinality(members.students)],
  (array[
    'Shukran, nu snap ik het.', 'Kan iemand zin drie uitleggen?', 'Ik hoor het verschil nog niet.',
    'Goed gedaan, ga zo door!', 'ما معنى هذه الكلمة؟', 'Zie bladzijde 42 van het boek.'
  ])[1 + number % 6],
  threads.created_at + number * interval '15 minutes' - interval '15 minutes',
  threads.created_at + number * interval '15 minutes' - interval '15 minutes'
from public.forum_threads as threads
join members on members.class_id = threads.class_id
cross join generate_series(1, 30) as number
where threads.id::text like '60000000-0000-4000-8000-%'
on conflict do nothing;

alter table public.forum_posts enable trigger user;

insert into public.notifications (user_id, kind, payload, created_at)
select
  threads.author_id,
  'forum_reply',
  jsonb_build_object('thread_id', threads.id),
  threads.last_post_at
from public.forum_threads as threads
where threads.author_id is not null
  and not exists (select 1 from public.notifications);

-- 1,500 visits of four pages in fifteen months, ever more of them; a page gives a view, three vitals
-- and an event. The forum is the slow page.
with visits as (
  select
    visit,
    now() - interval '456 days' * power((1500 - visit) / 1500.0, 2) - interval '6 minutes' as started_at,
    case when visit % 61 > 0 then
      ('10000000-0000-4000-8000-' || lpad((1000 + visit % 61)::text, 12, '0'))::uuid
    end as user_id,
    (array[
      'Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15',
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0',
      'Mozilla/5.0 (Linux; Android 16; SM-A556B) AppleWebKit/537.36 Chrome/142.0.0.0 Mobile'
    ])[1 + visit % 3] as user_agent
  from generate_series(1, 1500) as visit
  where not exists (select 1 from public.analytics_events)
),

pages (page, position, lcp_ms) as (
  values ('/', 0, 1500), ('/dashboard', 1, 1900), ('/forum', 2, 4300), ('/tasks', 3, 2100)
),

events (event_name, metric, position) as (
  values
    ('page_view', null, 0),
    ('web_vital', 'LCP', 1),
    ('web_vital', 'FID', 2),
    ('web_vital', 'CLS', 3),
    ('link_click', null, 4)
),

seen as (
  select
    visits.*,
    pages.page,
    events.event_name,
    events.metric,
    visits.started_at + (pages.position * 5 + events.position) * interval '15 seconds' as seen_at,
    case events.metric
      when 'LCP' then round((pages.lcp_ms * (0.6 + 0.8 * random()))::numeric, 1)
      when 'FID' then round((10 + 90 * random())::numeric, 1)
      when 'CLS' then round((0.11 * random())::numeric, 3)
    end as value
  from visits
  cross join pages
  cross join events
)

insert into public.analytics_events (
  event_name,
  session_id,
  user_id,
  page,
  user_agent,
  properties,
  created_at
)
select
  seen.event_name,
  'visit-' || lpad(seen.visit::text, 5, '0'),
  student.id,
  seen.page,
  seen.user_agent,
  case
    when seen.metric is null then '{}'
    else jsonb_build_object(
      'metric', seen.metric,
      'value', seen.value,
      'rating', case
        when seen.value <= case seen.metric when 'LCP' then 2500 when 'FID' then 100 else 0.1 end
          then 'good'
        when seen.value <= case seen.metric when 'LCP' then 4000 when 'FID' then 300 else 0.25 end
          then 'needs-improvement'
        else 'poor'
      end
    )
  end,
  seen.seen_at
from seen
left join public.profiles as student on student.id = seen.user_id
order by seen.seen_at;

-- The server counts these rows now: counted after the next file's ANALYZE, they would look like
-- changes that it has not seen.
select pg_stat_force_next_flush();
