import { createHash, randomInt } from "node:crypto";
import { z } from "zod";
import type { Database } from "./auth-context.ts";

/** What a code is for, as `auth.one_time_tokens` names it. */
export type OneTimeTokenType =
  | "confirmation_token"
  | "recovery_token"
  | "email_change_token_new"
  | "email_change_token_current";

/** Six digits. */
export function makeOtp(): string {
  return randomInt(1_000_000).toString().padStart(6, "0");
}

/** What is stored and sent in links: the code is worthless without the address it was sent to. */
export function hashOtp(email: string, otp: string): string {
  return createHash("sha224")
    .update(email + otp)
    .digest("hex");
}

/** Keeps the hash; the person's earlier code of this type is void. */
export async function putOneTimeToken(
  db: Database,
  token: { userId: string; type: OneTimeTokenType; hash: string; relatesTo: string },
  now: Date,
): Promise<void> {
  // The columns have no time zone and hold UTC.
  await db`
    insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to, created_at, updated_at)
    values (
      ${crypto.randomUUID()}, ${token.userId}, ${token.type}, ${token.hash}, ${token.relatesTo.toLowerCase()},
      ${now}, ${now}
    )
    on conflict (user_id, token_type) do update
    set
      id = excluded.id,
      token_hash = excluded.token_hash,
      relates_to = excluded.relates_to,
      created_at = excluded.created_at,
      updated_at = excluded.updated_at`;
}

const found = z
  .object({
    user_id: z.string(),
    token_type: z.enum([
      "confirmation_token",
      "recovery_token",
      "email_change_token_new",
      "email_change_token_current",
    ]),
  })
  .optional();

/** Whose code of one of these types has this hash. */
export async function findOneTimeToken(
  db: Database,
  hash: string,
  types: readonly OneTimeTokenType[],
): Promise<{ user_id: string; token_type: OneTimeTokenType } | undefined> {
  if (hash.includes("\0")) return undefined;
  const rows = await db`
    select user_id, token_type
    from auth.one_time_tokens
    where token_hash = ${hash} and token_type::text = any (${[...types]})`;
  return found.parse(rows[0]);
}
