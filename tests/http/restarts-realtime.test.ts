import { createServer } from "node:http";
import postgres from "postgres";
import { afterEach, expect, inject, it, onTestFinished } from "vitest";
import { z } from "zod";
import { drainCalls } from "../../supabase/functions/_shared/calls.ts";
import { serveDiagnosis } from "../../supabase/functions/_shared/serve-diagnosis.ts";
import { serveRemediation } from "../../supabase/functions/_shared/serve-remediation.ts";
import { serveRuns } from "../../supabase/functions/_shared/serve-runs.ts";
import { hold } from "./interruptions.ts";
import { openDatabase } from "./runbook-client.ts";
import { partsOn, requestTo } from "./worker-on.ts";

const sql = openDatabase();
const token = "sbp_token-of-the-test";
const projectRef = "abcdefghijklmnopqrst";
const slot = "supabase_realtime_replication_slot_test";

afterEach(async () => {
  await sql`delete from realtime.subscription where id > 0`;
  // The next test must not meet the nudge of this one.
  const [publication] = await sql`select is_nudged from runbook.realtime_publication()`;
  if (publication?.["is_nudged"] === true)
    await sql`alter publication supabase_realtime drop table runbook.realtime_nudge`;
});

interface Answer {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}

const healthy = [{ name: "realtime", status: "ACTIVE_HEALTHY", info: { replication_connected: true } }];

/** Plays the Management API: `shutdown` answers one request after the other, the last one for good. */
async function playManagement({
  health = { status: 200, body: JSON.stringify(healthy) },
  shutdown,
}: {
  health?: Answer;
  shutdown: Answer[];
}): Promise<{ parts: ReturnType<typeof partsOn>; got: string[] }> {
  const got: string[] = [];
  const server = createServer((request, response) => {
    got.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    const answer = request.url?.includes("/health") === true ? health : (shutdown.shift() ?? { status: 500 });
    response.writeHead(answer.status, answer.headers);
    response.end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The server has no port.");
  const { port } = address;
  const parts = partsOn({ management: { url: `http://127.0.0.1:${port}`, token, projectRef } });
  onTestFinished(async () => {
    await parts.end();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { parts, got };
}

const change = z.looseObject({
  state: z.string().optional(),
  plan_hash: z.string().optional(),
  run: z.looseObject({ id: z.number() }).nullish(),
  steps: z
    .array(
      z.looseObject({ kind: z.string(), operation: z.string(), statement: z.string(), summary: z.string() }),
    )
    .default([]),
});

/** Plans and applies, as an admin does. */
async function restart(parts: ReturnType<typeof partsOn>): Promise<{
  plan: z.infer<typeof change>;
  status: number;
  body: Record<string, unknown>;
}> {
  const endpoint = serveRemediation("restart-realtime", parts);
  const planned = await endpoint.fetch(requestTo("restart-realtime", { dry_run: true }));
  const plan = change.parse(await planned.json());
  expect(plan).toMatchObject({ run: null, state: "planned" });
  const applied = await endpoint.fetch(
    requestTo(
      "restart-realtime",
      { reason: "The forum stands still.", plan_hash: plan.plan_hash },
      { "idempotency-key": crypto.randomUUID() },
    ),
  );
  return {
    plan,
    status: applied.status,
    body: z.record(z.string(), z.unknown()).parse(await applied.json()),
  };
}

function runId(body: Record<string, unknown>): number {
  return z.object({ run: z.object({ id: z.number() }) }).parse(body).run.id;
}

async function readRun(id: number): Promise<Record<string, unknown>> {
  const [row] = await sql`select runbook.run_of(${id}) as run`;
  return z.record(z.string(), z.unknown()).parse(row?.["run"]);
}

/** A session that reads a slot as Realtime does; answers its process. */
async function readSlot(login: Partial<postgres.Options<Record<string, never>>> = {}): Promise<number> {
  // Whoever read it before takes a moment to end.
  await expect
    .poll(async () => [...(await sql`select active_pid from pg_replication_slots where slot_name = ${slot}`)])
    .toEqual([]);
  const session = postgres(inject("databaseUrl"), { max: 1, idle_timeout: 0, onnotice: () => {}, ...login });
  onTestFinished(() => session.end({ timeout: 1 }).catch(() => {}));
  const [row] = await session`
    select pg_create_logical_replication_slot(${slot}, 'pgoutput', true), pg_backend_pid() as pid`;
  return z.number().parse(row?.["pid"]);
}

/** Somebody's page listens to the forum. */
async function subscribe(): Promise<void> {
  await sql`
    insert into realtime.subscription (subscription_id, entity, claims)
    values (gen_random_uuid(), 'public.forum_posts', '{"role": "authenticated", "email": "x@test.example"}')`;
}

it("asks the Management API, waits, and says that a slot is read again", async () => {
  const { parts, got } = await playManagement({ shutdown: [{ status: 204 }] });
  await subscribe();
  const diagnosis = serveDiagnosis("realtime", parts);
  const before = await diagnosis.fetch(requestTo("diagnose-realtime", {}));
  const found = await before.text();
  expect(found).toContain("realtime_not_following");
  expect(found).not.toContain("x@test.example");

  const { plan, status, body } = await restart(parts);
  expect(plan.steps.map(({ kind, statement }) => [kind, statement])).toEqual([
    ["call", `POST /projects/${projectRef}/config/realtime/shutdown`],
    ["batch", expect.stringContaining("await_realtime")],
  ]);
  expect(plan.steps[0]?.summary).toContain("loses its connection");
  expect(status).toBe(202);
  expect(body).toMatchObject({ state: "applying", steps: [{ state: "done" }, { state: "pending" }] });
  expect(got.filter((line) => line.startsWith("POST"))).toEqual([
    `POST /v1/projects/${projectRef}/config/realtime/shutdown Bearer ${token}`,
  ]);

  // The request that applied it or a tick may be looking at the same moment; then that counts.
  const advanced = async (): Promise<unknown> => {
    await sql`select runbook.advance_runs()`;
    return await readRun(runId(body));
  };
  await expect.poll(advanced).toMatchObject({
    state: "applying",
    steps: [{}, { state: "running", progress: { cursor: { outcome: "waiting" } } }],
  });
  await readSlot();
  await expect.poll(advanced).toMatchObject({
    state: "succeeded",
    steps: [
      {},
      { state: "done", progress: { cursor: { outcome: "back", summary: "A slot is read again." } } },
    ],
    verification: { status: "verified" },
  });
  // The token stays where it is.
  const [row] = await sql`
    select
      (select count(*) from runbook.call as cll where cll::text like ${`%${token}%`})
      + (select count(*) from runbook.step as stp where stp::text like ${`%${token}%`})
      + (select count(*) from runbook.probe as prb where prb::text like ${`%${token}%`}) as count`;
  expect(Number(row?.["count"])).toBe(0);
  expect(parts.lines.join("\n")).not.toContain(token);
});

it("fails with the run's id when the project has no Realtime", async () => {
  const { parts } = await playManagement({
    shutdown: [{ status: 404, body: '{"message":"Tenant not found"}' }],
  });
  const { status, body } = await restart(parts);
  expect(status).toBe(502);
  expect(body).toMatchObject({
    code: "UPSTREAM_FAILED",
    details: { run_id: expect.any(Number), calls: [{ status: 404 }] },
  });
  const { details } = z.object({ details: z.object({ run_id: z.number() }) }).parse(body);
  expect(await readRun(details.run_id)).toMatchObject({
    state: "failed",
    steps: [{ state: "failed" }, { state: "not_done" }],
  });
});

it.each([
  { name: "too many requests", first: { status: 429, headers: { "retry-after": "1" } } },
  {
    name: "somebody else's page",
    first: { status: 200, headers: { "content-type": "text/html" }, body: "<html>Sign in</html>" },
  },
  { name: "a failure of its own", first: { status: 503, body: "upstream connect error" } },
])("tries again after $name", async ({ first }) => {
  // A tick would ring for the second attempt, and the stack's own functions ask another Management API.
  onTestFinished(await hold(sql, (holder) => holder`select runbook.lock_for_transaction('tick')`));
  const { parts, got } = await playManagement({ shutdown: [first, { status: 404 }] });
  const { status, body } = await restart(parts);
  expect(status).toBe(202);
  expect(body).toMatchObject({
    state: "applying",
    steps: [{ progress: { state: "failed", attempts: 1 } }, {}],
  });
  const id = runId(body);
  const { environment, connection } = parts.open("deliver");
  await expect
    .poll(
      async () => {
        await drainCalls({ environment, connection }, { runId: String(id), budgetMs: 2_000 });
        return (await readRun(id))["state"];
      },
      { timeout: 60_000, interval: 500 },
    )
    .toBe("failed");
  expect(got.filter((line) => line.startsWith("POST"))).toHaveLength(2);
});

it("ends the session that reads the slot where there is no token", async () => {
  const parts = partsOn({});
  onTestFinished(() => parts.end());
  await subscribe();
  const pid = await readSlot();
  const { plan, status, body } = await restart(parts);
  expect(plan.steps.map(({ operation }) => operation)).toEqual(["end_slot_reader", "await_realtime"]);
  expect(plan.steps[0]?.summary).toContain(`End session ${pid} of postgres`);
  expect(status).toBe(202);
  expect(body).toMatchObject({ steps: [{ state: "done", progress: { result: { signalled: true } } }, {}] });
  await expect
    .poll(
      async () => (await sql`select from pg_catalog.pg_stat_activity as act where act.pid = ${pid}`).length,
    )
    .toBe(0);

  await readSlot();
  // The request that applied it may be looking at the same moment; then that counts.
  await expect
    .poll(async () => {
      await sql`select runbook.advance_runs()`;
      return await readRun(runId(body));
    })
    .toMatchObject({ state: "succeeded", verification: { status: "verified" } });
});

it("is moved on by who asks for its run, where no schedule does", { timeout: 120_000 }, async () => {
  const parts = partsOn({});
  onTestFinished(() => parts.end());
  await subscribe();
  await readSlot();
  const { body } = await restart(parts);
  const id = runId(body);
  await readSlot();
  const runs = serveRuns(parts);
  // Ten seconds long whoever applied it may be at it.
  await expect
    .poll(
      async () => {
        await sql`update runbook.heartbeat set ticked_at = null where id`;
        const response = await runs.fetch(requestTo("remediation-runs", { id }));
        return await response.json();
      },
      { timeout: 60_000, interval: 1000 },
    )
    .toMatchObject({ state: "succeeded" });
});

it("does not end the session of a superuser, and changes the publication instead", async () => {
  const parts = partsOn({});
  onTestFinished(() => parts.end());
  await readSlot({
    host: inject("socketDirectory"),
    port: inject("databasePort"),
    user: "supabase_admin",
    database: "postgres",
  });
  await subscribe();
  const { plan, status, body } = await restart(parts);
  expect(plan.steps.map(({ statement }) => statement)).toEqual([
    'nudge_realtime {"action": "add"}',
    expect.stringContaining("publication"),
  ]);
  expect(status).toBe(202);
  const [published] = await sql`
    select count(*)::integer as count from pg_publication_tables
    where pubname = 'supabase_realtime' and schemaname = 'runbook'`;
  expect(published).toEqual({ count: 1 });

  // Realtime sees that the tables have changed, forgets the subscriptions and asks the clients anew.
  await sql`delete from realtime.subscription where id > 0`;
  await subscribe();
  await expect
    .poll(async () => {
      await sql`select runbook.advance_runs()`;
      return await readRun(runId(body));
    })
    .toMatchObject({
      state: "succeeded",
      steps: [{}, { progress: { cursor: { outcome: "back" } } }],
    });
});
