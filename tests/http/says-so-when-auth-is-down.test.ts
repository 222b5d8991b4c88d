import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, expect, it, onTestFinished } from "vitest";
import { z } from "zod";
import { serveDeliver } from "../../supabase/functions/_shared/serve-deliver.ts";
import { serveDiagnosis } from "../../supabase/functions/_shared/serve-diagnosis.ts";
import { serveRemediation } from "../../supabase/functions/_shared/serve-remediation.ts";
import { tick } from "../setup/schedule.ts";
import { hold } from "./interruptions.ts";
import { call, expectRefusal, openDatabase, secretKey, signIn, supabase } from "./runbook-client.ts";
import { partsOn, requestTo } from "./worker-on.ts";

const sql = openDatabase();
const reason = "a test";

/** Plays Auth in trouble: answers as `answer` says, and keeps what it was asked. */
let server: Server;
let answer: { status: number; headers?: Record<string, string>; body?: string };
let asked: { path: string; key: string | undefined; idempotencyKey: string | undefined; body: string }[];
let meanwhile = async (): Promise<void> => {};
let parts: ReturnType<typeof partsOn>;

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on("end", () => {
      asked.push({
        path: `${request.method} ${request.url}`,
        key: String(request.headers["apikey"]),
        idempotencyKey: String(request.headers["idempotency-key"]),
        body,
      });
      void meanwhile().then(() => {
        response.writeHead(answer.status, answer.headers);
        response.end(answer.body);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  parts = partsOn({ supabaseUrl: `http://127.0.0.1:${portOf(server)}` });
});

afterAll(async () => {
  await parts.end();
  await new Promise((resolve) => server.close(resolve));
});

beforeEach(() => {
  asked = [];
});

function portOf(listening: Server): number {
  const address: AddressInfo | string | null = listening.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Plans the confirmation of somebody new and applies it by a function whose Auth is the one above. */
async function confirm(sent: { headers?: Record<string, string> } = {}): Promise<{
  email: string;
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
  again(): Promise<Response>;
}> {
  const email = `auth-down-${crypto.randomUUID()}@demo.example`;
  const { error } = await supabase().auth.signUp({ email, password: "demo-password-1" });
  if (error !== null) throw error;
  const plan = await call("confirm-email", { headers: secretKey(), json: { email, dry_run: true } });
  const json = { email, reason, plan_hash: plan.body["plan_hash"] };
  const headers = { "idempotency-key": crypto.randomUUID(), ...sent.headers };
  const endpoint = serveRemediation("confirm-email", parts);
  const again = (): Promise<Response> => endpoint.fetch(requestTo("confirm-email", json, headers));
  const response = await again();
  const body = z.record(z.string(), z.unknown()).parse(await response.json());
  return { email, status: response.status, headers: response.headers, body, again };
}

async function ticket(): Promise<Record<string, string>> {
  const [row] = await sql`select runbook.issue_ticket('deliver') as ticket`;
  return { "x-runbook-ticket": String(row?.["ticket"]) };
}

/** Keeps the ticks of the schedule away until the test is over: each would ring for a call that is due. */
async function withoutTicks(): Promise<void> {
  onTestFinished(await hold(sql, (holder) => holder`select runbook.lock_for_transaction('tick')`));
}

/** Lets waiting calls be due now. */
async function hasten(): Promise<void> {
  await sql.begin(async (transaction) => {
    await transaction`alter table runbook.call disable trigger call_moves_forwards`;
    await transaction`update runbook.call set next_attempt_at = clock_timestamp() where state = 'failed'`;
    await transaction`alter table runbook.call enable trigger call_moves_forwards`;
  });
}

it("keeps a call that Auth did not take, says when it is tried again, and delivers it", async () => {
  await withoutTicks();
  answer = { status: 503, body: `{"message":"upstream of someone@demo.example is gone"}` };
  const first = await confirm();
  expect(first.status).toBe(202);
  expect(first.body).toMatchObject({
    state: "applying",
    run: { state: "applying" },
    steps: [
      {
        kind: "call",
        state: "pending",
        progress: {
          state: "failed",
          attempts: 1,
          response_status: 503,
          error_class: "retry",
          next_attempt_at: expect.any(String),
        },
      },
    ],
  });
  expect(Number(first.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(JSON.stringify(first.body)).not.toContain("someone@demo.example");
  expect(asked).toEqual([
    {
      path: expect.stringMatching(/^PUT \/auth\/v1\/admin\/users\/[0-9a-f-]{36}$/),
      key: secretKey()["apikey"],
      idempotencyKey: expect.stringMatching(/^[0-9a-f-]{36}$/),
      body: `{"email_confirm":true}`,
    },
  ]);

  // The same request again is the same run, and sends nothing before its time.
  const repeated = await first.again();
  expect(repeated.status).toBe(202);
  expect(asked).toHaveLength(1);
  const other = await call("confirm-email", {
    headers: { ...secretKey(), "idempotency-key": crypto.randomUUID() },
    json: { email: first.email, reason, plan_hash: first.body["plan_hash"] },
  });
  expectRefusal(other, 409, "RUN_IN_PROGRESS");

  await hasten();
  const delivered = await serveDeliver(parts).fetch(requestTo("deliver", {}, await ticket()));
  expect(await delivered.json()).toEqual({ attempts: 1 });
  expect(new Set(asked.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1);

  await hasten();
  const rung = await call("deliver", { headers: await ticket(), json: {} });
  expect(rung.body).toEqual({ attempts: 1 });
  const ended = await first.again();
  expect(ended.status).toBe(200);
  expect(await ended.json()).toMatchObject({ state: "succeeded", verification: { status: "verified" } });
  expect(await signIn(first.email)).toEqual(expect.any(String));
});

it("is rung for by the tick when a call is due", async () => {
  answer = { status: 502 };
  const { email, status, body } = await confirm();
  expect(status).toBe(202);
  const { run } = z.object({ run: z.object({ id: z.number() }) }).parse(body);
  await hasten();
  await tick(sql);
  const read = async (): Promise<unknown> =>
    (await call("remediation-runs", { headers: secretKey(), json: { id: run.id } })).body["state"];
  await expect.poll(read, { timeout: 60_000 }).toBe("succeeded");
  expect(await signIn(email)).toEqual(expect.any(String));
});

it("outlives the end of its connection while it waits for Auth", async () => {
  answer = { status: 204 };
  meanwhile = async () => {
    await sql`
      select pg_terminate_backend(act.pid) from pg_stat_activity as act
      where act.application_name = 'runbook test'`;
  };
  const { status, body, again } = await confirm();
  meanwhile = async () => {};
  // Auth said yes and did nothing, so the trouble is still there; what counts is that the run has ended.
  expect({ status, code: body["code"] }).toEqual({ status: 500, code: "RUN_FAILED" });
  expect(body).toMatchObject({
    message: expect.stringContaining("the trouble is still there"),
    details: { run_id: expect.any(Number), state: "failed" },
  });
  expect((await again()).status).toBe(500);
  expect(asked).toHaveLength(1);
});

it("waits as long as Auth says", async () => {
  answer = { status: 429, headers: { "retry-after": "120" }, body: `{"code":"over_request_rate_limit"}` };
  const { status, headers, body } = await confirm();
  expect(status).toBe(202);
  expect(body).toMatchObject({
    steps: [{ progress: { error_class: "retry_after", error: "over_request_rate_limit" } }],
  });
  // So many seconds are left when the answer is made.
  expect(Number(headers.get("retry-after"))).toBeGreaterThan(90);
  // What waits here would be sent in the middle of another test.
  onTestFinished(async () => {
    await hasten();
    await call("deliver", { headers: await ticket(), json: {} });
  });
});

it("says that Auth refused for good, and names the run", async () => {
  answer = { status: 422, body: `{"code":"email_exists","message":"someone@demo.example exists"}` };
  const { status, body, again } = await confirm();
  expect(status).toBe(502);
  expect(body).toMatchObject({
    code: "UPSTREAM_FAILED",
    details: {
      run_id: expect.any(Number),
      state: "failed",
      calls: [{ position: 1, request: expect.stringMatching(/^PUT /), status: 422 }],
    },
  });
  expect(JSON.stringify(body)).not.toContain("someone@demo.example");
  expect((await again()).status).toBe(502);
  expect(asked).toHaveLength(1);
});

it("does not follow Auth elsewhere with the secret key", async () => {
  answer = { status: 307, headers: { location: `http://127.0.0.1:${portOf(server)}/elsewhere` } };
  expect((await confirm()).status).toBe(502);
  expect(asked.map(({ path }) => path)).toEqual([expect.stringMatching(/^PUT \/auth\/v1\//)]);
});

it("finds out in a diagnosis that Auth is away", async () => {
  answer = { status: 503 };
  const before = await sql`select name, ok, evidence from runbook.probe where name like 'auth%'`;
  onTestFinished(async () => {
    // The stack's functions rely for ten seconds on what they recorded of the Auth that the other tests have.
    await sql`delete from runbook.probe where name like 'auth%'`;
    for (const { name, ok, evidence } of before)
      await sql`select runbook.record_probe(${name}, ${ok}, ${sql.json(evidence)})`;
  });
  const response = await serveDiagnosis("login", parts).fetch(
    requestTo("diagnose-login", { email: "ok@demo.example" }),
  );
  const { findings } = z
    .object({ findings: z.array(z.looseObject({ code: z.string() })) })
    .parse(await response.json());
  expect(findings.map(({ code }) => code)).toContain("auth_unreachable");
});
