-- Signing in elsewhere: flows that are under way, SSO with SAML, and OAuth providers of one's own.
-- Constraints with spaces in their names are the platform's own.
-- An SSO provider takes its domains and SAML settings along when it goes.

set local role supabase_auth_admin;

create table auth.flow_state (
  id uuid not null,
  user_id uuid,
  auth_code text,
  code_challenge_method auth.code_challenge_method,
  code_challenge text,
  provider_type text not null,
  provider_access_token text,
  provider_refresh_token text,
  created_at timestamptz,
  updated_at timestamptz,
  authentication_method text not null,
  auth_code_issued_at timestamptz,
  invite_token text,
  referrer text,
  oauth_client_state_id uuid,
  linking_target_id uuid,
  email_optional boolean not null default false,
  constraint flow_state_pkey primary key (id)
);

create index flow_state_created_at_idx on auth.flow_state (created_at desc);

create index idx_auth_code on auth.flow_state (auth_code);

create index idx_user_id_auth_method on auth.flow_state (user_id, authentication_method);

create table auth.oauth_client_states (
  id uuid not null,
  provider_type text not null,
  code_verifier text,
  created_at timestamptz not null,
  constraint oauth_client_states_pkey primary key (id)
);

create index idx_oauth_client_states_created_at on auth.oauth_client_states (created_at);

create table auth.sso_providers (
  id uuid not null,
  resource_id text,
  created_at timestamptz,
  updated_at timestamptz,
  disabled boolean,
  constraint sso_providers_pkey primary key (id),
  -- Here and at saml_providers the platform compares with `= null`: a null passes either way.
  constraint "resource_id not empty" check (
    resource_id = null::text
    or char_length(resource_id) > 0
  )
);

create unique index sso_providers_resource_id_idx on auth.sso_providers (lower(resource_id));

create index sso_providers_resource_id_pattern_idx on auth.sso_providers (
  resource_id text_pattern_ops
);

create table auth.sso_domains (
  id uuid not null,
  sso_provider_id uuid not null,
  domain text not null,
  created_at timestamptz,
  updated_at timestamptz,
  constraint sso_domains_pkey primary key (id),
  constraint "domain not empty" check (char_length(domain) > 0),
  constraint sso_domains_sso_provider_id_fkey foreign key (sso_provider_id)
    references auth.sso_providers (id) on delete cascade
);

create unique index sso_domains_domain_idx on auth.sso_domains (lower(domain));

create index sso_domains_sso_provider_id_idx on auth.sso_domains (sso_provider_id);

create table auth.saml_providers (
  id uuid not null,
  sso_provider_id uuid not null,
  entity_id text not null,
  metadata_xml text not null,
  metadata_url text,
  attribute_mapping jsonb,
  created_at timestamptz,
  updated_at timestamptz,
  name_id_format text,
  constraint saml_providers_pkey primary key (id),
  constraint saml_providers_entity_id_key unique (entity_id),
  constraint "entity_id not empty" check (char_length(entity_id) > 0),
  constraint "metadata_url not empty" check (
    metadata_url = null::text
    or char_length(metadata_url) > 0
  ),
  constraint "metadata_xml not empty" check (char_length(metadata_xml) > 0),
  constraint saml_providers_sso_provider_id_fkey foreign key (sso_provider_id)
    references auth.sso_providers (id) on delete cascade
);

create index saml_providers_sso_provider_id_idx on auth.saml_providers (sso_provider_id);

create table auth.saml_relay_states (
  id uuid not null,
  sso_provider_id uuid not null,
  request_id text not null,
  for_email text,
  redirect_to text,
  -- The sixth column was dropped by a later migration.
  from_ip_address inet,
  created_at timestamptz,
  updated_at timestamptz,
  flow_state_id uuid,
  constraint saml_relay_states_pkey primary key (id),
  constraint "request_id not empty" check (char_length(request_id) > 0),
  constraint saml_relay_states_sso_provider_id_fkey foreign key (sso_provider_id)
    references auth.sso_providers (id) on delete cascade,
  constraint saml_relay_states_flow_state_id_fkey foreign key (flow_state_id)
    references auth.flow_state (id) on delete cascade
);

alter table auth.saml_relay_states drop column from_ip_address;

create index saml_relay_states_created_at_idx on auth.saml_relay_states (created_at desc);

create index saml_relay_states_for_email_idx on auth.saml_relay_states (for_email);

create index saml_relay_states_sso_provider_id_idx on auth.saml_relay_states (sso_provider_id);

create table auth.custom_oauth_providers (
  id uuid not null default gen_random_uuid(),
  provider_type text not null,
  identifier text not null,
  name text not null,
  client_id text not null,
  client_secret text not null,
  acceptable_client_ids text[] not null default '{}',
  scopes text[] not null default '{}',
  pkce_enabled boolean not null default true,
  attribute_mapping jsonb not null default '{}',
  authorization_params jsonb not null default '{}',
  enabled boolean not null default true,
  email_optional boolean not null default false,
  issuer text,
  discovery_url text,
  skip_nonce_check boolean not null default false,
  cached_discovery jsonb,
  discovery_cached_at timestamptz,
  authorization_url text,
  token_url text,
  userinfo_url text,
  jwks_uri text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  custom_claims_allowlist text[] not null default '{}',
  constraint custom_oauth_providers_pkey primary key (id),
  constraint custom_oauth_providers_identifier_key unique (identifier),
  constraint custom_oauth_providers_provider_type_check check (provider_type in ('oauth2', 'oidc')),
  constraint custom_oauth_providers_identifier_format check (
    identifier ~ '^[a-z0-9][a-z0-9:-]{0,48}[a-z0-9]$'
  ),
  constraint custom_oauth_providers_name_length check (
    char_length(name) >= 1
    and char_length(name) <= 100
  ),
  constraint custom_oauth_providers_client_id_length check (
    char_length(client_id) >= 1
    and char_length(client_id) <= 512
  ),
  constraint custom_oauth_providers_issuer_length check (
    issuer is null
    or (
      char_length(issuer) >= 1
      and char_length(issuer) <= 2048
    )
  ),
  constraint custom_oauth_providers_oidc_requires_issuer check (
    provider_type <> 'oidc'
    or issuer is not null
  ),
  constraint custom_oauth_providers_oidc_issuer_https check (
    provider_type <> 'oidc'
    or issuer is null
    or issuer like 'https://%'
  ),
  constraint custom_oauth_providers_discovery_url_length check (
    discovery_url is null
    or char_length(discovery_url) <= 2048
  ),
  constraint custom_oauth_providers_oidc_discovery_url_https check (
    provider_type <> 'oidc'
    or discovery_url is null
    or discovery_url like 'https://%'
  ),
  constraint custom_oauth_providers_oauth2_requires_endpoints check (
    provider_type <> 'oauth2'
    or (
      authorization_url is not null
      and token_url is not null
      and userinfo_url is not null
    )
  ),
  constraint custom_oauth_providers_authorization_url_https check (
    authorization_url is null
    or authorization_url like 'https://%'
  ),
  constraint custom_oauth_providers_authorization_url_length check (
    authorization_url is null
    or char_length(authorization_url) <= 2048
  ),
  constraint custom_oauth_providers_token_url_https check (
    token_url is null
    or token_url like 'https://%'
  ),
  constraint custom_oauth_providers_token_url_length check (
    token_url is null
    or char_length(token_url) <= 2048
  ),
  constraint custom_oauth_providers_userinfo_url_https check (
    userinfo_url is null
    or userinfo_url like 'https://%'
  ),
  constraint custom_oauth_providers_userinfo_url_length check (
    userinfo_url is null
    or char_length(userinfo_url) <= 2048
  ),
  constraint custom_oauth_providers_jwks_uri_https check (
    jwks_uri is null
    or jwks_uri like 'https://%'
  ),
  constraint custom_oauth_providers_jwks_uri_length check (
    jwks_uri is null
    or char_length(jwks_uri) <= 2048
  )
);

create index custom_oauth_providers_created_at_idx on auth.custom_oauth_providers (created_at);

create index custom_oauth_providers_enabled_idx on auth.custom_oauth_providers (enabled);

create index custom_oauth_providers_identifier_idx on auth.custom_oauth_providers (identifier);

create index custom_oauth_providers_provider_type_idx on auth.custom_oauth_providers (
  provider_type
);

reset role;
