import { expect, test } from "vitest";
import { callAuth, localAuth, stackSigningKey, testDatabase } from "./auth-test-kit.ts";
import { publicJwks } from "./signing-key.ts";

const sql = testDatabase();

test("health, settings and keys have GoTrue's shapes", async () => {
  const health = await callAuth("/health");
  expect(await health.json()).toEqual({
    version: expect.any(String),
    name: "GoTrue",
    description: expect.any(String),
  });
  const settings: unknown = await (await callAuth("/settings")).json();
  expect(settings).toMatchObject({
    external: { email: true, phone: false, google: false, anonymous_users: false },
    disable_signup: false,
    mailer_autoconfirm: false,
    phone_autoconfirm: false,
    saml_enabled: false,
  });
  const jwks = await callAuth("/.well-known/jwks.json");
  expect(jwks.headers.get("cache-control")).toBe("public, max-age=600");
  expect(await jwks.json()).toEqual(publicJwks(stackSigningKey()));
});

test("the settings follow the project", async () => {
  const local = await localAuth(sql, { disableSignup: true, autoconfirm: true });
  expect(await (await local.fetch("/settings")).json()).toMatchObject({
    disable_signup: true,
    mailer_autoconfirm: true,
  });
});
