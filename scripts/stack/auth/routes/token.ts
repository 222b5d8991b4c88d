import { z } from "zod";
import { writeAuditLog } from "../audit-log.ts";
import type { AuthContext, AuthRequest, Database } from "../auth-context.ts";
import { AuthError, invalid, OAuthError, orUnexpected } from "../auth-error.ts";
import { runPasswordHook } from "../password-hook.ts";
import { passwordMatches, passwordWeakness } from "../passwords.ts";
import { readBody } from "../request-body.ts";
import { clientOf, issueSession, type SessionResponse, sessionResponse } from "../session-response.ts";
import {
  findActiveRefreshToken,
  findRefreshToken,
  findSession,
  insertRefreshToken,
  type RefreshToken,
  revokeRefreshToken,
  revokeRefreshTokensOf,
  type Session,
  touchSession,
} from "../sessions.ts";
import { findUserByEmail, findUserById, isBanned, type User } from "../users.ts";

/** `POST /token?grant_type=password|refresh_token`. */
export async function token(context: AuthContext, request: AuthRequest): Promise<Response> {
  switch (request.url.searchParams.get("grant_type")) {
    case "password":
      return passwordGrant(context, request.request);
    case "refresh_token":
      return refreshGrant(context, request.request);
    default:
      throw new AuthError(400, "invalid_credentials", "unsupported_grant_type");
  }
}

const passwordBody = z.object({
  email: z.string().nullish(),
  phone: z.string().nullish(),
  password: z.string().nullish(),
});

async function passwordGrant(context: AuthContext, request: Request): Promise<Response> {
  const body = await readBody(request, passwordBody);
  const password = body.password ?? "";
  if (body.email && body.phone) {
    throw invalid("Only an email address or phone number should be provided on login.");
  }
  if (body.phone) throw new AuthError(422, "phone_provider_disabled", "Phone logins are disabled");
  if (!body.email) throw invalid("missing email or phone");

  const email = body.email;
  const user = await orUnexpected("Database error querying schema", () =>
    findUserByEmail(context.sql, email),
  );
  if (user === undefined || user.encrypted_password === "") throw invalidCredentials();
  if (isBanned(user, context.now())) throw new AuthError(400, "user_banned", "User is banned");

  const valid = await passwordMatches(context.passwordSql, user.encrypted_password, password);
  await runPasswordHook(context, user.id, valid);
  if (!valid) throw invalidCredentials();
  if (user.email_confirmed_at === null)
    throw new AuthError(400, "email_not_confirmed", "Email not confirmed");

  const session = await context.sql.begin(async (tx) => {
    await writeAuditLog(tx, { actor: user, action: "login", traits: { provider: "email" } }, context.now());
    return issueSession(context, tx, user.id, "password", clientOf(request));
  });
  const weakness = passwordWeakness(password, context.settings.passwordMinLength);
  return Response.json(weakness === undefined ? session : { ...session, weak_password: weakness });
}

function invalidCredentials(): AuthError {
  return new AuthError(400, "invalid_credentials", "Invalid login credentials");
}

const refreshBody = z.object({ refresh_token: z.string().nullish() });

async function refreshGrant(context: AuthContext, request: Request): Promise<Response> {
  const { refresh_token: presented } = await readBody(request, refreshBody);
  if (!presented) throw new OAuthError("invalid_request", "refresh_token required");
  // Thrown after the commit: the revocation of a misused session's tokens must stay.
  const outcome = await context.sql.begin((tx) => refresh(context, tx, presented, request));
  if (outcome instanceof AuthError) throw outcome;
  return Response.json(outcome);
}

async function refresh(
  context: AuthContext,
  tx: Database,
  presented: string,
  request: Request,
): Promise<SessionResponse | AuthError> {
  const { user, held, session } = await requireRefreshable(context, tx, presented);
  const now = context.now();

  let refreshToken: string;
  if (!held.revoked) {
    refreshToken = await rotate(tx, user, session, held, now);
  } else {
    const active = await findActiveRefreshToken(tx, session.id);
    const reusableUntil = held.updated_at.getTime() + context.settings.refreshTokenReuseSeconds * 1000;
    if (active?.parent === held.token) {
      // The answer to the last refresh did not arrive: the same successor is handed out again.
      await writeAuditLog(tx, { actor: user, action: "token_refreshed" }, now);
      refreshToken = active.token;
    } else if (now.getTime() <= reusableUntil) {
      refreshToken = await rotate(tx, user, session, held, now);
    } else {
      await revokeRefreshTokensOf(tx, session.id, now);
      return refused("refresh_token_already_used", "Already Used");
    }
  }
  await touchSession(tx, session.id, clientOf(request), now);
  return sessionResponse(context, tx, { userId: user.id, sessionId: session.id, refreshToken });
}

/** The token with its user and its session, which stays locked, so that refreshes of one session follow each other. */
async function requireRefreshable(
  context: AuthContext,
  tx: Database,
  presented: string,
): Promise<{ user: User; held: RefreshToken; session: Session }> {
  const notFound = refused("refresh_token_not_found", "Refresh Token Not Found");
  const found = await findRefreshToken(tx, presented);
  if (found === undefined) throw notFound;
  const user = await findUserById(tx, found.user_id);
  if (user === undefined) throw notFound;
  const now = context.now();
  if (isBanned(user, now)) throw refused("user_banned", "User Banned");

  const session = found.session_id === null ? undefined : await findSession(tx, found.session_id, true);
  if (session === undefined) throw refused("session_not_found", "No Valid Session Found");
  if (session.not_after !== null && now > session.not_after)
    throw refused("session_expired", "Session Expired");
  // Read again: whoever held the lock may have rotated it.
  const held = await findRefreshToken(tx, presented);
  if (held === undefined) throw notFound;
  return { user, held, session };
}

async function rotate(
  tx: Database,
  user: User,
  session: Session,
  held: RefreshToken,
  now: Date,
): Promise<string> {
  await writeAuditLog(tx, { actor: user, action: "token_refreshed" }, now);
  await writeAuditLog(tx, { actor: user, action: "token_revoked" }, now);
  await revokeRefreshToken(tx, held.token, now);
  return insertRefreshToken(tx, { userId: user.id, sessionId: session.id, parent: held.token }, now);
}

function refused(code: string, reason: string): AuthError {
  return new AuthError(400, code, `Invalid Refresh Token: ${reason}`);
}
