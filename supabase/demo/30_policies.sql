-- Who may do what: grants for the API's roles, row level security on every table, and the policies.
-- Grants are written out, since new projects get none by themselves; what older projects get is taken
-- away first, so that both end up the same.
-- Relies on: the helpers of 20_functions.sql.

revoke all on
  public.profiles,
  public.levels,
  public.klassen,
  public.inschrijvingen,
  public.enrollment_history,
  public.tasks,
  public.submissions,
  public.recordings,
  public.lesson_progress,
  public.forum_threads,
  public.forum_posts,
  public.notifications,
  public.auth_rate_limits,
  public.activity_log,
  public.analytics_events,
  public.public_profiles
from anon, authenticated, service_role;

grant select on public.levels to anon, authenticated;

grant insert on public.analytics_events to anon, authenticated;

grant select on public.analytics_events to authenticated;

grant select on public.profiles to authenticated;

-- Not the role: a student must not make herself an admin.
grant update (full_name, locale) on public.profiles to authenticated;

grant select, insert, update, delete on
  public.klassen,
  public.tasks,
  public.recordings,
  public.forum_threads,
  public.forum_posts
to authenticated;

grant select, insert, update on
  public.inschrijvingen,
  public.submissions,
  public.lesson_progress
to authenticated;

grant select, insert on public.enrollment_history, public.activity_log to authenticated;

grant select, update on public.notifications to authenticated;

grant select, delete on public.auth_rate_limits to authenticated;

grant select on public.public_profiles to authenticated;

grant select, insert, update, delete on
  public.profiles,
  public.levels,
  public.klassen,
  public.inschrijvingen,
  public.enrollment_history,
  public.tasks,
  public.submissions,
  public.recordings,
  public.lesson_progress,
  public.forum_threads,
  public.forum_posts,
  public.notifications,
  public.auth_rate_limits,
  public.activity_log,
  public.analytics_events
to service_role;

grant select on public.public_profiles to service_role;

revoke execute on function
  public.has_role(text),
  public.is_teacher_of_class(uuid),
  public.is_enrolled_in_class(uuid),
  public.get_student_dashboard(),
  public.session_vitals(text),
  public.login_block_message(timestamptz),
  public.count_login_failure(text),
  public.login_attempt_hook(jsonb),
  public.check_login_allowed(text),
  public.record_failed_login(text),
  public.handle_new_user(),
  public.count_forum_post(),
  public.notify_thread_author()
from public, anon, authenticated, service_role;

grant execute on function
  public.has_role(text),
  public.is_teacher_of_class(uuid),
  public.is_enrolled_in_class(uuid),
  public.get_student_dashboard(),
  public.session_vitals(text)
to authenticated, service_role;

grant execute on function
  public.check_login_allowed(text),
  public.record_failed_login(text)
to anon, authenticated, service_role;

-- As Supabase's documentation of Auth hooks asks: Auth alone may call it. (Schema public is open to every role already.)
grant execute on function public.login_attempt_hook(jsonb) to supabase_auth_admin;

alter table public.profiles enable row level security;

alter table public.levels enable row level security;

alter table public.klassen enable row level security;

alter table public.inschrijvingen enable row level security;

alter table public.enrollment_history enable row level security;

alter table public.tasks enable row level security;

alter table public.submissions enable row level security;

alter table public.recordings enable row level security;

alter table public.lesson_progress enable row level security;

alter table public.forum_threads enable row level security;

alter table public.forum_posts enable row level security;

alter table public.notifications enable row level security;

alter table public.auth_rate_limits enable row level security;

alter table public.activity_log enable row level security;

alter table public.analytics_events enable row level security;

-- People -----------------------------------------------------------------------------------------

create policy "Users can view their own profile" on public.profiles
for select to authenticated
using (auth.uid() = id);

create policy "Staff can view all profiles" on public.profiles
for select to authenticated
using (has_role('admin') or has_role('teacher'));

create policy "Users can update their own profile" on public.profiles
for update to authenticated
using (auth.uid() = id);

create policy "Users can view their own notifications" on public.notifications
for select to authenticated
using (auth.uid() = user_id);

create policy "Users can mark their own notifications as read" on public.notifications
for update to authenticated
using (auth.uid() = user_id);

-- Classes and enrolments -------------------------------------------------------------------------

create policy "Anyone can view levels" on public.levels
for select
using (true);

create policy "Students can view their published classes" on public.klassen
for select to authenticated
using (published and is_enrolled_in_class(id));

create policy "Teachers can view their own classes" on public.klassen
for select to authenticated
using (teacher_id = auth.uid());

create policy "Teachers can update their own classes" on public.klassen
for update to authenticated
using (teacher_id = auth.uid());

create policy "Admins can manage classes" on public.klassen
for all to authenticated
using (has_role('admin'))
with check (has_role('admin'));

create policy "Students can view their own enrollments" on public.inschrijvingen
for select to authenticated
using (auth.uid() = student_id);

create policy "Students can enroll themselves" on public.inschrijvingen
for insert to authenticated
with check (auth.uid() = student_id and payment_status = 'pending');

create policy "Teachers can view enrollments of their classes" on public.inschrijvingen
for select to authenticated
using (is_teacher_of_class(class_id));

create policy "Admins can manage enrollments" on public.inschrijvingen
for all to authenticated
using (has_role('admin'))
with check (has_role('admin'));

create policy "Enrollment changes are logged" on public.enrollment_history
for insert to authenticated
with check (
  exists (select 1 from inschrijvingen i where i.id = enrollment_id)
);

create policy "Admins can view enrollment history" on public.enrollment_history
for select to authenticated
using (has_role('admin'));

-- Content ----------------------------------------------------------------------------------------

-- klassen has policies of its own: a task is visible where its class is.
create policy "Students can view tasks of their classes" on public.tasks
for select to authenticated
using (published and class_id in (select id from klassen));

create policy "Teachers can manage tasks of their classes" on public.tasks
for all to authenticated
using (is_teacher_of_class(class_id) or has_role('admin'));

create policy "Students can view their own submissions" on public.submissions
for select to authenticated
using (auth.uid() = student_id);

create policy "Students can submit to tasks that they see" on public.submissions
for insert to authenticated
with check (auth.uid() = student_id and exists (select 1 from tasks t where t.id = task_id));

create policy "Students can change their work until it is graded" on public.submissions
for update to authenticated
using (auth.uid() = student_id and grade is null)
with check (auth.uid() = student_id and grade is null);

create policy "Teachers can view and grade submissions" on public.submissions
for all to authenticated
using (
  exists (select 1 from tasks t where t.id = task_id and is_teacher_of_class(t.class_id))
);

create policy "Students can view recordings of their classes" on public.recordings
for select to authenticated
using (is_enrolled_in_class(class_id));

create policy "Teachers can manage recordings of their classes" on public.recordings
for all to authenticated
using (is_teacher_of_class(class_id) or has_role('admin'));

create policy "Students can save their own progress" on public.lesson_progress
for all to authenticated
using (auth.uid() = student_id);

-- Forum ------------------------------------------------------------------------------------------

create policy "Members can view threads" on public.forum_threads
for select
using (is_enrolled_in_class(class_id) or is_teacher_of_class(class_id) or has_role('admin'));

create policy "Members can start threads" on public.forum_threads
for insert to authenticated
with check (auth.uid() = author_id and is_enrolled_in_class(class_id));

create policy "Members can view approved posts" on public.forum_posts
for select
using (is_enrolled_in_class(class_id) and (is_approved or author_id = auth.uid()));

create policy "Members can write posts" on public.forum_posts
for insert to authenticated
with check (auth.uid() = author_id and is_enrolled_in_class(class_id));

create policy "Authors can edit their own posts" on public.forum_posts
for update to authenticated
using (auth.uid() = author_id);

create policy "Staff can moderate posts" on public.forum_posts
for all to authenticated
using (is_teacher_of_class(class_id) or has_role('admin'));

-- Operations -------------------------------------------------------------------------------------

create policy "Admins can view rate limits" on public.auth_rate_limits
for select to authenticated
using (has_role('admin'));

create policy "Admins can clear rate limits" on public.auth_rate_limits
for delete to authenticated
using (has_role('admin'));

create policy "Activity is logged" on public.activity_log
for insert to authenticated
with check (actor_id = auth.uid());

create policy "Admins can view activity" on public.activity_log
for select to authenticated
using (has_role('admin'));

create policy "Pages can report events" on public.analytics_events
for insert to anon, authenticated
with check (user_id is null or user_id = auth.uid());

create policy "Admins can view analytics" on public.analytics_events
for select to authenticated
using (has_role('admin'));
