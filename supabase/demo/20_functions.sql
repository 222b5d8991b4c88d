-- The school's helpers, its login limiter and its triggers, written the way applications write them:
-- names are found through the API's search path, only the security definer ones set a path.
-- Relies on: 10_schema.sql, and Supabase's auth.uid().

-- Who is asking? ---------------------------------------------------------------------------------

create function public.has_role(_role text) returns boolean
language sql
stable
security definer
set search_path = public
as $$
  select exists (select 1 from profiles where id = auth.uid() and role = _role);
$$;

create function public.is_teacher_of_class(_class_id uuid) returns boolean
language sql
stable
security definer
set search_path = public
as $$
  select exists (select 1 from klassen where id = _class_id and teacher_id = auth.uid());
$$;

-- A definer function, because a policy on inschrijvingen that reads inschrijvingen would recurse.
create function public.is_enrolled_in_class(_class_id uuid) returns boolean
language sql
stable
security definer
set search_path = public
as $$
  select exists (
    select 1
    from inschrijvingen
    where student_id = auth.uid()
      and class_id = _class_id
      and payment_status = 'paid'
  );
$$;

-- The login limiter ------------------------------------------------------------------------------

create function public.login_block_message(_blocked_until timestamptz) returns text
language sql
stable
as $$
  select format(
    'Te veel mislukte pogingen. Probeer het over %s minuten opnieuw, of vraag de school om hulp.',
    ceil(extract(epoch from _blocked_until - now()) / 60)::integer
  );
$$;

-- Five failures within 15 minutes block for 15 minutes; each further block lasts twice as long as the
-- one before, up to a day. After a day without a block the doubling starts again.
create function public.count_login_failure(_identifier text) returns void
language plpgsql
security definer
set search_path = public
as $$
declare
  _limit auth_rate_limits;
begin
  insert into auth_rate_limits as l (identifier, failed_attempts)
  values (_identifier, 1)
  on conflict (identifier) do update set
    failed_attempts = case
      when l.window_started_at > now() - interval '15 minutes' then l.failed_attempts + 1
      else 1
    end,
    window_started_at = case
      when l.window_started_at > now() - interval '15 minutes' then l.window_started_at
      else now()
    end,
    times_blocked = case
      when l.blocked_until > now() - interval '24 hours' then l.times_blocked
      else 0
    end
  returning * into _limit;

  if _limit.failed_attempts >= 5 then
    update auth_rate_limits
    set
      failed_attempts = 0,
      window_started_at = now(),
      times_blocked = _limit.times_blocked + 1,
      blocked_until = now() + least(
        interval '15 minutes' * power(2, least(_limit.times_blocked, 7)),
        interval '24 hours'
      )
    where identifier = _identifier;
  end if;
end;
$$;

-- Supabase Auth calls this after it compared the password, with {"user_id": uuid, "valid": boolean}.
create function public.login_attempt_hook(event jsonb) returns jsonb
language plpgsql
security definer
set search_path = public
as $$
declare
  _identifier text;
  _blocked_until timestamptz;
begin
  select lower(email) into _identifier from auth.users where id = (event ->> 'user_id')::uuid;
  if _identifier is null then
    return jsonb_build_object('decision', 'continue');
  end if;

  select blocked_until into _blocked_until from auth_rate_limits where identifier = _identifier;
  if _blocked_until > now() then
    return jsonb_build_object(
      'decision', 'reject',
      'message', login_block_message(_blocked_until),
      'should_logout_user', false
    );
  end if;

  if (event ->> 'valid')::boolean then
    delete from auth_rate_limits where identifier = _identifier;
  else
    perform count_login_failure(_identifier);
  end if;
  return jsonb_build_object('decision', 'continue');
end;
$$;

-- The sign-in form asks before it sends the password, so that the person reads why at once.
create function public.check_login_allowed(email text) returns jsonb
language plpgsql
stable
security definer
set search_path = public
as $$
declare
  _blocked_until timestamptz;
begin
  select l.blocked_until into _blocked_until
  from auth_rate_limits l
  where l.identifier = lower(trim(check_login_allowed.email))
    and l.blocked_until > now();

  if _blocked_until is null then
    return jsonb_build_object('allowed', true);
  end if;
  return jsonb_build_object(
    'allowed', false,
    'blocked_until', _blocked_until,
    'message', login_block_message(_blocked_until)
  );
end;
$$;

-- Auth calls its hook only for addresses that have a password; the form reports the others here.
-- It never counts against a user, or anyone could lock anyone out.
create function public.record_failed_login(email text) returns void
language plpgsql
security definer
set search_path = public
as $$
declare
  _identifier text := lower(trim(record_failed_login.email));
begin
  if _identifier is null or length(_identifier) not between 3 and 254 then
    return;
  end if;
  if exists (select 1 from auth.users u where lower(u.email) = _identifier and not u.is_sso_user) then
    return;
  end if;
  if exists (
    select 1 from auth_rate_limits where identifier = _identifier and blocked_until > now()
  ) then
    return;
  end if;
  perform count_login_failure(_identifier);
end;
$$;

-- What pages call --------------------------------------------------------------------------------

-- One query for the classes and then three for each: the N+1 that the handbook warns of.
create function public.get_student_dashboard() returns jsonb
language plpgsql
stable
as $$
declare
  _class record;
  _open_tasks integer;
  _posts integer;
  _last_post timestamptz;
  _classes jsonb := '[]';
begin
  for _class in
    select k.id, k.name
    from inschrijvingen i
    join klassen k on k.id = i.class_id
    where i.student_id = auth.uid()
  loop
    select count(*) into _open_tasks
    from tasks t
    where t.class_id = _class.id
      and not exists (
        select 1 from submissions s where s.task_id = t.id and s.student_id = auth.uid()
      );
    select count(*) into _posts from forum_posts where class_id = _class.id;
    select max(last_post_at) into _last_post from forum_threads where class_id = _class.id;
    _classes := _classes || jsonb_build_object(
      'id', _class.id,
      'name', _class.name,
      'open_tasks', _open_tasks,
      'posts', _posts,
      'last_post_at', _last_post
    );
  end loop;
  return _classes;
end;
$$;

-- The vitals of one visit. Nothing indexes session_id, so each call reads the whole table.
create function public.session_vitals(_session_id text) returns table (metric text, worst numeric)
language sql
stable
as $$
  select properties ->> 'metric', max((properties ->> 'value')::numeric)
  from analytics_events
  where session_id = _session_id
    and event_name = 'web_vital'
  group by 1;
$$;

-- Triggers ---------------------------------------------------------------------------------------

create function public.update_updated_at_column() returns trigger
language plpgsql
as $$
begin
  new.updated_at = now();
  return new;
end;
$$;

create function public.handle_new_user() returns trigger
language plpgsql
security definer
set search_path = public
as $$
begin
  insert into profiles (id, email, full_name)
  values (new.id, new.email, coalesce(new.raw_user_meta_data ->> 'full_name', ''))
  on conflict (id) do nothing;
  return new;
end;
$$;

create function public.set_paid_at() returns trigger
language plpgsql
as $$
begin
  if new.payment_status = 'paid' and new.paid_at is null then
    new.paid_at = now();
  end if;
  return new;
end;
$$;

create function public.log_enrollment_change() returns trigger
language plpgsql
as $$
begin
  if tg_op = 'INSERT' then
    insert into enrollment_history (enrollment_id, new_status) values (new.id, new.payment_status);
  elsif new.payment_status is distinct from old.payment_status then
    insert into enrollment_history (enrollment_id, old_status, new_status)
    values (new.id, old.payment_status, new.payment_status);
  end if;
  return null;
end;
$$;

create function public.log_login_limit_lifted() returns trigger
language plpgsql
as $$
begin
  if old.blocked_until > now() then
    insert into activity_log (action, details)
    values ('login_limit_lifted', jsonb_build_object('identifier', old.identifier));
  end if;
  return null;
end;
$$;

create function public.count_forum_post() returns trigger
language plpgsql
security definer
set search_path = public
as $$
begin
  if tg_op = 'INSERT' then
    update forum_threads
    set posts_count = posts_count + 1, last_post_at = new.created_at
    where id = new.thread_id;
  else
    update forum_threads set posts_count = posts_count - 1 where id = old.thread_id;
  end if;
  return null;
end;
$$;

create function public.notify_thread_author() returns trigger
language plpgsql
security definer
set search_path = public
as $$
begin
  insert into notifications (user_id, kind, payload)
  select t.author_id, 'forum_reply', jsonb_build_object('thread_id', t.id, 'post_id', new.id)
  from forum_threads t
  where t.id = new.thread_id
    and t.author_id <> new.author_id;
  return null;
end;
$$;

create trigger on_auth_user_created
after insert on auth.users
for each row execute function public.handle_new_user();

create trigger update_profiles_updated_at
before update on public.profiles
for each row execute function public.update_updated_at_column();

create trigger update_klassen_updated_at
before update on public.klassen
for each row execute function public.update_updated_at_column();

create trigger update_inschrijvingen_updated_at
before update on public.inschrijvingen
for each row execute function public.update_updated_at_column();

create trigger set_inschrijvingen_paid_at
before insert or update on public.inschrijvingen
for each row execute function public.set_paid_at();

create trigger log_inschrijvingen_change
after insert or update on public.inschrijvingen
for each row execute function public.log_enrollment_change();

create trigger update_tasks_updated_at
before update on public.tasks
for each row execute function public.update_updated_at_column();

create trigger update_submissions_updated_at
before update on public.submissions
for each row execute function public.update_updated_at_column();

create trigger update_forum_posts_updated_at
before update on public.forum_posts
for each row execute function public.update_updated_at_column();

create trigger count_forum_posts
after insert or delete on public.forum_posts
for each row execute function public.count_forum_post();

create trigger notify_on_forum_post
after insert on public.forum_posts
for each row execute function public.notify_thread_author();

create trigger update_auth_rate_limits_updated_at
before update on public.auth_rate_limits
for each row execute function public.update_updated_at_column();

create trigger log_auth_rate_limits_lifted
after delete on public.auth_rate_limits
for each row execute function public.log_login_limit_lifted();
