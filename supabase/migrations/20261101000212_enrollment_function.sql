-- is_enrolled_in_class(): the function of the application that its policies ask. Is it there, may
-- the students' role call it, what does it answer, and does it read what it should?
--
-- Its body is the application's and is not understood here; it is called, as the student, and its
-- answer compared with what the enrolment says.

-- Runs statements as the Data API would for an account, each rolled back, and begins none after
-- `until`. Null where the account's token names a role that is not the Data API's.
create function runbook.read_as_student(user_id uuid, statements text[], until timestamptz)
returns jsonb[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_claims constant jsonb := runbook.claims_of(read_as_student.user_id);
  -- The Data API takes its own role for nobody where the token names none.
  v_role constant text := coalesce(nullif(v_claims ->> 'role', ''), 'anon');
begin
  if v_role not in ('anon', 'authenticated', 'service_role') then
    return null;
  end if;

  return runbook.read_as(
    v_role,
    array[]::text[],
    read_as_student.statements,
    '{}'::jsonb,
    jsonb_build_object('request.jwt.claims', v_claims::text),
    read_as_student.until
  );
end;
$$;

comment on function runbook.read_as_student(uuid, text[], timestamptz) is
'Runs each statement as the Data API would for this account: {answer, failed, took_ms} each.';
revoke all on function runbook.read_as_student(uuid, text[], timestamptz) from public;

-- The school's function: by its name in schema public, asked about a class, or about a person and a
-- class. Null where there is none.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.enrollment_function()
returns oid
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select fun.oid
    from pg_catalog.pg_proc as fun
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = fun.pronamespace
    where nsp.nspname = 'public'
      and fun.proname = 'is_enrolled_in_class'
      and fun.prokind = 'f'
      and fun.prorettype = 'boolean'::regtype
      and fun.pronargs in (1, 2)
      and 'uuid'::regtype = all (fun.proargtypes::oid[])
    order by fun.pronargs
    limit 1
  );
end;
$$;

comment on function runbook.enrollment_function() is
'The function public.is_enrolled_in_class of one or two UUIDs, or null. Takes no lock.';
revoke all on function runbook.enrollment_function() from public;

-- The statement that asks the function about a person and a class, or null where it is not clear
-- which argument is which.
create function runbook.enrollment_question(fun oid, user_id uuid, class_id uuid)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_is_person constant text := 'user|student|profile';
  v_is_class constant text := 'class|klas';
  v_arguments text[];
  v_count integer;
begin
  select fun.proargnames, fun.pronargs
  into v_arguments, v_count
  from pg_catalog.pg_proc as fun
  where fun.oid = enrollment_question.fun;

  return format(
    case
      when v_count = 1 then 'select pg_catalog.to_jsonb(public.is_enrolled_in_class(%2$L))'
      when v_arguments[1] ~* v_is_person and v_arguments[2] ~* v_is_class
        then 'select pg_catalog.to_jsonb(public.is_enrolled_in_class(%1$L, %2$L))'
      when v_arguments[2] ~* v_is_person and v_arguments[1] ~* v_is_class
        then 'select pg_catalog.to_jsonb(public.is_enrolled_in_class(%2$L, %1$L))'
    end,
    enrollment_question.user_id,
    enrollment_question.class_id
  );
end;
$$;

comment on function runbook.enrollment_question(oid, uuid, uuid) is
'The statement that asks the school''s function about a person and a class, or null.';
revoke all on function runbook.enrollment_question(oid, uuid, uuid) from public;

-- As whom the function reads the enrolments, and what stands in its way there.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.enrollment_function_facts(school runbook.school, fun oid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'signature', format(
        '%I.%I(%s)', 'public', fun.proname, pg_get_function_identity_arguments(fun.oid)
      ),
      'security', case when fun.prosecdef then 'definer' else 'invoker' end,
      'reads_as', rol.rolname,
      'volatility', case fun.provolatile
        when 'v' then 'volatile' when 's' then 'stable' else 'immutable'
      end,
      'search_path', (
        select substr(entry.config, length('search_path=') + 1)
        from unnest(fun.proconfig) as entry (config)
        where entry.config like 'search\_path=%'
      ),
      'may_be_called', has_function_privilege('authenticated', fun.oid, 'execute'),
      'under_row_security', rel.relrowsecurity
        and not rol.rolsuper
        and not rol.rolbypassrls
        and (rel.relforcerowsecurity or not pg_has_role(rol.oid, rel.relowner, 'usage')),
      'is_asked_by_enrollments', exists (
        select
        from pg_catalog.pg_depend as dep
        inner join pg_catalog.pg_policy as pol on pol.oid = dep.objid
        where dep.classid = 'pg_catalog.pg_policy'::regclass
          and dep.refclassid = 'pg_catalog.pg_proc'::regclass
          and dep.refobjid = fun.oid
          and pol.polrelid = rel.oid
          and pol.polcmd in ('r', '*')
      ),
      'names_enrollments', fun.prosrc ~* format('\m%s\M', rel.relname)
        or exists (
          select
          from pg_catalog.pg_depend as dep
          where dep.classid = 'pg_catalog.pg_proc'::regclass
            and dep.objid = fun.oid
            and dep.refclassid = 'pg_catalog.pg_class'::regclass
            and dep.refobjid = rel.oid
        )
    )
    from pg_catalog.pg_proc as fun
    inner join pg_catalog.pg_class as rel
      on rel.oid = (enrollment_function_facts.school).enrollments
    inner join pg_catalog.pg_roles as rol
      on rol.oid = case
        when fun.prosecdef then fun.proowner
        else to_regrole('authenticated')::oid
      end
    where fun.oid = enrollment_function_facts.fun
  );
end;
$$;

comment on function runbook.enrollment_function_facts(runbook.school, oid) is
'What the catalog tells of the school''s function: {signature, security, reads_as, volatility,
search_path, may_be_called, under_row_security, is_asked_by_enrollments, names_enrollments}.';
revoke all on function runbook.enrollment_function_facts(runbook.school, oid) from public;

-- What the catalog tells against the school's function. Warnings are what makes it fail; the rest
-- is what may.
create function runbook.findings_of_enrollment_function(school runbook.school, fun oid)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_facts constant jsonb := runbook.enrollment_function_facts(
    findings_of_enrollment_function.school, findings_of_enrollment_function.fun
  );
  v_enrollments constant text := runbook.relation_name(
    (findings_of_enrollment_function.school).enrollments
  );
  v_name constant text := v_facts ->> 'signature';
  v_method constant text := 'read from pg_proc and pg_policy';
begin
  if findings_of_enrollment_function.fun is null then
    return next row(
      'enrollment_function_missing',
      'warning',
      'public.is_enrolled_in_class(uuid)',
      'There is no function public.is_enrolled_in_class(uuid), and policies that asked it went '
      'with it. Look for it in the migrations of the application.',
      '{}'::jsonb,
      v_method,
      null,
      null
    )::runbook.finding;
    return;
  end if;

  if not (v_facts -> 'may_be_called')::boolean then
    return next row(
      'enrollment_function_not_granted',
      'warning',
      v_name,
      format(
        'authenticated may not call it, so every policy that asks it fails. '
        'grant execute on function %s to authenticated;',
        v_name
      ),
      v_facts,
      v_method,
      null,
      null
    )::runbook.finding;
  end if;

  if (v_facts -> 'under_row_security')::boolean then
    return next row(
      'enrollment_function_under_row_security',
      case
        when (v_facts -> 'is_asked_by_enrollments')::boolean then 'warning'
        else 'info'
      end,
      v_name,
      format(
        'It reads %s as %s, below the policies of that table%s. As security definer, owned by '
        'postgres, it would not.',
        v_enrollments,
        v_facts ->> 'reads_as',
        case
          when (v_facts -> 'is_asked_by_enrollments')::boolean
            then ', and one of them asks it again: it never ends'
          else ', and sees no more than they let through'
        end
      ),
      v_facts,
      v_method,
      null,
      null
    )::runbook.finding;
  end if;

  if v_facts ->> 'security' = 'definer' and v_facts ->> 'search_path' is null then
    return next row(
      'enrollment_function_search_path',
      'info',
      v_name,
      format(
        'It lends the rights of %s and looks names up by the path of whoever asks. '
        'alter function %s set search_path = public;',
        v_facts ->> 'reads_as',
        v_name
      ),
      v_facts,
      v_method,
      null,
      null
    )::runbook.finding;
  end if;

  if v_facts ->> 'volatility' = 'volatile' then
    return next row(
      'enrollment_function_volatile',
      'info',
      v_name,
      format(
        'It is declared volatile, so policies ask it once a row and no index helps. '
        'alter function %s stable;',
        v_name
      ),
      v_facts,
      v_method,
      null,
      null
    )::runbook.finding;
  end if;

  if not (v_facts -> 'names_enrollments')::boolean then
    return next row(
      'enrollment_function_reads_elsewhere',
      'info',
      v_name,
      format('Its body does not name %s: what it goes by is somewhere else.', v_enrollments),
      v_facts,
      v_method,
      null,
      null
    )::runbook.finding;
  end if;
end;
$$;

comment on function runbook.findings_of_enrollment_function(runbook.school, oid) is
'What the catalog tells against public.is_enrolled_in_class: missing, not granted, under row level
security, without a search_path, volatile, reading something else.';
revoke all on function runbook.findings_of_enrollment_function(runbook.school, oid) from public;

-- What the school's function answered for an enrolment, held against the enrolment.
create function runbook.finding_of_enrollment_answer(
  class_text text,
  is_paid boolean,
  answer jsonb,
  evidence jsonb
)
returns runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_name constant text := 'public.is_enrolled_in_class';
  v_answer constant jsonb := finding_of_enrollment_answer.answer -> 'answer';
  v_state constant text := v_answer ->> 'sqlstate';
  v_evidence constant jsonb := finding_of_enrollment_answer.evidence || jsonb_build_object(
    'answered', v_answer, 'expected', finding_of_enrollment_answer.is_paid
  );
  v_method constant text := 'called as the student, and rolled back';
begin
  if finding_of_enrollment_answer.answer is null then
    return runbook.skipped(
      'enrollment_function_fails', format('%s was not asked: the time was spent.', v_name)
    );
  elsif (finding_of_enrollment_answer.answer -> 'failed')::boolean then
    return case
      when v_state in ('55P03', '57014') then runbook.skipped(
        'enrollment_function_fails',
        format('%s did not answer: %s', v_name, v_answer ->> 'message')
      )
      else row(
        'enrollment_function_fails',
        'warning',
        v_name,
        format(
          'Asked by this student about %s it fails with SQLSTATE %s%s',
          finding_of_enrollment_answer.class_text,
          v_state,
          case v_state
            when '42501' then ': a right is missing, its own or one that it needs inside.'
            when '42P01' then ': it does not find a table by its search_path.'
            when '42883' then ': it does not find a function by its search_path.'
            when '42P17' then ': the policies that it reads under ask each other in a circle.'
            when '54001' then ': it asks a policy that asks it again, and never ends.'
            else '; the evidence has its message.'
          end
        ),
        v_evidence,
        v_method,
        null,
        null
      )::runbook.finding
    end;
  elsif coalesce(v_answer = 'true', false) <> finding_of_enrollment_answer.is_paid then
    return row(
      'enrollment_function_disagrees',
      'warning',
      v_name,
      case
        when finding_of_enrollment_answer.is_paid then format(
          'The enrolment in %s is paid, and asked by this student it answers %s.',
          finding_of_enrollment_answer.class_text,
          coalesce(nullif(v_answer, 'null')::text, 'nothing')
        )
        else format(
          'There is no paid enrolment in %s, and asked by this student it answers true.',
          finding_of_enrollment_answer.class_text
        )
      end,
      v_evidence,
      v_method,
      null,
      null
    )::runbook.finding;
  end if;

  return null;
end;
$$;

comment on function runbook.finding_of_enrollment_answer(text, boolean, jsonb, jsonb) is
'enrollment_function_fails or enrollment_function_disagrees, a skipped row, or null when the answer
is what the enrolment says.';
revoke all on function runbook.finding_of_enrollment_answer(text, boolean, jsonb, jsonb)
from public;
