import { randomInt } from "node:crypto";
import { z } from "zod";
import { type Database, nilUuid } from "./auth-context.ts";

const sessionSchema = z.object({
  id: z.string(),
  user_id: z.string(),
  aal: z.string().nullable(),
  not_after: z.date().nullable(),
});

/** A row of `auth.sessions`. */
export type Session = z.infer<typeof sessionSchema>;

/** How a person proved to be that person. */
export type AuthenticationMethod = "password" | "otp";

const refreshTokenSchema = z.object({
  id: z.string(),
  token: z.string(),
  user_id: z.string(),
  session_id: z.string().nullable(),
  parent: z.string().nullable(),
  revoked: z.boolean(),
  updated_at: z.date(),
});

/** A row of `auth.refresh_tokens`. */
export type RefreshToken = z.infer<typeof refreshTokenSchema>;

/** The session; `lock` holds it until the end of the transaction. */
export async function findSession(db: Database, id: string, lock = false): Promise<Session | undefined> {
  const rows = await db`
    select id, user_id, aal, not_after from auth.sessions where id = ${id} ${lock ? db`for update` : db``}`;
  return sessionSchema.optional().parse(rows[0]);
}

/** Opens a session; the browser and the address are kept as they were told. */
export async function insertSession(
  db: Database,
  session: { id: string; userId: string; method: AuthenticationMethod; client: Client },
  now: Date,
): Promise<void> {
  const { id, userId, method, client } = session;
  await db`
    insert into auth.sessions (id, user_id, created_at, updated_at, aal, user_agent, ip)
    values (${id}, ${userId}, ${now}, ${now}, 'aal1', ${client.userAgent}, ${client.ip})`;
  await db`
    insert into auth.mfa_amr_claims (id, session_id, created_at, updated_at, authentication_method)
    values (${crypto.randomUUID()}, ${id}, ${now}, ${now}, ${method})`;
  await db`update auth.users set last_sign_in_at = ${now}, updated_at = ${now} where id = ${userId}`;
}

/** Notes that the session was used. */
export async function touchSession(db: Database, id: string, client: Client, now: Date): Promise<void> {
  await db`
    update auth.sessions
    set refreshed_at = ${now}, user_agent = ${client.userAgent}, ip = ${client.ip}, updated_at = ${now}
    where id = ${id}`;
}

const amrSchema = z.array(z.object({ method: z.string(), at: z.date() }));

/** How the session's owner signed in, oldest first, in the form of the token's claim. */
export async function authenticationMethods(
  db: Database,
  sessionId: string,
): Promise<{ method: string; timestamp: number }[]> {
  const rows = await db`
    select authentication_method as method, updated_at as at
    from auth.mfa_amr_claims
    where session_id = ${sessionId}
    order by updated_at`;
  return amrSchema
    .parse([...rows])
    .map((claim) => ({ method: claim.method, timestamp: Math.floor(claim.at.getTime() / 1000) }));
}

/** The refresh token; without its NUL or its length it is nobody's. */
export async function findRefreshToken(db: Database, token: string): Promise<RefreshToken | undefined> {
  if (token.length < 12 || token.includes("\0")) return undefined;
  const rows = await db`
    select id::text, token, user_id, session_id, parent, coalesce(revoked, false) as revoked, updated_at
    from auth.refresh_tokens
    where token = ${token}`;
  return refreshTokenSchema.optional().parse(rows[0]);
}

/** The token that the session's owner should hold now. */
export async function findActiveRefreshToken(
  db: Database,
  sessionId: string,
): Promise<RefreshToken | undefined> {
  const rows = await db`
    select id::text, token, user_id, session_id, parent, revoked, updated_at
    from auth.refresh_tokens
    where session_id = ${sessionId} and revoked is false
    order by auth.refresh_tokens.id desc
    limit 1`;
  return refreshTokenSchema.optional().parse(rows[0]);
}

/** Makes a new token, the successor of `parent`. */
export async function insertRefreshToken(
  db: Database,
  owner: { userId: string; sessionId: string; parent: string | null },
  now: Date,
): Promise<string> {
  const token = makeRefreshToken();
  await db`
    insert into auth.refresh_tokens (instance_id, token, user_id, revoked, created_at, updated_at, parent, session_id)
    values (${nilUuid}, ${token}, ${owner.userId}, false, ${now}, ${now}, ${owner.parent}, ${owner.sessionId})`;
  return token;
}

/** The token was exchanged for its successor. */
export async function revokeRefreshToken(db: Database, token: string, now: Date): Promise<void> {
  await db`update auth.refresh_tokens set revoked = true, updated_at = ${now} where token = ${token}`;
}

/** After a stolen token was used nothing of the session can be refreshed. */
export async function revokeRefreshTokensOf(db: Database, sessionId: string, now: Date): Promise<void> {
  await db`
    update auth.refresh_tokens
    set revoked = true, updated_at = ${now}
    where session_id = ${sessionId} and revoked is false`;
}

/** Ends the session; its refresh tokens go with it. */
export async function deleteSession(db: Database, id: string): Promise<void> {
  await db`delete from auth.sessions where id = ${id}`;
}

/** Ends all sessions of a person. */
export async function deleteSessionsOf(db: Database, userId: string): Promise<void> {
  await db`delete from auth.sessions where user_id = ${userId}`;
}

/** Ends all sessions of a person but one. */
export async function deleteOtherSessionsOf(db: Database, userId: string, exceptId: string): Promise<void> {
  await db`delete from auth.sessions where user_id = ${userId} and id <> ${exceptId}`;
}

/** Removes a person's refresh tokens, those from before sessions existed included. */
export async function deleteRefreshTokensOf(db: Database, userId: string): Promise<void> {
  await db`delete from auth.refresh_tokens where user_id = ${userId}`;
}

/** What a request tells of its sender. */
export interface Client {
  userAgent: string | null;
  ip: string | null;
}

// Twelve characters of base 32: a longer token would be one of GoTrue's newer, signed kind.
function makeRefreshToken(): string {
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  return Array.from({ length: 12 }, () => alphabet[randomInt(alphabet.length)]).join("");
}
