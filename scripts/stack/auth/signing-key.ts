import { exportJWK, generateKeyPair, importJWK, type JWK, type JWTPayload, jwtVerify, SignJWT } from "jose";
import { z } from "zod";

const signingKeySchema = z.object({
  kty: z.literal("EC"),
  crv: z.literal("P-256"),
  alg: z.literal("ES256"),
  kid: z.string().min(1),
  x: z.string(),
  y: z.string(),
  d: z.string(),
});

/** An ES256 private key as a JWK with its `kid`: plain JSON, so it can be kept in a file. */
export type SigningKey = z.infer<typeof signingKeySchema>;

/** Makes a new key. */
export async function generateSigningKey(): Promise<SigningKey> {
  const pair = await generateKeyPair("ES256", { extractable: true });
  return readSigningKey({ ...(await exportJWK(pair.privateKey)), alg: "ES256", kid: crypto.randomUUID() });
}

/** Reads a key that was kept as JSON; throws when it is not an ES256 private JWK with a `kid`. */
export function readSigningKey(value: unknown): SigningKey {
  return signingKeySchema.parse(value);
}

/** The public half, as `/.well-known/jwks.json` serves it. */
export function publicJwks(key: SigningKey): { keys: JWK[] } {
  const { alg, crv, kid, kty, x, y } = key;
  return { keys: [{ alg, crv, ext: true, key_ops: ["verify"], kid, kty, use: "sig", x, y }] };
}

/** Signs `claims`, adding `iat` and `exp`. */
export async function signToken(
  key: SigningKey,
  claims: Record<string, unknown>,
  expiresInSeconds: number,
  now: Date = new Date(),
): Promise<string> {
  const issuedAt = Math.floor(now.getTime() / 1000);
  return new SignJWT({ ...claims, iat: issuedAt, exp: issuedAt + expiresInSeconds })
    .setProtectedHeader({ alg: "ES256", kid: key.kid, typ: "JWT" })
    .sign(await importJWK(key, "ES256"));
}

/** The claims of a token that this key signed and that has not expired; throws jose's error otherwise. */
export async function verifyToken(key: SigningKey, token: string, now: Date): Promise<JWTPayload> {
  const { d: _private, ...publicKey } = key;
  const verified = await jwtVerify(
    token,
    // A token without our `kid` is someone else's, whatever its signature says.
    async (header) => {
      if (header.kid !== key.kid) throw new Error("unrecognized JWT kid");
      return importJWK(publicKey, "ES256");
    },
    { algorithms: ["ES256"], currentDate: now },
  );
  return verified.payload;
}
