import postgres from "postgres";
import { afterAll, afterEach, beforeAll, inject } from "vitest";
import { z } from "zod";

/** A finding as a report shows it. */
const finding = z.object({
  code: z.string(),
  severity: z.string(),
  subject: z.string(),
  summary: z.string(),
  evidence: z.record(z.string(), z.unknown()),
  remediation: z.string().nullable(),
  params: z.record(z.string(), z.unknown()).nullable(),
});

const entry = z.object({
  status: z.string(),
  value: z.number().nullable(),
  findings: z.array(finding),
  reason: z.string().optional(),
});

/** One entry of a report. */
export type Entry = z.infer<typeof entry>;

/** A session of its own, with its pid, that holds what it is told to hold until the test ends. */
export interface Session {
  pid: number;
  sql: postgres.ReservedSql;
  /** Starts a statement that is expected to wait or to be ended, and does not wait for it. */
  start(statement: string): Promise<"done" | string>;
}

class RolledBack extends Error {}

const clients: postgres.Sql[] = [];

/** A client over the server's private socket, which lets in any role. */
export function connectAs(role: string, applicationName = "vitest checks"): postgres.Sql {
  const client = postgres({
    host: inject("socketDirectory"),
    port: inject("databasePort"),
    database: "postgres",
    user: role,
    max: 1,
    onnotice: () => undefined,
    connection: { application_name: applicationName },
  });
  clients.push(client);
  return client;
}

/** The session that asks the checks. */
export const asker = connectAs("postgres", "vitest asker");

beforeAll(() => asker`set statement_timeout = '20s'`);

const opened: { client: postgres.Sql; pid: number }[] = [];

/** Opens a session as a role; it is closed when the test ends, whatever it holds. */
export async function openSession(role: string, applicationName?: string): Promise<Session> {
  const client = connectAs(role, applicationName);
  const sql = await client.reserve();
  const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  const pid = row?.pid ?? 0;
  opened.push({ client, pid });
  return {
    pid,
    sql,
    start: (statement) =>
      sql.unsafe(statement).then(
        () => "done",
        (error: unknown) => (error instanceof postgres.PostgresError ? error.code : String(error)),
      ),
  };
}

/** Leaves out what a check says of sessions that are not the test's: the stack's own are at work, too. */
function ofTheTest(whole: Entry): Entry {
  const mine = new Set(opened.map(({ pid }) => `pid ${pid}`));
  const findings = whole.findings.filter(({ subject }) => !/^pid \d+$/.test(subject) || mine.has(subject));
  if (findings.length === whole.findings.length) return whole;
  const worst = ["critical", "warning"].find((severity) => findings.some((one) => one.severity === severity));
  return { ...whole, status: worst ?? "ok", findings };
}

/** Runs a check with some of its thresholds set otherwise for this once. */
export async function runCheck(name: string, thresholds: Record<string, number> = {}): Promise<Entry> {
  const answers: unknown[] = [];
  await asker
    .begin(async (transaction) => {
      const [own] = await transaction`select runbook.thresholds_of(${name}) as thresholds`;
      const tuned = { ...own?.["thresholds"], ...thresholds };
      await transaction`select runbook.tune_check(${name}, ${transaction.json(tuned)})`;
      const [row] = await transaction`select runbook.run_check(${name}) as entry`;
      answers.push(row?.["entry"]);
      throw new RolledBack();
    })
    .catch((error: unknown) => {
      if (!(error instanceof RolledBack)) throw error;
    });
  return ofTheTest(entry.parse(answers[0]));
}

/** Lets time pass that the server measures. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const patience = 20_000;

/** Waits until so many of the test's sessions wait for a lock: the stack's own may do so for a moment, too. */
export async function untilWaiting(count: number): Promise<void> {
  const deadline = Date.now() + patience;
  for (;;) {
    const [row] = await asker<{ count: number }[]>`
      select count(distinct lck.pid)::integer as count
      from pg_catalog.pg_locks as lck
      where not lck.granted and lck.pid = any(${opened.map(({ pid }) => pid)}::integer[])`;
    if ((row?.count ?? 0) >= count) return;
    if (Date.now() > deadline) throw new Error(`Only ${row?.count} of ${count} sessions wait.`);
    await pause(50);
  }
}

/** Waits until a session has been at its present statement for so long. */
export async function untilAtWork({ pid }: Session, ms: number): Promise<void> {
  const deadline = Date.now() + patience;
  for (;;) {
    const [row] = await asker`
      select act.state, clock_timestamp() - act.query_start as since
      from pg_catalog.pg_stat_activity as act
      where act.pid = ${pid}
        and act.state = 'active'
        and act.query_start < clock_timestamp() - ${ms} * interval '1 ms'`;
    if (row !== undefined) return;
    if (Date.now() > deadline) throw new Error(`Session ${pid} was not at work for ${ms} ms.`);
    await pause(50);
  }
}

/** Ends the sessions that the test opened, also those that wait or are a superuser's. */
async function closeSessions(): Promise<void> {
  if (opened.length === 0) return;
  const superuser = connectAs("supabase_admin", "vitest closer");
  const sessions = opened.splice(0);
  await superuser`select pg_terminate_backend(one.pid, 5000) from unnest(${sessions.map(({ pid }) => pid)}::integer[]) as one (pid)`;
  await Promise.all(sessions.map(({ client }) => client.end({ timeout: 0 }).catch(() => undefined)));
  await superuser.end();
}

afterEach(closeSessions);
afterAll(async () => {
  await Promise.all(clients.map((client) => client.end({ timeout: 1 })));
});
