-- The issue "Student cannot see class content": the account, the enrolment, the class, the school's
-- function, and what the student sees.
--
-- Whatever keeps a student out by right (no enrolment, no payment, a class that is not published)
-- comes first; then it is no fault that the content is hidden.

-- A row for each code of an issue, all skipped for one reason.
create function runbook.skipped_codes(issue text, reason text)
returns setof runbook.finding
language sql
stable
security invoker
set search_path = ''
as $$
  select runbook.skipped(code.name, skipped_codes.reason)
  from runbook.issue as iss
  cross join jsonb_object_keys(iss.codes) as code (name)
  where iss.name = skipped_codes.issue
  order by code.name;
$$;

comment on function runbook.skipped_codes(text, text) is
'A skipped row for each code of an issue, so that a verification knows what was not looked at.';
revoke all on function runbook.skipped_codes(text, text) from public;

-- What keeps a person out whatever the class shows: a ban, which Auth asks and no policy does.
create function runbook.findings_of_ban(account runbook.account)
returns setof runbook.finding
language sql
stable
security invoker
set search_path = ''
as $$
  select row(
    'banned',
    'warning',
    (findings_of_ban.account).subject,
    format(
      'The account is banned until %s, so this person cannot sign in, whatever is found below.',
      runbook.utc_text((findings_of_ban.account).banned_until)
    ),
    jsonb_build_object(
      'user_id', (findings_of_ban.account).id,
      'banned_until', (findings_of_ban.account).banned_until
    ),
    'read from auth.users',
    'unban-user',
    jsonb_build_object('user_id', (findings_of_ban.account).id)
  )::runbook.finding
  where (findings_of_ban.account).banned_until > clock_timestamp();
$$;

comment on function runbook.findings_of_ban(runbook.account) is
'banned, while the account may not sign in.';
revoke all on function runbook.findings_of_ban(runbook.account) from public;

-- What keeps an enrolment from opening its class, in words; null when nothing does.
create function runbook.cause_of(enrollment runbook.enrollment, account_id uuid)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when (cause_of.enrollment).teacher_id = cause_of.account_id then null
    when (cause_of.enrollment).id is null then 'there is no enrolment'
    when (cause_of.enrollment).status = 'refunded' then 'the payment is refunded'
    when (cause_of.enrollment).status is distinct from 'paid' then 'the enrolment is not paid'
    when (cause_of.enrollment).is_published is false then 'the class is not published'
  end;
$$;

comment on function runbook.cause_of(runbook.enrollment, uuid) is
'What keeps an enrolment from opening its class, as the middle of a sentence, or null.';
revoke all on function runbook.cause_of(runbook.enrollment, uuid) from public;

-- What there is to say of one account in the classes that it is asked about.
create function runbook.findings_of_student(
  school runbook.school,
  account runbook.account,
  class_id uuid
)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_school constant runbook.school := findings_of_student.school;
  v_account constant runbook.account := findings_of_student.account;
  -- More than a student has, and few enough to be looked at in time.
  v_max_classes constant integer := 20;
  -- For all that runs as the student together; the caller's statement_timeout is 5 s.
  v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
  v_profile constant text := runbook.missing_profile(v_school, v_account.id);
  v_enrollments runbook.enrollment[];
  v_classes runbook.enrollment[];
  v_class runbook.enrollment;
  v_samples runbook.content_sample[];
  v_function oid := runbook.enrollment_function();
  v_asked runbook.enrollment[];
  v_questions text[];
  v_answers jsonb[];
  v_findings runbook.finding[] := array[]::runbook.finding[];
  v_finding runbook.finding;
begin
  v_findings := array(select fnd from runbook.findings_of_ban(v_account) as fnd);

  if v_profile is not null then
    v_findings := v_findings || row(
      'profile_missing',
      'warning',
      v_account.subject,
      format(
        'The account has no row in %s, to which enrolments refer, so it cannot be enrolled.',
        v_profile
      ),
      jsonb_build_object('user_id', v_account.id, 'table', v_profile),
      'looked up in ' || v_profile,
      null,
      null
    )::runbook.finding;
  end if;

  v_enrollments := array(
    select enr
    from runbook.enrollments_of(v_school, v_account.id, findings_of_student.class_id) as enr
  );
  v_classes := v_enrollments[1:v_max_classes];

  if v_enrollments = '{}' then
    v_class := runbook.class_of(v_school, findings_of_student.class_id);

    if v_class.class_id is not null then
      v_classes := array[v_class];
    elsif findings_of_student.class_id is not null then
      v_class.class_id := findings_of_student.class_id;
      v_class.class_exists := false;
      v_findings := v_findings || array(
        select fnd from runbook.findings_of_class(v_account.subject, v_class) as fnd
      );
    end if;

    v_findings := v_findings || array(
      select fnd
      from runbook.findings_of_no_enrollment(
        v_account, findings_of_student.class_id, v_class
      ) as fnd
    );
  end if;

  foreach v_class in array v_enrollments loop
    v_findings := v_findings
      || array(select fnd from runbook.findings_of_payment(v_account.subject, v_class) as fnd);
  end loop;

  foreach v_class in array v_classes loop
    v_findings := v_findings
      || array(select fnd from runbook.findings_of_class(v_account.subject, v_class) as fnd);
  end loop;

  v_findings := v_findings
    || array(select fnd from runbook.findings_of_enrollment_function(v_school, v_function) as fnd);

  -- Whether it looks at more than the enrolment where the class is not published is its own matter.
  v_asked := array(
    select cls
    from unnest(v_classes) as cls
    where v_function is not null
      and cls.class_exists
      and cls.is_published is not false
  );
  v_questions := array(
    select runbook.enrollment_question(v_function, v_account.id, cls.class_id)
    from unnest(v_asked) as cls
  );

  if v_questions[1] is null and v_questions <> '{}' then
    v_findings := v_findings || runbook.skipped(
      'enrollment_function_disagrees',
      'It is not clear which argument of is_enrolled_in_class is the person and which the class.'
    );
  elsif v_questions <> '{}' then
    v_answers := runbook.read_as_student(
      v_account.id, v_questions, clock_timestamp() + interval '1 second'
    );

    -- Null as a whole where the role of the token is none to read as; the samples say so.
    for v_index in 1..coalesce(cardinality(v_answers), 0) loop
      v_finding := runbook.finding_of_enrollment_answer(
        v_asked[v_index].class_name,
        coalesce(v_asked[v_index].status = 'paid', false),
        v_answers[v_index],
        jsonb_build_object(
          'class_id', v_asked[v_index].class_id, 'payment_status', v_asked[v_index].status
        )
      );

      if v_finding.code is not null then
        v_findings := v_findings || v_finding;
        -- It fails, or is slow, for every class alike.
        exit when v_finding.code = 'enrollment_function_fails';
      end if;
    end loop;
  end if;

  v_samples := array(
    select smp
    from runbook.content_samples(
      v_school,
      v_account.id,
      array(select cls.class_id from unnest(v_classes) as cls),
      v_enrollments[1:v_max_classes],
      v_until
    ) as smp
  );

  foreach v_class in array v_classes loop
    v_findings := v_findings || array(
      select fnd
      from runbook.findings_of_content(
        v_school,
        v_account,
        v_class,
        v_samples,
        runbook.cause_of(v_class, v_account.id),
        v_until
      ) as fnd
    );
  end loop;

  v_findings := v_findings || array(
    select runbook.skipped('content_hidden', reason.text)
    from (
      select distinct smp.skipped from unnest(v_samples) as smp where smp.skipped is not null
    ) as reason (text)
    order by reason.text
  );

  if cardinality(v_enrollments) > v_max_classes then
    v_findings := v_findings || runbook.skipped(
      'content_hidden',
      format(
        'Of %s classes only the first %s were looked at; ask with class_id for another.',
        cardinality(v_enrollments),
        v_max_classes
      )
    );
  end if;

  foreach v_finding in array v_findings loop
    return next v_finding;
  end loop;
end;
$$;

comment on function runbook.findings_of_student(runbook.school, runbook.account, uuid) is
'What keeps an account from seeing one class, or any of its classes.';
revoke all on function runbook.findings_of_student(runbook.school, runbook.account, uuid)
from public;

-- Why a student does not see the content of a class, or of any of her classes.
--
-- Cost: index probes of the school's tables, some rows of each class looked for as the student, an
-- explanation of each table that is hidden; AccessShareLock on the tables.
-- Misses: what the catalog lists as blind spots.
create function runbook.diagnose_class_access(params jsonb)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_school constant runbook.school := runbook.school_tables();
  v_reason text;
  v_student record;
  v_account runbook.account;
  v_findings runbook.finding[];
  v_finding runbook.finding;
begin
  if v_school.classes is null then
    return next runbook.not_applicable(
      'not_enrolled',
      'There are no tables public.klassen (id, name) and public.inschrijvingen (id, student_id, '
      'class_id, payment_status) here.'
    );
    return;
  end if;

  v_reason := runbook.lock_reason(array[v_school.classes, v_school.enrollments]);

  if v_reason is not null then
    v_findings := array(
      select fnd from runbook.skipped_codes('class-access', v_reason) as fnd
    );
  else
    select std.account, std.class_id, std.enrollment_is_missing
    into v_student
    from runbook.student_of(v_school, diagnose_class_access.params) as std;

    v_account := v_student.account;
    v_findings := case
      when v_student.enrollment_is_missing then array[
        row(
          'enrollment_missing',
          'warning',
          diagnose_class_access.params ->> 'enrollment_id',
          'There is no enrolment with this id.',
          '{}'::jsonb,
          'looked up in public.inschrijvingen',
          null,
          null
        )::runbook.finding
      ]
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
        from runbook.findings_of_student(v_school, v_account, v_student.class_id) as fnd
      )
    end;
  end if;

  foreach v_finding in array v_findings loop
    return next v_finding;
  end loop;
end;
$$;

comment on function runbook.diagnose_class_access(jsonb) is
'Why a student does not see the content of a class: enrolment, payment, class, function, policies.';
revoke all on function runbook.diagnose_class_access(jsonb) from public;

-- As whom class-access reads rows: the account, or what was asked for where there is none. Null
-- where it reads as nobody, since there is no school or it is locked.
create function runbook.student_looked_at(params jsonb)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_school constant runbook.school := runbook.school_tables();
  v_student record;
begin
  if not student_looked_at.params ?| array['email', 'user_id', 'enrollment_id']
    or v_school.classes is null
    or runbook.lock_reason(array[v_school.classes, v_school.enrollments]) is not null
  then
    return null;
  end if;

  select std.account
  into v_student
  from runbook.student_of(v_school, student_looked_at.params) as std;

  return coalesce(
    (v_student.account).id::text,
    student_looked_at.params ->> 'email',
    student_looked_at.params ->> 'user_id'
  );
end;
$$;

comment on function runbook.student_looked_at(jsonb) is
'The account as which class-access and forum read rows, as text, or null.';
revoke all on function runbook.student_looked_at(jsonb) from public;

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
  'class-access',
  'Student cannot see class content',
  'The dashboard shows no classes, or a class without its content.',
  '{
    "type": "object",
    "description": "One of email, user_id and enrollment_id; class_id with the first two, if at all.",
    "properties": {
      "email": {
        "type": "string",
        "minLength": 1,
        "maxLength": 320,
        "description": "The student''s address."
      },
      "user_id": {
        "type": "string",
        "minLength": 36,
        "maxLength": 36,
        "description": "The id of the student''s account, instead of the address."
      },
      "class_id": {
        "type": "string",
        "minLength": 36,
        "maxLength": 36,
        "description": "The class that should be seen; without it all classes of the student."
      },
      "enrollment_id": {
        "type": "string",
        "minLength": 1,
        "maxLength": 64,
        "description": "An enrolment, instead of student and class."
      }
    },
    "additionalProperties": false
  }',
  array['email', 'user_id', 'class_id', 'enrollment_id'],
  'runbook.diagnose_class_access',
  '{
    "no_such_user": "No account has this address; the evidence names accounts with one like it.",
    "email_change_pending": "The address is the new one of a change that is not confirmed.",
    "deleted": "The account was deleted.",
    "banned": "The account is banned, so the person cannot sign in.",
    "profile_missing": "The account has no profile, to which enrolments refer.",
    "enrollment_missing": "There is no enrolment with this id.",
    "not_enrolled": "There is no enrolment in the class, or in any.",
    "teaches_class": "The person teaches the class.",
    "unpaid": "The enrolment is not paid; the summary says what it is instead, and since when.",
    "refunded": "The payment was refunded.",
    "class_missing": "There is no such class.",
    "class_unpublished": "The class is not published.",
    "class_hidden": "The policies of the table of classes hide the class.",
    "enrollment_hidden": "The policies of the table of enrolments hide the student''s own.",
    "content_hidden": "The policies of a table hide the rows of the class; the summary says why.",
    "content_partly_visible": "Some rows of the class are seen and some are not.",
    "content_closed": "The content is hidden as it should be, for another finding.",
    "content_open": "Content is seen though it should be closed.",
    "sees_class": "The student sees the class and what was looked at of its content.",
    "enrollment_function_missing": "There is no function is_enrolled_in_class.",
    "enrollment_function_not_granted": "Signed-in people may not call the function.",
    "enrollment_function_fails": "Called as the student the function fails.",
    "enrollment_function_disagrees": "The function answers something else than the enrolment says.",
    "enrollment_function_under_row_security": "The function reads enrolments below their policies.",
    "enrollment_function_search_path": "The function lends rights and has no search_path.",
    "enrollment_function_volatile": "The function is volatile, so it is asked once a row.",
    "enrollment_function_reads_elsewhere": "The function''s body does not name enrolments."
  }',
  array['data_api'],
  array[
    'Whether the person can sign in at all: diagnose login.',
    'Claims that a hook of Auth adds to the token.',
    'Files in Storage, which have policies of their own; only their rows in tables are looked for.',
    'What the pages of the application leave out themselves.',
    'Content that refers to a class through another table, such as submissions through tasks.'
  ],
  'runbook.student_looked_at',
  'school'
);
