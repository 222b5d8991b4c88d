import type { AuthContext } from "../auth-context.ts";
import { publicJwks } from "../signing-key.ts";

/** `GET /health`: says that the process answers, not that its database does. */
export async function health(): Promise<Response> {
  return Response.json({
    version: "stand-in",
    name: "GoTrue",
    description: "GoTrue is a user registration and authentication API",
  });
}

// The order and the names are those of the wire; only `email` is on.
const providers = [
  "anonymous_users",
  "apple",
  "azure",
  "bitbucket",
  "discord",
  "facebook",
  "figma",
  "fly",
  "github",
  "gitlab",
  "google",
  "kakao",
  "keycloak",
  "linkedin",
  "linkedin_oidc",
  "notion",
  "slack",
  "slack_oidc",
  "snapchat",
  "spotify",
  "twitch",
  "twitter",
  "workos",
  "zoom",
  "email",
  "phone",
];

/** `GET /settings`. */
export async function settings(context: AuthContext): Promise<Response> {
  return Response.json({
    external: Object.fromEntries(providers.map((name) => [name, name === "email"])),
    disable_signup: context.settings.disableSignup,
    mailer_autoconfirm: context.settings.autoconfirm,
    phone_autoconfirm: false,
    sms_provider: "",
    saml_enabled: false,
  });
}

/** `GET /.well-known/jwks.json`. */
export async function jwks(context: AuthContext): Promise<Response> {
  const headers = { "cache-control": "public, max-age=600" };
  return Response.json(publicJwks(context.signingKey), { headers });
}
