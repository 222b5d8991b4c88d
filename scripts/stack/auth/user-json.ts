import { audience } from "./auth-context.ts";
import type { Metadata, User } from "./users.ts";

/** A person as the API shows one: no secrets, and times that are not set are left out. */
export function userJson(user: User): Record<string, unknown> {
  return withoutUnset({
    id: user.id,
    aud: user.aud,
    role: user.role,
    email: user.email,
    email_confirmed_at: user.email_confirmed_at,
    invited_at: user.invited_at,
    phone: user.phone,
    phone_confirmed_at: user.phone_confirmed_at,
    confirmation_sent_at: user.confirmation_sent_at,
    confirmed_at: user.confirmed_at,
    recovery_sent_at: user.recovery_sent_at,
    new_email: user.email_change || null,
    email_change_sent_at: user.email_change_sent_at,
    last_sign_in_at: user.last_sign_in_at,
    app_metadata: user.raw_app_meta_data,
    user_metadata: user.raw_user_meta_data,
    factors: user.factors.length === 0 ? null : user.factors,
    identities: user.identities,
    created_at: user.created_at,
    updated_at: user.updated_at,
    banned_until: user.banned_until,
    deleted_at: user.deleted_at,
    is_anonymous: user.is_anonymous,
  });
}

/** In a list nobody's identities and factors are loaded. */
export function listedUserJson(user: User): Record<string, unknown> {
  const { factors: _factors, ...json } = userJson(user);
  return { ...json, identities: null };
}

/** What a sign-up with a taken address answers: a person who does not exist, so that nobody learns who has an account. */
export function inventedUserJson(email: string, data: Metadata, now: Date): Record<string, unknown> {
  return {
    id: crypto.randomUUID(),
    aud: audience,
    role: "",
    email,
    phone: "",
    confirmation_sent_at: now,
    app_metadata: { provider: "email", providers: ["email"] },
    user_metadata: data,
    identities: [],
    created_at: now,
    updated_at: now,
    is_anonymous: false,
  };
}

function withoutUnset(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}
