import { expect, it, onTestFinished } from "vitest";
import { z } from "zod";
import { bearer, call, newPerson, openDatabase, secretKey } from "./runbook-client.ts";

const sql = openDatabase();
const question = { user: "ok@demo.example", table: "klassen", command: "select" };

const answered = z.object({
  verdict: z.string(),
  gates: z.array(z.object({ gate: z.string(), state: z.string() })),
  rows: z.array(z.object({ visible: z.boolean().nullable() })),
  proof: z.object({ tried: z.boolean(), agrees: z.boolean().nullable() }),
});

it("explains and proves what a student sees, and records who looked", async () => {
  const viewer = await newPerson(sql, "viewer");
  const { status, body } = await call("explain-access", {
    headers: { ...bearer(viewer.token), "x-request-id": "explains-access" },
    json: question,
  });
  expect(status).toBe(200);
  const explanation = answered.parse(body);
  expect(explanation.verdict).toBe("partly");
  expect(explanation.gates.map(({ gate }) => gate)).toContain("policies");
  expect(explanation.rows.filter(({ visible }) => visible)).toHaveLength(2);
  expect(explanation.proof).toMatchObject({ tried: true, agrees: true });
  expect(body["recorded"]).toBe(true);
  const [look] = await sql`
    select runbook.access_looks('{"limit": 100}') -> 'items' @> ${sql.json([
      {
        actor: `user:${viewer.id}`,
        request_id: "explains-access",
        subject: "10000000-0000-4000-8000-000000000010",
        relation: "public.klassen",
      },
    ])} as is_there`;
  expect(look?.["is_there"]).toBe(true);
});

it("asks the Data API which schemas it serves", async () => {
  await sql`create schema test_not_served`;
  onTestFinished(async () => {
    await sql`drop schema test_not_served cascade`;
  });
  await sql`create table test_not_served.note (id integer primary key)`;
  await sql`grant usage on schema test_not_served to authenticated`;
  await sql`grant select on test_not_served.note to authenticated`;
  const gateOf = async (table: string): Promise<unknown> => {
    const { body } = await call("explain-access", { headers: secretKey(), json: { ...question, table } });
    return answered.parse(body).gates.find(({ gate }) => gate === "exposed");
  };
  expect(await gateOf("klassen")).toMatchObject({ state: "pass" });
  expect(await gateOf("test_not_served.note")).toMatchObject({ state: "fail" });
});

it("tries a write and leaves nothing of it", async () => {
  const { body } = await call("explain-access", {
    headers: secretKey(),
    json: {
      user: "ok@demo.example",
      table: "profiles",
      command: "update",
      match: { email: "ok@demo.example" },
      row: { full_name: "Somebody else" },
    },
  });
  expect(answered.parse(body)).toMatchObject({ verdict: "allowed", proof: { tried: true, agrees: true } });
  const [profile] = await sql`select full_name from public.profiles where email = 'ok@demo.example'`;
  expect(profile?.["full_name"]).not.toBe("Somebody else");
});

it("ends a policy that goes on after it was stopped", { timeout: 120_000 }, async ({ skip }) => {
  const [setting] = await sql`select current_setting('transaction_timeout', true) is not null as is_there`;
  // Before Postgres 17 nothing ends a function that catches the cancelling.
  if (setting?.["is_there"] !== true) skip();
  await sql`create table public.test_endless (id integer primary key)`;
  onTestFinished(async () => {
    await sql`drop table public.test_endless`;
    await sql`drop function public.test_goes_on()`;
  });
  await sql`insert into public.test_endless values (1)`;
  await sql`alter table public.test_endless enable row level security`;
  await sql`grant select on public.test_endless to authenticated`;
  await sql`
    create function public.test_goes_on() returns boolean language plpgsql as $$
    begin
      loop
        begin
          perform pg_sleep(60);
        exception
          when query_canceled then null;
        end;
      end loop;
    end;
    $$`;
  await sql`create policy endless on public.test_endless using (public.test_goes_on())`;
  const { status, body } = await call("explain-access", {
    headers: secretKey(),
    json: { user: "ok@demo.example", table: "test_endless", command: "select" },
  });
  expect({ status, code: body["code"] }).toEqual({ status: 503, code: "TIMED_OUT" });
  expect((await call("explain-access", { headers: secretKey(), json: question })).status).toBe(200);
});

it.each([
  [{}, ["table", "command"]],
  [{ ...question, nonsense: 1 }, ["nonsense"]],
  [{ ...question, limit: "many" }, ["limit"]],
  [{ ...question, match: [] }, ["match"]],
  [{ ...question, role: "anon" }, ["user"]],
  [{ ...question, command: "drop" }, ["command"]],
  [{ ...question, match: { nowhere: 1 } }, ["match.nowhere"]],
  [{ ...question, table: "klassen; drop table klassen" }, ["table"]],
])("refuses %j and names the place", async (json, paths) => {
  const { status, body } = await call("explain-access", { headers: secretKey(), json });
  expect(status).toBe(400);
  expect(body).toMatchObject({ code: "INVALID_BODY", details: paths.map((path) => ({ path })) });
});

it("is for members, by POST", async () => {
  const stranger = await newPerson(sql);
  expect((await call("explain-access", { headers: bearer(stranger.token), json: question })).status).toBe(
    403,
  );
  expect((await call("explain-access", { json: question })).status).toBe(401);
  expect((await call("explain-access", { method: "GET", headers: secretKey() })).status).toBe(405);
});
