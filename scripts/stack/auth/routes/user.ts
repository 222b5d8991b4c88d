import { z } from "zod";
import { writeAuditLog } from "../audit-log.ts";
import type { AuthContext, AuthRequest, Database } from "../auth-context.ts";
import { AuthError, invalid } from "../auth-error.ts";
import { type Caller, requireUser } from "../bearer.ts";
import { requireEmailAddress } from "../email-address.ts";
import { sendEmailChangeMails } from "../mails.ts";
import { hashPassword, passwordMatches, requireStrongPassword } from "../passwords.ts";
import { redirectTarget } from "../redirects.ts";
import { readBody } from "../request-body.ts";
import { deleteOtherSessionsOf, deleteSessionsOf } from "../sessions.ts";
import { mergeUserMetadata, setPassword } from "../user-changes.ts";
import { userJson } from "../user-json.ts";
import { findOwnerOfEmail, findUserById, hasVerifiedFactor, metadataSchema, type User } from "../users.ts";

/** `GET /user`. */
export async function getUser(context: AuthContext, { request }: AuthRequest): Promise<Response> {
  const { user } = await requireUser(context, request);
  return Response.json(userJson(user));
}

const updateBody = z.object({
  email: z.string().nullish(),
  phone: z.string().nullish(),
  password: z.string().nullish(),
  data: metadataSchema.nullish(),
  app_metadata: metadataSchema.nullish(),
  code_challenge: z.string().nullish(),
});

/** `PUT /user`: password, address and the person's own metadata. */
export async function updateUser(context: AuthContext, { request, url }: AuthRequest): Promise<Response> {
  const caller = await requireUser(context, request);
  const { user, session } = caller;
  const body = await readBody(request, updateBody);
  const email = body.email ? requireEmailAddress(body.email) : user.email;
  if (body.phone) throw new AuthError(400, "phone_provider_disabled", "Phone logins are disabled");
  const password = body.password ?? undefined;
  if (password !== undefined) requireStrongPassword(password, context.settings.passwordMinLength);
  if (body.app_metadata) {
    throw new AuthError(403, "not_admin", "Updating app_metadata requires admin privileges");
  }
  if (body.code_challenge) throw invalid("The local Auth server knows no PKCE flow");
  requireSecondFactor(caller, password !== undefined || email !== user.email);
  if (email !== user.email && (await findOwnerOfEmail(context.sql, email, user.id)) !== undefined) {
    throw new AuthError(422, "email_exists", "A user with this email address has already been registered");
  }
  const passwordHash = password === undefined ? undefined : await hashNewPassword(context, user, password);

  const redirectTo = redirectTarget(request, url, context.settings);
  const updated = await context.sql.begin(async (tx) => {
    const now = context.now();
    if (passwordHash !== undefined) await changePassword(tx, user, session?.id, passwordHash, now);
    if (body.data) await mergeUserMetadata(tx, user.id, body.data, now);
    await writeAuditLog(tx, { actor: user, action: "user_modified" }, now);
    if (email !== user.email) {
      const current = (await findUserById(tx, user.id)) ?? user;
      await sendEmailChangeMails(context, tx, current, email, redirectTo);
    }
    return findUserById(tx, user.id);
  });
  return Response.json(userJson(updated ?? user));
}

function requireSecondFactor({ user, session }: Caller, credentialsChange: boolean): void {
  if (!credentialsChange || !hasVerifiedFactor(user) || session?.aal === "aal2") return;
  const message = "AAL2 session is required to update email or password when MFA is enabled.";
  throw new AuthError(401, "insufficient_aal", message);
}

async function hashNewPassword(context: AuthContext, user: User, password: string): Promise<string> {
  if (await passwordMatches(context.passwordSql, user.encrypted_password, password)) {
    throw new AuthError(422, "same_password", "New password should be different from the old password.");
  }
  return hashPassword(context.passwordSql, password);
}

/** Everybody else who is signed in with the old password is signed out. */
async function changePassword(
  tx: Database,
  user: User,
  sessionId: string | undefined,
  passwordHash: string,
  now: Date,
): Promise<void> {
  await setPassword(tx, user.id, passwordHash, now);
  if (sessionId === undefined) await deleteSessionsOf(tx, user.id);
  else await deleteOtherSessionsOf(tx, user.id, sessionId);
  await writeAuditLog(tx, { actor: user, action: "user_updated_password" }, now);
}
