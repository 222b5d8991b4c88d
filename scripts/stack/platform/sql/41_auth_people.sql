-- People, how they are known (identities), the tokens mailed to them and the audit log.
-- Tables and their keys come as the platform names them, indexes behind their table.
-- Deleting a user takes all of that user along, here and in the next files, but the audit log.

set local role supabase_auth_admin;

create table auth.schema_migrations (
  version varchar(255) not null,
  constraint schema_migrations_pkey primary key (version)
);

create table auth.instances (
  id uuid not null,
  uuid uuid,
  raw_base_config text,
  created_at timestamptz,
  updated_at timestamptz,
  constraint instances_pkey primary key (id)
);

create table auth.audit_log_entries (
  instance_id uuid,
  id uuid not null,
  payload json,
  created_at timestamptz,
  ip_address varchar(64) not null default '',
  constraint audit_log_entries_pkey primary key (id)
);

create index audit_logs_instance_id_idx on auth.audit_log_entries (instance_id);

create table auth.users (
  instance_id uuid,
  id uuid not null,
  aud varchar(255),
  role varchar(255),
  email varchar(255),
  encrypted_password varchar(255),
  email_confirmed_at timestamptz,
  invited_at timestamptz,
  confirmation_token varchar(255),
  confirmation_sent_at timestamptz,
  recovery_token varchar(255),
  recovery_sent_at timestamptz,
  email_change_token_new varchar(255),
  email_change varchar(255),
  email_change_sent_at timestamptz,
  last_sign_in_at timestamptz,
  raw_app_meta_data jsonb,
  raw_user_meta_data jsonb,
  is_super_admin boolean,
  created_at timestamptz,
  updated_at timestamptz,
  phone text default null::varchar,
  phone_confirmed_at timestamptz,
  phone_change text default ''::varchar,
  phone_change_token varchar(255) default '',
  phone_change_sent_at timestamptz,
  confirmed_at timestamptz generated always as (
    least(email_confirmed_at, phone_confirmed_at)
  ) stored,
  email_change_token_current varchar(255) default '',
  email_change_confirm_status smallint default 0,
  banned_until timestamptz,
  reauthentication_token varchar(255) default '',
  reauthentication_sent_at timestamptz,
  is_sso_user boolean not null default false,
  deleted_at timestamptz,
  is_anonymous boolean not null default false,
  constraint users_pkey primary key (id),
  constraint users_phone_key unique (phone),
  constraint users_email_change_confirm_status_check check (
    email_change_confirm_status >= 0
    and email_change_confirm_status <= 2
  )
);

create unique index users_email_partial_key on auth.users (email)
where is_sso_user = false;

create index users_instance_id_email_idx on auth.users (instance_id, lower(email::text));

create index users_instance_id_idx on auth.users (instance_id);

create index users_is_anonymous_idx on auth.users (is_anonymous);

-- A token is unique once it is a hash; six digits may repeat.
create unique index confirmation_token_idx on auth.users (confirmation_token)
where confirmation_token::text !~ '^[0-9 ]*$';

create unique index recovery_token_idx on auth.users (recovery_token)
where recovery_token::text !~ '^[0-9 ]*$';

create unique index email_change_token_current_idx on auth.users (email_change_token_current)
where email_change_token_current::text !~ '^[0-9 ]*$';

create unique index email_change_token_new_idx on auth.users (email_change_token_new)
where email_change_token_new::text !~ '^[0-9 ]*$';

create unique index reauthentication_token_idx on auth.users (reauthentication_token)
where reauthentication_token::text !~ '^[0-9 ]*$';

create table auth.identities (
  provider_id text not null,
  user_id uuid not null,
  identity_data jsonb not null,
  provider text not null,
  last_sign_in_at timestamptz,
  created_at timestamptz,
  updated_at timestamptz,
  email text generated always as (lower(identity_data ->> 'email')) stored,
  id uuid not null default gen_random_uuid(),
  constraint identities_pkey primary key (id),
  constraint identities_provider_id_provider_unique unique (provider_id, provider),
  constraint identities_user_id_fkey foreign key (user_id) references auth.users (id)
    on delete cascade
);

create index identities_email_idx on auth.identities (email text_pattern_ops);

create index identities_user_id_idx on auth.identities (user_id);

create table auth.one_time_tokens (
  id uuid not null,
  user_id uuid not null,
  token_type auth.one_time_token_type not null,
  token_hash text not null,
  relates_to text not null,
  created_at timestamp not null default now(),
  updated_at timestamp not null default now(),
  constraint one_time_tokens_pkey primary key (id),
  constraint one_time_tokens_token_hash_check check (char_length(token_hash) > 0),
  constraint one_time_tokens_user_id_fkey foreign key (user_id) references auth.users (id)
    on delete cascade
);

create unique index one_time_tokens_user_id_token_type_key on auth.one_time_tokens (
  user_id,
  token_type
);

create index one_time_tokens_relates_to_hash_idx on auth.one_time_tokens using hash (relates_to);

create index one_time_tokens_token_hash_hash_idx on auth.one_time_tokens using hash (token_hash);

reset role;
