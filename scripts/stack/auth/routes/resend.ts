import { z } from "zod";
import { writeAuditLog } from "../audit-log.ts";
import type { AuthContext, AuthRequest } from "../auth-context.ts";
import { AuthError, invalid } from "../auth-error.ts";
import { requireEmailAddress } from "../email-address.ts";
import { sendConfirmationMail, sendEmailChangeMails } from "../mails.ts";
import { redirectTarget } from "../redirects.ts";
import { readBody } from "../request-body.ts";
import { findUserByEmail } from "../users.ts";

const resendBody = z.object({
  type: z.string().nullish(),
  email: z.string().nullish(),
  phone: z.string().nullish(),
});

/** `POST /resend`: answers `{}` also when there is nothing to send, so that nobody learns who has an account. */
export async function resend(context: AuthContext, { request, url }: AuthRequest): Promise<Response> {
  const { type, email } = requireResendable(await readBody(request, resendBody));
  const user = await findUserByEmail(context.sql, email);
  if (user === undefined) return Response.json({});
  if (type === "signup" && user.email_confirmed_at !== null) return Response.json({});
  if (type === "email_change" && user.email_change === "") return Response.json({});

  const redirectTo = redirectTarget(request, url, context.settings);
  await context.sql.begin(async (tx) => {
    if (type === "email_change")
      return sendEmailChangeMails(context, tx, user, user.email_change, redirectTo);
    await writeAuditLog(tx, { actor: user, action: "user_confirmation_requested" }, context.now());
    return sendConfirmationMail(context, tx, user, redirectTo);
  });
  return Response.json({});
}

function requireResendable(body: z.infer<typeof resendBody>): { type: string; email: string } {
  const { type, email, phone } = body;
  if (!type || !["signup", "email_change", "sms", "phone_change"].includes(type)) {
    throw invalid("Missing one of these types: signup, email_change, sms, phone_change");
  }
  if (!email && type === "signup") throw invalid("Type provided requires an email address");
  if (!phone && type === "sms") throw invalid("Type provided requires a phone number");
  if (email && phone) throw invalid("Only an email address or phone number should be provided.");
  if (phone) throw new AuthError(400, "phone_provider_disabled", "Phone logins are disabled");
  if (!email) throw invalid("Missing email address or phone number");
  return { type, email: requireEmailAddress(email) };
}
