import { z } from "zod";
import { writeAuditLog } from "../audit-log.ts";
import type { AuthContext, AuthRequest, Database } from "../auth-context.ts";
import { AuthError, invalid, orUnexpected, unexpected } from "../auth-error.ts";
import { requireEmailAddress } from "../email-address.ts";
import { putEmailIdentity, verifyEmailIdentity } from "../identities.ts";
import { sendConfirmationMail } from "../mails.ts";
import { hashPassword, requireStrongPassword } from "../passwords.ts";
import { redirectTarget } from "../redirects.ts";
import { readBody } from "../request-body.ts";
import { clientOf, issueSession } from "../session-response.ts";
import { confirmUser, insertUser, mergeUserMetadata } from "../user-changes.ts";
import { inventedUserJson, userJson } from "../user-json.ts";
import { findOwnerOfEmail, findUserById, type Metadata, metadataSchema, type User } from "../users.ts";

const signupBody = z.object({
  email: z.string().nullish(),
  phone: z.string().nullish(),
  password: z.string().nullish(),
  data: metadataSchema.nullish(),
  code_challenge: z.string().nullish(),
});

/** `POST /signup`. */
export async function signup(context: AuthContext, { request, url }: AuthRequest): Promise<Response> {
  const body = await readBody(request, signupBody);
  const { settings } = context;
  if (!body.email && !body.phone) {
    throw new AuthError(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled");
  }
  if (settings.disableSignup)
    throw new AuthError(422, "signup_disabled", "Signups not allowed for this instance");
  if (!body.password) throw invalid("Signup requires a valid password");
  requireStrongPassword(body.password, settings.passwordMinLength);
  if (body.email && body.phone) {
    throw invalid("Only an email address or phone number should be provided on signup.");
  }
  if (!body.email) throw new AuthError(400, "phone_provider_disabled", "Phone signups are disabled");
  if (body.code_challenge) throw invalid("The local Auth server knows no PKCE flow");
  const email = requireEmailAddress(body.email);
  const data = body.data ?? {};

  const owner = await findOwnerOfEmail(context.sql, email);
  // Before the transaction, because it takes long on purpose.
  const passwordHash = owner === undefined ? await hashPassword(context.passwordSql, body.password) : "";
  const redirectTo = redirectTarget(request, url, settings);
  const answer = await context.sql.begin(async (tx) => {
    const userId = owner ?? (await addUser(context, tx, { email, passwordHash, data }));
    const user = await requireUserRow(tx, userId);
    if (user.email_confirmed_at !== null) return repeatedSignup(context, tx, user, email, data);
    return confirmation(context, tx, user, request, redirectTo);
  });
  if (answer instanceof AuthError) throw answer;
  return Response.json(answer);
}

async function addUser(
  context: AuthContext,
  tx: Database,
  account: { email: string; passwordHash: string; data: Metadata },
): Promise<string> {
  const id = crypto.randomUUID();
  const { email, passwordHash, data } = account;
  const now = context.now();
  // Triggers of the application run here, and what they raise is all that fails in practice.
  await orUnexpected("Database error saving new user", () =>
    insertUser(tx, { id, role: "authenticated", email, passwordHash, userMetadata: data }, now),
  );
  const identityData = await putEmailIdentity(tx, { userId: id, email, verified: false, data }, now);
  await mergeUserMetadata(tx, id, identityData, now);
  return id;
}

/** Someone has this address already. The error is returned, so that the entry in the log is kept. */
async function repeatedSignup(
  context: AuthContext,
  tx: Database,
  user: User,
  email: string,
  data: Metadata,
): Promise<Record<string, unknown> | AuthError> {
  const now = context.now();
  await writeAuditLog(
    tx,
    { actor: user, action: "user_repeated_signup", traits: { provider: "email" } },
    now,
  );
  if (context.settings.autoconfirm)
    return new AuthError(422, "user_already_exists", "User already registered");
  return inventedUserJson(email, data, now);
}

async function confirmation(
  context: AuthContext,
  tx: Database,
  user: User,
  request: Request,
  redirectTo: string,
): Promise<object> {
  const now = context.now();
  const traits = { provider: "email" };
  if (!context.settings.autoconfirm) {
    await writeAuditLog(tx, { actor: user, action: "user_confirmation_requested", traits }, now);
    await sendConfirmationMail(context, tx, user, redirectTo);
    return userJson(await requireUserRow(tx, user.id));
  }
  await writeAuditLog(tx, { actor: user, action: "user_signedup", traits }, now);
  await confirmUser(tx, user.id, now);
  await verifyEmailIdentity(tx, user.id, user.email, now);
  await writeAuditLog(tx, { actor: user, action: "login", traits }, now);
  return issueSession(context, tx, user.id, "password", clientOf(request));
}

async function requireUserRow(tx: Database, id: string): Promise<User> {
  const user = await findUserById(tx, id);
  if (user === undefined) throw unexpected("Database error loading user after sign-up", `no user ${id}`);
  return user;
}
