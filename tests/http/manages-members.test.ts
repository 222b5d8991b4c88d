import { beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { type Answer, bearer, call, expectRefusal, newPerson, openDatabase } from "./runbook-client.ts";

const sql = openDatabase();
let headers: Record<string, string>;

beforeAll(async () => {
  headers = bearer((await newPerson(sql, "admin")).token);
});

const diagnose = (token: string): Promise<Answer> =>
  call("diagnose-login", { headers: bearer(token), json: { email: "ok@demo.example" } });

it("lets a person in, changes their role and puts them out at once", async () => {
  const person = await newPerson(sql);
  expectRefusal(await diagnose(person.token), 403, "NOT_A_MEMBER");
  const { email, id: user_id } = person;
  const added = await call("members", { headers, json: { action: "add", email, role: "viewer" } });
  expect(added.status).toBe(200);
  expect(added.body).toEqual({ action: "add", email, role: "viewer", user_id });
  expect((await diagnose(person.token)).status).toBe(200);

  await call("members", { headers, json: { action: "add", email, role: "operator" } });
  const { items } = z
    .object({ items: z.array(z.looseObject({ user_id: z.string(), role: z.string() })) })
    .parse((await call("members", { method: "GET", headers })).body);
  expect(items.filter((item) => item.user_id === user_id)).toMatchObject([{ email, role: "operator" }]);

  const removed = await call("members", { headers, json: { action: "remove", email } });
  expect(removed.body).toEqual({ action: "remove", email, user_id });
  expectRefusal(await diagnose(person.token), 403, "NOT_A_MEMBER");
  const gone = await call("members", { headers, json: { action: "remove", email } });
  expectRefusal(gone, 404, "NOT_FOUND");
  expect(gone.body["message"]).toBe("No member has this address.");
});

it("is for admins, the list too", async () => {
  const operator = bearer((await newPerson(sql, "operator")).token);
  const json = { action: "add", email: "ok@demo.example", role: "admin" };
  expectRefusal(await call("members", { headers: operator, json }), 403, "ROLE_REQUIRED");
  const list = await call("members", { method: "GET", headers: operator });
  expectRefusal(list, 403, "ROLE_REQUIRED");
  expect(list.body["hint"]).toMatch(/^Ask an admin/);
  const [refusal] = await sql`select name, code from runbook.refusal order by id desc limit 1`;
  expect(refusal).toEqual({ name: "members", code: "ROLE_REQUIRED" });
});

it.each([
  { action: "promote", email: "ok@demo.example" },
  { action: "add", email: "ok@demo.example" },
  { action: "add", email: "ok@demo.example", role: "owner" },
  { action: "remove", email: "ok@demo.example", role: "viewer" },
  { action: "remove" },
  {},
])("refuses %j", async (json) => {
  const answer = await call("members", { headers, json });
  expectRefusal(answer, 400, "INVALID_BODY");
  expect(answer.body["details"]).not.toEqual([]);
});
