import type { Database } from "./auth-context.ts";
import { audience, nilUuid } from "./auth-context.ts";
import type { Metadata } from "./users.ts";

/** Adds an unconfirmed person who signs in by e-mail; the token columns get '' as GoTrue writes them. */
export async function insertUser(
  db: Database,
  user: { id: string; role: string; email: string; passwordHash: string; userMetadata: Metadata },
  now: Date,
): Promise<void> {
  const appMetadata = { provider: "email", providers: ["email"] };
  await db`
    insert into auth.users (
      instance_id, id, aud, role, email, encrypted_password, raw_app_meta_data, raw_user_meta_data,
      created_at, updated_at, is_super_admin, is_sso_user, is_anonymous,
      confirmation_token, recovery_token, email_change, email_change_token_new, email_change_token_current,
      email_change_confirm_status, phone_change, phone_change_token, reauthentication_token
    )
    values (
      ${nilUuid}, ${user.id}, ${audience}, ${user.role}, ${user.email}, ${user.passwordHash},
      ${db.json(appMetadata)}, ${db.json(user.userMetadata)}, ${now}, ${now}, false, false, false,
      '', '', '', '', '', 0, '', '', ''
    )`;
}

/** Confirms the address: tokens of the confirmation are used up, and so is every other outstanding code. */
export async function confirmUser(db: Database, userId: string, now: Date): Promise<void> {
  await db`
    update auth.users
    set
      email_confirmed_at = ${now},
      confirmation_token = '',
      raw_user_meta_data = coalesce(raw_user_meta_data, '{}') || '{"email_verified": true}',
      updated_at = ${now}
    where id = ${userId}`;
  await clearOneTimeTokens(db, userId);
}

/** Ends a recovery: its code is used up. */
export async function endRecovery(db: Database, userId: string, now: Date): Promise<void> {
  await db`update auth.users set recovery_token = '', updated_at = ${now} where id = ${userId}`;
  await clearOneTimeTokens(db, userId);
}

/** Sets the password; codes that were asked for with the old one lose their value. */
export async function setPassword(
  db: Database,
  userId: string,
  passwordHash: string,
  now: Date,
): Promise<void> {
  await db`
    update auth.users set encrypted_password = ${passwordHash}, updated_at = ${now} where id = ${userId}`;
  await clearPendingTokens(db, userId, now);
}

/** Voids every code that is under way. */
export async function clearPendingTokens(db: Database, userId: string, now: Date): Promise<void> {
  await db`
    update auth.users
    set
      confirmation_token = '', confirmation_sent_at = null,
      recovery_token = '', recovery_sent_at = null,
      email_change_token_new = '', email_change_token_current = '', email_change_sent_at = null,
      phone_change_token = '', phone_change_sent_at = null,
      reauthentication_token = '', reauthentication_sent_at = null,
      updated_at = ${now}
    where id = ${userId}`;
  await clearOneTimeTokens(db, userId);
}

/** Sets the database role that the person's tokens carry. */
export async function setRole(db: Database, userId: string, role: string, now: Date): Promise<void> {
  await db`update auth.users set role = ${role.trim()}, updated_at = ${now} where id = ${userId}`;
}

/** Sets the address without asking its owner. */
export async function setEmail(db: Database, userId: string, email: string, now: Date): Promise<void> {
  await db`update auth.users set email = ${email}, updated_at = ${now} where id = ${userId}`;
}

/** Bans until the instant, or ends the ban. */
export async function setBan(db: Database, userId: string, until: Date | null, now: Date): Promise<void> {
  await db`update auth.users set banned_until = ${until}, updated_at = ${now} where id = ${userId}`;
}

/** Merges `patch` into the person's own metadata; a null removes its key. */
export async function mergeUserMetadata(
  db: Database,
  userId: string,
  patch: Metadata,
  now: Date,
): Promise<void> {
  await db`
    update auth.users
    set
      raw_user_meta_data = (coalesce(raw_user_meta_data, '{}') || ${db.json(patch)}) - ${keysOfNulls(patch)}::text[],
      updated_at = ${now}
    where id = ${userId}`;
}

/** Merges `patch` into the application's metadata; a null removes its key. */
export async function mergeAppMetadata(
  db: Database,
  userId: string,
  patch: Metadata,
  now: Date,
): Promise<void> {
  await db`
    update auth.users
    set
      raw_app_meta_data = (coalesce(raw_app_meta_data, '{}') || ${db.json(patch)}) - ${keysOfNulls(patch)}::text[],
      updated_at = ${now}
    where id = ${userId}`;
}

/** Brings `providers` in the application's metadata up to date with the identities. */
export async function updateProviders(db: Database, userId: string, now: Date): Promise<void> {
  await db`
    update auth.users as usr
    set
      raw_app_meta_data = coalesce(usr.raw_app_meta_data, '{}')
        || jsonb_build_object('providers', to_jsonb(found.providers))
        || case when found.providers = '{}' then '{}' else jsonb_build_object('provider', found.providers[1]) end,
      updated_at = ${now}
    from (
      select coalesce(array_agg(idn.provider order by idn.created_at), '{}') as providers
      from auth.identities as idn
      where idn.user_id = ${userId}
    ) as found
    where usr.id = ${userId}`;
}

/** Makes the new address the person's address. */
export async function confirmEmailChange(db: Database, userId: string, now: Date): Promise<void> {
  await db`
    update auth.users
    set
      email = email_change,
      email_change = '',
      email_change_token_new = '',
      email_change_token_current = '',
      email_change_confirm_status = 0,
      email_confirmed_at = coalesce(email_confirmed_at, ${now}),
      updated_at = ${now}
    where id = ${userId}`;
  await clearOneTimeTokens(db, userId);
}

/** Notes that one of the two addresses has agreed to the change. */
export async function confirmEmailChangeOnce(
  db: Database,
  userId: string,
  by: "email_change_token_current" | "email_change_token_new",
  now: Date,
): Promise<void> {
  await db`
    update auth.users
    set email_change_confirm_status = 1, ${db(by)} = '', updated_at = ${now}
    where id = ${userId}`;
  await db`delete from auth.one_time_tokens where user_id = ${userId} and token_type = ${by}`;
}

/** Removes the person and, by the keys, all that belongs to the person. */
export async function deleteUser(db: Database, userId: string): Promise<void> {
  await db`delete from auth.users where id = ${userId}`;
}

async function clearOneTimeTokens(db: Database, userId: string): Promise<void> {
  await db`delete from auth.one_time_tokens where user_id = ${userId}`;
}

function keysOfNulls(patch: Metadata): string[] {
  return Object.keys(patch).filter((key) => patch[key] === null);
}
