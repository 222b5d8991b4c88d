import type { AuthError } from "./auth-error.ts";
import type { AuthSettings } from "./auth-settings.ts";
import type { SessionResponse } from "./session-response.ts";

/** Where a link leads in the end: what the request asks for, if it is allowed, else the site. */
export function redirectTarget(request: Request, url: URL, settings: AuthSettings): string {
  const asked = [
    request.headers.get("redirect_to"),
    url.searchParams.get("redirect_to"),
    request.headers.get("referer"),
  ];
  return asked.find((target) => target !== null && isAllowed(target, settings)) ?? settings.siteUrl;
}

function isAllowed(target: string, settings: AuthSettings): boolean {
  if (settings.redirectUrls.includes(target)) return true;
  if (!URL.canParse(target)) return false;
  const { protocol, hostname } = new URL(target);
  return /^https?:$/.test(protocol) && hostname === new URL(settings.siteUrl).hostname;
}

/** Sends the browser on with the new session in the fragment. */
export function redirectWithSession(target: string, session: SessionResponse, type: string): Response {
  return seeOther(target, {
    access_token: session.access_token,
    expires_at: String(session.expires_at),
    expires_in: String(session.expires_in),
    refresh_token: session.refresh_token,
    token_type: session.token_type,
    type,
  });
}

/** Sends the browser on with a message. */
export function redirectWithMessage(target: string, message: string): Response {
  return seeOther(target, { message, sb: "" });
}

const oauthErrors: Readonly<Record<number, string>> = {
  400: "invalid_request",
  401: "unauthorized_client",
  403: "access_denied",
  500: "server_error",
  503: "temporarily_unavailable",
};

/** Sends the browser on with an error. */
export function redirectWithError(target: string, error: AuthError): Response {
  const kind = oauthErrors[error.status];
  return seeOther(target, {
    ...(kind === undefined ? {} : { error: kind }),
    error_code: error.code,
    error_description: error.message,
    sb: "",
  });
}

function seeOther(target: string, fragment: Record<string, string>): Response {
  const location = `${target.split("#")[0] ?? target}#${new URLSearchParams(fragment).toString()}`;
  return new Response(null, { status: 303, headers: { location } });
}
