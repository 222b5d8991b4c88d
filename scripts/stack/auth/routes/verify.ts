import { z } from "zod";
import { writeAuditLog } from "../audit-log.ts";
import type { AuthContext, AuthRequest, Database } from "../auth-context.ts";
import { AuthError, invalid, unexpected } from "../auth-error.ts";
import { requireEmailAddress } from "../email-address.ts";
import { putEmailIdentity, verifyEmailIdentity } from "../identities.ts";
import { findOneTimeToken, hashOtp, type OneTimeTokenType } from "../one-time-tokens.ts";
import { redirectTarget, redirectWithError, redirectWithMessage, redirectWithSession } from "../redirects.ts";
import { readBody } from "../request-body.ts";
import { clientOf, issueSession, type SessionResponse } from "../session-response.ts";
import {
  confirmEmailChange,
  confirmEmailChangeOnce,
  confirmUser,
  endRecovery,
  updateProviders,
} from "../user-changes.ts";
import { findUserByEmail, findUserById, isBanned, type User } from "../users.ts";

const onlyOneConfirmed = "Confirmation link accepted. Please proceed to confirm link sent to the other email";

/** `GET /verify?token&type&redirect_to`, the link in a mail: always sends the browser on. */
export async function verifyLink(context: AuthContext, { request, url }: AuthRequest): Promise<Response> {
  const type = url.searchParams.get("type") ?? "";
  const token = url.searchParams.get("token") ?? "";
  if (type === "") throw invalid("Verify requires a verification type");
  if (token === "") throw invalid("Verify requires a token or a token hash");
  const target = redirectTarget(request, url, context.settings);
  try {
    const session = await context.sql.begin(async (tx) => {
      const proof = await findByHash(context, tx, type, token);
      return accept(context, tx, proof, request);
    });
    if (session === undefined) return redirectWithMessage(target, onlyOneConfirmed);
    return redirectWithSession(target, session, type);
  } catch (error) {
    if (error instanceof AuthError) return redirectWithError(target, error);
    throw error;
  }
}

const verifyBody = z.object({
  type: z.string().nullish(),
  token: z.string().nullish(),
  token_hash: z.string().nullish(),
  email: z.string().nullish(),
  phone: z.string().nullish(),
  redirect_to: z.string().nullish(),
});

/** `POST /verify` with a hash, or with an address and the code that was sent to it: answers the session. */
export async function verifyCode(context: AuthContext, { request }: AuthRequest): Promise<Response> {
  const {
    type,
    token,
    token_hash: hash,
    email,
    phone,
    redirect_to: redirect,
  } = await readBody(request, verifyBody);
  if (!type) throw invalid("Verify requires a verification type");
  if (Boolean(token) === Boolean(hash)) throw invalid("Verify requires either a token or a token hash");
  if (hash && (email || phone || redirect)) throw invalid("Only the token_hash and type should be provided");
  if (token && (!email || phone)) {
    throw invalid("Only an email address or phone number should be provided on verify");
  }
  const address = email ? requireVerifiableAddress(email) : "";

  const session = await context.sql.begin(async (tx) => {
    const proof = hash
      ? await findByHash(context, tx, type, hash)
      : await findByCode(context, tx, type, address, token ?? "");
    return accept(context, tx, proof, request);
  });
  return Response.json(session ?? { msg: onlyOneConfirmed, code: "200" });
}

function requireVerifiableAddress(email: string): string {
  try {
    return requireEmailAddress(email);
  } catch {
    throw new AuthError(422, "validation_failed", "Invalid email format");
  }
}

/** A code that was right: whose it is and what it proves. */
interface Proof {
  user: User;
  tokenType: OneTimeTokenType;
}

const tokenTypes: ReadonlyMap<string, readonly OneTimeTokenType[]> = new Map<string, OneTimeTokenType[]>([
  ["email", ["confirmation_token", "recovery_token"]],
  ["signup", ["confirmation_token"]],
  ["invite", ["confirmation_token"]],
  ["recovery", ["recovery_token"]],
  ["magiclink", ["recovery_token"]],
  ["email_change", ["email_change_token_current", "email_change_token_new"]],
]);

async function findByHash(context: AuthContext, tx: Database, type: string, hash: string): Promise<Proof> {
  const types = tokenTypes.get(type);
  if (types === undefined) throw invalid("Invalid email verification type");
  const expired = new AuthError(403, "otp_expired", "Email link is invalid or has expired");

  const found = await findOneTimeToken(tx, hash, types);
  const user = found === undefined ? undefined : await findUserById(tx, found.user_id);
  if (found === undefined || user === undefined) throw expired;
  if (isBanned(user, context.now())) throw new AuthError(403, "user_banned", "User is banned");
  if (!isFresh(context, stateOf(user, found.token_type).sentAt)) throw expired;
  return { user, tokenType: found.token_type };
}

async function findByCode(
  context: AuthContext,
  tx: Database,
  type: string,
  email: string,
  code: string,
): Promise<Proof> {
  const types = tokenTypes.get(type);
  const expired = new AuthError(403, "otp_expired", "Token has expired or is invalid");
  if (types === undefined) throw expired;
  const hash = hashOtp(email, code);

  let user: User | undefined;
  if (type === "email_change") {
    const found = await findOneTimeToken(tx, hash, types);
    user = found === undefined ? undefined : await findUserById(tx, found.user_id);
  } else {
    user = await findUserByEmail(tx, email);
  }
  if (user === undefined) throw expired;
  if (isBanned(user, context.now())) throw new AuthError(403, "user_banned", "User is banned");
  for (const tokenType of types) {
    const state = stateOf(user, tokenType);
    if (state.hash === hash && isFresh(context, state.sentAt)) return { user, tokenType };
  }
  throw expired;
}

/** What the user's row says of a code, besides the table of codes. */
function stateOf(user: User, type: OneTimeTokenType): { hash: string; sentAt: Date | null } {
  switch (type) {
    case "confirmation_token":
      return { hash: user.confirmation_token, sentAt: user.confirmation_sent_at };
    case "recovery_token":
      return { hash: user.recovery_token, sentAt: user.recovery_sent_at };
    case "email_change_token_current":
      return { hash: user.email_change_token_current, sentAt: user.email_change_sent_at };
    case "email_change_token_new":
      return { hash: user.email_change_token_new, sentAt: user.email_change_sent_at };
  }
}

function isFresh(context: AuthContext, sentAt: Date | null): boolean {
  if (sentAt === null) return false;
  return context.now().getTime() <= sentAt.getTime() + context.settings.otpExpirySeconds * 1000;
}

/** Does what the code was sent for and signs the person in; undefined while the other address must still agree. */
async function accept(
  context: AuthContext,
  tx: Database,
  { user, tokenType }: Proof,
  request: Request,
): Promise<SessionResponse | undefined> {
  const now = context.now();
  switch (tokenType) {
    case "confirmation_token":
      await confirm(tx, user, now);
      break;
    case "recovery_token":
      await recover(tx, user, now);
      break;
    case "email_change_token_current":
    case "email_change_token_new":
      if (needsBoth(context, user)) {
        await confirmEmailChangeOnce(tx, user.id, tokenType, now);
        return undefined;
      }
      await changeEmail(tx, user, now);
      break;
  }
  await updateProviders(tx, user.id, now);
  return issueSession(context, tx, user.id, "otp", clientOf(request));
}

async function confirm(tx: Database, user: User, now: Date): Promise<void> {
  await writeAuditLog(tx, { actor: user, action: "user_signedup", traits: { provider: "email" } }, now);
  await confirmUser(tx, user.id, now);
  await verifyEmailIdentity(tx, user.id, user.email, now);
}

async function recover(tx: Database, user: User, now: Date): Promise<void> {
  await endRecovery(tx, user.id, now);
  if (user.email_confirmed_at === null) return confirm(tx, user, now);
  await writeAuditLog(tx, { actor: user, action: "login" }, now);
}

function needsBoth(context: AuthContext, user: User): boolean {
  const { secureEmailChange, autoconfirm } = context.settings;
  return secureEmailChange && !autoconfirm && user.email_change_confirm_status === 0 && user.email !== "";
}

async function changeEmail(tx: Database, user: User, now: Date): Promise<void> {
  if (user.email_change === "")
    throw unexpected("Error confirm email", `user ${user.id} changes to no address`);
  await writeAuditLog(tx, { actor: user, action: "user_modified" }, now);
  await putEmailIdentity(tx, { userId: user.id, email: user.email_change, verified: true }, now);
  await confirmEmailChange(tx, user.id, now);
}
