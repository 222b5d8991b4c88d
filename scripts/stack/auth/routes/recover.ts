import { z } from "zod";
import { writeAuditLog } from "../audit-log.ts";
import type { AuthContext, AuthRequest } from "../auth-context.ts";
import { invalid } from "../auth-error.ts";
import { requireEmailAddress } from "../email-address.ts";
import { sendRecoveryMail } from "../mails.ts";
import { redirectTarget } from "../redirects.ts";
import { readBody } from "../request-body.ts";
import { findUserByEmail } from "../users.ts";

const recoverBody = z.object({ email: z.string().nullish(), code_challenge: z.string().nullish() });

/** `POST /recover`: answers `{}` also when nobody has this address. */
export async function recover(context: AuthContext, { request, url }: AuthRequest): Promise<Response> {
  const body = await readBody(request, recoverBody);
  if (!body.email) throw invalid("Password recovery requires an email");
  const email = requireEmailAddress(body.email);
  if (body.code_challenge) throw invalid("The local Auth server knows no PKCE flow");

  const user = await findUserByEmail(context.sql, email);
  if (user === undefined) return Response.json({});
  const redirectTo = redirectTarget(request, url, context.settings);
  await context.sql.begin(async (tx) => {
    await writeAuditLog(tx, { actor: user, action: "user_recovery_requested" }, context.now());
    await sendRecoveryMail(context, tx, user, redirectTo);
  });
  return Response.json({});
}
