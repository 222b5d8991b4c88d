import { FunctionsHttpError } from "@supabase/supabase-js";
import { describe, expect, inject, it } from "vitest";
import { call, supabase } from "./runbook-client.ts";

describe.each([
  ["diagnose-login", "POST, OPTIONS"],
  ["unblock-login", "POST, OPTIONS"],
  ["health-check", "GET, POST, OPTIONS"],
])("%s", (endpoint, methods) => {
  it("answers a preflight without credentials", async () => {
    const answer = await call(endpoint, {
      method: "OPTIONS",
      headers: {
        origin: "https://admin.school.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,x-client-info,apikey,content-type,idempotency-key",
      },
    });
    expect(answer.status).toBe(204);
    expect(answer.text).toBe("");
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(answer.headers.get("access-control-allow-methods")).toBe(methods);
    const allowed = answer.headers.get("access-control-allow-headers")?.split(", ") ?? [];
    expect(allowed).toEqual(
      expect.arrayContaining([
        "authorization",
        "x-client-info",
        "apikey",
        "content-type",
        "idempotency-key",
        "x-request-id",
        "x-region",
        "accept",
      ]),
    );
  });

  it("lets a page of another origin read a refusal and its headers", async () => {
    const answer = await call(endpoint, { json: {}, headers: { origin: "https://admin.school.example" } });
    expect(answer.status).toBe(401);
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(answer.headers.get("access-control-expose-headers")).toMatch(/x-request-id.*retry-after/);
  });
});

it("is called by supabase-js for a member who is signed in", async () => {
  const client = supabase();
  await client.auth.signInWithPassword({ email: "viewer@demo.example", password: "demo-password-1" });
  const diagnosis = await client.functions.invoke("diagnose-login", { body: { email: "ok@demo.example" } });
  expect(diagnosis.error).toBeNull();
  expect(diagnosis.data).toMatchObject({ issue: "login", subject: "ok@demo.example" });
  const health = await client.functions.invoke("health-check");
  expect(health.error).toBeNull();
  expect(health.data).toMatchObject({ checks: expect.any(Array) });
});

it("is called by supabase-js with the secret key", async () => {
  const { data, error } = await supabase(inject("secretKey")).functions.invoke("health-check", {
    method: "GET",
  });
  expect(error).toBeNull();
  expect(data).toMatchObject({ checks: expect.any(Array) });
});

it("gives supabase-js an error with the body to read", async () => {
  const { error } = await supabase().functions.invoke("diagnose-login", { body: { email: "x" } });
  if (!(error instanceof FunctionsHttpError)) throw new Error("The call was not refused.");
  expect(await error.context.json()).toMatchObject({ code: "UNAUTHENTICATED" });
});
