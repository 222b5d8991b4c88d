import { z } from "zod";
import { serviceRole, writeAuditLog } from "../audit-log.ts";
import { type AuthContext, type AuthRequest, type Database, nilUuid } from "../auth-context.ts";
import { AuthError, invalid, orUnexpected } from "../auth-error.ts";
import { requireAdmin } from "../bearer.ts";
import { requireEmailAddress } from "../email-address.ts";
import { parseGoDuration } from "../go-duration.ts";
import { putEmailIdentity } from "../identities.ts";
import { hashPassword, randomPassword, requireStrongPassword } from "../passwords.ts";
import { readBody } from "../request-body.ts";
import { deleteSessionsOf } from "../sessions.ts";
import {
  clearPendingTokens,
  confirmUser,
  insertUser,
  mergeAppMetadata,
  mergeUserMetadata,
  setBan,
  setEmail,
  setPassword,
  setRole,
} from "../user-changes.ts";
import { userJson } from "../user-json.ts";
import { findOwnerOfEmail, isUuid, metadataSchema, type User } from "../users.ts";
import { requireNamedUser, requireUserRow, traitsOf } from "./admin-users.ts";

const userBody = z.object({
  id: z.string().nullish(),
  role: z.string().nullish(),
  email: z.string().nullish(),
  phone: z.string().nullish(),
  password: z.string().nullish(),
  password_hash: z.string().nullish(),
  email_confirm: z.boolean().nullish(),
  user_metadata: metadataSchema.nullish(),
  app_metadata: metadataSchema.nullish(),
  ban_duration: z.string().nullish(),
});
type UserBody = z.infer<typeof userBody>;

/** `POST /admin/users`. */
export async function adminCreateUser(context: AuthContext, { request }: AuthRequest): Promise<Response> {
  await requireAdmin(context, request);
  const body = await readBody(request, userBody);
  if (!body.email && !body.phone) throw invalid("Cannot create a user without either an email or phone");
  if (!body.email || body.phone) throw invalid("The local Auth server knows no phone numbers");
  const email = requireEmailAddress(body.email);
  if ((await findOwnerOfEmail(context.sql, email)) !== undefined) {
    throw new AuthError(422, "email_exists", "A user with this email address has already been registered");
  }
  const passwordHash = await newPasswordHash(context, body);
  const id = body.id ? requireNewId(body.id) : crypto.randomUUID();
  const ban = banEnd(context, body);

  const role = body.role?.trim() || "authenticated";
  const userMetadata = body.user_metadata ?? {};
  const created = await context.sql.begin((tx) =>
    orUnexpected("Database error creating new user", async () => {
      const now = context.now();
      await insertUser(tx, { id, role, email, passwordHash, userMetadata }, now);
      await putEmailIdentity(tx, { userId: id, email, verified: false }, now);
      const traits = { ...traitsOf(await requireUserRow(tx, id)), provider: "email" };
      await writeAuditLog(tx, { actor: serviceRole, action: "user_signedup", traits }, now);
      if (body.app_metadata) await mergeAppMetadata(tx, id, body.app_metadata, now);
      if (body.email_confirm === true) await confirmUser(tx, id, now);
      if (ban !== undefined) await setBan(tx, id, ban, now);
      return requireUserRow(tx, id);
    }),
  );
  return Response.json(userJson(created));
}

async function newPasswordHash(context: AuthContext, body: UserBody): Promise<string> {
  if (body.password && body.password_hash)
    throw invalid("Only a password or a password hash should be provided");
  if (body.password_hash) {
    if (/^\$2[aby]\$\d\d\$.{53}$/.test(body.password_hash)) return body.password_hash;
    throw new AuthError(500, "unexpected_failure", "Error creating user");
  }
  if (body.password) requireStrongPassword(body.password, context.settings.passwordMinLength);
  return hashPassword(context.passwordSql, body.password || randomPassword());
}

function requireNewId(id: string): string {
  if (!isUuid(id)) throw invalid("ID must conform to the uuid v4 format");
  if (id === nilUuid) throw invalid("ID cannot be a nil uuid");
  return id.toLowerCase();
}

/** `PUT /admin/users/{user_id}`. */
export async function adminUpdateUser(context: AuthContext, request: AuthRequest): Promise<Response> {
  const user = await requireNamedUser(context, request);
  const body = await readBody(request.request, userBody);
  const email = body.email ? requireEmailAddress(body.email) : undefined;
  if (body.phone) throw invalid("The local Auth server knows no phone numbers");
  const ban = banEnd(context, body);
  let passwordHash: string | undefined;
  if (body.password !== null && body.password !== undefined) {
    requireStrongPassword(body.password, context.settings.passwordMinLength);
    passwordHash = await hashPassword(context.passwordSql, body.password);
  }

  const updated = await context.sql.begin((tx) =>
    orUnexpected("Error updating user", async () => {
      const now = context.now();
      await applyChanges(tx, user, { ...body, email, passwordHash }, now);
      if (ban !== undefined) await setBan(tx, user.id, ban, now);
      const changed = await requireUserRow(tx, user.id);
      const entry = { actor: serviceRole, action: "user_modified", traits: traitsOf(changed) } as const;
      await writeAuditLog(tx, entry, now);
      return changed;
    }),
  );
  return Response.json(userJson(updated));
}

interface Changes extends Omit<UserBody, "email" | "password"> {
  email: string | undefined;
  passwordHash: string | undefined;
}

async function applyChanges(tx: Database, user: User, changes: Changes, now: Date): Promise<void> {
  const { email, passwordHash } = changes;
  const confirmed = changes.email_confirm === true;
  if (changes.role) await setRole(tx, user.id, changes.role, now);
  if (confirmed) await confirmUser(tx, user.id, now);
  if (passwordHash !== undefined) {
    await setPassword(tx, user.id, passwordHash, now);
    await deleteSessionsOf(tx, user.id);
  }
  if (email !== undefined) {
    await putEmailIdentity(tx, { userId: user.id, email, verified: confirmed }, now);
    await setEmail(tx, user.id, email, now);
    // A code that went to the old address must not open the account any more.
    await clearPendingTokens(tx, user.id, now);
  }
  if (changes.app_metadata) await mergeAppMetadata(tx, user.id, changes.app_metadata, now);
  if (changes.user_metadata) await mergeUserMetadata(tx, user.id, changes.user_metadata, now);
}

/** Until when to ban; null ends the ban, undefined leaves it as it is. */
function banEnd(context: AuthContext, body: UserBody): Date | null | undefined {
  const duration = body.ban_duration;
  if (!duration) return undefined;
  if (duration === "none") return null;
  try {
    const milliseconds = parseGoDuration(duration);
    return milliseconds === 0 ? null : new Date(context.now().getTime() + milliseconds);
  } catch (error) {
    throw invalid(
      `invalid format for ban duration: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
