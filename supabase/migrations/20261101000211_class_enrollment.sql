-- What a student's enrolments say about the classes that she should see: whether there is one, what
-- became of the payment, whether the class is there and published.
--
-- Whoever should see nothing is told so before any policy is looked at.

-- What there is to say of a class apart from who asks: it is not there, or not published.
create function runbook.findings_of_class(subject text, class runbook.enrollment)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_class constant runbook.enrollment := findings_of_class.class;
begin
  if not v_class.class_exists then
    return next row(
      'class_missing',
      'warning',
      findings_of_class.subject,
      format('There is no class %s. The evidence lists classes.', v_class.class_id),
      jsonb_build_object('class_id', v_class.class_id, 'classes', runbook.class_choices()),
      'looked up in public.klassen',
      null,
      null
    )::runbook.finding;
  elsif v_class.is_published is false then
    return next row(
      'class_unpublished',
      'warning',
      findings_of_class.subject,
      format('The class %s is not published; no student sees it until it is.', v_class.class_name),
      jsonb_build_object('class_id', v_class.class_id, 'class', v_class.class_name),
      'read from public.klassen',
      null,
      null
    )::runbook.finding;
  end if;
end;
$$;

comment on function runbook.findings_of_class(text, runbook.enrollment) is
'What is wrong with a class for every student: class_missing, class_unpublished.';
revoke all on function runbook.findings_of_class(text, runbook.enrollment) from public;

-- What became of the payment of an enrolment.
create function runbook.findings_of_payment(subject text, enrollment runbook.enrollment)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_enrollment constant runbook.enrollment := findings_of_payment.enrollment;
  v_class constant text := coalesce(v_enrollment.class_name, v_enrollment.class_id::text);
  v_since constant text := case
    when v_enrollment.since is null then ''
    when v_enrollment.since_known_by = 'the history'
      then format(' since %s', runbook.utc_text(v_enrollment.since))
    else format('; enrolled at %s', runbook.utc_text(v_enrollment.since))
  end;
  v_evidence constant jsonb := jsonb_build_object(
    'enrollment_id', v_enrollment.id,
    'class_id', v_enrollment.class_id,
    'class', v_enrollment.class_name,
    'payment_status', v_enrollment.status,
    'since', v_enrollment.since,
    'since_known_by', v_enrollment.since_known_by
  );
  v_method constant text := concat(
    'read from public.inschrijvingen',
    case
      when v_enrollment.since_known_by = 'the history' then ' and public.enrollment_history'
    end
  );
begin
  if v_enrollment.status = 'refunded' then
    return next row(
      'refunded',
      'warning',
      findings_of_payment.subject,
      format(
        'The payment for %s was refunded%s, so the class is closed to this student. If it was paid '
        'again: mark-enrollment-paid with paid_again.',
        v_class,
        replace(v_since, ' since ', ' at ')
      ),
      v_evidence,
      v_method,
      null,
      null
    )::runbook.finding;
  elsif v_enrollment.status is distinct from 'paid' then
    return next row(
      'unpaid',
      'warning',
      findings_of_payment.subject,
      format(
        'The enrolment in %s is not paid: its payment_status is %s%s.',
        v_class,
        coalesce(v_enrollment.status, 'empty'),
        v_since
      ),
      v_evidence,
      v_method,
      'mark-enrollment-paid',
      jsonb_build_object('enrollment_id', v_enrollment.id)
    )::runbook.finding;
  end if;
end;
$$;

comment on function runbook.findings_of_payment(text, runbook.enrollment) is
'What became of the payment of an enrolment: unpaid, refunded.';
revoke all on function runbook.findings_of_payment(text, runbook.enrollment) from public;

-- What there is to say where a person has no enrolment, in this class or in any.
create function runbook.findings_of_no_enrollment(
  account runbook.account,
  class_id uuid,
  class runbook.enrollment
)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_account constant runbook.account := findings_of_no_enrollment.account;
  v_class constant runbook.enrollment := findings_of_no_enrollment.class;
begin
  if findings_of_no_enrollment.class_id is null then
    return next row(
      'not_enrolled',
      'warning',
      v_account.subject,
      'There is no enrolment in any class. Ask with class_id for the way into that class; the '
      'evidence lists classes.',
      jsonb_build_object('user_id', v_account.id, 'classes', runbook.class_choices()),
      'looked up in public.inschrijvingen',
      null,
      null
    )::runbook.finding;
  elsif v_class.class_exists and v_class.teacher_id = v_account.id then
    return next row(
      'teaches_class',
      'info',
      v_account.subject,
      format('This person teaches %s, and needs no enrolment.', v_class.class_name),
      jsonb_build_object('user_id', v_account.id, 'class_id', v_class.class_id),
      'read from public.klassen',
      null,
      null
    )::runbook.finding;
  elsif v_class.class_exists then
    return next row(
      'not_enrolled',
      'warning',
      v_account.subject,
      format('There is no enrolment in %s.', v_class.class_name),
      jsonb_build_object(
        'user_id', v_account.id, 'class_id', v_class.class_id, 'class', v_class.class_name
      ),
      'looked up in public.inschrijvingen',
      'enroll-student',
      jsonb_build_object('user_id', v_account.id, 'class_id', v_class.class_id)
    )::runbook.finding;
  end if;
end;
$$;

comment on function runbook.findings_of_no_enrollment(
  runbook.account, uuid, runbook.enrollment
) is 'What there is to say where a person has no enrolment: not_enrolled, teaches_class.';
revoke all on function runbook.findings_of_no_enrollment(
  runbook.account, uuid, runbook.enrollment
) from public;

-- The table that an enrolment's student_id refers to, where that is not Auth's own and has no row
-- of the person: then nobody can be enrolled. Null when all is well.
--
-- Cost: a probe of the referenced key.
create function runbook.missing_profile(school runbook.school, user_id uuid, out relation text)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_column text;
  v_relation oid;
  v_found boolean;
begin
  select con.confrelid, far.attname::text
  into v_relation, v_column
  from pg_catalog.pg_constraint as con
  inner join pg_catalog.pg_attribute as own on own.attrelid = con.conrelid
    and own.attnum = con.conkey[1]
    and own.attname = 'student_id'
  inner join pg_catalog.pg_attribute as far on far.attrelid = con.confrelid
    and far.attnum = con.confkey[1]
  where con.contype = 'f'
    and con.conrelid = (missing_profile.school).enrollments
    and con.confrelid <> 'auth.users'::regclass
    and cardinality(con.conkey) = 1
  limit 1;

  if v_relation is null then
    return;
  end if;

  execute format(
    'select exists (select from %s as prf where prf.%I = $1)',
    runbook.relation_name(v_relation),
    v_column
  )
  into v_found
  using missing_profile.user_id;

  if not v_found then
    missing_profile.relation := runbook.relation_name(v_relation);
  end if;
end;
$$;

comment on function runbook.missing_profile(runbook.school, uuid) is
'The table that must have a row for a person before an enrolment can refer to it and has none; null
when all is well.';
revoke all on function runbook.missing_profile(runbook.school, uuid) from public;
