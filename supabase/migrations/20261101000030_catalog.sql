-- The catalog: what the runbook knows, as rows. Texts, risk, thresholds and parameters are written
-- here once; the edge functions read them, the docs are compared with them.
--
-- Definitions come from migrations (or from a team: one SQL function and one row). What an admin
-- tunes is kept apart in runbook.check_tuning, so that an upgrade leaves it alone.

create domain runbook.severity as text
constraint severity_is_known
check (value in ('info', 'warning', 'critical', 'skipped', 'not_applicable'));

comment on domain runbook.severity is
'info, warning or critical; skipped and not_applicable mark a row that says why it did not look.';

revoke all on domain runbook.severity from public;

create type runbook.finding as (
  code text,
  severity runbook.severity,
  subject text,
  summary text,
  evidence jsonb,
  method text,
  remediation text,
  params jsonb
);

comment on type runbook.finding is
'One fact that a diagnosis or check found. Remediation and params are ready to be sent.';

revoke all on type runbook.finding from public;

create table runbook.issue (
  name text not null,
  title text not null,
  description text not null,
  parameters jsonb not null,
  subject_keys text[] not null,
  function text not null,
  keeps_order boolean not null default false,
  codes jsonb not null default '{}',
  probes text[] not null default '{}',
  blind_spots text[] not null default '{}',
  looks_as text,
  pack text,
  constraint issue_pkey primary key (name),
  constraint name_is_kebab_case check (name ~ '^[a-z][a-z0-9]*(-[a-z0-9]+)*$'),
  constraint parameters_is_an_object check (jsonb_typeof(parameters) = 'object'),
  constraint codes_is_an_object check (jsonb_typeof(codes) = 'object')
);

comment on table runbook.issue is 'One entry of the runbook that can be diagnosed.';
comment on column runbook.issue.parameters is 'JSON Schema of what the diagnosis takes.';
comment on column runbook.issue.subject_keys is 'The parameters that name the subject.';
comment on column runbook.issue.function is
'Qualified name of a stable function (params jsonb) returning setof runbook.finding.';
comment on column runbook.issue.looks_as is
'Qualified name of a stable function (params jsonb) that returns as text as whom the diagnosis reads
the application''s rows, for the record of looks, or null. Null where none reads as a person.';
comment on column runbook.issue.keeps_order is
'Whether findings are told in the order in which the function returns them, not the worst first.';
comment on column runbook.issue.codes is
'The codes that the function may find, with their meaning.';
comment on column runbook.issue.probes is 'Outside facts to be refreshed before the diagnosis.';
comment on column runbook.issue.blind_spots is 'What can never be seen from here; always shown.';
comment on column runbook.issue.pack is 'The application that the entry belongs to, if not to all.';

revoke all on table runbook.issue from public;
grant select on table runbook.issue to runbook_viewer;

create table runbook.issue_part (
  issue text not null,
  function text not null,
  codes jsonb not null default '{}',
  pack text,
  constraint issue_part_pkey primary key (issue, function),
  constraint issue_part_issue_fkey foreign key (issue) references runbook.issue (name)
    on delete cascade,
  constraint codes_is_an_object check (jsonb_typeof(codes) = 'object')
);

comment on table runbook.issue_part is
'A further function whose findings belong to an issue, such as what an application''s pack adds.';
comment on column runbook.issue_part.codes is
'The codes that the function may find, with their meaning.';

revoke all on table runbook.issue_part from public;
grant select on table runbook.issue_part to runbook_viewer;

create table runbook.remediation (
  name text not null,
  title text not null,
  description text not null,
  parameters jsonb not null,
  subject_keys text[] not null,
  function text not null,
  risk text not null,
  issue text,
  cures text[] not null,
  checks text[] not null default '{}',
  reason jsonb not null default '{"type": "string", "minLength": 1, "maxLength": 1000}',
  probes text[] not null default '{}',
  pack text,
  constraint remediation_pkey primary key (name),
  constraint remediation_issue_fkey foreign key (issue) references runbook.issue (name),
  constraint name_is_kebab_case check (name ~ '^[a-z][a-z0-9]*(-[a-z0-9]+)*$'),
  constraint parameters_is_an_object check (jsonb_typeof(parameters) = 'object'),
  constraint reason_is_an_object check (jsonb_typeof(reason) = 'object'),
  constraint risk_is_low_or_high check (risk in ('low', 'high'))
);

create index remediation_issue_idx on runbook.remediation (issue);

comment on table runbook.remediation is 'One change that the runbook can make, by name.';
comment on column runbook.remediation.parameters is 'JSON Schema of what the remediation takes.';
comment on column runbook.remediation.function is
'Qualified name of a stable function (params jsonb) returning setof runbook.declared_step.';
comment on column runbook.remediation.risk is 'low needs an operator, high an admin.';
comment on column runbook.remediation.issue is
'The issue whose diagnosis verifies the change; null where none does.';
comment on column runbook.remediation.cures is 'Finding codes that must be gone afterwards.';
comment on column runbook.remediation.checks is
'The checks that verify the change: of what they find with a code of `cures`, nothing that names
this remediation with these parameters may be left. Each is looked for when it is asked.';
comment on column runbook.remediation.reason is
'JSON Schema of the reason that applying it asks for; its description says what to write.';
comment on column runbook.remediation.probes is
'Outside facts that the plan depends on, to be refreshed before it is made.';

revoke all on table runbook.remediation from public;
grant select on table runbook.remediation to runbook_viewer;

create table runbook.check_group (
  name text not null,
  title text not null,
  position integer not null,
  every interval not null,
  budget interval not null,
  largest_share numeric not null,
  constraint check_group_pkey primary key (name),
  constraint check_group_position_key unique (position),
  constraint name_is_snake_case check (name ~ '^[a-z][a-z0-9]*(_[a-z0-9]+)*$'),
  constraint every_is_a_minute_or_more check (every >= interval '1 minute'),
  constraint budget_is_a_second_or_more check (budget >= interval '1 second'),
  constraint largest_share_is_a_share check (largest_share > 0 and largest_share <= 1)
);

comment on table runbook.check_group is
'Checks about one thing, which the schedule evaluates together: in one statement, with one budget.';
comment on column runbook.check_group.title is 'What the group looks at, in a word for people.';
comment on column runbook.check_group.every is 'How often each of its checks is due.';
comment on column runbook.check_group.budget is
'The statement timeout of one evaluation: a check that hangs is cancelled then.';
comment on column runbook.check_group.largest_share is
'The share of the time that one check may use: one that is dearer than that is due less often, but
at least once an hour.';

revoke all on table runbook.check_group from public;
grant select on table runbook.check_group to runbook_viewer;

insert into runbook.check_group (name, title, position, every, budget, largest_share)
values
  ('runbook', 'Runbook', 1, '1 minute', '2 seconds', 0.005),
  ('platform', 'Platform', 2, '1 minute', '5 seconds', 0.001),
  -- What stops people now: looked at often, also when a stuck database makes it slow.
  ('activity', 'Activity', 3, '1 minute', '2 seconds', 0.005),
  ('limits', 'Limits', 4, '5 minutes', '5 seconds', 0.001),
  ('statements', 'Statements', 5, '10 minutes', '10 seconds', 0.001),
  ('indexes', 'Indexes', 6, '60 minutes', '10 seconds', 0.001),
  ('storage', 'Storage', 7, '10 minutes', '20 seconds', 0.001);

create table runbook.check (
  name text not null,
  title text not null,
  description text not null,
  function text not null,
  position integer not null,
  check_group text not null default 'runbook',
  unit text,
  thresholds jsonb not null default '{}',
  codes jsonb not null default '{}',
  probes text[] not null default '{}',
  constraint check_pkey primary key (name),
  constraint check_position_key unique (position),
  constraint check_check_group_fkey foreign key (check_group)
    references runbook.check_group (name),
  constraint name_is_snake_case check (name ~ '^[a-z][a-z0-9]*(_[a-z0-9]+)*$'),
  constraint thresholds_is_an_object check (jsonb_typeof(thresholds) = 'object'),
  constraint codes_is_an_object check (jsonb_typeof(codes) = 'object')
);

create index check_check_group_idx on runbook.check (check_group);

comment on table runbook.check is 'One scheduled question about the system.';
comment on column runbook.check.title is 'What the check looks at, in a few words for people.';
comment on column runbook.check.function is
'Qualified name of a stable function (settings jsonb) returning runbook.check_result.';
comment on column runbook.check.position is
'Its place in reports, and when it runs as long as its cost was not measured.';
comment on column runbook.check.check_group is
'What the check is about; the checks of a group are evaluated together on schedule.';
comment on column runbook.check.unit is 'Unit of the value, for people.';
comment on column runbook.check.thresholds is
'Numbers by name, as the runbook ships them; runbook.check_tuning may override them.';
comment on column runbook.check.probes is
'Outside facts that the check goes by. The threshold look_every_s says how often the schedule and a
health check look at them; without it, each time.';

revoke all on table runbook.check from public;
grant select on table runbook.check to runbook_viewer;

create table runbook.check_tuning (
  check_name text not null,
  thresholds jsonb not null,
  tuned_by text not null,
  tuned_at timestamptz not null default clock_timestamp(),
  constraint check_tuning_pkey primary key (check_name),
  constraint thresholds_is_an_object check (jsonb_typeof(thresholds) = 'object')
);

comment on table runbook.check_tuning is
'Thresholds that an admin chose. No foreign key: an upgrade may replace a check and keep them.';

revoke all on table runbook.check_tuning from public;
grant select on table runbook.check_tuning to runbook_viewer;

create table runbook.setting (
  name text not null,
  value jsonb not null,
  changed_by text not null,
  changed_at timestamptz not null default clock_timestamp(),
  constraint setting_pkey primary key (name)
);

comment on table runbook.setting is 'What this installation is told about itself, by name.';

revoke all on table runbook.setting from public;
grant select on table runbook.setting to runbook_viewer;

-- Records a setting, for the owner of the schema.
create function runbook.set_setting(name text, value jsonb)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into runbook.setting as stg (name, value, changed_by)
  select set_setting.name, set_setting.value, cal.actor
  from runbook.caller() as cal
  on conflict on constraint setting_pkey do update
  set value = excluded.value, changed_by = excluded.changed_by, changed_at = clock_timestamp();
$$;

comment on function runbook.set_setting(text, jsonb) is 'Records or replaces a setting.';
revoke all on function runbook.set_setting(text, jsonb) from public;

-- The JSON Schema of an entry's parameters; the edge functions build their validation from it.
create function runbook.parameters(entry text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_parameters jsonb;
begin
  select ent.parameters
  into v_parameters
  from (
    select iss.name, iss.parameters from runbook.issue as iss
    union all
    select rem.name, rem.parameters from runbook.remediation as rem
  ) as ent
  where ent.name = parameters.entry
  limit 1;

  if v_parameters is null then
    raise exception 'The catalog has no entry %.', coalesce(quote_literal(parameters.entry), 'null')
      using
        errcode = 'RB404',
        hint = (
          select format('There is %s.', string_agg(ent.name, ', ' order by ent.name))
          from (
            select iss.name from runbook.issue as iss
            union all
            select rem.name from runbook.remediation as rem
          ) as ent
        );
  end if;

  return v_parameters;
end;
$$;

comment on function runbook.parameters(text) is
'JSON Schema of the parameters of an issue or a remediation. Raises RB404 for an unknown entry.';
revoke all on function runbook.parameters(text) from public;
grant execute on function runbook.parameters(text) to runbook_viewer;

-- A value as it is shown to whoever sent it: what it is, and at length only a part of it.
create function runbook.value_text(value jsonb)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select case
    when jsonb_typeof(value_text.value) in ('array', 'object') then jsonb_typeof(value_text.value)
    when char_length(value_text.value::text) > 60 then left(value_text.value::text, 57) || '...'
    else value_text.value::text
  end;
$$;

comment on function runbook.value_text(jsonb) is
'A JSON value in 60 characters at most; of an array or object what it is.';
revoke all on function runbook.value_text(jsonb) from public;
grant execute on function runbook.value_text(jsonb) to runbook_viewer;

-- What is wrong with a value under a schema, as [{path, message}]; empty when it fits. Knows the
-- part of JSON Schema that the catalog uses: an object without further properties, required,
-- type, enum, minLength, maxLength, minimum, maximum; minItems, maxItems and type of items.
-- In plpgsql, which keeps the plan: a function in sql would be planned at every call.
create function runbook.problems(schema jsonb, value jsonb)
returns jsonb
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return (
    with given as (
      select
        case
          when jsonb_typeof(problems.value) = 'object' then problems.value
          else '{}'
        end as params
    ),
    properties as (
      select
        prop.key as path,
        prop.value as rules,
        given.params -> prop.key as value,
        jsonb_typeof(given.params -> prop.key) as actual_type
      from given
      cross join jsonb_each(coalesce(problems.schema -> 'properties', '{}')) as prop (key, value)
    ),
    found as (
      select '' as path, 'must be an object' as message
      where jsonb_typeof(problems.value) is distinct from 'object'
      union all
      select
        unknown.key,
        'is not a known parameter; ' || coalesce(
          'known are ' || (
            select string_agg(known.name, ', ' order by known.position)
            from jsonb_object_keys(problems.schema -> 'properties') with ordinality
              as known (name, position)
          ),
          'there are none'
        )
      from given
      cross join jsonb_object_keys(given.params) as unknown (key)
      where not coalesce(problems.schema -> 'properties', '{}') ? unknown.key
      union all
      select required.key, 'is required'
      from given
      cross join jsonb_array_elements_text(coalesce(problems.schema -> 'required', '[]'))
        as required (key)
      where jsonb_typeof(problems.value) = 'object'
        and not given.params ? required.key
      union all
      select
        prop.path,
        format(
          'must be of type %s, not %s', prop.rules ->> 'type', runbook.value_text(prop.value)
        )
      from properties as prop
      where prop.value is not null
        and case
          when prop.rules ->> 'type' = 'integer' and prop.actual_type = 'number'
            then (prop.value #>> '{}')::numeric % 1 <> 0
          else prop.actual_type <> prop.rules ->> 'type'
        end
      union all
      select
        prop.path,
        case prop.rules ->> 'minLength'
          when '1' then 'must not be empty'
          else format(
            'must have at least %s characters, not %s',
            prop.rules ->> 'minLength',
            char_length(prop.value #>> '{}')
          )
        end
      from properties as prop
      where prop.actual_type = 'string'
        and char_length(prop.value #>> '{}') < (prop.rules ->> 'minLength')::integer
      union all
      select
        prop.path,
        format(
          'must have at most %s characters, not %s',
          prop.rules ->> 'maxLength',
          char_length(prop.value #>> '{}')
        )
      from properties as prop
      where prop.actual_type = 'string'
        and char_length(prop.value #>> '{}') > (prop.rules ->> 'maxLength')::integer
      union all
      select
        prop.path,
        format(
          'must be one of %s, not %s',
          (
            select string_agg(allowed.value, ', ' order by allowed.position)
            from jsonb_array_elements_text(prop.rules -> 'enum') with ordinality
              as allowed (value, position)
          ),
          runbook.value_text(prop.value)
        )
      from properties as prop
      where prop.value is not null
        and not prop.rules -> 'enum' @> prop.value
      union all
      select
        prop.path,
        format('must be at least %s, not %s', prop.rules ->> 'minimum', prop.value)
      from properties as prop
      where prop.actual_type = 'number'
        and (prop.value #>> '{}')::numeric < (prop.rules ->> 'minimum')::numeric
      union all
      select
        prop.path,
        format('must be at most %s, not %s', prop.rules ->> 'maximum', prop.value)
      from properties as prop
      where prop.actual_type = 'number'
        and (prop.value #>> '{}')::numeric > (prop.rules ->> 'maximum')::numeric
      union all
      select
        prop.path,
        case prop.rules ->> 'minItems'
          when '1' then 'must not be empty'
          else format(
            'must have at least %s items, not %s',
            prop.rules ->> 'minItems',
            jsonb_array_length(prop.value)
          )
        end
      from properties as prop
      where prop.actual_type = 'array'
        and jsonb_array_length(prop.value) < (prop.rules ->> 'minItems')::integer
      union all
      select
        prop.path,
        format(
          'must have at most %s items, not %s',
          prop.rules ->> 'maxItems',
          jsonb_array_length(prop.value)
        )
      from properties as prop
      where prop.actual_type = 'array'
        and jsonb_array_length(prop.value) > (prop.rules ->> 'maxItems')::integer
      union all
      select
        format('%s.%s', prop.path, item.position - 1),
        format(
          'must be of type %s, not %s',
          prop.rules #>> '{items,type}',
          runbook.value_text(item.value)
        )
      from properties as prop
      cross join lateral jsonb_array_elements(
        case when prop.actual_type = 'array' then prop.value else '[]' end
      ) with ordinality as item (value, position)
      where jsonb_typeof(item.value) <> prop.rules #>> '{items,type}'
    )
    select coalesce(
      jsonb_agg(
        jsonb_build_object('path', left(found.path, 200), 'message', found.message)
        order by found.path, found.message
      ),
      '[]'
    )
    from found
  );
end;
$$;

comment on function runbook.problems(jsonb, jsonb) is
'What of a value does not fit a JSON Schema, as an array of {path, message}.';
revoke all on function runbook.problems(jsonb, jsonb) from public;

-- Refuses parameters with problems.
create function runbook.refuse_problems(problems jsonb)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if refuse_problems.problems <> '[]' then
    raise exception 'The parameters do not fit.'
      using
        errcode = 'RB400',
        detail = refuse_problems.problems::text,
        hint = 'select runbook.parameters(entry) shows what an entry takes.';
  end if;
end;
$$;

comment on function runbook.refuse_problems(jsonb) is
'Raises RB400 with the problems as its detail, unless there are none.';
revoke all on function runbook.refuse_problems(jsonb) from public;
grant execute on function runbook.refuse_problems(jsonb) to runbook_viewer;

-- The subject that parameters name, in one text.
create function runbook.subject_of(subject_keys text[], params jsonb)
returns text
language sql
immutable
parallel safe
security invoker
set search_path = ''
as $$
  select string_agg(subject_of.params ->> named.key, ' ' order by named.position)
  from unnest(subject_of.subject_keys) with ordinality as named (key, position);
$$;

comment on function runbook.subject_of(text[], jsonb) is 'The values that name the subject.';
revoke all on function runbook.subject_of(text[], jsonb) from public;

-- Thresholds of a check as they count here: the shipped ones, overridden by what an admin chose.
create function runbook.thresholds_of(check_name text)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select chk.thresholds || coalesce(tun.thresholds, '{}')
  from runbook.check as chk
  left join runbook.check_tuning as tun on tun.check_name = chk.name
  where chk.name = thresholds_of.check_name;
$$;

comment on function runbook.thresholds_of(text) is
'The thresholds that count for a check here. Null for an unknown check.';
revoke all on function runbook.thresholds_of(text) from public;
grant execute on function runbook.thresholds_of(text) to runbook_viewer;

-- Definer: lends an admin the right to write runbook.check_tuning.
create function runbook.tune_check(check_name text, thresholds jsonb)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_shipped jsonb;
  v_actor text := (select cal.actor from runbook.caller() as cal);
  v_problems jsonb;
begin
  perform runbook.require_role('admin');

  select chk.thresholds
  into v_shipped
  from runbook.check as chk
  where chk.name = tune_check.check_name;

  if not found then
    raise exception 'There is no check %.', coalesce(quote_literal(tune_check.check_name), 'null')
      using errcode = 'RB404', hint = 'select runbook.check_names();';
  end if;

  select runbook.problems(
    jsonb_build_object(
      'properties',
      coalesce(jsonb_object_agg(shipped.key, jsonb_build_object('type', 'number')), '{}')
    ),
    coalesce(tune_check.thresholds, '{}')
  )
  into v_problems
  from jsonb_object_keys(v_shipped) as shipped (key);

  perform runbook.refuse_problems(v_problems);

  delete from runbook.check_tuning as tun
  where tun.check_name = tune_check.check_name;

  insert into runbook.check_tuning (check_name, thresholds, tuned_by)
  select tune_check.check_name, tune_check.thresholds, v_actor
  where tune_check.thresholds is not null;

  return runbook.thresholds_of(tune_check.check_name);
end;
$$;

comment on function runbook.tune_check(text, jsonb) is
'Overrides thresholds of a check; null goes back to the shipped ones. Returns those that count.';
revoke all on function runbook.tune_check(text, jsonb) from public;
grant execute on function runbook.tune_check(text, jsonb) to runbook_admin;
