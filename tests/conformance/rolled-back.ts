import type postgres from "postgres";

class Rollback extends Error {}

/** Runs work in a transaction that is always rolled back; answers its result, or throws what it threw. */
export async function rolledBack<T>(
  sql: postgres.Sql,
  work: (transaction: postgres.TransactionSql) => Promise<T>,
): Promise<T> {
  const results: T[] = [];
  try {
    await sql.begin(async (transaction) => {
      // Other tests' locks are short; waiting longer means that something hangs.
      await transaction`set local lock_timeout = '10s'`;
      results.push(await work(transaction));
      throw new Rollback();
    });
  } catch (error) {
    if (!(error instanceof Rollback)) throw error;
  }
  const [result] = results;
  if (result === undefined) throw new Error("The work in a rolled back transaction had no result.");
  return result;
}
