import { createHash } from "node:crypto";
import { z } from "zod";
import type { Database } from "./auth-context.ts";
import { clearPendingTokens } from "./user-changes.ts";
import type { User } from "./users.ts";

/** Keeps the row and its id, and makes everything in it that names the person unreadable. */
export async function softDeleteUser(db: Database, user: User, now: Date): Promise<void> {
  await clearPendingTokens(db, user.id, now);
  await db`
    update auth.users
    set
      email = ${veiled(user.id, user.email)},
      phone = ${veiled(user.id, user.phone).slice(0, 15)},
      email_change = ${veiled(user.id, user.email_change)},
      phone_change = ${veiled(user.id, "").slice(0, 15)},
      encrypted_password = null,
      raw_user_meta_data = '{}',
      raw_app_meta_data = '{}',
      deleted_at = ${now},
      updated_at = ${now}
    where id = ${user.id}`;
  await veilIdentities(db, user.id, now);
  await db`delete from auth.mfa_factors where user_id = ${user.id}`;
  await db`delete from auth.sessions where user_id = ${user.id}`;
  await db`delete from auth.refresh_tokens where user_id = ${user.id}`;
}

const identities = z.array(z.object({ id: z.string(), provider: z.string(), provider_id: z.string() }));

async function veilIdentities(db: Database, userId: string, now: Date): Promise<void> {
  const rows = await db`select id, provider, provider_id from auth.identities where user_id = ${userId}`;
  for (const identity of identities.parse([...rows])) {
    await db`
      update auth.identities
      set
        provider_id = ${veiled(userId, `${identity.provider}:${identity.provider_id}`)},
        identity_data = '{}',
        updated_at = ${now}
      where id = ${identity.id}`;
  }
}

function veiled(userId: string, value: string): string {
  return createHash("sha256")
    .update(userId + value)
    .digest("base64url");
}
