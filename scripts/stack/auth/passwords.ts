import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { Database } from "./auth-context.ts";
import { AuthError, invalid } from "./auth-error.ts";

/** 422 `weak_password` with the reasons, or 400 when bcrypt could not take the whole of it. */
export function requireStrongPassword(password: string, minLength: number): void {
  if (Buffer.byteLength(password) > 72) throw invalid("Password cannot be longer than 72 characters");
  const weakness = passwordWeakness(password, minLength);
  if (weakness !== undefined) {
    throw new AuthError(422, "weak_password", weakness.message, { reasons: weakness.reasons });
  }
}

/** What makes the password weak today; a sign-in with an older password tells it without refusing. */
export function passwordWeakness(
  password: string,
  minLength: number,
): { message: string; reasons: string[] } | undefined {
  if (Buffer.byteLength(password) >= minLength) return undefined;
  return { message: `Password should be at least ${minLength} characters.`, reasons: ["length"] };
}

/** A bcrypt hash of cost 10. */
export async function hashPassword(sql: Database, password: string): Promise<string> {
  const rows = await sql`select extensions.crypt(${password}, extensions.gen_salt('bf', 10)) as hash`;
  return z.string().parse(rows[0]?.["hash"]);
}

/** Whether the password is the one of a bcrypt hash; no other hash is known here. */
export async function passwordMatches(sql: Database, hash: string, password: string): Promise<boolean> {
  // pgcrypto knows $2a$ only; $2b$ and $2y$ name the same algorithm. Postgres takes no NUL in a text.
  const salt = hash.replace(/^\$2[by]\$/, "$2a$");
  if (!/^\$2a\$\d\d\$.{53}$/.test(salt) || password.includes("\0")) return false;
  const rows = await sql`select extensions.crypt(${password}, ${salt}) = ${salt} as matches`;
  return z.boolean().parse(rows[0]?.["matches"]);
}

/** A password that nobody knows, for people who were created without one. */
export function randomPassword(): string {
  return randomBytes(48).toString("base64");
}
