import { readFileSync } from "node:fs";
import { expect, inject, it } from "vitest";
import { z } from "zod";
import { bearer, call, newPerson, openDatabase } from "./runbook-client.ts";

const sql = openDatabase();
const line = z.strictObject({
  time: z.iso.datetime(),
  endpoint: z.enum(["diagnose-login", "unblock-login", "health-check"]),
  method: z.string(),
  status: z.number(),
  code: z.string().optional(),
  took_ms: z.number(),
  request_id: z.string(),
  actor: z.enum(["user", "secret_key", "ticket", "none"]),
  reason: z.string().optional(),
  cause: z.record(z.string(), z.unknown()).optional(),
  execution_id: z.string().optional(),
});

function readLog(): string {
  return readFileSync(inject("functionsLog"), "utf8");
}

function linesOf(requestId: string): z.infer<typeof line>[] {
  return readLog()
    .split("\n")
    .filter((text) => text.includes(`"request_id":"${requestId}"`))
    .map((text) => line.parse(JSON.parse(text)));
}

it("writes one line a request, with the code and without the person", async () => {
  const requestId = `log-${crypto.randomUUID()}`;
  const person = await newPerson(sql, "viewer");
  const headers = { ...bearer(person.token), "x-request-id": requestId };
  const json = { email: "hush.person@demo.example" };
  await call("diagnose-login", { headers, json });
  await call("unblock-login", { headers, json: { ...json, reason: "hush reason" } });
  await call("diagnose-login", { headers: { ...headers, authorization: "Bearer hush.token.here" }, json });
  await call("diagnose-login", { headers, json: { "hush key": json.email } });
  await expect.poll(() => linesOf(requestId).length).toBe(4);
  expect(linesOf(requestId)).toMatchObject([
    { endpoint: "diagnose-login", method: "POST", status: 200, actor: "user" },
    {
      endpoint: "unblock-login",
      status: 403,
      code: "ROLE_REQUIRED",
      actor: "user",
      cause: { sqlstate: "RB405" },
    },
    { status: 401, code: "UNAUTHENTICATED", actor: "none", reason: "token_refused" },
    { status: 400, code: "INVALID_BODY", actor: "user" },
  ]);
  const log = readLog();
  for (const word of [person.email, person.id, person.token, "hush", inject("secretKey")])
    expect(log).not.toContain(word);
});

it("has no address and no token in it after all the other tests", () => {
  expect(readLog()).not.toMatch(/[\w.+-]+@[\w-]+\.\w+|eyJ[\w-]+\.|sb_secret_/);
});
