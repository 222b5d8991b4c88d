-- What the application listens to: the forum and a person's notifications.
-- Relies on: Supabase's publication supabase_realtime, which is empty in a new project.

alter publication supabase_realtime
add table public.forum_threads, public.forum_posts, public.notifications;
