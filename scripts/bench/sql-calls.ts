import { randomUUID } from "node:crypto";
import postgres from "postgres";
import {
  chosenChecks,
  composeReport,
  diagnose,
  enter,
  type Limits,
  openDatabase,
  remediate,
  runChecks,
} from "../../supabase/functions/_shared/database.ts";

/** The transactions of the edge functions, over one connection of this process. */
export interface SqlCalls {
  diagnoseLogin(email: string): Promise<Record<string, unknown>>;
  /** Applies when there is a reason, else plans. */
  unblockLogin(email: string, reason: string | null): Promise<Record<string, unknown>>;
  healthCheck(): Promise<Record<string, unknown>>;
  close(): Promise<void>;
}

/** As in the functions; a limit that is not reached costs the same whatever its value. */
const limits: Limits = { statement: "10s", lock: "2s" };

/**
 * Sends what an edge function sends, with the function's own statements and client, and nothing of what it does beside them.
 * @param claims of the caller's token, which the function would have verified.
 */
export function openSqlCalls(databaseUrl: string, claims: Record<string, unknown>): SqlCalls {
  const sql = openDatabase(databaseUrl, "runbook bench");
  const admit = (transaction: postgres.TransactionSql): Promise<unknown> =>
    enter(transaction, claims, randomUUID(), limits);
  return {
    diagnoseLogin: (email) =>
      sql.begin("read only", async (transaction) => {
        await admit(transaction);
        return diagnose(transaction, "login", { email });
      }),
    unblockLogin: (email, reason) =>
      sql.begin(async (transaction) => {
        await admit(transaction);
        return remediate(transaction, {
          name: "unblock-login",
          params: { email },
          dryRun: reason === null,
          reason,
          idempotencyKey: reason === null ? null : randomUUID(),
          planHash: null,
        });
      }),
    healthCheck: () =>
      sql.begin(async (transaction) => {
        await admit(transaction);
        const checks = await chosenChecks(transaction, { checks: null, groups: null });
        const entries = await transaction.savepoint((savepoint) => runChecks(savepoint, checks));
        return composeReport(transaction, entries, { detail: false, isPartial: false });
      }),
    close: () => sql.end({ timeout: 1 }),
  };
}

/** Makes and removes blocks of the demo school's login limiter, outside of the measured time. */
export interface Blocks {
  block(email: string): Promise<void>;
  sql: postgres.Sql;
  close(): Promise<void>;
}

/** Opens a connection of its own, so that the measured one does nothing else. */
export function openBlocks(databaseUrl: string): Blocks {
  const sql = postgres(databaseUrl, { max: 1, connection: { application_name: "bench preparation" } });
  return {
    sql,
    block: async (email) => {
      await sql`
        insert into public.auth_rate_limits (identifier, blocked_until)
        values (${email}, now() + interval '1 hour')
        on conflict (identifier) do update set blocked_until = excluded.blocked_until
      `;
    },
    close: () => sql.end({ timeout: 1 }),
  };
}
