-- What the runbook can do for a student who should be in a class: count the enrolment as paid, or
-- enrol her.
--
-- Both are about money, so the reason of the run must be a payment note. Only the payment's status
-- is written; what the application does with it (a date, a history) its own triggers do, and the
-- plan names them.

-- Refuses where the school's tables are not there.
create function runbook.required_school()
returns runbook.school
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_school constant runbook.school := runbook.school_tables();
begin
  if v_school.classes is null then
    raise exception 'There are no tables public.klassen and public.inschrijvingen here.'
      using
        errcode = '55000',
        detail = '{"refused": true}',
        hint = 'This entry is of the school''s pack.';
  end if;

  return v_school;
end;
$$;

comment on function runbook.required_school() is
'The school''s tables. Raises 55000 where there are none.';
revoke all on function runbook.required_school() from public;

-- The row of an enrolment as JSON, so that its key can be taken from it.
create function runbook.image_of_enrollment(school runbook.school, enrollment_id text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_image jsonb;
begin
  execute format(
    'select to_jsonb(enr.*) from %s as enr where enr.id = $1::%s',
    runbook.relation_name((image_of_enrollment.school).enrollments),
    (image_of_enrollment.school).enrollment_id_type
  )
  into v_image
  using image_of_enrollment.enrollment_id;

  return v_image;
end;
$$;

comment on function runbook.image_of_enrollment(runbook.school, text) is
'The row of an enrolment as JSON.';
revoke all on function runbook.image_of_enrollment(runbook.school, text) from public;

-- Declares that an enrolment counts as paid. Nothing when it does already.
--
-- A refunded one is only taken with `paid_again`: the money went back once, so somebody must have
-- seen it come a second time.
create function runbook.mark_enrollment_paid(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_params constant jsonb := mark_enrollment_paid.params - 'paid_again';
  v_school constant runbook.school := runbook.required_school();
  v_student record;
  v_enrollment runbook.enrollment;
begin
  if not v_params ? 'enrollment_id' and not v_params ? 'class_id' then
    perform runbook.refuse_problems(
      '[{"path": "class_id", "message": "is required, or enrollment_id"}]'
    );
  end if;

  select std.account, std.class_id, std.enrollment_is_missing
  into v_student
  from runbook.student_of(v_school, v_params) as std;

  v_enrollment := (
    select enr
    from runbook.enrollments_of(
      v_school, (v_student.account).id, v_student.class_id, v_params ->> 'enrollment_id'
    ) as enr
    limit 1
  );

  if v_enrollment.id is null then
    raise exception 'There is no such enrolment.'
      using
        errcode = 'P0002',
        detail = '{"refused": true}',
        hint = 'diagnose-class-access says in which classes the person is. Or enroll-student.';
  end if;

  if v_enrollment.status = 'refunded'
    and (mark_enrollment_paid.params -> 'paid_again') is distinct from 'true'
  then
    raise exception 'The payment of this enrolment in % was refunded.',
      coalesce(v_enrollment.class_name, v_enrollment.class_id::text)
      using
        errcode = '55000',
        detail = '{"refused": true}',
        hint = 'If it was paid a second time, send paid_again: true and say so in the reason.';
  end if;

  if v_enrollment.status is distinct from 'paid' then
    return next runbook.update_step(
      v_school.enrollments::regclass,
      runbook.key_of(
        v_school.enrollments::regclass,
        runbook.image_of_enrollment(v_school, v_enrollment.id)
      ),
      '{"payment_status": "paid"}',
      concat(
        format(
          'Count the enrolment of %s in %s as paid; it is %s now.',
          coalesce(
            runbook.person_text(v_student.account), v_enrollment.student_id::text
          ),
          coalesce(v_enrollment.class_name, v_enrollment.class_id::text),
          coalesce(v_enrollment.status, 'empty')
        ),
        case
          when v_enrollment.is_published is false
            then ' The class is not published, so it is not seen until it is.'
        end
      )
    );
  end if;
end;
$$;

comment on function runbook.mark_enrollment_paid(jsonb) is
'Declares that an enrolment counts as paid; nothing for a paid one. Raises P0002 without an
enrolment, 55000 for a refunded one unless it was paid again.';
revoke all on function runbook.mark_enrollment_paid(jsonb) from public;

-- Declares a paid enrolment of a person in a class. Nothing when there is one.
create function runbook.enroll_student(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_school constant runbook.school := runbook.required_school();
  v_class_id constant uuid := runbook.uuid_of(enroll_student.params, 'class_id');
  v_account constant runbook.account := runbook.existing_account_of(enroll_student.params);
  v_class constant runbook.enrollment := runbook.class_of(v_school, v_class_id);
  v_profile constant text := runbook.missing_profile(v_school, v_account.id);
  v_enrollment runbook.enrollment;
begin
  if v_class.class_id is null then
    raise exception 'There is no class %.', v_class_id
      using
        errcode = 'P0002',
        detail = '{"refused": true}',
        hint = 'diagnose-class-access with this class_id lists the classes.';
  end if;

  if v_class.teacher_id = v_account.id then
    raise exception '% teaches %.', runbook.person_text(v_account), v_class.class_name
      using
        errcode = '55000',
        detail = '{"refused": true}',
        hint = 'A teacher sees the class without an enrolment.';
  end if;

  if v_profile is not null then
    raise exception '% has no row in %, to which enrolments refer.',
      runbook.person_text(v_account), v_profile
      using
        errcode = '55000',
        detail = '{"refused": true}',
        hint = 'Make that row first, as the application does at sign-up.';
  end if;

  v_enrollment := (
    select enr
    from runbook.enrollments_of(v_school, v_account.id, v_class_id) as enr
    limit 1
  );

  if v_enrollment.id is not null then
    if v_enrollment.status is distinct from 'paid' then
      raise exception '% is enrolled in % already; its payment_status is %.',
        runbook.person_text(v_account), v_class.class_name, coalesce(v_enrollment.status, 'empty')
        using
        errcode = '55000',
        detail = '{"refused": true}',
        hint = 'mark-enrollment-paid takes the enrolment that there is.';
    end if;

    return;
  end if;

  return next runbook.insert_step(
    v_school.enrollments::regclass,
    jsonb_build_object(
      'student_id', v_account.id, 'class_id', v_class_id, 'payment_status', 'paid'
    ),
    concat(
      format('Enrol %s in %s, paid.', runbook.person_text(v_account), v_class.class_name),
      case
        when v_class.is_published is false
          then ' The class is not published, so it is not seen until it is.'
      end
    )
  );
end;
$$;

comment on function runbook.enroll_student(jsonb) is
'Declares a paid enrolment; nothing when there is one. Raises P0002 without the account or the
class; 55000 for the teacher of the class, for an unpaid enrolment that there is, and where the
application has no profile of the person.';
revoke all on function runbook.enroll_student(jsonb) from public;

insert into runbook.remediation (
  name,
  title,
  description,
  parameters,
  subject_keys,
  function,
  risk,
  issue,
  cures,
  reason,
  pack
)
select
  entry.name,
  entry.title,
  entry.description,
  entry.parameters::jsonb,
  entry.subject_keys,
  entry.function,
  'low',
  'class-access',
  entry.cures,
  '{
    "type": "string",
    "minLength": 10,
    "maxLength": 1000,
    "description": "a payment note says how, when and how much was paid, and where that is seen"
  }',
  'school'
from (
  values
    (
      'mark-enrollment-paid',
      'Count an enrolment as paid',
      'Sets payment_status of one enrolment to paid; the reason is the payment note.',
      '{
        "type": "object",
        "description": "enrollment_id, or class_id with one of email and user_id.",
        "properties": {
          "enrollment_id": {
            "type": "string",
            "minLength": 1,
            "maxLength": 64,
            "description": "The id of the enrolment."
          },
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
            "description": "The class, with the student."
          },
          "paid_again": {
            "type": "boolean",
            "description": "A refunded enrolment was paid a second time."
          }
        },
        "additionalProperties": false
      }',
      array['enrollment_id', 'email', 'user_id', 'class_id'],
      'runbook.mark_enrollment_paid',
      array['unpaid', 'refunded']
    ),
    (
      'enroll-student',
      'Enrol a student in a class',
      'Makes a paid enrolment; the reason is the payment note.',
      '{
        "type": "object",
        "description": "class_id with exactly one of email and user_id.",
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
            "description": "The class to enrol in."
          }
        },
        "required": ["class_id"],
        "additionalProperties": false
      }',
      array['email', 'user_id', 'class_id'],
      'runbook.enroll_student',
      array['not_enrolled']
    )
) as entry (name, title, description, parameters, subject_keys, function, cures);
