import { verifyCredentials } from "@supabase/server/core";
import type { Environment } from "./env.ts";
import { ApiError } from "./errors.ts";

/** Who sent a request, as far as credentials can tell. Whether they may do anything is decided by `runbook.enter`. */
export interface Caller {
  kind: "user" | "secret_key";
  /** For `runbook.enter`: the verified claims of a token, or the service role with the name of the key. */
  claims: Record<string, unknown>;
}

/**
 * Verifies a user token in `Authorization` or a secret key in `apikey`. A token that is there and bad is refused whatever
 * the key is: a server that passes a user's token on must not lend its own key to it.
 * @throws ApiError 401 `UNAUTHENTICATED`, the same for every reason; the log gets the reason.
 */
export async function identifyCaller(request: Request, environment: Environment): Promise<Caller> {
  const authorization = request.headers.get("authorization");
  const token = authorization === null ? null : bearerToken(authorization);
  const apikey = request.headers.get("apikey");
  const { data } = await verifyCredentials(
    { token, apikey },
    {
      auth: ["user", "secret:*"],
      env: {
        url: environment.supabaseUrl,
        publishableKeys: environment.publishableKeys,
        secretKeys: environment.secretKeys,
        jwks: environment.jwks,
      },
    },
  );
  if (data === null) throw unauthenticated(refusal(token, apikey));
  if (data.authMode === "secret")
    return { kind: "secret_key", claims: { role: "service_role", key_name: data.keyName } };
  const claims = data.jwtClaims;
  // Auth signs other tokens with the same keys, such as those of the API's roles: those are not users.
  if (claims === null || claims.role !== "authenticated") throw unauthenticated("not_a_user_token");
  return { kind: "user", claims: { ...claims } };
}

/** The refusal of a caller without valid credentials. */
export function unauthenticated(reason: string): ApiError {
  return new ApiError("UNAUTHENTICATED", { reason });
}

function bearerToken(authorization: string): string {
  const token = /^bearer\s+(\S+)\s*$/i.exec(authorization)?.[1];
  if (token === undefined) throw unauthenticated("other_authorization");
  return token;
}

function refusal(token: string | null, apikey: string | null): string {
  // supabase-js sends its key as the bearer token while nobody is signed in.
  if (token !== null && !token.startsWith("sb_")) return "token_refused";
  return apikey === null ? "no_credentials" : "key_refused";
}
