import { createLocalJWKSet, jwtVerify, SignJWT } from "jose";
import { expect, test } from "vitest";
import { generateSigningKey, publicJwks, readSigningKey, signToken, verifyToken } from "./signing-key.ts";

const now = new Date("2026-01-01T00:00:00Z");

test("the public key verifies what the private key signed", async () => {
  const key = await generateSigningKey();
  const token = await signToken(key, { sub: "someone", role: "authenticated" }, 60, now);
  const verified = await jwtVerify(token, createLocalJWKSet(publicJwks(key)), { currentDate: now });
  expect(verified.protectedHeader).toEqual({ alg: "ES256", kid: key.kid, typ: "JWT" });
  expect(verified.payload).toEqual({
    sub: "someone",
    role: "authenticated",
    iat: 1_767_225_600,
    exp: 1_767_225_660,
  });
});

test("the public set has no private part", async () => {
  const key = await generateSigningKey();
  expect(publicJwks(key).keys).toHaveLength(1);
  expect(JSON.stringify(publicJwks(key))).not.toContain(key.d);
});

test("a key survives being kept as JSON", async () => {
  const key = await generateSigningKey();
  const read = readSigningKey(JSON.parse(JSON.stringify(key)));
  const token = await signToken(read, { sub: "someone" }, 60, now);
  expect(await verifyToken(key, token, now)).toMatchObject({ sub: "someone" });
});

test("a public key is no signing key", async () => {
  const key = await generateSigningKey();
  expect(() => readSigningKey(publicJwks(key).keys[0])).toThrow();
});

test("an expired token, another key, another algorithm and no signature are refused", async () => {
  const key = await generateSigningKey();
  const stranger = { ...(await generateSigningKey()), kid: key.kid };
  const token = await signToken(key, { sub: "someone" }, 60, now);
  const body = token.split(".")[1] ?? "";
  const hmac = await new SignJWT({ sub: "someone" })
    .setProtectedHeader({ alg: "HS256", kid: key.kid })
    .sign(new TextEncoder().encode("a secret of thirty-two characters!"));
  const unsigned = `${btoa(JSON.stringify({ alg: "none", kid: key.kid }))}.${body}.`;
  const anonymousKey = await signToken({ ...key, kid: "another" }, { sub: "someone" }, 60, now);

  await expect(verifyToken(key, token, new Date(now.getTime() + 61_000))).rejects.toThrow();
  await expect(verifyToken(key, await signToken(stranger, {}, 60, now), now)).rejects.toThrow();
  await expect(verifyToken(key, hmac, now)).rejects.toThrow();
  await expect(verifyToken(key, unsigned, now)).rejects.toThrow();
  await expect(verifyToken(key, anonymousKey, now)).rejects.toThrow();
  await expect(verifyToken(key, "garbage", now)).rejects.toThrow();
});
