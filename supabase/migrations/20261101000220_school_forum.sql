-- The issue "Forum posts not loading" of the school: are there posts, does this person see them,
-- and do new ones arrive by themselves?
--
-- The first part reads the school's tables, as the person where one is named; the second follows
-- Realtime for the tables of the forum and locks none of them.

create type runbook.forum as (
  posts oid,
  threads oid,
  has_approval boolean
);

comment on type runbook.forum is
'The school''s forum: public.forum_posts, public.forum_threads if there is one, and whether posts
are approved one by one.';

revoke all on type runbook.forum from public;

-- The school's forum, or null where there is none.
create function runbook.forum_tables()
returns runbook.forum
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_forum runbook.forum;
begin
  v_forum.posts := runbook.public_table('forum_posts', '{"class_id": "uuid"}');

  if v_forum.posts is null then
    return null;
  end if;

  v_forum.threads := runbook.public_table('forum_threads', '{"class_id": "uuid"}');
  v_forum.has_approval := runbook.has_columns(v_forum.posts, '{"is_approved": "boolean"}');

  return v_forum;
end;
$$;

comment on function runbook.forum_tables() is
'The school''s forum as it is here, or null. Takes no lock.';
revoke all on function runbook.forum_tables() from public;

-- Whether the class has posts, and whether they wait for approval.
--
-- Cost: a thousand posts of the class at most, through an index.
create function runbook.findings_of_posts(forum runbook.forum, class runbook.enrollment)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_max constant integer := 1000;
  v_class constant text := (findings_of_posts.class).class_name;
  v_subject constant text := (findings_of_posts.class).class_id;
  v_count bigint;
  v_waiting bigint;
  v_count_text text;
begin
  if not runbook.is_found_by((findings_of_posts.forum).posts, 'class_id') then
    return next runbook.skipped(
      'no_posts',
      'public.forum_posts is large and has no index that begins with class_id.'
    );
    return;
  end if;

  execute format(
    'select count(*), count(*) filter (where one.is_waiting)
     from (
       select %s as is_waiting from %s as pst where pst.class_id = $1 limit %s
     ) as one',
    case
      when (findings_of_posts.forum).has_approval then 'pst.is_approved is not true'
      else 'false'
    end,
    runbook.relation_name((findings_of_posts.forum).posts),
    v_max + 1
  )
  into v_count, v_waiting
  using (findings_of_posts.class).class_id;

  v_count_text := case
    when v_count > v_max then format('more than %s', v_max)
    else v_count::text
  end;

  if v_count = 0 then
    return next row(
      'no_posts',
      'info',
      v_subject,
      format('%s has no posts: an empty forum is what there is to see.', v_class),
      jsonb_build_object('class_id', v_subject, 'class', v_class, 'posts', 0),
      'counted in public.forum_posts',
      null,
      null
    )::runbook.finding;
  elsif v_waiting = v_count then
    return next row(
      'posts_unapproved',
      'warning',
      v_subject,
      format(
        'None of %s posts in %s is approved; until somebody approves them only their authors and '
        'the staff see them.',
        v_count_text,
        v_class
      ),
      jsonb_build_object(
        'class_id', v_subject, 'class', v_class, 'posts', v_count, 'unapproved', v_waiting
      ),
      'counted in public.forum_posts',
      null,
      null
    )::runbook.finding;
  else
    return next row(
      'posts_there',
      'info',
      v_subject,
      format(
        '%s has %s posts%s.',
        v_class,
        v_count_text,
        case when v_waiting > 0 then format(', of which %s wait for approval', v_waiting) end
      ),
      jsonb_build_object(
        'class_id', v_subject, 'class', v_class, 'posts', v_count, 'unapproved', v_waiting
      ),
      'counted in public.forum_posts',
      null,
      null
    )::runbook.finding;
  end if;
end;
$$;

comment on function runbook.findings_of_posts(runbook.forum, runbook.enrollment) is
'Whether a class has posts: no_posts, posts_there, posts_unapproved.';
revoke all on function runbook.findings_of_posts(runbook.forum, runbook.enrollment) from public;

-- What a person sees of the forum of a class: the enrolment first, then some posts and threads
-- looked for as the person, explained where they are hidden.
create function runbook.findings_of_reader(
  school runbook.school,
  forum runbook.forum,
  account runbook.account,
  class runbook.enrollment
)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_account constant runbook.account := findings_of_reader.account;
  v_school constant runbook.school := findings_of_reader.school;
  v_enrollment runbook.enrollment := (
    select enr
    from runbook.enrollments_of(
      findings_of_reader.school,
      (findings_of_reader.account).id,
      (findings_of_reader.class).class_id
    ) as enr
    limit 1
  );
  v_findings runbook.finding[] := array[]::runbook.finding[];
  v_finding runbook.finding;
  v_sample runbook.content_sample;
  v_cause text;
  v_is_post boolean;
  v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
begin
  v_findings := array(select fnd from runbook.findings_of_ban(v_account) as fnd);

  if v_enrollment.id is null then
    v_enrollment := findings_of_reader.class;
    v_findings := v_findings || array(
      select fnd
      from runbook.findings_of_no_enrollment(
        v_account, v_enrollment.class_id, v_enrollment
      ) as fnd
    );
  else
    v_findings := v_findings || array(
      select fnd from runbook.findings_of_payment(v_account.subject, v_enrollment) as fnd
    );
  end if;

  v_findings := v_findings
    || array(select fnd from runbook.findings_of_class(v_account.subject, v_enrollment) as fnd);
  v_cause := runbook.cause_of(v_enrollment, v_account.id);

  foreach v_sample in array array(
    select smp
    from runbook.content_samples(
      v_school,
      v_account.id,
      array[v_enrollment.class_id],
      array[]::runbook.enrollment[],
      v_until,
      array[(findings_of_reader.forum).posts, (findings_of_reader.forum).threads]
    ) as smp
  )
  loop
    v_is_post := v_sample.relation = (findings_of_reader.forum).posts;

    if v_sample.skipped is not null then
      v_findings := v_findings || runbook.skipped(
        case when v_is_post then 'posts_hidden' else 'threads_hidden' end, v_sample.skipped
      );
    elsif v_sample.seen > 0 then
      v_findings := v_findings || row(
        case when v_is_post then 'sees_posts' else 'sees_threads' end,
        'info',
        v_account.subject,
        format(
          'Sees %s of %s %s that were looked for.',
          v_sample.seen,
          v_sample.taken,
          case when v_is_post then 'posts' else 'threads' end
        ),
        to_jsonb(v_sample) - '{relation,name,skipped,failure}'::text[],
        'some rows looked for as the person',
        null,
        null
      )::runbook.finding;
    else
      if v_cause is null then
        v_finding := runbook.content_explanation(v_account.id, v_sample, v_until);
      else
        v_finding := null;
      end if;

      v_findings := v_findings || row(
        case when v_is_post then 'posts_hidden' else 'threads_hidden' end,
        case when v_cause is null then 'warning' else 'info' end,
        v_account.subject,
        coalesce(
          v_finding.summary,
          format(
            'As long as %s, none of %s %s of %s is seen. Ask again afterwards: there may be more.',
            v_cause,
            v_sample.taken,
            case when v_is_post then 'posts' else 'threads' end,
            v_enrollment.class_name
          )
        ),
        coalesce(v_finding.evidence, '{}')
          || jsonb_strip_nulls(to_jsonb(v_sample) - '{relation,name,skipped}'::text[]),
        case
          when v_cause is null then 'some rows looked for as the person, and explained'
          else 'some rows looked for as the person'
        end,
        null,
        null
      )::runbook.finding;
    end if;
  end loop;

  foreach v_finding in array v_findings loop
    return next v_finding;
  end loop;
end;
$$;

comment on function runbook.findings_of_reader(
  runbook.school, runbook.forum, runbook.account, runbook.enrollment
) is
'What a person sees of the forum of a class: the findings of the enrolment, posts_hidden,
threads_hidden, sees_posts, sees_threads.';
revoke all on function runbook.findings_of_reader(
  runbook.school, runbook.forum, runbook.account, runbook.enrollment
) from public;

-- Why the forum of a class is empty, for everybody or for one person.
--
-- Cost: a thousand posts of the class at most; for a person some index probes and twenty rows of
-- two tables looked for as her; AccessShareLock on the tables.
-- Misses: what the catalog lists as blind spots.
create function runbook.diagnose_forum(params jsonb)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_school constant runbook.school := runbook.school_tables();
  v_forum constant runbook.forum := runbook.forum_tables();
  v_class_id constant uuid := runbook.uuid_of(diagnose_forum.params, 'class_id');
  v_class runbook.enrollment;
  v_account runbook.account;
  v_reason text;
  v_findings runbook.finding[] := array[]::runbook.finding[];
  v_finding runbook.finding;
begin
  if v_school.classes is null or v_forum.posts is null then
    return next runbook.not_applicable(
      'no_posts',
      'There are no tables public.klassen, public.inschrijvingen and public.forum_posts '
      '(class_id) here.'
    );
    return;
  end if;

  v_reason := runbook.lock_reason(array[v_school.classes, v_school.enrollments, v_forum.posts]);

  if v_reason is not null then
    v_findings := array(
      select fnd from runbook.skipped_codes('forum', v_reason) as fnd
    );
  else
    v_class := runbook.class_of(v_school, v_class_id);

    if v_class.class_id is null then
      v_class.class_id := v_class_id;
      v_class.class_exists := false;
      v_findings := array(
        select fnd from runbook.findings_of_class(v_class_id::text, v_class) as fnd
      );
    else
      v_findings := array(
        select fnd from runbook.findings_of_posts(v_forum, v_class) as fnd
      );

      if diagnose_forum.params ?| array['email', 'user_id'] then
        v_account := runbook.account_of(diagnose_forum.params);
        v_findings := v_findings || case
          when v_account.id is null
            then array(select fnd from runbook.findings_of_missing_account(v_account) as fnd)
          when v_account.deleted_at is not null then array[
            row(
              'deleted',
              'warning',
              v_account.subject,
              format('The account was deleted at %s.', runbook.utc_text(v_account.deleted_at)),
              jsonb_build_object('user_id', v_account.id, 'deleted_at', v_account.deleted_at),
              'read from auth.users',
              null,
              null
            )::runbook.finding
          ]
          else array(
            select fnd
            from runbook.findings_of_reader(v_school, v_forum, v_account, v_class) as fnd
          )
        end;
      else
        v_findings := v_findings || array(
          select fnd from runbook.findings_of_class(v_class_id::text, v_class) as fnd
        );
      end if;
    end if;
  end if;

  foreach v_finding in array v_findings loop
    return next v_finding;
  end loop;
end;
$$;

comment on function runbook.diagnose_forum(jsonb) is
'Why the forum of a class is empty: no posts, not approved, hidden from this person.';
revoke all on function runbook.diagnose_forum(jsonb) from public;

-- Whether new posts and threads reach the pages by themselves, and whether this person's page is
-- listening now.
--
-- Cost: that of runbook.findings_of_realtime, and the subscriptions to the forum's tables once more
-- for a person. No lock on a table of the school.
-- Misses: what a policy answers for a new post, which the first part tells for those there are.
create function runbook.diagnose_forum_realtime(params jsonb)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_forum constant runbook.forum := runbook.forum_tables();
  v_relations constant oid[] := array_remove(array[v_forum.posts, v_forum.threads], null);
  v_account runbook.account;
  v_subscriptions bigint;
  v_finding runbook.finding;
begin
  if v_forum.posts is null then
    return;
  end if;

  foreach v_finding in array array(
    select fnd from runbook.findings_of_realtime(v_relations) as fnd
  )
  loop
    return next v_finding;
  end loop;

  if diagnose_forum_realtime.params ?| array['email', 'user_id']
    and to_regclass('realtime.subscription') is not null
  then
    v_account := runbook.account_of(diagnose_forum_realtime.params);

    if v_account.id is null then
      return;
    end if;

    execute '
      select count(*)
      from realtime.subscription as sub
      where sub.entity = any ($1::regclass[])
        and sub.claims ->> ''sub'' = $2'
    into v_subscriptions
    using v_relations, v_account.id::text;

    return next row(
      case when v_subscriptions > 0 then 'listens' else 'does_not_listen' end,
      'info',
      v_account.subject,
      case v_subscriptions
        when 0 then 'No page of this person is subscribed to the forum now: none is open, or it '
          'could not subscribe.'
        when 1 then 'This person has one subscription to the forum now.'
        else format('This person has %s subscriptions to the forum now.', v_subscriptions)
      end,
      jsonb_build_object('user_id', v_account.id, 'subscriptions', v_subscriptions),
      'counted in realtime.subscription',
      null,
      null
    )::runbook.finding;
  end if;
end;
$$;

comment on function runbook.diagnose_forum_realtime(jsonb) is
'Whether changes of the forum''s tables reach those who listen, and whether this person listens.';
revoke all on function runbook.diagnose_forum_realtime(jsonb) from public;

insert into runbook.issue (
  name,
  title,
  description,
  parameters,
  subject_keys,
  function,
  codes,
  probes,
  blind_spots,
  looks_as,
  pack
)
values (
  'forum',
  'Forum posts not loading',
  'The forum is empty, or loads for ever, or shows new posts only after a reload.',
  '{
    "type": "object",
    "description": "The class, and for one person email or user_id.",
    "properties": {
      "class_id": {
        "type": "string",
        "minLength": 36,
        "maxLength": 36,
        "description": "The class whose forum it is."
      },
      "email": {
        "type": "string",
        "minLength": 1,
        "maxLength": 320,
        "description": "The address of a person who should see it."
      },
      "user_id": {
        "type": "string",
        "minLength": 36,
        "maxLength": 36,
        "description": "The id of that person''s account, instead of the address."
      }
    },
    "required": ["class_id"],
    "additionalProperties": false
  }',
  array['class_id', 'email', 'user_id'],
  'runbook.diagnose_forum',
  '{
    "no_posts": "The class has no posts, so an empty forum is right.",
    "posts_there": "The class has posts; the summary says how many wait for approval.",
    "posts_unapproved": "None of the posts is approved.",
    "posts_hidden": "The posts that there are are hidden from this person.",
    "threads_hidden": "The threads that there are are hidden from this person.",
    "sees_posts": "This person sees posts.",
    "sees_threads": "This person sees threads."
  }',
  array['realtime_health', 'data_api'],
  array[
    'What the page does with the posts: a query that fails, a filter, an infinite loading sign.',
    'Posts in a thread of another class.'
  ],
  'runbook.student_looked_at',
  'school'
);

insert into runbook.issue_part (issue, function, codes, pack)
values (
  'forum',
  'runbook.diagnose_forum_realtime',
  '{
    "listens": "A page of this person is subscribed to the forum now.",
    "does_not_listen": "No page of this person is subscribed to the forum now."
  }',
  'school'
);

-- What is said of a person and a class, and of Realtime, is said in the same words.
update runbook.issue as iss
set
  codes = iss.codes || (
    select jsonb_object_agg(code.key, code.value)
    from runbook.issue as class_access
    cross join jsonb_each(class_access.codes) as code (key, value)
    where class_access.name = 'class-access'
      and code.key in (
        'no_such_user', 'email_change_pending', 'deleted', 'banned', 'not_enrolled',
        'teaches_class', 'unpaid', 'refunded', 'class_missing', 'class_unpublished'
      )
  ),
  blind_spots = iss.blind_spots || realtime.blind_spots
from runbook.issue as realtime
where iss.name = 'forum'
  and realtime.name = 'realtime';

update runbook.issue_part as prt
set codes = prt.codes || realtime.codes
from runbook.issue as realtime
where prt.issue = 'forum'
  and prt.function = 'runbook.diagnose_forum_realtime'
  and realtime.name = 'realtime';
