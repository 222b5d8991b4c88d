import postgres from "postgres";
import { drainCalls } from "./calls.ts";
import { openDatabase } from "./database.ts";
import { nextStatement, settleStatement } from "./run-statements.ts";
import type { Worker } from "./worker.ts";

/** How long calls that stand behind a statement are sent for; the schedule goes on where it stops. */
const budgetMs = 20_000;

/**
 * Performs what is left of a run beside the calls that are due at once: statements that cannot be in a transaction, such
 * as VACUUM, and the calls behind them. Never rejects: when this worker is ended, the statement goes on in the database,
 * and the tick finds out how it went.
 */
export async function followRun(worker: Worker, runId: string): Promise<void> {
  try {
    while (await performStatements(worker, runId)) await drainCalls(worker, { runId, budgetMs });
  } catch {
    // The database is away: the tick follows the run.
  }
}

/** Performs the statements up to the next step of another kind; answers whether there was any. */
async function performStatements({ environment, connection }: Worker, runId: string): Promise<boolean> {
  for (let performed = false; ; performed = true) {
    const next = await nextStatement(connection.statements, runId);
    if (next === undefined) return performed;
    const failure = await perform(environment.databaseUrl, next.application_name, next.statement);
    // Nobody knows what became of it: the tick will see.
    if (failure === "lost") return performed;
    await settleStatement(connection.statements, runId, next.position, failure);
  }
}

/**
 * Performs one on a session of its own, whose name tells the tick which run it belongs to, and without a timeout.
 * Answers the SQLSTATE of its failure, null when it went well, `lost` when the connection broke: then it may go on.
 */
async function perform(url: string, applicationName: string, statement: string): Promise<string | null> {
  const sql = openDatabase(url, applicationName, { statementTimeoutMs: 0 });
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
