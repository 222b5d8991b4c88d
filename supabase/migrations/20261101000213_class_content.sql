-- Whether a student really sees the rows of a class: in the tables of classes and enrolments, and
-- in all that hangs on a class by a foreign key.
--
-- A few rows of each table are taken by their keys and looked for as the student, all in one go.
-- Only where some are hidden is a table explained, policy by policy.

create type runbook.content_sample as (
  relation oid,
  name text,
  column_name text,
  class_id uuid,
  taken integer,
  seen integer,
  failure jsonb,
  skipped text
);

comment on type runbook.content_sample is
'Some rows of one class in one table: how many were taken and how many of them the student sees; or
how looking for them failed, or why nobody looked.';

revoke all on type runbook.content_sample from public;

-- The keys of some rows of classes in a table, by class: {class_id: [key]}. A key is the text of
-- the one column that it has. `preferred` is a column: rows where it is true come first.
--
-- Cost: for each class as many rows as are asked for, through an index on the column; where some
-- are preferred, a thousand at most.
create function runbook.class_rows(
  relation oid,
  column_name text,
  key_column text,
  class_ids uuid[],
  max_rows integer,
  preferred text default null
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_keys jsonb;
begin
  execute format(
    'select jsonb_object_agg(cls.id, found.keys)
     from unnest($1) as cls (id)
     cross join lateral (
       select jsonb_agg(one.key) as keys
       from (
         select near.key
         from (
           select tbl.%1$I::text as key, %4$s as is_preferred
           from %2$s as tbl
           where tbl.%3$I = cls.id
           limit %5$s
         ) as near
         order by near.is_preferred desc
         limit $2
       ) as one
     ) as found
     where found.keys is not null',
    class_rows.key_column,
    runbook.relation_name(class_rows.relation),
    class_rows.column_name,
    case
      when class_rows.preferred is null then 'true'
      else format('tbl.%I is true', class_rows.preferred)
    end,
    case when class_rows.preferred is null then class_rows.max_rows else 1000 end
  )
  into v_keys
  using class_rows.class_ids, class_rows.max_rows;

  return coalesce(v_keys, '{}');
end;
$$;

comment on function runbook.class_rows(oid, text, text, uuid[], integer, text) is
'The keys of up to so many rows of each class in a table, by class.';
revoke all on function runbook.class_rows(oid, text, text, uuid[], integer, text) from public;

-- Looks for rows of classes as a student: in the tables of classes and enrolments, and in all that
-- hangs on classes by a foreign key.
--
-- Cost: a look at the locks; up to 20 rows a class and table, fewer of each where there are many
-- classes. A table that is locked, has no key of one column, or is large without an index is left
-- out, and the sample says so; nothing is begun after `until`. Of a forum alone, posts that are
-- approved are looked for first: that others are hidden is no fault.
create function runbook.content_samples(
  school runbook.school,
  user_id uuid,
  class_ids uuid[],
  enrollments runbook.enrollment[],
  until timestamptz,
  only_in oid[] default null
)
returns setof runbook.content_sample
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_max_rows constant integer := greatest(
    3, 20 / greatest(cardinality(content_samples.class_ids), 1)
  );
  v_locked constant jsonb := (
    select coalesce(jsonb_object_agg(lck.relation, lck.description), '{}')
    from runbook.exclusive_locks() as lck
  );
  v_table record;
  v_reason text;
  v_keys jsonb;
  v_samples jsonb[] := '{}';
  v_statements text[] := '{}';
  v_answers jsonb[];
begin
  for v_table in
    select
      tbl.relation,
      runbook.relation_name(tbl.relation) as name,
      tbl.column_name,
      key.column_name as key_column,
      key.type as key_type,
      v_locked ->> tbl.relation::text as lock
    from (
      select (content_samples.school).classes as relation, 'id' as column_name, 0 as position
      union all
      select (content_samples.school).enrollments, 'class_id', 1
      union all
      select cnt.relation, cnt.column_name, 2
      from runbook.content_tables(content_samples.school) as cnt
    ) as tbl
    left join lateral (
      select att.attname as column_name, format_type(att.atttypid, null) as type
      from pg_catalog.pg_index as idx
      inner join pg_catalog.pg_attribute as att on att.attrelid = idx.indrelid
        and att.attnum = idx.indkey[0]
      where idx.indrelid = tbl.relation
        and idx.indisprimary
        and idx.indnkeyatts = 1
    ) as key on true
    where content_samples.only_in is null
      or tbl.relation = any (content_samples.only_in)
    order by tbl.position, 2, 3
  loop
    v_reason := case
      when v_table.lock is not null then 'is locked: ' || v_table.lock
      when v_table.key_column is null then 'has no primary key of one column'
      when not runbook.is_found_by(v_table.relation, v_table.column_name)
        then format('is large and has no index that begins with %s', v_table.column_name)
    end;

    if v_reason is null and v_table.relation = (content_samples.school).enrollments then
      v_keys := (
        select coalesce(jsonb_object_agg(enr.class_id, jsonb_build_array(enr.id)), '{}')
        from unnest(content_samples.enrollments) as enr
      );
    elsif v_reason is null then
      begin
        v_keys := runbook.class_rows(
          v_table.relation,
          v_table.column_name,
          v_table.key_column,
          content_samples.class_ids,
          v_max_rows,
          case
            when content_samples.only_in is not null
              and runbook.has_columns(v_table.relation, '{"is_approved": "boolean"}')
              then 'is_approved'
          end
        );
      exception
        when lock_not_available then
          v_reason := 'is locked';
      end;
    end if;

    if v_reason is not null then
      return next row(
        v_table.relation,
        v_table.name,
        v_table.column_name,
        null,
        0,
        0,
        null,
        format('%s %s, so it was not looked at.', v_table.name, v_reason)
      )::runbook.content_sample;
    elsif v_keys <> '{}' then
      v_samples := v_samples || jsonb_build_object(
        'relation', v_table.relation,
        'name', v_table.name,
        'column_name', v_table.column_name,
        'keys', v_keys
      );
      -- The keys as a literal: so the planner knows that it may look for them before it asks the
      -- policies of each row.
      v_statements := v_statements || format(
        'select pg_catalog.jsonb_object_agg(seen.class_id, seen.rows)
         from (
           select tbl.%1$I as class_id, pg_catalog.count(*) as rows
           from %2$s as tbl
           where tbl.%3$I = any (%4$L::%5$s[])
           group by tbl.%1$I
         ) as seen',
        v_table.column_name,
        v_table.name,
        v_table.key_column,
        (
          select array_agg(key.value)
          from jsonb_each(v_keys) as by_class (class_id, keys)
          cross join jsonb_array_elements_text(by_class.keys) as key (value)
        ),
        v_table.key_type
      );
    end if;
  end loop;

  v_answers := runbook.read_as_student(
    content_samples.user_id, v_statements, content_samples.until
  );

  return query
  select
    (smp.content ->> 'relation')::oid,
    smp.content ->> 'name',
    smp.content ->> 'column_name',
    by_class.class_id::uuid,
    jsonb_array_length(by_class.keys),
    coalesce((v_answers[smp.position] -> 'answer' ->> by_class.class_id)::integer, 0),
    case
      when (v_answers[smp.position] -> 'failed')::boolean then v_answers[smp.position] -> 'answer'
    end,
    case
      when v_answers is null
        then 'The token of this account names a role of its own, as which no rows are read here.'
      when v_answers[smp.position] is null
        then format('%s was not looked at: the time was spent.', smp.content ->> 'name')
      when v_answers[smp.position] #>> '{answer,sqlstate}' = '57014' then format(
        'Looking for rows of %s as this person was stopped after %s ms: policies take that long.',
        smp.content ->> 'name',
        v_answers[smp.position] ->> 'took_ms'
      )
      when v_answers[smp.position] #>> '{answer,sqlstate}' = '55P03' then format(
        'Rows of %s were not looked for: a lock was not free.', smp.content ->> 'name'
      )
    end
  from unnest(v_samples) with ordinality as smp (content, position)
  cross join jsonb_each(smp.content -> 'keys') as by_class (class_id, keys);
end;
$$;

comment on function runbook.content_samples(
  runbook.school, uuid, uuid[], runbook.enrollment[], timestamptz, oid[]
) is 'How many of some rows of each class a student sees, table by table, or in some tables only.';
revoke all on function runbook.content_samples(
  runbook.school, uuid, uuid[], runbook.enrollment[], timestamptz, oid[]
) from public;

-- Why a student does not see rows, cut to its point: what explain-access tells of the table and the
-- class. Where that finds nothing in the way, it says so: the rows were really looked for.
create function runbook.content_explanation(
  user_id uuid,
  sample runbook.content_sample,
  until timestamptz
)
returns runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_sample constant runbook.content_sample := content_explanation.sample;
  v_finding runbook.finding;
begin
  v_finding := runbook.access_finding(
    runbook.access_explanation(
      jsonb_build_object(
        'user', content_explanation.user_id,
        'table', v_sample.name,
        'command', 'select',
        'match', jsonb_build_object(v_sample.column_name, v_sample.class_id),
        'limit', greatest(v_sample.taken, 2),
        'proof', false
      ),
      content_explanation.until
    ),
    'content_hidden'
  );

  if v_finding.severity = 'skipped' then
    v_finding.summary := case
      when v_sample.failure is null then format(
        'Looked for as this person, %s of %s rows of %s are seen. Why was not found out: %s',
        v_sample.seen,
        v_sample.taken,
        v_sample.name,
        regexp_replace(v_finding.summary, '^It is not known whether [^:]*: ', '')
      )
      else format(
        'Looking for rows of %s as this person fails with %s: %s. Which policy raises it was not '
        'found out.',
        v_sample.name,
        v_sample.failure ->> 'sqlstate',
        v_sample.failure ->> 'message'
      )
    end;
  elsif v_finding.evidence ->> 'verdict' = 'allowed' then
    v_finding.summary := format(
      'Looked for as this person, %s of %s rows of %s are seen, and no gate and no policy tells why.',
      v_sample.seen,
      v_sample.taken,
      v_sample.name
    );
  end if;

  return v_finding;
end;
$$;

comment on function runbook.content_explanation(uuid, runbook.content_sample, timestamptz) is
'The explanation of rows that a student does not see, as a finding.';
revoke all on function runbook.content_explanation(uuid, runbook.content_sample, timestamptz)
from public;

-- Samples as evidence: {table, looked_for, seen} each.
create function runbook.sample_evidence(samples runbook.content_sample[])
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return (
    select jsonb_agg(
      jsonb_build_object('table', smp.name, 'looked_for', smp.taken, 'seen', smp.seen)
      order by smp.name
    )
    from unnest(sample_evidence.samples) as smp
  );
end;
$$;

comment on function runbook.sample_evidence(runbook.content_sample[]) is
'Samples as [{table, looked_for, seen}].';
revoke all on function runbook.sample_evidence(runbook.content_sample[]) from public;

-- What a student sees of one class, by its samples. With a cause (the enrolment is not paid, …) it
-- is right that the content is hidden, and it is said in one sentence.
create function runbook.findings_of_content(
  school runbook.school,
  account runbook.account,
  class runbook.enrollment,
  samples runbook.content_sample[],
  cause text,
  until timestamptz
)
returns setof runbook.finding
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_account constant runbook.account := findings_of_content.account;
  v_class constant runbook.enrollment := findings_of_content.class;
  v_samples constant runbook.content_sample[] := array(
    select smp
    from unnest(findings_of_content.samples) as smp
    where smp.class_id = v_class.class_id
      and smp.skipped is null
  );
  v_sample runbook.content_sample;
  v_hidden text;
  v_seen text;
  v_explained runbook.finding;
  v_is_well boolean := true;
  v_is_whole constant boolean := not exists (
    select
    from unnest(findings_of_content.samples) as smp
    where smp.skipped is not null
      and coalesce(smp.class_id, v_class.class_id) = v_class.class_id
  );
begin
  select
    string_agg(smp.name, ', ' order by smp.name) filter (where smp.seen = 0),
    string_agg(smp.name, ', ' order by smp.name) filter (where smp.seen > 0)
  into v_hidden, v_seen
  from unnest(v_samples) as smp
  where smp.relation not in (
    (findings_of_content.school).classes, (findings_of_content.school).enrollments
  );

  if findings_of_content.cause is not null then
    if v_hidden is not null then
      return next row(
        'content_closed',
        'info',
        v_account.subject,
        format(
          'As long as %s, nothing of %s in %s is seen. Ask again afterwards: there may be more.',
          findings_of_content.cause,
          v_class.class_name,
          v_hidden
        ),
        jsonb_build_object(
          'class_id', v_class.class_id, 'samples', runbook.sample_evidence(v_samples)
        ),
        'some rows looked for as the student',
        null,
        null
      )::runbook.finding;
    end if;

    if v_seen is not null then
      return next row(
        'content_open',
        'info',
        v_account.subject,
        format('Though %s, rows of %s in %s are seen.', findings_of_content.cause,
          v_class.class_name, v_seen),
        jsonb_build_object(
          'class_id', v_class.class_id, 'samples', runbook.sample_evidence(v_samples)
        ),
        'some rows looked for as the student',
        null,
        null
      )::runbook.finding;
    end if;

    return;
  end if;

  foreach v_sample in array v_samples loop
    continue when v_sample.seen = v_sample.taken;

    v_is_well := false;
    v_explained := runbook.content_explanation(
      v_account.id, v_sample, findings_of_content.until
    );

    return next row(
      case
        when v_sample.seen > 0 then 'content_partly_visible'
        when v_sample.relation = (findings_of_content.school).classes then 'class_hidden'
        when v_sample.relation = (findings_of_content.school).enrollments
          then 'enrollment_hidden'
        else 'content_hidden'
      end,
      case when v_sample.seen > 0 then 'info' else 'warning' end,
      v_account.subject,
      format('%s: %s', v_class.class_name, v_explained.summary),
      coalesce(v_explained.evidence, '{}') || jsonb_strip_nulls(
        jsonb_build_object(
          'class_id', v_class.class_id,
          'table', v_sample.name,
          'rows_looked_for', v_sample.taken,
          'rows_seen', v_sample.seen,
          'failure', v_sample.failure
        )
      ),
      'some rows looked for as the student, and explained',
      null,
      null
    )::runbook.finding;
  end loop;

  -- Silence about a class that nobody looked for is no proof that it is seen.
  if v_is_well and (findings_of_content.school).classes in (
    select smp.relation from unnest(v_samples) as smp
  ) then
    return next row(
      'sees_class',
      'info',
      v_account.subject,
      format(
        'Sees %s%s%s.',
        v_class.class_name,
        case
          when v_seen is not null then ', and in it ' || v_seen
          when v_is_whole then ', which has no content yet'
        end,
        case when not v_is_whole then ', as far as it was looked at' end
      ),
      jsonb_build_object(
        'class_id', v_class.class_id, 'samples', runbook.sample_evidence(v_samples)
      ),
      'some rows looked for as the student',
      null,
      null
    )::runbook.finding;
  end if;
end;
$$;

comment on function runbook.findings_of_content(
  runbook.school, runbook.account, runbook.enrollment, runbook.content_sample[], text, timestamptz
) is
'What a student sees of a class: class_hidden, enrollment_hidden, content_hidden,
content_partly_visible, sees_class; with a cause content_closed, content_open.';
revoke all on function runbook.findings_of_content(
  runbook.school, runbook.account, runbook.enrollment, runbook.content_sample[], text, timestamptz
) from public;
