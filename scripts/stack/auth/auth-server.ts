import type postgres from "postgres";
import type { AuthContext, Mail, Route } from "./auth-context.ts";
import { AuthError, errorResponse } from "./auth-error.ts";
import { type AuthSettings, defaultAuthSettings } from "./auth-settings.ts";
import { isHookName } from "./password-hook.ts";
import { RequestLimiter } from "./request-limiter.ts";
import { health, jwks, settings } from "./routes/about.ts";
import { adminCreateUser, adminUpdateUser } from "./routes/admin-user-changes.ts";
import { adminDeleteUser, adminGetUser, adminListFactors, adminListUsers } from "./routes/admin-users.ts";
import { logout } from "./routes/logout.ts";
import { recover } from "./routes/recover.ts";
import { resend } from "./routes/resend.ts";
import { signup } from "./routes/signup.ts";
import { token } from "./routes/token.ts";
import { getUser, updateUser } from "./routes/user.ts";
import { verifyCode, verifyLink } from "./routes/verify.ts";
import type { SigningKey } from "./signing-key.ts";

/** What the stand-in needs from the stack. */
export interface AuthOptions {
  /** A pool logged in as `supabase_auth_admin`, or as `postgres` on a foreign database. */
  sql: postgres.Sql;
  /**
   * A login that may use schema `extensions`, such as `postgres`: `supabase_auth_admin` may not, and passwords are
   * hashed by pgcrypto. Without it `sql` must be such a login.
   */
  passwordSql?: postgres.Sql;
  /** The public base, such as `http://127.0.0.1:54321/auth/v1`; also the issuer of the tokens. */
  url: string;
  signingKey: SigningKey;
  /** Delivers a mail; when it throws, what the mail was for is not done. */
  sendMail(mail: Mail): Promise<void>;
  settings?: Partial<AuthSettings>;
  /** The clock of every rule, for tests that travel in time. */
  now?: () => Date;
  /** Gets a line for each failure whose cause the answer does not tell. */
  report?: (line: string) => void;
}

/** Auth's HTTP API as a fetch-style handler; paths arrive without the `/auth/v1` prefix. */
export interface AuthServer {
  fetch(request: Request): Promise<Response>;
}

/** Makes the stand-in for GoTrue. All it knows is in the tables of schema `auth`. */
export function createAuthServer(options: AuthOptions): AuthServer {
  const context = makeContext(options);
  const report = options.report ?? ((line: string) => console.error(line));
  return {
    async fetch(request) {
      try {
        return await route(context, request);
      } catch (thrown) {
        const response = errorResponse(thrown, request);
        if (response.status >= 500)
          report(`auth: ${request.method} ${new URL(request.url).pathname}: ${causeOf(thrown)}`);
        return response;
      }
    },
  };
}

function makeContext(options: AuthOptions): AuthContext {
  const merged = { ...defaultAuthSettings, ...options.settings };
  const { passwordHook, requestsPerFiveMinutes: requests, emailsPerHour: mails } = merged;
  if (passwordHook !== undefined && !isHookName(passwordHook)) {
    throw new Error(`The password hook must be named as schema.function, not ${passwordHook}.`);
  }
  const now = options.now ?? (() => new Date());
  return {
    sql: options.sql,
    passwordSql: options.passwordSql ?? options.sql,
    url: options.url.replace(/\/$/, ""),
    signingKey: options.signingKey,
    settings: merged,
    requestLimiter: requests === undefined ? undefined : new RequestLimiter(requests, 300, now),
    mailLimiter: mails === undefined ? undefined : new RequestLimiter(mails, 3600, now),
    sendMail: (mail) => options.sendMail(mail),
    now,
  };
}

interface RouteEntry {
  method: string;
  path: string;
  handler: Route;
  /** Whether a client address may call it only so often. */
  limited?: true;
}

const routes: readonly RouteEntry[] = [
  { method: "GET", path: "/health", handler: health },
  { method: "GET", path: "/settings", handler: settings },
  { method: "GET", path: "/.well-known/jwks.json", handler: jwks },
  { method: "POST", path: "/token", handler: token, limited: true },
  { method: "POST", path: "/signup", handler: signup, limited: true },
  { method: "GET", path: "/verify", handler: verifyLink, limited: true },
  { method: "POST", path: "/verify", handler: verifyCode, limited: true },
  { method: "POST", path: "/resend", handler: resend, limited: true },
  { method: "POST", path: "/recover", handler: recover, limited: true },
  { method: "GET", path: "/user", handler: getUser },
  { method: "PUT", path: "/user", handler: updateUser, limited: true },
  { method: "POST", path: "/logout", handler: logout },
  { method: "GET", path: "/admin/users", handler: adminListUsers },
  { method: "POST", path: "/admin/users", handler: adminCreateUser },
  { method: "GET", path: "/admin/users/{user_id}", handler: adminGetUser },
  { method: "PUT", path: "/admin/users/{user_id}", handler: adminUpdateUser },
  { method: "DELETE", path: "/admin/users/{user_id}", handler: adminDeleteUser },
  { method: "GET", path: "/admin/users/{user_id}/factors", handler: adminListFactors },
];

async function route(context: AuthContext, request: Request): Promise<Response> {
  const url = new URL(request.url);
  const { path, params } = namePath(url.pathname.replace(/(?<=.)\/$/, ""));
  const entries = routes.filter((one) => one.path === path);
  if (entries.length === 0) return new Response("404 page not found\n", { status: 404 });
  const entry = entries.find((one) => one.method === request.method);
  if (entry === undefined) {
    return new Response(null, {
      status: 405,
      headers: { allow: entries.map((one) => one.method).join(", ") },
    });
  }
  const address = request.headers.get("x-forwarded-for")?.split(",")[0]?.trim();
  // Without an address nobody could be told apart, so nobody is limited: GoTrue does the same.
  if (entry.limited && address && context.requestLimiter?.take(`${path} ${address}`) === false) {
    throw new AuthError(429, "over_request_rate_limit", "Request rate limit reached");
  }
  return entry.handler(context, { request, url, params });
}

/** The path as the table above writes it, and what stands in its place. */
function namePath(pathname: string): { path: string; params: Record<string, string> } {
  const [, userId, rest = ""] = /^\/admin\/users\/([^/]+)(\/.*)?$/.exec(pathname) ?? [];
  if (userId === undefined) return { path: pathname, params: {} };
  return { path: `/admin/users/{user_id}${rest}`, params: { user_id: userId } };
}

function causeOf(thrown: unknown): string {
  // What we foresaw is told by its message; anything else is a mistake of ours and needs its stack.
  if (thrown instanceof AuthError)
    return thrown.cause instanceof Error ? thrown.cause.message : String(thrown.cause);
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}
