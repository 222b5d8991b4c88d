import { errors, type JWTPayload } from "jose";
import type { AuthContext } from "./auth-context.ts";
import { AuthError } from "./auth-error.ts";
import { findSession, type Session } from "./sessions.ts";
import { verifyToken } from "./signing-key.ts";
import { findUserById, isUuid, type User } from "./users.ts";

/** A person with a valid token whose user and session still exist; a ban does not end a token. */
export interface Caller {
  user: User;
  session: Session | undefined;
}

/** Lets through tokens of people: 401 without a token, 403 with one that is not or no longer good. */
export async function requireUser(context: AuthContext, request: Request): Promise<Caller> {
  const claims = await requireClaims(context, request);
  const subject = nonEmptyString(claims.sub);
  if (subject === undefined) throw badJwt("invalid claim: missing sub claim");
  if (!isUuid(subject)) throw new AuthError(400, "bad_jwt", "invalid claim: sub claim must be a UUID");

  const user = await findUserById(context.sql, subject);
  if (user === undefined)
    throw new AuthError(403, "user_not_found", "User from sub claim in JWT does not exist");

  const sessionId = nonEmptyString(claims["session_id"]);
  if (sessionId === undefined) return { user, session: undefined };
  if (!isUuid(sessionId)) throw badJwt("invalid claim: session_id claim must be a UUID");
  const session = await findSession(context.sql, sessionId);
  if (session === undefined) {
    throw new AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist");
  }
  return { user, session };
}

/** Lets through tokens with the role of the secret key. */
export async function requireAdmin(context: AuthContext, request: Request): Promise<void> {
  const claims = await requireClaims(context, request);
  if (claims["role"] !== "service_role") throw new AuthError(403, "not_admin", "User not allowed");
}

async function requireClaims(context: AuthContext, request: Request): Promise<JWTPayload> {
  const token = /^[Bb]earer (\S+)$/.exec(request.headers.get("authorization") ?? "")?.[1];
  if (token === undefined)
    throw new AuthError(401, "no_authorization", "This endpoint requires a Bearer token");
  try {
    return await verifyToken(context.signingKey, token, context.now());
  } catch (error) {
    throw badJwt(`invalid JWT: unable to parse or verify signature, ${reasonOf(error)}`);
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return "token has invalid claims: token is expired";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "token signature is invalid";
  return "token is unverifiable or malformed";
}

function badJwt(message: string): AuthError {
  return new AuthError(403, "bad_jwt", message);
}

function nonEmptyString(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
