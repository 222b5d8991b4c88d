import type postgres from "postgres";
import { openDatabase, type Statements } from "./database.ts";
import { isConnectionLost } from "./database-errors.ts";
import { ApiError } from "./errors.ts";

/**
 * The one connection of a worker, made when it is needed and made anew when it was lost.
 *
 * Transactions are written out here: postgres.js sends the rollback of its own `begin` to a connection that is gone,
 * which ends the process, and ending a backend is nothing unusual where a runbook runs.
 */
export class Connection {
  readonly #sql: postgres.Sql;
  #losses = 0;

  constructor(url: string, applicationName: string) {
    this.#sql = openDatabase(url, applicationName, () => {
      this.#losses += 1;
    });
  }

  /** For a statement on its own. */
  get statements(): Statements {
    return this.#sql;
  }

  /** Runs `work` in a transaction that is committed unless it throws. */
  async transaction<T>(
    mode: "read only" | "as configured",
    work: (transaction: Statements) => Promise<T>,
  ): Promise<T> {
    const reserved = await this.#sql.reserve();
    const losses = this.#losses;
    const transaction: Statements = (template, ...parameters) =>
      this.#losses === losses
        ? reserved(template, ...parameters)
        : Promise.reject(new ApiError("DATABASE_UNREACHABLE"));
    let lost = false;
    try {
      await (mode === "read only" ? transaction`begin read only` : transaction`begin`);
      const result = await work(transaction);
      await transaction`commit`;
      return result;
    } catch (error) {
      lost = isConnectionLost(error);
      if (!lost) {
        await transaction`rollback`.then(undefined, () => {
          lost = true;
        });
      }
      throw error;
    } finally {
      // A lost connection is not given back: the client has dropped it already.
      if (!lost && this.#losses === losses) reserved.release();
    }
  }

  /** Closes the connection; statements under way have a second. */
  async end(): Promise<void> {
    await this.#sql.end({ timeout: 1 });
  }
}

/** Runs a part of a transaction so that its failure undoes the part alone. */
export async function attempt<T>(transaction: Statements, work: () => Promise<T>): Promise<T> {
  await transaction`savepoint attempt`;
  try {
    return await work();
  } catch (error) {
    if (!isConnectionLost(error)) await transaction`rollback to savepoint attempt`;
    throw error;
  }
}
