import type postgres from "postgres";
import { type Database, nilUuid } from "./auth-context.ts";
import type { User } from "./users.ts";

const logTypes = {
  login: "account",
  logout: "account",
  user_signedup: "team",
  user_deleted: "team",
  user_modified: "user",
  user_recovery_requested: "user",
  user_confirmation_requested: "user",
  user_repeated_signup: "user",
  user_updated_password: "user",
  token_revoked: "token",
  token_refreshed: "token",
} as const;

/** What happened. There is no action for a sign-in that failed. */
export type AuditAction = keyof typeof logTypes;

/** Who did it: a person, or a holder of the secret key. */
export type Actor = Pick<User, "id" | "email" | "is_sso_user" | "raw_user_meta_data">;

/** Whoever calls an admin endpoint. */
export const serviceRole: Actor = {
  id: nilUuid,
  email: "service_role",
  is_sso_user: false,
  raw_user_meta_data: {},
};

/** Adds an entry in GoTrue's form. */
export async function writeAuditLog(
  db: Database,
  entry: { actor: Actor; action: AuditAction; traits?: Record<string, postgres.JSONValue> },
  now: Date,
): Promise<void> {
  const { actor, action, traits } = entry;
  const name = actor.raw_user_meta_data["full_name"];
  const payload = {
    action,
    actor_id: actor.id,
    ...(name === undefined ? {} : { actor_name: name }),
    actor_username: actor.email,
    actor_via_sso: actor.is_sso_user,
    log_type: logTypes[action],
    ...(traits === undefined ? {} : { traits }),
  };
  await db`
    insert into auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
    values (${nilUuid}, ${crypto.randomUUID()}, ${db.json(payload)}, ${now}, '')`;
}
