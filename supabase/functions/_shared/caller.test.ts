import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import { beforeAll, describe, expect, test } from "vitest";
import { identifyCaller } from "./caller.ts";
import type { Environment } from "./env.ts";
import { ApiError } from "./errors.ts";

type PrivateKey = Awaited<ReturnType<typeof generateKeyPair>>["privateKey"];

let environment: Environment;
let signingKey: PrivateKey;
let foreignKey: PrivateKey;

beforeAll(async () => {
  const pair = await generateKeyPair("ES256", { extractable: true });
  signingKey = pair.privateKey;
  foreignKey = (await generateKeyPair("ES256")).privateKey;
  const jwk = await exportJWK(pair.publicKey);
  environment = {
    supabaseUrl: "http://api.example",
    databaseUrl: "postgres://unused",
    publishableKeys: { default: "sb_publishable_x" },
    secretKeys: { default: "sb_secret_x", ci: "sb_secret_y" },
    jwks: { keys: [{ ...jwk, kty: "EC", kid: "k1", alg: "ES256" }] },
    executionId: undefined,
  };
});

const claims = { sub: "u1", session_id: "s1", role: "authenticated" };

function sign(key: PrivateKey, payload: Record<string, unknown> = claims, expires = "1h"): Promise<string> {
  return new SignJWT(payload)
    .setProtectedHeader({ alg: "ES256", kid: "k1" })
    .setExpirationTime(expires)
    .sign(key);
}

function identify(headers: Record<string, string>): ReturnType<typeof identifyCaller> {
  return identifyCaller(new Request("http://x/", { headers }), environment);
}

async function refusal(headers: Record<string, string>): Promise<ApiError> {
  const error = await identify(headers).catch((thrown: unknown) => thrown);
  if (!(error instanceof ApiError)) throw new Error("The caller was not refused.");
  return error;
}

test("a user token is a user with its claims", async () => {
  const caller = await identify({
    authorization: `Bearer ${await sign(signingKey)}`,
    apikey: "sb_publishable_x",
  });
  expect(caller.kind).toBe("user");
  expect(caller.claims).toMatchObject(claims);
});

test.each([
  ["sb_secret_x", "default"],
  ["sb_secret_y", "ci"],
])("any of the named secret keys is accepted by its name", async (apikey, name) => {
  expect(await identify({ apikey })).toEqual({
    kind: "secret_key",
    claims: { role: "service_role", key_name: name },
  });
});

test("supabase-js sends its secret key as the bearer token too", async () => {
  expect((await identify({ apikey: "sb_secret_x", authorization: "Bearer sb_secret_x" })).kind).toBe(
    "secret_key",
  );
});

test("a server that passes a user's token on acts as that user", async () => {
  const authorization = `Bearer ${await sign(signingKey)}`;
  expect((await identify({ apikey: "sb_secret_x", authorization })).kind).toBe("user");
});

describe("refused, always in the same words", () => {
  const cases: [string, () => Promise<Record<string, string>> | Record<string, string>, string][] = [
    ["no credentials", () => ({}), "no_credentials"],
    ["a publishable key", () => ({ apikey: "sb_publishable_x" }), "key_refused"],
    ["a wrong key", () => ({ apikey: "sb_secret_z" }), "key_refused"],
    ["the beginning of a key", () => ({ apikey: "sb_secret_" }), "key_refused"],
    ["a secret key as the token only", () => ({ authorization: "Bearer sb_secret_x" }), "no_credentials"],
    ["garbage", () => ({ authorization: "Bearer a.b.c" }), "token_refused"],
    ["another scheme", () => ({ authorization: "Basic dTpw", apikey: "sb_secret_x" }), "other_authorization"],
    [
      "an expired token",
      async () => ({ authorization: `Bearer ${await sign(signingKey, claims, "-1s")}` }),
      "token_refused",
    ],
    ["a foreign token", async () => ({ authorization: `Bearer ${await sign(foreignKey)}` }), "token_refused"],
    [
      "a foreign token beside a secret key",
      async () => ({ authorization: `Bearer ${await sign(foreignKey)}`, apikey: "sb_secret_x" }),
      "token_refused",
    ],
    [
      "an unsigned token",
      () => ({ authorization: `Bearer ${new UnsecuredJWT(claims).encode()}` }),
      "token_refused",
    ],
    [
      "a token of the service role",
      async () => ({ authorization: `Bearer ${await sign(signingKey, { role: "service_role" })}` }),
      "token_refused",
    ],
    [
      "a token of another role with a subject",
      async () => ({ authorization: `Bearer ${await sign(signingKey, { ...claims, role: "anon" })}` }),
      "not_a_user_token",
    ],
  ];

  test.each(cases)("%s", async (_name, headers, reason) => {
    const error = await refusal(await headers());
    expect(error).toMatchObject({ code: "UNAUTHENTICATED", status: 401, reason });
    expect(error.body("r1")).toEqual((await refusal({})).body("r1"));
  });

  test("a token that lies about its algorithm", async () => {
    // The public key as an HMAC secret: the confusion of algorithms.
    const secret = new TextEncoder().encode(JSON.stringify(environment.jwks.keys[0]));
    const token = await new SignJWT(claims).setProtectedHeader({ alg: "HS256", kid: "k1" }).sign(secret);
    expect((await refusal({ authorization: `Bearer ${token}` })).code).toBe("UNAUTHENTICATED");
  });
});
