-- The remediation `forget-person`: replaces a person in the runbook's own record by a pseudonym.
--
-- The record is append-only, so this is the one way in which a word of it changes: the triggers
-- compare each row with what replacing the person would make of it. The same person gets the same
-- pseudonym each time. What is about the person cannot be undone afterwards.

create table runbook.pseudonym_key (
  id boolean not null default true,
  key bytea not null,
  constraint pseudonym_key_pkey primary key (id),
  constraint pseudonym_key_has_one_row check (id)
);

comment on table runbook.pseudonym_key is
'One row: the random key from which pseudonyms are made, so that nobody computes them back.';

revoke all on table runbook.pseudonym_key from public;

insert into runbook.pseudonym_key (key)
values (convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'));

-- What identifies a person in the record: the address, and the ids of accounts that have it.
create function runbook.identifiers_of(email text)
returns text[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select array_agg(usr.id::text order by usr.id)
    from auth.users as usr
    where usr.instance_id = '00000000-0000-0000-0000-000000000000'
      and lower(usr.email::text) = runbook.normal_email(identifiers_of.email)
  ) || runbook.normal_email(identifiers_of.email);
end;
$$;

comment on function runbook.identifiers_of(text) is
'The address and account ids under which a person is in the record.';
revoke all on function runbook.identifiers_of(text) from public;

-- Whether a row of the record names a person.
create function runbook.names_person(content jsonb, identifiers text[])
returns boolean
language plpgsql
immutable
parallel safe
security invoker
set search_path = ''
as $$
begin
  return names_person.content::text <> runbook.without_person(
    names_person.content::text, names_person.identifiers, ''
  );
end;
$$;

comment on function runbook.names_person(jsonb, text[]) is
'Whether a row has an identifier of a person as a whole word.';
revoke all on function runbook.names_person(jsonb, text[]) from public;

-- How many rows of the record name a person.
--
-- Cost: reads the record whole.
create function runbook.mentions_of(identifiers text[])
returns bigint
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    (
      select count(*)
      from runbook.run as run
      where runbook.names_person(to_jsonb(run), mentions_of.identifiers)
    )
    + (
      select count(*)
      from runbook.step as stp
      where runbook.names_person(to_jsonb(stp), mentions_of.identifiers)
    )
    + (
      select count(*)
      from runbook.call as cll
      where runbook.names_person(to_jsonb(cll), mentions_of.identifiers)
    )
    + (
      select count(*)
      from runbook.refusal as ref
      where runbook.names_person(to_jsonb(ref), mentions_of.identifiers)
    )
    + (
      select count(*)
      from runbook.access_look as look
      where runbook.names_person(to_jsonb(look), mentions_of.identifiers)
    )
  );
end;
$$;

comment on function runbook.mentions_of(text[]) is 'Rows of the record that name a person.';
revoke all on function runbook.mentions_of(text[]) from public;

-- Replaces a person in the record: the effect forget_person, for {email, pseudonym}.
--
-- Cost: reads the record whole and rewrites the rows that name the person.
create function runbook.replace_person(args jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_identifiers constant text[] := runbook.identifiers_of(replace_person.args ->> 'email');
  v_pseudonym constant text := replace_person.args ->> 'pseudonym';
  v_table text;
  v_columns text;
  v_count bigint;
  v_counts jsonb := '{}';
begin
  insert into runbook.forgetting (identifiers, pseudonym)
  values (v_identifiers, v_pseudonym);

  foreach v_table in array array['run', 'step', 'call', 'refusal', 'access_look'] loop
    select string_agg(format('%1$I = fresh.%1$I', att.attname), ', ')
    into v_columns
    from pg_catalog.pg_attribute as att
    where att.attrelid = format('runbook.%I', v_table)::regclass
      and att.attnum > 0
      and not att.attisdropped
      and att.atttypid in ('text'::regtype, 'jsonb'::regtype);

    execute format(
      'update runbook.%1$I as old
       set %2$s
       from (
         select row_of.*, stale.ctid as place
         from runbook.%1$I as stale
         cross join lateral jsonb_populate_record(
           stale, runbook.forgotten_row(to_jsonb(stale), $1, $2)
         ) as row_of
         where runbook.names_person(to_jsonb(stale), $1)
       ) as fresh
       where old.ctid = fresh.place',
      v_table,
      v_columns
    )
    using v_identifiers, v_pseudonym;

    get diagnostics v_count = row_count;
    v_counts := v_counts || jsonb_build_object(v_table, v_count);
  end loop;

  delete from runbook.forgetting as fgt
  where fgt.pseudonym = v_pseudonym;

  return v_counts;
end;
$$;

comment on function runbook.replace_person(jsonb) is
'Replaces a person in the record by the pseudonym; returns how many rows of each table.';
revoke all on function runbook.replace_person(jsonb) from public;

-- Declares that a person be replaced, if the record names them.
create function runbook.forget_person(params jsonb)
returns setof runbook.declared_step
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_identifiers constant text[] := runbook.identifiers_of(forget_person.params ->> 'email');
  v_mentions constant bigint := runbook.mentions_of(v_identifiers);
  v_pseudonym constant text := 'person-' || left(
    encode(
      sha256(
        (select psk.key from runbook.pseudonym_key as psk) || convert_to(v_identifiers[1], 'UTF8')
      ),
      'hex'
    ),
    16
  );
begin
  if v_mentions > 0 then
    return next runbook.effect_step(
      'forget_person',
      jsonb_build_object(
        'email', runbook.normal_email(forget_person.params ->> 'email'),
        'pseudonym', v_pseudonym
      ),
      format('Replace the person by %s in %s rows of the record.', v_pseudonym, v_mentions)
    );
  end if;
end;
$$;

comment on function runbook.forget_person(jsonb) is
'Declares that a person be replaced by a pseudonym in runs, steps, calls and refusals.';
revoke all on function runbook.forget_person(jsonb) from public;

insert into runbook.effect (name, function, description, undo)
values (
  'forget_person',
  'runbook.replace_person',
  'Replaces a person in the runbook''s own record by a pseudonym.',
  'none: what was forgotten does not come back.'
);

insert into runbook.remediation (
  name,
  title,
  description,
  parameters,
  subject_keys,
  function,
  risk,
  issue,
  cures
)
values (
  'forget-person',
  'Forget a person in the runbook''s record',
  'Replaces an address and its accounts by a pseudonym in runs, steps, calls and refusals.',
  '{
    "type": "object",
    "properties": {
      "email": {
        "type": "string",
        "minLength": 1,
        "maxLength": 320,
        "description": "The person''s address."
      }
    },
    "required": ["email"],
    "additionalProperties": false
  }',
  array['email'],
  'runbook.forget_person',
  'high',
  null,
  '{}'
);
