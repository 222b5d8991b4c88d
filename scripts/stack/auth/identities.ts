import type { Database } from "./auth-context.ts";
import type { Metadata } from "./users.ts";

/** The person's e-mail identity is added, or its address changed. */
export async function putEmailIdentity(
  db: Database,
  identity: { userId: string; email: string; verified: boolean; data?: Metadata },
  now: Date,
): Promise<Metadata> {
  const named = {
    sub: identity.userId,
    email: identity.email,
    email_verified: identity.verified,
    phone_verified: false,
  };
  const data = { ...identity.data, ...named };
  const patch = { email: identity.email, email_verified: identity.verified };
  await db`
    insert into auth.identities (
      id, provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at
    )
    values (
      ${crypto.randomUUID()}, ${identity.userId}, ${identity.userId}, ${db.json(data)}, 'email', ${now}, ${now}, ${now}
    )
    on conflict (provider_id, provider) do update
    set identity_data = identities.identity_data || ${db.json(patch)}, updated_at = ${now}`;
  return data;
}

/** Notes in the identity that the person's address is confirmed. */
export async function verifyEmailIdentity(
  db: Database,
  userId: string,
  email: string,
  now: Date,
): Promise<void> {
  await db`
    update auth.identities
    set identity_data = identity_data || '{"email_verified": true}', updated_at = ${now}
    where user_id = ${userId} and email = ${email}`;
}
