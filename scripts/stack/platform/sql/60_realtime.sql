-- What Realtime keeps in the database: subscriptions to Postgres Changes and broadcast messages.
-- Realtime itself is not here: no server reads these tables, so nothing arrives, nothing is pruned.
-- Tables, grants and the functions that SQL calls (send, topic) are as the platform's; those that
-- decode the write-ahead log (apply_rls, list_changes and theirs) need wal2json and are left out.
-- Relies on the default privileges of schema realtime, then hands all to supabase_realtime_admin.

create type realtime.action as enum ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'ERROR');

create type realtime.equality_op as enum (
  'eq',
  'neq',
  'lt',
  'lte',
  'gt',
  'gte',
  'in',
  'like',
  'ilike',
  'is',
  'match',
  'imatch',
  'isdistinct'
);

create type realtime.user_defined_filter as (
  column_name text,
  op realtime.equality_op,
  value text,
  negate boolean
);

-- Immutable although it reads the catalog, because a generated column needs that.
create function realtime.to_regrole(role_name text)
returns regrole
language sql
immutable
as $$
  select role_name::regrole
$$;

-- The topic that the policies on realtime.messages judge.
create function realtime.topic()
returns text
language sql
stable
as $$
  select nullif(current_setting('realtime.topic', true), '')
$$;

-- One row is one client's subscription to one table. The claims are personal data.
create table realtime.subscription (
  id bigint generated always as identity,
  subscription_id uuid not null,
  entity regclass not null,
  filters realtime.user_defined_filter[] not null default '{}',
  claims jsonb not null,
  claims_role regrole not null generated always as (
    realtime.to_regrole(claims ->> 'role')
  ) stored,
  created_at timestamp not null default timezone('utc', now()),
  action_filter text default '*',
  selected_columns text[],
  constraint pk_subscription primary key (id),
  constraint subscription_action_filter_check check (
    action_filter in ('*', 'INSERT', 'UPDATE', 'DELETE')
  )
);

create index ix_realtime_subscription_entity on realtime.subscription (entity);

create unique index subscription_subscription_id_entity_filters_action_filter_selec
on realtime.subscription (
  subscription_id,
  entity,
  filters,
  action_filter,
  coalesce(selected_columns, '{}')
);

-- Refuses a filter on a column that the claimed role cannot read or a value its type cannot hold.
create function realtime.subscription_check_filters()
returns trigger
language plpgsql
as $$
declare
  v_filter realtime.user_defined_filter;
  v_type regtype;
begin
  foreach v_filter in array new.filters loop
    select att.atttypid::regtype
    into v_type
    from pg_catalog.pg_attribute as att
    where
      att.attrelid = new.entity
      and att.attname = v_filter.column_name
      and att.attnum > 0
      and not att.attisdropped
      and has_column_privilege(new.claims ->> 'role', att.attrelid, att.attnum, 'select');
    if not found then
      raise exception 'invalid column for filter %', v_filter.column_name;
    end if;
    if v_filter.op = 'in' then
      execute format('select %L::%s[]', v_filter.value, v_type);
    elsif v_filter.op not in ('is', 'like', 'ilike', 'match', 'imatch') then
      execute format('select %L::%s', v_filter.value, v_type);
    end if;
  end loop;
  -- In one order, so that the unique index sees equal sets of filters as equal.
  new.filters := array(
    select filter
    from unnest(new.filters) as filter
    order by filter.column_name, filter.op, filter.value
  );
  return new;
end
$$;

create trigger tr_check_filters
before insert or update on realtime.subscription
for each row execute function realtime.subscription_check_filters();

create table realtime.messages (
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  updated_at timestamp not null default now(),
  inserted_at timestamp not null default now(),
  id uuid not null default gen_random_uuid(),
  constraint messages_pkey primary key (id, inserted_at)
) partition by range (inserted_at);

create index messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
where
  extension = 'broadcast'
  and private is true;

alter table realtime.messages enable row level security;

grant select, insert, update on realtime.messages to anon, authenticated, service_role;

-- Realtime keeps a partition a day, from three days ago to three days ahead.
do $$
declare
  v_day date;
  v_name text;
begin
  for v_day in
    select generate_series(current_date - 3, current_date + 3, interval '1 day')::date
  loop
    v_name := to_char(v_day, '"messages_"YYYY_MM_DD');
    execute format(
      'create table realtime.%I partition of realtime.messages for values from (%L) to (%L)',
      v_name,
      v_day,
      v_day + 1
    );
    execute format('alter table realtime.%I owner to supabase_realtime_admin', v_name);
  end loop;
end
$$;

-- Broadcasts a message from SQL. Like the platform's, it warns instead of failing the caller.
create function realtime.send(payload jsonb, event text, topic text, private boolean default true)
returns void
language plpgsql
as $$
declare
  v_id uuid := gen_random_uuid();
begin
  perform set_config('realtime.topic', send.topic, true);
  insert into realtime.messages (id, payload, event, topic, private, extension)
  values (
    v_id,
    jsonb_build_object('id', v_id) || send.payload,
    send.event,
    send.topic,
    send.private,
    'broadcast'
  );
exception
  when others then
    raise warning 'ErrorSendingBroadcastMessage: %', sqlerrm;
end
$$;

create table realtime.schema_migrations (
  version bigint not null,
  inserted_at timestamp(0),
  constraint schema_migrations_pkey primary key (version)
);

revoke all on realtime.schema_migrations from postgres, dashboard_user;

alter type realtime.action owner to supabase_realtime_admin;

alter type realtime.equality_op owner to supabase_realtime_admin;

alter type realtime.user_defined_filter owner to supabase_realtime_admin;

alter function realtime.to_regrole(text) owner to supabase_realtime_admin;

alter function realtime.topic() owner to supabase_realtime_admin;

alter function realtime.subscription_check_filters() owner to supabase_realtime_admin;

alter function realtime.send(jsonb, text, text, boolean) owner to supabase_realtime_admin;

alter table realtime.subscription owner to supabase_realtime_admin;

alter table realtime.messages owner to supabase_realtime_admin;

alter table realtime.schema_migrations owner to supabase_realtime_admin;
