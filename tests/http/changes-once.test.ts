import { beforeAll, expect, inject, it } from "vitest";
import { z } from "zod";
import { serveRemediation } from "../../supabase/functions/_shared/serve-remediation.ts";
import { waitingFor } from "./interruptions.ts";
import { bearer, call, newPerson, openDatabase, runIdOf } from "./runbook-client.ts";
import { partsOn, requestTo } from "./worker-on.ts";

const sql = openDatabase();
let headers: Record<string, string>;

beforeAll(async () => {
  headers = bearer((await newPerson(sql, "operator")).token);
});

async function newBlock(): Promise<string> {
  const email = `once-${crypto.randomUUID()}@demo.example`;
  await sql`
    insert into public.auth_rate_limits (identifier, blocked_until) values (${email}, now() + interval '1 hour')`;
  return email;
}

it("makes one change for eight clients at once", async () => {
  const email = await newBlock();
  const everyone = Array.from({ length: 8 }, () => partsOn({}));
  const responses = await Promise.all(
    everyone.map((parts) =>
      serveRemediation("unblock-login", parts).fetch(
        requestTo("unblock-login", { email, reason: "all at once" }),
      ),
    ),
  );
  await Promise.all(everyone.map((parts) => parts.end()));
  const states = await Promise.all(
    responses.map(
      async (response) => z.looseObject({ state: z.string() }).parse(await response.json()).state,
    ),
  );
  expect(states.toSorted()).toEqual([...Array.from({ length: 7 }, () => "no_op"), "succeeded"]);
  const rows = await sql`
    select from runbook.step as stp join runbook.run as run on run.id = stp.run_id
    where run.subject = ${email}`;
  expect(rows).toHaveLength(1);
});

it("gives eight requests under one key the one run", async () => {
  const email = await newBlock();
  const key = crypto.randomUUID();
  const answers = await Promise.all(
    Array.from({ length: 8 }, () =>
      call("unblock-login", {
        headers: { ...headers, "idempotency-key": key },
        json: { email, reason: "all at once" },
      }),
    ),
  );
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
  expect(new Set(answers.map(runIdOf)).size).toBe(1);
  expect(new Set(answers.map(({ headers: sent }) => sent.get("idempotency-key")))).toEqual(new Set([key]));
});

it("gives the answer that was lost to the same request again", async () => {
  const email = await newBlock();
  const sent = { ...headers, "idempotency-key": crypto.randomUUID() };
  const json = { email, reason: "the line broke" };
  const hangUp = new AbortController();
  const runs = (): PromiseLike<readonly unknown[]> =>
    sql`select id from runbook.run where subject = ${email}`;
  // The client hangs up while the function waits for the row.
  await sql.begin(async (holder) => {
    await holder`select from public.auth_rate_limits where identifier = ${email} for update`;
    const lost = fetch(`${inject("url")}/functions/v1/unblock-login`, {
      method: "POST",
      headers: { ...sent, "content-type": "application/json" },
      body: JSON.stringify(json),
      signal: hangUp.signal,
    });
    await waitingFor(sql, "runbook unblock-login");
    hangUp.abort();
    await expect(lost).rejects.toThrow();
  });
  await expect.poll(async () => (await runs()).length, { timeout: 60_000 }).toBe(1);
  const again = await call("unblock-login", { headers: sent, json });
  expect(again.status).toBe(200);
  expect(again.body).toMatchObject({ state: "succeeded", steps: [{ kind: "row", state: "done" }] });
  expect([{ id: String(runIdOf(again)) }]).toEqual(await runs());
});
