-- The stand-in of Supabase's Vault 0.3: schema vault with the table, view, functions and rights of
-- the real one. The secrets are encrypted by pgcrypto under a root key that lies in a file of the
-- data directory, as the real Vault's does: a table would be open to `postgres`, which is a member
-- of pg_read_all_data. Relies on pgcrypto in schema extensions and on stand-in.sql.

-- Written once a cluster. The server's own user and superusers can read it, nobody else.
do $$
begin
  if pg_stat_file('stand_in_vault.key', true) is null then
    execute format(
      'copy (select encode(extensions.gen_random_bytes(32), ''hex'')) to %L',
      current_setting('data_directory') || '/stand_in_vault.key'
    );
  end if;
end
$$;

-- A key of its own for each use, key number and context, so that the root key itself encrypts
-- nothing.
create function stand_in.derive_vault_key(purpose text, key_id bigint, context bytea)
returns bytea
language sql
stable
security invoker
set search_path = ''
as $$
  select extensions.hmac(
    convert_to(derive_vault_key.purpose, 'UTF8')
      || int8send(derive_vault_key.key_id)
      || derive_vault_key.context,
    decode(trim(trailing E'\n' from pg_read_file('stand_in_vault.key')), 'hex'),
    'sha256'
  )
$$;

comment on function stand_in.derive_vault_key(text, bigint, bytea) is
  'The key for one purpose, derived from the root key of the cluster.';

revoke all on function stand_in.derive_vault_key(text, bigint, bytea) from public;

-- The code over everything that must not change: its first half is the initial vector, all of it
-- the proof.
create function stand_in.sign_vault_message(
  message bytea,
  additional bytea,
  key_id bigint,
  context bytea,
  nonce bytea
)
returns bytea
language sql
stable
security invoker
set search_path = ''
as $$
  select extensions.hmac(
    int8send(length(coalesce(sign_vault_message.additional, '')))
      || coalesce(sign_vault_message.additional, '')
      || int8send(length(coalesce(sign_vault_message.nonce, '')))
      || coalesce(sign_vault_message.nonce, '')
      || sign_vault_message.message,
    stand_in.derive_vault_key('sign', sign_vault_message.key_id, sign_vault_message.context),
    'sha256'
  )
$$;

comment on function stand_in.sign_vault_message(bytea, bytea, bigint, bytea, bytea) is
  'The authentication code of a message with its additional data and nonce.';

revoke all on function stand_in.sign_vault_message(bytea, bytea, bigint, bytea, bytea) from public;

-- Lends the right to read the root key, to those who may execute vault._crypto_aead_det_decrypt.
create function stand_in.decrypt_vault_message(
  message bytea,
  additional bytea,
  key_id bigint,
  context bytea,
  nonce bytea
)
returns bytea
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_code bytea := substr(decrypt_vault_message.message, 1, 32);
  v_plain bytea;
begin
  if length(decrypt_vault_message.message) >= 48 then
    begin
      v_plain := extensions.decrypt_iv(
        substr(decrypt_vault_message.message, 33),
        stand_in.derive_vault_key(
          'encrypt',
          decrypt_vault_message.key_id,
          decrypt_vault_message.context
        ),
        substr(v_code, 1, 16),
        'aes-cbc/pad:pkcs'
      );
    exception
      -- What pgcrypto raises for a text that it did not encrypt.
      when external_routine_invocation_exception then
        v_plain := null;
    end;
  end if;
  if v_plain is null
    or v_code is distinct from stand_in.sign_vault_message(
      v_plain,
      decrypt_vault_message.additional,
      decrypt_vault_message.key_id,
      decrypt_vault_message.context,
      decrypt_vault_message.nonce
    )
  then
    raise exception 'pgsodium_crypto_aead_det_decrypt_by_id: invalid ciphertext'
      using errcode = 'data_exception';
  end if;
  return v_plain;
end
$$;

comment on function stand_in.decrypt_vault_message(bytea, bytea, bigint, bytea, bytea) is
  'The plain text of a message, or an error when anything of it was changed.';

revoke all on function stand_in.decrypt_vault_message(bytea, bytea, bigint, bytea, bytea)
from public;

grant execute on function stand_in.decrypt_vault_message(bytea, bytea, bigint, bytea, bytea)
to postgres, service_role;

create schema vault;

grant usage on schema vault to postgres with grant option;

grant usage on schema vault to service_role;

create function vault._crypto_aead_det_noncegen()
returns bytea
language sql
volatile
security invoker
set search_path = ''
as $$
  select extensions.gen_random_bytes(16)
$$;

comment on function vault._crypto_aead_det_noncegen() is 'A new nonce.';

revoke all on function vault._crypto_aead_det_noncegen() from public;

create function vault._crypto_aead_det_encrypt(
  message bytea,
  additional bytea,
  key_id bigint,
  context bytea default '\x7067736f6469756d'::bytea,
  nonce bytea default null
)
returns bytea
language sql
stable
security invoker
set search_path = ''
as $$
  select signed.code || extensions.encrypt_iv(
    _crypto_aead_det_encrypt.message,
    stand_in.derive_vault_key(
      'encrypt',
      _crypto_aead_det_encrypt.key_id,
      _crypto_aead_det_encrypt.context
    ),
    substr(signed.code, 1, 16),
    'aes-cbc/pad:pkcs'
  )
  from (
    select stand_in.sign_vault_message(
      _crypto_aead_det_encrypt.message,
      _crypto_aead_det_encrypt.additional,
      _crypto_aead_det_encrypt.key_id,
      _crypto_aead_det_encrypt.context,
      _crypto_aead_det_encrypt.nonce
    ) as code
  ) as signed
$$;

comment on function vault._crypto_aead_det_encrypt(bytea, bytea, bigint, bytea, bytea) is
  'The message encrypted; the same arguments give the same text.';

revoke all on function vault._crypto_aead_det_encrypt(bytea, bytea, bigint, bytea, bytea)
from public;

create function vault._crypto_aead_det_decrypt(
  message bytea,
  additional bytea,
  key_id bigint,
  context bytea default '\x7067736f6469756d'::bytea,
  nonce bytea default null
)
returns bytea
language sql
stable
security invoker
set search_path = ''
as $$
  select stand_in.decrypt_vault_message(
    _crypto_aead_det_decrypt.message,
    _crypto_aead_det_decrypt.additional,
    _crypto_aead_det_decrypt.key_id,
    _crypto_aead_det_decrypt.context,
    _crypto_aead_det_decrypt.nonce
  )
$$;

comment on function vault._crypto_aead_det_decrypt(bytea, bytea, bigint, bytea, bytea) is
  'The plain text of what vault._crypto_aead_det_encrypt returned.';

revoke all on function vault._crypto_aead_det_decrypt(bytea, bytea, bigint, bytea, bytea)
from public;

grant execute on function vault._crypto_aead_det_decrypt(bytea, bytea, bigint, bytea, bytea)
to postgres with grant option;

grant execute on function vault._crypto_aead_det_decrypt(bytea, bytea, bigint, bytea, bytea)
to service_role;

create table vault.secrets (
  id uuid primary key default gen_random_uuid(),
  name text,
  description text not null default '',
  secret text not null,
  key_id uuid,
  nonce bytea default vault._crypto_aead_det_noncegen(),
  created_at timestamptz not null default current_timestamp,
  updated_at timestamptz not null default current_timestamp
);

comment on table vault.secrets is
  'Table with encrypted `secret` column for storing sensitive information on disk.';

create unique index secrets_name_idx on vault.secrets (name)
where name is not null;

create view vault.decrypted_secrets as
select
  sec.id,
  sec.name,
  sec.description,
  sec.secret,
  convert_from(
    vault._crypto_aead_det_decrypt(
      message => decode(sec.secret, 'base64'),
      additional => convert_to(sec.id::text, 'UTF8'),
      key_id => 0,
      nonce => sec.nonce
    ),
    'UTF8'
  ) as decrypted_secret,
  sec.key_id,
  sec.nonce,
  sec.created_at,
  sec.updated_at
from vault.secrets as sec;

grant select, delete on vault.secrets, vault.decrypted_secrets to postgres with grant option;

grant select, delete on vault.secrets, vault.decrypted_secrets to service_role;

-- Lends the right to write vault.secrets.
create function vault.create_secret(
  new_secret text,
  new_name text default null,
  new_description text default '',
  new_key_id uuid default null
)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_id uuid := gen_random_uuid();
  v_nonce bytea := vault._crypto_aead_det_noncegen();
begin
  insert into vault.secrets (id, name, description, secret, nonce)
  values (
    v_id,
    create_secret.new_name,
    create_secret.new_description,
    encode(
      vault._crypto_aead_det_encrypt(
        message => convert_to(create_secret.new_secret, 'UTF8'),
        additional => convert_to(v_id::text, 'UTF8'),
        key_id => 0,
        nonce => v_nonce
      ),
      'base64'
    ),
    v_nonce
  );
  return v_id;
end
$$;

comment on function vault.create_secret(text, text, text, uuid) is
  'Stores a secret encrypted and returns its id; new_key_id is not used.';

revoke all on function vault.create_secret(text, text, text, uuid) from public;

grant execute on function vault.create_secret(text, text, text, uuid) to postgres with grant option;

grant execute on function vault.create_secret(text, text, text, uuid) to service_role;

-- Lends the right to write vault.secrets. An unknown id changes nothing, as in the real one.
create function vault.update_secret(
  secret_id uuid,
  new_secret text default null,
  new_name text default null,
  new_description text default null,
  new_key_id uuid default null
)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  update vault.secrets as sec
  set
    secret = case
      when update_secret.new_secret is null then sec.secret
      else encode(
        vault._crypto_aead_det_encrypt(
          message => convert_to(update_secret.new_secret, 'UTF8'),
          additional => convert_to(sec.id::text, 'UTF8'),
          key_id => 0,
          nonce => sec.nonce
        ),
        'base64'
      )
    end,
    name = coalesce(update_secret.new_name, sec.name),
    description = coalesce(update_secret.new_description, sec.description),
    updated_at = now()
  where sec.id = update_secret.secret_id;
end
$$;

comment on function vault.update_secret(uuid, text, text, text, uuid) is
  'Changes what is given of a secret and leaves the rest; new_key_id is not used.';

revoke all on function vault.update_secret(uuid, text, text, text, uuid) from public;

grant execute on function vault.update_secret(uuid, text, text, text, uuid)
to postgres with grant option;

grant execute on function vault.update_secret(uuid, text, text, text, uuid) to service_role;
