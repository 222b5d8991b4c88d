import { z } from "zod";
import type { AuthContext } from "./auth-context.ts";
import { AuthError, unexpected } from "./auth-error.ts";
import { deleteSessionsOf } from "./sessions.ts";

const timeoutMilliseconds = 2000;

const answerSchema = z.object({
  decision: z.string().nullish(),
  message: z.string().nullish(),
  should_logout_user: z.boolean().nullish(),
  error: z
    .object({ http_code: z.number().int().min(400).max(599).nullish(), message: z.string().nullish() })
    .nullish(),
});

/** `schema.function` and nothing that SQL would read otherwise. */
export function isHookName(name: string): boolean {
  return /^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$/.test(name);
}

/**
 * Tells the project's `password_verification_attempt` hook about an attempt, if there is one. The hook has a
 * transaction of its own, so what it writes stays although the sign-in fails. 400 `invalid_credentials` when it
 * rejects, 500 when it fails or takes longer than two seconds.
 */
export async function runPasswordHook(context: AuthContext, userId: string, valid: boolean): Promise<void> {
  const name = context.settings.passwordHook;
  if (name === undefined) return;
  const answer = await callHook(context, name, userId, valid);
  if (answer.error?.message) {
    const status = answer.error.http_code ?? 500;
    throw new AuthError(status, status === 500 ? "unexpected_failure" : "unknown", answer.error.message);
  }
  if (answer.decision !== "reject") return;
  if (answer.should_logout_user === true) await deleteSessionsOf(context.sql, userId);
  const message = answer.message || "Further password verification attempts will be rejected.";
  throw new AuthError(400, "invalid_credentials", message);
}

async function callHook(
  context: AuthContext,
  name: string,
  userId: string,
  valid: boolean,
): Promise<z.infer<typeof answerSchema>> {
  try {
    return await context.sql.begin(async (tx) => {
      await tx`select set_config('statement_timeout', ${`${timeoutMilliseconds}ms`}, true)`;
      const rows = await tx`select ${tx(name)}(${tx.json({ user_id: userId, valid })}) as answer`;
      return answerSchema.parse(rows[0]?.["answer"]);
    });
  } catch (cause) {
    throw unexpected(`Error running hook URI: pg-functions://postgres/${name.replace(".", "/")}`, cause);
  }
}
