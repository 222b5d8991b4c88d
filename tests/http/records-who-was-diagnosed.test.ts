import postgres from "postgres";
import { expect, inject, it } from "vitest";
import { bearer, call, newPerson, openDatabase, secretKey } from "./runbook-client.ts";

const sql = openDatabase();

it.each([
  ["diagnose-class-access", {}],
  ["diagnose-forum", { class_id: "30000000-0000-4000-8000-000000000001" }],
])("records who looked as whom by %s, which reads only", async (endpoint, more) => {
  const viewer = await newPerson(sql, "viewer");
  const { status, body } = await call(endpoint, {
    headers: { ...bearer(viewer.token), "x-request-id": endpoint },
    json: { email: "ok@demo.example", ...more },
  });
  expect(status).toBe(200);
  expect(body["recorded"]).toBe(true);
  expect(body).not.toHaveProperty("not_recorded_because");
  const looks = await sql`
    select look.subject, look.relation, look.request_id
    from runbook.access_look as look
    where look.actor = ${`user:${viewer.id}`}`;
  expect(looks).toEqual([
    { subject: "10000000-0000-4000-8000-000000000010", relation: endpoint, request_id: endpoint },
  ]);
});

it("says nothing of a record where it reads as nobody", async () => {
  const { body } = await call("diagnose-login", {
    headers: secretKey(),
    json: { email: "ok@demo.example" },
  });
  expect(body).not.toHaveProperty("recorded");
});

it("answers while the record cannot be written, and says so", async () => {
  const locker = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
  try {
    await locker`begin`;
    await locker`lock table runbook.access_look in access exclusive mode`;
    const { status, body } = await call("diagnose-class-access", {
      headers: secretKey(),
      json: { email: "ok@demo.example" },
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({ verdict: "ok", recorded: false });
    expect(body["not_recorded_because"]).toContain("record failed");
  } finally {
    await locker.end({ timeout: 1 });
  }
});
