import postgres from "postgres";
import { drainCalls } from "./calls.ts";
import { openDatabase } from "./database.ts";
import {
  nextStatement,
  type PendingStatement,
  settleStatement,
  takeUpRun,
  workOnBatch,
} from "./run-statements.ts";
import type { Worker } from "./worker.ts";

/** How long calls that stand behind a statement are sent for; the schedule goes on where it stops. */
const budgetMs = 20_000;
/** How long batches are worked on; less than what the platform grants a worker, and than the minute to the next tick. */
const batchesMs = 50_000;

/**
 * Performs what is left of a run beside the calls that are due at once: statements that cannot be in a transaction, such
 * as VACUUM, batches, and the calls behind them. Never rejects: when this worker is ended, a statement goes on in the
 * database, the tick finds out how it went, and rings for whoever goes on with the batches.
 */
export async function followRun(worker: Worker, runId: string): Promise<void> {
  try {
    const until = Date.now() + batchesMs;
    do {
      while (await performStatements(worker, runId)) await drainCalls(worker, { runId, budgetMs });
    } while (await performBatches(worker, runId, until));
  } catch {
    // The database is away: the tick follows the run.
  }
}

/** Goes on with a run that nobody moves on, because somebody asks for it where there is no schedule. Never rejects. */
export async function takeUp(worker: Worker, runId: string): Promise<void> {
  try {
    if (await takeUpRun(worker.connection.statements, runId)) await followRun(worker, runId);
  } catch {
    // The database is away or read-only; the next one who asks tries again.
  }
}

/** Works on a run's batches until they are done or the time is over; answers whether something may stand behind them. */
async function performBatches({ connection }: Worker, runId: string, until: number): Promise<boolean> {
  for (let worked = false; Date.now() < until; worked = true) {
    const begun = Date.now();
    if (!(await workOnBatch(connection.statements, runId))) return worked;
    // As much rest as work: the application has the database, too.
    const pause = Math.min(1000, Date.now() - begun);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  return false;
}

/** Performs the statements up to the next step of another kind; answers whether there was any. */
async function performStatements({ environment, connection }: Worker, runId: string): Promise<boolean> {
  for (let performed = false; ; performed = true) {
    const next = await nextStatement(connection.statements, runId);
    if (next === undefined) return performed;
    const failure = await perform(environment.databaseUrl, next);
    // Nobody knows what became of it: the tick will see.
    if (failure === "lost") return performed;
    await settleStatement(connection.statements, runId, next.position, failure);
  }
}

/**
 * Performs one on a session of its own, whose name tells the tick which run it belongs to, without a limit of time but for locks.
 * Answers the SQLSTATE of its failure, null when it went well, `lost` when the connection broke: then it may go on.
 */
async function perform(
  url: string,
  { application_name, statement, lock_timeout_ms }: PendingStatement,
): Promise<string | null> {
  const sql = openDatabase(url, application_name, { statementTimeoutMs: 0, lockTimeoutMs: lock_timeout_ms });
  try {
    // SQL wrote the text from its parts, and it stands in the run's record.
    await sql.unsafe(statement);
    return null;
  } catch (error) {
    return error instanceof postgres.PostgresError ? error.code : "lost";
  } finally {
    await sql.end({ timeout: 1 });
  }
}
