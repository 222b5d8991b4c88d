-- The school's own tables, as its application made them: people, classes, enrolments, work, the
-- forum, the login limiter and the page statistics. The handbook's names are kept.
-- Relies on: Supabase's auth.users. Grants and policies follow in 30_policies.sql.

create table public.profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  email text,
  full_name text not null default '',
  role text not null default 'student' check (role in ('student', 'teacher', 'admin')),
  locale text not null default 'nl',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table public.levels (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  description text not null default '',
  position integer not null default 0,
  created_at timestamptz not null default now()
);

create table public.klassen (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  description text not null default '',
  level_id uuid references public.levels (id),
  teacher_id uuid references public.profiles (id) on delete set null,
  published boolean not null default false,
  price_cents integer not null default 0 check (price_cents >= 0),
  starts_on date,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create index idx_klassen_level_id on public.klassen (level_id);

create index idx_klassen_teacher_id on public.klassen (teacher_id);

create table public.inschrijvingen (
  id uuid primary key default gen_random_uuid(),
  student_id uuid not null references public.profiles (id) on delete cascade,
  class_id uuid not null references public.klassen (id) on delete cascade,
  payment_status text not null default 'pending'
    check (payment_status in ('pending', 'paid', 'refunded')),
  paid_at timestamptz,
  enrolled_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (student_id, class_id)
);

create index idx_inschrijvingen_class_id on public.inschrijvingen (class_id);

create table public.enrollment_history (
  id bigint generated always as identity primary key,
  enrollment_id uuid not null references public.inschrijvingen (id) on delete cascade,
  old_status text,
  new_status text not null,
  changed_by uuid default auth.uid(),
  changed_at timestamptz not null default now()
);

create index idx_enrollment_history_enrollment_id on public.enrollment_history (enrollment_id);

create table public.tasks (
  id uuid primary key default gen_random_uuid(),
  class_id uuid not null references public.klassen (id) on delete cascade,
  title text not null,
  description text not null default '',
  due_at timestamptz,
  published boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create index idx_tasks_class_id on public.tasks (class_id);

create table public.submissions (
  id uuid primary key default gen_random_uuid(),
  task_id uuid not null references public.tasks (id) on delete cascade,
  student_id uuid not null references public.profiles (id) on delete cascade,
  content text not null default '',
  grade numeric(3, 1) check (grade between 1 and 10),
  feedback text,
  submitted_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (task_id, student_id)
);

create index idx_submissions_student_id on public.submissions (student_id);

create table public.recordings (
  id uuid primary key default gen_random_uuid(),
  class_id uuid not null references public.klassen (id) on delete cascade,
  title text not null,
  storage_path text not null,
  duration_seconds integer not null default 0,
  recorded_at timestamptz not null default now()
);

create index idx_recordings_class_id on public.recordings (class_id);

-- The player saves where a student is every few seconds.
create table public.lesson_progress (
  student_id uuid not null references public.profiles (id) on delete cascade,
  recording_id uuid not null references public.recordings (id) on delete cascade,
  seconds_watched integer not null default 0,
  updated_at timestamptz not null default now(),
  primary key (student_id, recording_id)
);

create index idx_lesson_progress_recording_id on public.lesson_progress (recording_id);

create index idx_lesson_progress_updated_at on public.lesson_progress (updated_at);

create table public.forum_threads (
  id uuid primary key default gen_random_uuid(),
  class_id uuid not null references public.klassen (id) on delete cascade,
  author_id uuid references public.profiles (id) on delete set null,
  title text not null,
  is_pinned boolean not null default false,
  posts_count integer not null default 0,
  last_post_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create index idx_forum_threads_class_id on public.forum_threads (class_id);

create index idx_forum_threads_author_id on public.forum_threads (author_id);

create table public.forum_posts (
  id uuid primary key default gen_random_uuid(),
  class_id uuid not null references public.klassen (id) on delete cascade,
  thread_id uuid not null references public.forum_threads (id) on delete cascade,
  author_id uuid references public.profiles (id) on delete set null,
  body text not null,
  is_approved boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create index idx_forum_posts_class_id on public.forum_posts (class_id, created_at);

create index idx_forum_posts_author_id on public.forum_posts (author_id);

create index idx_forum_posts_thread_id on public.forum_posts (thread_id);

create table public.notifications (
  id bigint generated always as identity primary key,
  user_id uuid not null references public.profiles (id) on delete cascade,
  kind text not null,
  payload jsonb not null default '{}',
  read_at timestamptz,
  created_at timestamptz not null default now()
);

create index idx_notifications_user_id on public.notifications (user_id, created_at);

-- identifier is the lower-cased e-mail that was typed, whether or not such a user exists.
create table public.auth_rate_limits (
  identifier text primary key,
  failed_attempts integer not null default 0,
  window_started_at timestamptz not null default now(),
  blocked_until timestamptz,
  times_blocked integer not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table public.activity_log (
  id bigint generated always as identity primary key,
  actor_id uuid default auth.uid(),
  action text not null,
  details jsonb not null default '{}',
  created_at timestamptz not null default now()
);

-- event_name 'web_vital' carries {"metric": "LCP" | "FID" | "CLS", "value": number, "rating": text};
-- LCP and FID are in milliseconds, CLS is a plain score.
create table public.analytics_events (
  id bigint generated always as identity primary key,
  event_name text not null,
  session_id text not null,
  user_id uuid references public.profiles (id) on delete set null,
  page text not null default '/',
  user_agent text,
  properties jsonb not null default '{}',
  created_at timestamptz not null default now()
);

create index idx_analytics_events_created_at on public.analytics_events (created_at);

create index idx_analytics_events_user_id on public.analytics_events (user_id);

-- What a forum page shows beside a post. The view runs with its owner's rights on purpose: students
-- may not read each other's profiles.
create view public.public_profiles as
select
  id,
  full_name,
  role
from public.profiles;
