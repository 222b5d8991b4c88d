import { writeAuditLog } from "../audit-log.ts";
import type { AuthContext, AuthRequest } from "../auth-context.ts";
import { invalid } from "../auth-error.ts";
import { requireUser } from "../bearer.ts";
import {
  deleteOtherSessionsOf,
  deleteRefreshTokensOf,
  deleteSession,
  deleteSessionsOf,
} from "../sessions.ts";

/** `POST /logout?scope=global|local|others`: 204. */
export async function logout(context: AuthContext, { request, url }: AuthRequest): Promise<Response> {
  const { user, session } = await requireUser(context, request);
  const scope = url.searchParams.get("scope") || "global";
  if (scope !== "global" && scope !== "local" && scope !== "others") {
    throw invalid(`Unsupported logout scope ${JSON.stringify(scope)}`);
  }
  await context.sql.begin(async (tx) => {
    await writeAuditLog(tx, { actor: user, action: "logout" }, context.now());
    if (session === undefined) return deleteRefreshTokensOf(tx, user.id);
    if (scope === "local") return deleteSession(tx, session.id);
    if (scope === "others") return deleteOtherSessionsOf(tx, user.id, session.id);
    return deleteSessionsOf(tx, user.id);
  });
  return new Response(null, { status: 204 });
}
