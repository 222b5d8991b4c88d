import { Stream } from "node:stream";
import postgres from "postgres";
import { type Connect, closeClient, openClient } from "./connect.ts";
import { abandonRun, type CronJob, finishRun, insertRun, markRunning } from "./cron-store.ts";
import type { WorkerSession } from "./worker-session.ts";

/** One execution of a job. */
export interface CronRun {
  /** Backend that has the command, else null. It stays known when the scheduler's session ends first. */
  pid(): number | null;
  /** Gives the run up because its job is gone or inactive. As with pg_cron its backend works on to the command's end. */
  cancel(): void;
  /** Resolves when the end is recorded and the connection closed; rejects when the scheduler's session was lost. */
  readonly ended: Promise<void>;
}

/** How long a login may take before the run counts as failed, in milliseconds. */
const startTimeout = 10_000;

/**
 * Runs a job's command as pg_cron does by default: as the job's user on a connection of its own, sent as one simple
 * query, so that several statements are one transaction and a lone VACUUM is in none.
 */
export function startRun(session: WorkerSession, connect: Connect, job: CronJob): CronRun {
  const canceled = new AbortController();
  let pid: number | null = null;
  const ended = execute(session, connect, job, canceled.signal, (now) => {
    pid = now;
  });
  return { pid: () => pid, cancel: () => canceled.abort(), ended };
}

async function execute(
  session: WorkerSession,
  connect: Connect,
  job: CronJob,
  canceled: AbortSignal,
  setPid: (pid: number | null) => void,
): Promise<void> {
  const { sql } = session;
  const runId = await insertRun(sql, session.pid, job);
  if (runId === null) throw new Error("the scheduler's session was lost");
  const over = AbortSignal.any([canceled, session.over]);
  const client = openClient(connect, {
    user: job.username,
    database: job.database,
    applicationName: "pg_cron",
  });
  let loggedIn = false;
  try {
    const login = await logIn(client, over);
    if (over.aborted) return;
    if ("failure" in login) return await abandonRun(sql, runId, login.failure);
    loggedIn = true;
    await markRunning(sql, runId, login.pid);
    setPid(login.pid);
    const outcome = await send(client, job.command, over);
    if (outcome !== null) await finishRun(sql, runId, outcome.status, outcome.returnMessage);
  } finally {
    if (!session.over.aborted) setPid(null);
    // Without a pid it may be logging in; with one its command may be busy, and nobody waits for that.
    await (loggedIn ? client.end({ timeout: 0 }) : closeClient(client));
    if (canceled.aborted && !session.over.aborted) await abandonRun(sql, runId, "job canceled");
  }
}

async function logIn(
  client: postgres.Sql,
  over: AbortSignal,
): Promise<{ pid: number } | { failure: string }> {
  const timeout = AbortSignal.timeout(startTimeout);
  try {
    const [row] = await Promise.race([
      client<{ pid: number }[]>`select pg_catalog.pg_backend_pid() as pid`,
      rejectWhen(AbortSignal.any([timeout, over])),
    ]);
    return row === undefined ? { failure: "connection failed" } : { pid: row.pid };
  } catch {
    // pg_cron keeps the cause to the server's log as well.
    return { failure: timeout.aborted ? "job startup timeout" : "connection failed" };
  }
}

/** Sends the command and waits for its end; null when the run was given up meanwhile. */
async function send(
  client: postgres.Sql,
  command: string,
  over: AbortSignal,
): Promise<{ status: "succeeded" | "failed"; returnMessage: string } | null> {
  try {
    const answer: Promise<unknown> = client.unsafe(command).then((result: unknown) => {
      // A COPY's stream ends with the connection, also when nobody waits for it any more.
      if (result instanceof Stream) result.on("error", () => {});
      return result;
    });
    const result = await Promise.race([answer, rejectWhen(over)]);
    if (result instanceof Stream) return { status: "failed", returnMessage: "COPY not supported" };
    return { status: "succeeded", returnMessage: describeResult(command, result) };
  } catch (error) {
    return over.aborted ? null : { status: "failed", returnMessage: describeFailure(error) };
  }
}

/**
 * What pg_cron keeps of an answer: `3 rows` where the last statement returned rows, else its command tag. Of a command
 * of several statements the client counts rows only once, so that the number behind the tag may be an earlier one's.
 */
export function describeResult(command: string, result: unknown): string {
  const last = Array.isArray(result) && !("command" in result) ? result.at(-1) : result;
  if (!isStatementResult(last)) return "0 rows";
  const tag = last.command;
  const returnsRows =
    ["SELECT", "SHOW", "EXPLAIN", "FETCH"].includes(tag) ||
    (Array.isArray(last.columns) && last.columns.length > 0 && !/;\s*\S/.test(command));
  if (returnsRows) return last.length === 1 ? "1 row" : `${last.length} rows`;
  if (typeof last.count !== "number") return tag;
  return tag === "INSERT" ? `INSERT 0 ${last.count}` : `${tag} ${last.count}`;
}

function isStatementResult(
  value: unknown,
): value is unknown[] & { command: string; count: unknown; columns: unknown } {
  return Array.isArray(value) && "command" in value && typeof value.command === "string" && "count" in value;
}

/** An error in the words of libpq, which pg_cron keeps. The line that points into the command is left out. */
export function describeFailure(error: unknown): string {
  if (!(error instanceof postgres.PostgresError)) {
    return (
      "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n" +
      "\tbefore or while processing the request.\n"
    );
  }
  const parts: [string, string | undefined][] = [
    [error.severity, error.message],
    ["DETAIL", error.detail],
    ["HINT", error.hint],
    ["CONTEXT", error.where],
  ];
  return parts
    .filter(([, text]) => text !== undefined)
    .map(([label, text]) => `${label}:  ${text}\n`)
    .join("");
}

function rejectWhen(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
