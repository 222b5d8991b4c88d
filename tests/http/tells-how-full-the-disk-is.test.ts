import { createServer, type ServerResponse } from "node:http";
import postgres from "postgres";
import { afterAll, beforeAll, beforeEach, expect, inject, it, onTestFinished } from "vitest";
import { z } from "zod";
import type { Management } from "../../supabase/functions/_shared/env.ts";
import { serveHealthCheck } from "../../supabase/functions/_shared/serve-health-check.ts";
import { collect } from "../setup/schedule.ts";
import { call, openDatabase, secretKey } from "./runbook-client.ts";
import { partsOn, requestTo } from "./worker-on.ts";

const sql = openDatabase();
const token = "sbp_token-of-the-test";
const projectRef = "abcdefghijklmnopqrst";

// The stack's own schedule would look at its own disk meanwhile: its tick waits, and the bells on their way arrive.
const holder = postgres(inject("databaseUrl"), { max: 1, idle_timeout: 0, onnotice: () => {} });
beforeAll(async () => {
  await holder`select pg_advisory_lock(hashtextextended('runbook tick', 0))`;
  for (let tries = 0; tries < 50; tries += 1) {
    const waiting = await sql`select from runbook.ticket where endpoint = 'health-check'`;
    await new Promise((resolve) => setTimeout(resolve, 300));
    if (waiting.length === 0) return;
  }
});
afterAll(() => holder.end());

beforeEach(async () => {
  await sql`delete from runbook.probe where name = 'disk'`;
  await sql`delete from runbook.disk_usage where true`;
});

const sizes = { fs_size_bytes: 8e12, fs_used_bytes: 4e12, fs_avail_bytes: 4e12 };

/** Plays the Management API, and answers how often it was asked for the disk. */
async function playManagement(
  answer: (response: ServerResponse) => void,
): Promise<{ parts: ReturnType<typeof partsOn>; management: Management; got: string[] }> {
  const got: string[] = [];
  const server = createServer((request, response) => {
    got.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    answer(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The server has no port.");
  const management: Management = { url: `http://127.0.0.1:${address.port}`, token, projectRef };
  const parts = partsOn({ management });
  onTestFinished(async () => {
    await parts.end();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { parts, management, got };
}

function json(body: unknown, status = 200, headers: Record<string, string> = {}) {
  return (response: ServerResponse): void => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };
}

const report = z.object({
  checks: z.tuple([
    z.object({
      status: z.string(),
      value: z.number().nullable(),
      reason: z.string().optional(),
      findings: z.array(z.looseObject({ code: z.string(), summary: z.string() })),
    }),
  ]),
});

/** What a new worker's health check says of the disk. */
async function askForDisk(parts: ReturnType<typeof partsOn>) {
  const response = await serveHealthCheck(parts).fetch(requestTo("health-check", { checks: ["disk_space"] }));
  expect(response.status).toBe(200);
  const text = await response.text();
  expect(text).not.toContain(token);
  return report.parse(JSON.parse(text)).checks[0];
}

/** The schedule's bell. */
async function ring(parts: ReturnType<typeof partsOn>): Promise<void> {
  const [row] = await sql`select runbook.issue_ticket('health-check') as ticket`;
  const request = new Request("http://functions/health-check", {
    method: "POST",
    headers: { "x-runbook-ticket": String(row?.["ticket"]) },
  });
  expect((await serveHealthCheck(parts).fetch(request)).status).toBe(204);
}

const good = json({ timestamp: new Date().toISOString(), metrics: sizes });

it("asks for it once, and not again before five minutes", async () => {
  const { parts, got } = await playManagement(good);
  expect(await askForDisk(parts)).toMatchObject({
    status: "ok",
    value: 50,
    findings: [{ code: "disk_used", summary: expect.stringContaining("UTC 50.0 % of the disk were used") }],
  });
  expect(got).toEqual([`GET /v1/projects/${projectRef}/config/disk/util Bearer ${token}`]);
  await ring(parts);
  expect(await askForDisk(parts)).toMatchObject({ status: "ok", value: 50 });
  expect(got).toHaveLength(1);

  await sql`update runbook.probe set seen_at = seen_at - interval '5 minutes' where name = 'disk'`;
  await ring(parts);
  expect(got).toHaveLength(2);
  const [probe] = await sql`
    select prb::text like ${`%${token}%`} as tells, seen_at > now() - interval '1 minute' as is_fresh
    from runbook.probe as prb where name = 'disk'`;
  expect(probe).toEqual({ tells: false, is_fresh: true });
  expect(parts.lines.join("\n")).not.toContain(token);
});

it("leaves the service alone for as long as it asks", async () => {
  const { parts, got } = await playManagement(
    json({ message: "ThrottlerException: Too Many Requests" }, 429, { "retry-after": "1200" }),
  );
  await ring(parts);
  expect(await askForDisk(parts)).toMatchObject({
    status: "skipped",
    value: null,
    findings: [],
    reason: expect.stringContaining("asked again in 20 min 0 s"),
  });
  await sql`update runbook.probe set seen_at = seen_at - interval '10 minutes' where name = 'disk'`;
  await ring(parts);
  expect(got).toHaveLength(1);
});

it.each([
  {
    name: "401",
    answer: json({ message: "Unauthorized" }, 401),
    reason: "RUNBOOK_MANAGEMENT_TOKEN is wrong",
  },
  {
    name: "403",
    answer: json({ message: "hidden", missing_permissions: ["infra_disk_config_read"] }, 403),
    reason: "lacks the permission infra_disk_config_read",
  },
  { name: "404", answer: json({ message: "hidden" }, 404), reason: "RUNBOOK_PROJECT_REF" },
  { name: "a failure of its own", answer: json({ message: "hidden" }, 544), reason: "answered 544" },
  {
    name: "a redirect",
    answer: json({}, 302, { location: "http://127.0.0.1:1/" }),
    reason: "answered 302",
  },
  { name: "nonsense", answer: json({ metrics: [] }), reason: "not the sizes of a disk" },
  {
    name: "no sizes",
    answer: json({ metrics: { ...sizes, fs_size_bytes: 0 } }),
    reason: "sizes that cannot be",
  },
  {
    name: "another project's sizes",
    answer: json({ metrics: { fs_size_bytes: 9000, fs_used_bytes: 1000, fs_avail_bytes: 8000 } }),
    reason: "another project",
  },
])("claims nothing after $name", async ({ answer, reason }) => {
  // The sizes of the databases are known, so that another project's disk is told from this one.
  await collect(sql, "sizes");
  const { parts } = await playManagement(answer);
  const entry = await askForDisk(parts);
  expect(entry).toMatchObject({ status: "skipped", value: null, findings: [] });
  expect(entry.reason).toContain(reason);
  expect(entry.reason).not.toContain("hidden");
});

it("does not wait long for a service that hangs", async () => {
  const { parts, got } = await playManagement(() => {});
  expect((await askForDisk(parts)).reason).toContain("did not answer in time");
  // Nor does the next one who asks: the service is not asked again.
  await askForDisk(parts);
  expect(got).toHaveLength(1);
});

it("does not wait for an answer that never ends", async () => {
  const { parts } = await playManagement((response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.write('{"metrics":');
  });
  expect((await askForDisk(parts)).reason).toContain("did not answer in time");
});

it("tells what was known before a failure, and when that was", async () => {
  let answer = json({
    timestamp: new Date().toISOString(),
    metrics: { ...sizes, fs_used_bytes: 7.4e12, fs_avail_bytes: 0.6e12 },
  });
  const { parts } = await playManagement((response) => answer(response));
  await ring(parts);
  await collect(sql, "disk");
  answer = json({}, 503);
  await sql`update runbook.probe set seen_at = seen_at - interval '5 minutes' where name = 'disk'`;
  await ring(parts);
  const entry = await askForDisk(parts);
  expect(entry).toMatchObject({ status: "critical", value: 92.5, findings: [{ code: "disk_fills_up" }] });
  expect(JSON.stringify(entry.findings)).toMatch(
    /the last look failed.*answered 503|answered 503.*the last look failed/,
  );
});

it("asks nobody without a token, and says how to set it up", async () => {
  const parts = partsOn({});
  onTestFinished(() => parts.end());
  await ring(parts);
  const entry = await askForDisk(parts);
  expect(entry).toMatchObject({ status: "not_applicable", findings: [] });
  expect(entry.reason).toContain("RUNBOOK_MANAGEMENT_TOKEN");
});

it("is told on a read-only database too", async () => {
  const readOnly = new URL(inject("databaseUrl"));
  readOnly.searchParams.set("default_transaction_read_only", "on");
  const { management, got } = await playManagement(good);
  const parts = partsOn({ databaseUrl: readOnly.href, management });
  onTestFinished(() => parts.end());
  expect(await askForDisk(parts)).toMatchObject({ status: "ok", value: 50 });
  expect(got).toHaveLength(1);
  const [probe] = await sql`select count(*)::integer as count from runbook.probe where name = 'disk'`;
  expect(probe).toEqual({ count: 0 });
});

it.each([
  { used: 7.99e12, status: "critical", code: "disk_fills_up" },
  { used: 4e12, status: "ok", code: "disk_used" },
])("is told when the database does not answer: $status", async ({ used, status, code }) => {
  const { management } = await playManagement(json({ metrics: { ...sizes, fs_used_bytes: used } }));
  const parts = partsOn({ databaseUrl: "postgresql://postgres@127.0.0.1:1/postgres", management });
  onTestFinished(() => parts.end());
  const response = await serveHealthCheck(parts).fetch(requestTo("health-check", {}));
  expect(response.status).toBe(503);
  expect(await response.json()).toMatchObject({
    details: {
      report: { checks: [{}, {}, { check: "disk_space", status, findings: [{ code }] }] },
    },
  });
});

it("is not told when neither the database answers nor the Management API", async () => {
  const { management } = await playManagement(json({ metrics: { ...sizes, fs_used_bytes: 9e12 } }));
  const parts = partsOn({ databaseUrl: "postgresql://postgres@127.0.0.1:1/postgres", management });
  onTestFinished(() => parts.end());
  const response = await serveHealthCheck(parts).fetch(requestTo("health-check", {}));
  expect(await response.text()).not.toContain("disk_space");
});

it("is told by the stack's own functions, whose disk has room", async () => {
  // A worker that has just looked looks again after ten seconds.
  await expect
    .poll(
      async () => {
        const { text } = await call("health-check", {
          json: { checks: ["disk_space"] },
          headers: secretKey(),
        });
        return text;
      },
      { timeout: 60_000, interval: 2_000 },
    )
    .toContain("disk_used");
});
