import { expect, it } from "vitest";
import { bearer, call, expectRefusal, openDatabase, secretKey, signIn } from "./runbook-client.ts";

const sql = openDatabase();

async function ticketFor(endpoint: string): Promise<string> {
  const [row] = await sql`select runbook.issue_ticket(${endpoint}) as ticket`;
  return String(row?.["ticket"]);
}

it("refuses everybody else, admins and secret keys too", async () => {
  for (const headers of [{}, secretKey(), bearer(await signIn("admin@demo.example"))])
    expectRefusal(await call("deliver", { headers, json: {} }), 401, "UNAUTHENTICATED");
});

it("takes a ticket once, and only its own", async () => {
  const headers = { "x-runbook-ticket": await ticketFor("deliver") };
  const first = await call("deliver", { headers, json: {} });
  expect(first.status).toBe(200);
  expect(first.body).toEqual({ attempts: expect.any(Number) });
  expectRefusal(await call("deliver", { headers, json: {} }), 401, "UNAUTHENTICATED");
  const foreign = { "x-runbook-ticket": await ticketFor("health-check") };
  expectRefusal(await call("deliver", { headers: foreign, json: {} }), 401, "UNAUTHENTICATED");
});

it("is not asked with GET", async () => {
  expectRefusal(await call("deliver", { method: "GET" }), 405, "METHOD_NOT_ALLOWED");
});
