-- The school's classes and enrolments, as the pack of the school reads them.
--
-- The tables are the application's: they are found when somebody asks, by the columns that the
-- handbook names, and what hangs on a class is found by its foreign keys. Where the tables are
-- absent, or a change of them is under way, the pack says so and reads nothing.

create type runbook.school as (
  classes oid,
  enrollments oid,
  enrollment_id_type text,
  has_published boolean,
  has_teacher boolean,
  enrolled_at text,
  history oid
);

comment on type runbook.school is
'The school''s tables: classes (public.klassen) and enrollments (public.inschrijvingen), what of
their optional columns there is, and the history of payments if it is kept and indexed.';

revoke all on type runbook.school from public;

create type runbook.enrollment as (
  id text,
  student_id uuid,
  class_id uuid,
  class_name text,
  class_exists boolean,
  is_published boolean,
  teacher_id uuid,
  status text,
  since timestamptz,
  since_known_by text
);

comment on type runbook.enrollment is
'One enrolment with its class. `is_published` is null where classes are not published one by one.';

revoke all on type runbook.enrollment from public;

-- Whether a table has columns, as `{"name": "type"}`; an empty type fits any.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.has_columns(relation oid, columns jsonb)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select not exists (
      select
      from jsonb_each_text(has_columns.columns) as wanted (name, type)
      where not exists (
        select
        from pg_catalog.pg_attribute as att
        where att.attrelid = has_columns.relation
          and att.attname = wanted.name
          and att.attnum > 0
          and not att.attisdropped
          and (wanted.type = '' or format_type(att.atttypid, null) = wanted.type)
      )
    )
  );
end;
$$;

comment on function runbook.has_columns(oid, jsonb) is
'Whether a table has all of these columns, with these types. Takes no lock.';
revoke all on function runbook.has_columns(oid, jsonb) from public;

-- A table of schema public with these columns, or null.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.public_table(name text, columns jsonb)
returns oid
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select rel.oid
    from pg_catalog.pg_class as rel
    inner join pg_catalog.pg_namespace as nsp on nsp.oid = rel.relnamespace
    where nsp.nspname = 'public'
      and rel.relname = public_table.name
      and rel.relkind in ('r', 'p')
      and runbook.has_columns(rel.oid, public_table.columns)
  );
end;
$$;

comment on function runbook.public_table(text, jsonb) is
'The oid of a table in schema public that has these columns, or null. Takes no lock.';
revoke all on function runbook.public_table(text, jsonb) from public;

-- Whether rows are found by a column without reading the whole table: an index begins with it, or
-- the table is small (8 MiB, or 10,000 rows where nobody has counted its pages yet).
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.is_found_by(relation oid, column_name text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select exists (
      select
      from pg_catalog.pg_class as rel
      where rel.oid = is_found_by.relation
        and rel.relkind <> 'p'
        and case
          when rel.reltuples >= 0 then rel.relpages <= 1024
          else pg_stat_get_live_tuples(rel.oid) <= 10000
        end
    )
    or exists (
      select
      from pg_catalog.pg_index as idx
      inner join pg_catalog.pg_attribute as att on att.attrelid = idx.indrelid
        and att.attnum = idx.indkey[0]
      where idx.indrelid = is_found_by.relation
        and idx.indisvalid
        and idx.indpred is null
        and att.attname = is_found_by.column_name
    )
  );
end;
$$;

comment on function runbook.is_found_by(oid, text) is
'Whether rows of a table are found by this column quickly. Takes no lock.';
revoke all on function runbook.is_found_by(oid, text) from public;

-- The school's tables, or null where there are none.
create function runbook.school_tables()
returns runbook.school
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_school runbook.school;
begin
  v_school.classes := runbook.public_table('klassen', '{"id": "uuid", "name": ""}');
  v_school.enrollments := runbook.public_table(
    'inschrijvingen', '{"id": "", "student_id": "uuid", "class_id": "uuid", "payment_status": ""}'
  );

  if v_school.classes is null or v_school.enrollments is null then
    return null;
  end if;

  v_school.has_published := runbook.has_columns(v_school.classes, '{"published": "boolean"}');
  v_school.has_teacher := runbook.has_columns(v_school.classes, '{"teacher_id": "uuid"}');

  select
    max(format_type(att.atttypid, att.atttypmod)) filter (where att.attname = 'id'),
    -- the first of the two that there is
    max(att.attname) filter (
      where att.attname in ('enrolled_at', 'created_at')
        and att.atttypid = 'timestamptz'::regtype
    )
  into v_school.enrollment_id_type, v_school.enrolled_at
  from pg_catalog.pg_attribute as att
  where att.attrelid = v_school.enrollments
    and att.attnum > 0
    and not att.attisdropped;

  v_school.history := runbook.public_table(
    'enrollment_history',
    jsonb_build_object(
      'enrollment_id', v_school.enrollment_id_type,
      'new_status', '',
      'changed_at', 'timestamp with time zone'
    )
  );

  if not runbook.is_found_by(v_school.history, 'enrollment_id') then
    v_school.history := null;
  end if;

  return v_school;
end;
$$;

comment on function runbook.school_tables() is
'The school''s tables of classes and enrolments as they are here, or null. Takes no lock.';
revoke all on function runbook.school_tables() from public;

-- Why tables cannot be read now: who changes one of them, or waits to. Null when nobody does.
--
-- Cost: that of runbook.exclusive_locks.
create function runbook.lock_reason(relations oid[])
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select string_agg(
    distinct format('%s is locked: %s.', runbook.relation_name(lck.relation), lck.description),
    ' '
  )
  from runbook.exclusive_locks() as lck
  where lck.relation = any (lock_reason.relations);
$$;

comment on function runbook.lock_reason(oid[]) is
'Who holds or awaits an exclusive lock on one of these tables, in words, or null.';
revoke all on function runbook.lock_reason(oid[]) from public;

-- Enrolments with their classes: those of a person, in one class if one is named, or one by its id.
--
-- Cost: probes by student_id, by the class's primary key and of the history, where there are
-- indexes; AccessShareLock on the tables.
create function runbook.enrollments_of(
  school runbook.school,
  student_id uuid,
  class_id uuid,
  enrollment_id text default null
)
returns setof runbook.enrollment
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return query execute format(
    'select
       enr.id::text,
       enr.student_id,
       enr.class_id,
       cls.name::text,
       cls.id is not null,
       %1$s,
       %2$s,
       enr.payment_status::text,
       coalesce(hst.changed_at, %3$s),
       case when hst.changed_at is not null then ''the history'' else %4$L end
     from %5$s as enr
     left join %6$s as cls on cls.id = enr.class_id
     left join lateral (%7$s) as hst on true
     where %8$s
     order by enr.payment_status::text = ''paid'', cls.name, enr.class_id',
    case when (enrollments_of.school).has_published then 'cls.published' else 'null::boolean' end,
    case when (enrollments_of.school).has_teacher then 'cls.teacher_id' else 'null::uuid' end,
    coalesce(
      format('enr.%I', (enrollments_of.school).enrolled_at), 'null::pg_catalog.timestamptz'
    ),
    (enrollments_of.school).enrolled_at,
    runbook.relation_name((enrollments_of.school).enrollments),
    runbook.relation_name((enrollments_of.school).classes),
    coalesce(
      format(
        'select max(old.changed_at) as changed_at from %s as old
         where old.enrollment_id = enr.id and old.new_status::text = enr.payment_status::text',
        runbook.relation_name((enrollments_of.school).history)
      ),
      'select null::pg_catalog.timestamptz as changed_at'
    ),
    case
      when enrollments_of.enrollment_id is not null
        then format('enr.id = $3::%s', (enrollments_of.school).enrollment_id_type)
      when enrollments_of.class_id is not null then 'enr.student_id = $1 and enr.class_id = $2'
      else 'enr.student_id = $1'
    end
  )
  using enrollments_of.student_id, enrollments_of.class_id, enrollments_of.enrollment_id;
exception
  when invalid_text_representation or numeric_value_out_of_range then
    perform runbook.refuse_problems('[{"path": "enrollment_id", "message": "is no such id"}]');
end;
$$;

comment on function runbook.enrollments_of(runbook.school, uuid, uuid, text) is
'The enrolments of a person, in one class or in all, or the one with an id; unpaid ones first.
Raises RB400 for an id that cannot be one.';
revoke all on function runbook.enrollments_of(runbook.school, uuid, uuid, text) from public;

-- A class as an enrolment without a student: its name, whether it is published, who teaches it.
-- Null when there is no such class.
create function runbook.class_of(school runbook.school, class_id uuid)
returns runbook.enrollment
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_class runbook.enrollment;
begin
  execute format(
    'select cls.id, cls.name::text, true, %s, %s from %s as cls where cls.id = $1',
    case when (class_of.school).has_published then 'cls.published' else 'null::boolean' end,
    case when (class_of.school).has_teacher then 'cls.teacher_id' else 'null::uuid' end,
    runbook.relation_name((class_of.school).classes)
  )
  into
    v_class.class_id,
    v_class.class_name,
    v_class.class_exists,
    v_class.is_published,
    v_class.teacher_id
  using class_of.class_id;

  return case when v_class.class_id is not null then v_class end;
end;
$$;

comment on function runbook.class_of(runbook.school, uuid) is
'A class with what the school knows of it, in the shape of an enrolment, or null.';
revoke all on function runbook.class_of(runbook.school, uuid) from public;

-- Classes by name, for a caller who has to name one by its id and knows what it is called: twenty
-- at most, of the first thousand that are found.
--
-- Cost: reads a thousand rows of the classes at most; AccessShareLock on the table.
create function runbook.class_choices()
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_school constant runbook.school := runbook.school_tables();
  v_choices jsonb;
begin
  execute format(
    'select coalesce(
       jsonb_agg(jsonb_build_object(''id'', cho.id, ''name'', cho.name) order by cho.name), ''[]''
     )
     from (
       select cls.id, left(cls.name, 100) as name
       from (select old.id, old.name::text as name from %s as old limit 1000) as cls
       order by cls.name
       limit 20
     ) as cho',
    runbook.relation_name(v_school.classes)
  )
  into v_choices;

  return v_choices;
end;
$$;

comment on function runbook.class_choices() is
'Twenty classes of the school at most, as [{id, name}] by name.';
revoke all on function runbook.class_choices() from public;

-- A UUID among parameters.
create function runbook.uuid_of(params jsonb, key text)
returns uuid
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
declare
  v_value constant text := uuid_of.params ->> uuid_of.key;
begin
  if v_value !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    perform runbook.refuse_problems(
      jsonb_build_array(jsonb_build_object('path', uuid_of.key, 'message', 'must be a UUID'))
    );
  end if;

  return v_value::uuid;
end;
$$;

comment on function runbook.uuid_of(jsonb, text) is
'The UUID that a parameter holds, or null. Raises RB400 for another text.';
revoke all on function runbook.uuid_of(jsonb, text) from public;

-- Whom the pack is asked about: an account, in one class or in all, or the ones of an enrolment.
create function runbook.student_of(
  school runbook.school,
  params jsonb,
  out account runbook.account,
  out class_id uuid,
  out enrollment_is_missing boolean
)
returns record
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_enrollment runbook.enrollment;
begin
  student_of.enrollment_is_missing := false;
  student_of.class_id := runbook.uuid_of(student_of.params, 'class_id');

  if not student_of.params ? 'enrollment_id' then
    student_of.account := runbook.account_of(student_of.params);
    return;
  end if;

  if student_of.params ?| array['email', 'user_id', 'class_id'] then
    perform runbook.refuse_problems(
      '[{
        "path": "enrollment_id",
        "message": "cannot stand beside email, user_id or class_id"
      }]'
    );
  end if;

  v_enrollment := (
    select enr
    from runbook.enrollments_of(
      student_of.school, null, null, student_of.params ->> 'enrollment_id'
    ) as enr
  );

  if v_enrollment.id is null then
    student_of.enrollment_is_missing := true;
    return;
  end if;

  student_of.account := runbook.account_of(
    jsonb_build_object('user_id', v_enrollment.student_id)
  );
  student_of.class_id := v_enrollment.class_id;
end;
$$;

comment on function runbook.student_of(runbook.school, jsonb) is
'The account and the class that parameters name, directly or by an enrolment. Raises RB400.';
revoke all on function runbook.student_of(runbook.school, jsonb) from public;

-- A person for people: the address, or the id of who has none.
create function runbook.person_text(account runbook.account)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select coalesce((person_text.account).email, (person_text.account).id::text);
$$;

comment on function runbook.person_text(runbook.account) is
'The address of an account, or its id where there is none.';
revoke all on function runbook.person_text(runbook.account) from public;

-- The tables that hang on classes by a foreign key, with the column, enrolments left out.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.content_tables(school runbook.school)
returns table (relation oid, column_name text)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return query
  select con.conrelid, att.attname::text
  from pg_catalog.pg_constraint as con
  inner join pg_catalog.pg_class as rel on rel.oid = con.conrelid
  inner join pg_catalog.pg_attribute as att on att.attrelid = con.conrelid
    and att.attnum = con.conkey[1]
  where con.contype = 'f'
    and con.confrelid = (content_tables.school).classes
    and con.conrelid not in (
      (content_tables.school).enrollments, (content_tables.school).classes
    )
    and cardinality(con.conkey) = 1
    and con.conparentid = 0
    and att.atttypid = 'uuid'::regtype
  group by con.conrelid, att.attname, rel.relname
  order by rel.relname, att.attname;
end;
$$;

comment on function runbook.content_tables(runbook.school) is
'The tables whose rows belong to a class, and the column that says to which. Takes no lock.';
revoke all on function runbook.content_tables(runbook.school) from public;
