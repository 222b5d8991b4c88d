import { isIP } from "node:net";
import type { AuthContext, Database } from "./auth-context.ts";
import { unexpected } from "./auth-error.ts";
import {
  type AuthenticationMethod,
  authenticationMethods,
  type Client,
  insertRefreshToken,
  insertSession,
} from "./sessions.ts";
import { signToken } from "./signing-key.ts";
import { userJson } from "./user-json.ts";
import { findUserById, type User } from "./users.ts";

/** What a successful sign-in or refresh answers. */
export interface SessionResponse {
  access_token: string;
  token_type: "bearer";
  expires_in: number;
  /** Seconds since 1970. */
  expires_at: number;
  refresh_token: string;
  user: Record<string, unknown>;
}

/** Signs the person in: a new session with its first refresh token. */
export async function issueSession(
  context: AuthContext,
  db: Database,
  userId: string,
  method: AuthenticationMethod,
  client: Client,
): Promise<SessionResponse> {
  const now = context.now();
  const sessionId = crypto.randomUUID();
  await insertSession(db, { id: sessionId, userId, method, client }, now);
  const refreshToken = await insertRefreshToken(db, { userId, sessionId, parent: null }, now);
  return sessionResponse(context, db, { userId, sessionId, refreshToken });
}

/** The answer for a session: a fresh access token with what the database holds now. */
export async function sessionResponse(
  context: AuthContext,
  db: Database,
  session: { userId: string; sessionId: string; refreshToken: string },
): Promise<SessionResponse> {
  const user = await findUserById(db, session.userId);
  if (user === undefined) throw unexpected("error generating jwt token", "the user is gone");
  const methods = await authenticationMethods(db, session.sessionId);
  const { jwtExpirySeconds } = context.settings;
  const now = context.now();
  const claims = accessTokenClaims(context.url, user, session.sessionId, methods);
  return {
    access_token: await signToken(context.signingKey, claims, jwtExpirySeconds, now),
    token_type: "bearer",
    expires_in: jwtExpirySeconds,
    expires_at: Math.floor(now.getTime() / 1000) + jwtExpirySeconds,
    refresh_token: session.refreshToken,
    user: userJson(user),
  };
}

/** GoTrue's claims, without `iat` and `exp`. */
export function accessTokenClaims(
  issuer: string,
  user: User,
  sessionId: string,
  amr: { method: string; timestamp: number }[],
): Record<string, unknown> {
  const secondFactor = amr.some(({ method }) => method === "totp" || method.startsWith("mfa/"));
  return {
    iss: issuer,
    sub: user.id,
    aud: user.aud,
    email: user.email,
    phone: user.phone,
    app_metadata: user.raw_app_meta_data,
    user_metadata: user.raw_user_meta_data,
    role: user.role,
    aal: secondFactor ? "aal2" : "aal1",
    amr,
    session_id: sessionId,
    is_anonymous: user.is_anonymous,
  };
}

/** The sender as its headers tell it; behind a gateway nothing else is known. */
export function clientOf(request: Request): Client {
  const forwarded = request.headers.get("x-forwarded-for")?.split(",")[0]?.trim() ?? "";
  return { userAgent: request.headers.get("user-agent"), ip: isIP(forwarded) === 0 ? null : forwarded };
}
