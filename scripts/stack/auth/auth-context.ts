import type postgres from "postgres";
import type { AuthSettings } from "./auth-settings.ts";
import type { RequestLimiter } from "./request-limiter.ts";
import type { SigningKey } from "./signing-key.ts";

/** A pool or the transaction of a request. */
export type Database = postgres.ISql;

/** What a mail is for; also the `type` in its link. */
export type MailKind = "signup" | "recovery" | "email_change" | "magiclink" | "invite";

/** One mail: the code (`token`), its hash and the link that carries the hash. */
export interface Mail {
  to: string;
  subject: string;
  kind: MailKind;
  token: string;
  tokenHash: string;
  link: string;
}

/** What every route needs. */
export interface AuthContext {
  readonly sql: postgres.Sql;
  /** A login with USAGE on schema `extensions`, which `supabase_auth_admin` has not: for pgcrypto only. */
  readonly passwordSql: postgres.Sql;
  readonly url: string;
  readonly signingKey: SigningKey;
  readonly settings: AuthSettings;
  readonly requestLimiter: RequestLimiter | undefined;
  readonly mailLimiter: RequestLimiter | undefined;
  sendMail(mail: Mail): Promise<void>;
  now(): Date;
}

/** A request with the parts that its path names, such as `user_id`. */
export interface AuthRequest {
  readonly request: Request;
  readonly url: URL;
  readonly params: Readonly<Record<string, string>>;
}

/** Answers a request, or throws an `AuthError`. */
export type Route = (context: AuthContext, request: AuthRequest) => Promise<Response>;

/** The only audience there is. */
export const audience = "authenticated";

/** GoTrue writes and looks for this in `instance_id`; a row with NULL there does not exist for it. */
export const nilUuid = "00000000-0000-0000-0000-000000000000";
