import type { AuthContext, Database, MailKind } from "./auth-context.ts";
import { AuthError, orUnexpected } from "./auth-error.ts";
import { hashOtp, makeOtp, putOneTimeToken } from "./one-time-tokens.ts";
import type { User } from "./users.ts";

/** 429 while the last mail of this kind is younger than the project's least interval. */
export function requireMailInterval(context: AuthContext, sentAt: Date | null): void {
  if (sentAt === null) return;
  const left = sentAt.getTime() + context.settings.emailMaxFrequencySeconds * 1000 - context.now().getTime();
  if (left <= 0) return;
  const seconds = Math.floor(left / 1000);
  throw tooManyMails(`For security purposes, you can only request this after ${seconds} seconds.`);
}

/** Mails the code that confirms a new account. */
export async function sendConfirmationMail(
  context: AuthContext,
  db: Database,
  user: User,
  redirectTo: string,
): Promise<void> {
  requireMailInterval(context, user.confirmation_sent_at);
  await orUnexpected("Error sending confirmation email", async () => {
    const code = makeCode(user.email);
    const now = context.now();
    await send(context, {
      to: user.email,
      subject: "Confirm Your Email",
      kind: "signup",
      redirectTo,
      ...code,
    });
    await db`
      update auth.users
      set confirmation_token = ${code.tokenHash}, confirmation_sent_at = ${now}, updated_at = ${now}
      where id = ${user.id}`;
    const token = { userId: user.id, hash: code.tokenHash, relatesTo: user.email };
    await putOneTimeToken(db, { ...token, type: "confirmation_token" }, now);
  });
}

/** Mails the code that lets someone in who forgot the password. */
export async function sendRecoveryMail(
  context: AuthContext,
  db: Database,
  user: User,
  redirectTo: string,
): Promise<void> {
  requireMailInterval(context, user.recovery_sent_at);
  await orUnexpected("Error sending recovery email", async () => {
    const code = makeCode(user.email);
    const now = context.now();
    await send(context, {
      to: user.email,
      subject: "Reset Your Password",
      kind: "recovery",
      redirectTo,
      ...code,
    });
    await db`
      update auth.users
      set recovery_token = ${code.tokenHash}, recovery_sent_at = ${now}, updated_at = ${now}
      where id = ${user.id}`;
    const token = { userId: user.id, hash: code.tokenHash, relatesTo: user.email };
    await putOneTimeToken(db, { ...token, type: "recovery_token" }, now);
  });
}

/** Mails the new address, and the old one where both must agree. */
export async function sendEmailChangeMails(
  context: AuthContext,
  db: Database,
  user: User,
  newEmail: string,
  redirectTo: string,
): Promise<void> {
  requireMailInterval(context, user.email_change_sent_at);
  await orUnexpected("Error sending email change email", async () => {
    const both = context.settings.secureEmailChange && user.email !== "";
    const newCode = makeCode(newEmail);
    const currentCode = makeCode(user.email);
    const now = context.now();
    const mail = { subject: "Confirm Email Change", kind: "email_change", redirectTo } as const;
    await send(context, { ...mail, to: newEmail, ...newCode });
    if (both) await send(context, { ...mail, to: user.email, ...currentCode });
    await db`
      update auth.users
      set
        email_change = ${newEmail},
        email_change_token_new = ${newCode.tokenHash},
        email_change_token_current = ${both ? currentCode.tokenHash : ""},
        email_change_confirm_status = 0,
        email_change_sent_at = ${now},
        updated_at = ${now}
      where id = ${user.id}`;
    const token = { userId: user.id, hash: newCode.tokenHash, relatesTo: newEmail };
    await putOneTimeToken(db, { ...token, type: "email_change_token_new" }, now);
    if (!both) return;
    const current = { userId: user.id, hash: currentCode.tokenHash, relatesTo: user.email };
    await putOneTimeToken(db, { ...current, type: "email_change_token_current" }, now);
  });
}

function makeCode(email: string): { token: string; tokenHash: string } {
  const token = makeOtp();
  return { token, tokenHash: hashOtp(email, token) };
}

async function send(
  context: AuthContext,
  mail: { to: string; subject: string; kind: MailKind; token: string; tokenHash: string; redirectTo: string },
): Promise<void> {
  if (context.mailLimiter?.take("all mails") === false) throw tooManyMails("email rate limit exceeded");
  const { redirectTo, ...rest } = mail;
  const query = new URLSearchParams({ token: mail.tokenHash, type: mail.kind, redirect_to: redirectTo });
  await context.sendMail({ ...rest, link: `${context.url}/verify?${query.toString()}` });
}

function tooManyMails(message: string): AuthError {
  return new AuthError(429, "over_email_send_rate_limit", message);
}
