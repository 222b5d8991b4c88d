import type postgres from "postgres";
import { openDatabase, type Statements } from "./database.ts";
import { isConnectionLost, wasDropped } from "./database-errors.ts";
import { ApiError } from "./errors.ts";

/** `as configured` may write, unless the database is in read-only mode. */
export type TransactionMode = "read only" | "as configured";

/** The statements of a transaction. */
export type Transaction = Statements & {
  /** Runs a part so that its failure undoes the part alone. */
  attempt<T>(part: (statements: Statements) => Promise<T>): Promise<T>;
};

/** A client of postgres.js, which holds one connection after the other, and how many of them were closed. */
interface Client {
  sql: postgres.Sql;
  closes: number;
}

/** The one connection of a worker: made when it is needed, and made anew after it was closed. */
export class Connection {
  readonly #open: () => Client;
  #client: Client;

  constructor(url: string, applicationName: string) {
    this.#open = () => {
      const client: Client = {
        sql: openDatabase(url, applicationName, {
          onClose: () => {
            client.closes += 1;
            // A client whose connection was lost keeps the last error for the next statement, so it is replaced.
            if (this.#client === client) this.#client = this.#open();
          },
        }),
        closes: 0,
      };
      return client;
    };
    this.#client = this.#open();
  }

  /** For a statement on its own. */
  get statements(): Statements {
    return this.#client.sql;
  }

  /** Runs `work` in a transaction that is committed unless it throws. */
  async transaction<T>(mode: TransactionMode, work: (transaction: Transaction) => Promise<T>): Promise<T> {
    let hasBegun = false;
    const once = (): Promise<T> =>
      begin(this.#client, mode, (transaction) => {
        hasBegun = true;
        return work(transaction);
      });
    try {
      return await once();
    } catch (error) {
      // The connection was dropped while nobody used it, and nothing was done yet.
      if (!hasBegun && wasDropped(error)) return await once();
      throw error;
    }
  }

  /** Closes the connection; statements under way have a second. */
  async end(): Promise<void> {
    await this.#client.sql.end({ timeout: 1 });
  }
}

/**
 * When the connection is lost, nothing more is sent: neither a statement of `work`, which could come to the next
 * connection and so past the door, nor the end of the transaction, which postgres.js would write to a socket that is
 * gone, and that ends the whole process.
 */
function begin<T>(
  client: Client,
  mode: TransactionMode,
  work: (transaction: Transaction) => Promise<T>,
): Promise<T> {
  const options = mode === "read only" ? mode : "";
  return inside<T, postgres.TransactionSql>(
    (body) => client.sql.begin(options, body),
    (begun) => {
      const { closes } = client;
      const isLost = (): boolean => client.closes !== closes;
      const attempt = <P>(part: (statements: Statements) => Promise<P>): Promise<P> =>
        inside<P, postgres.TransactionSql>(
          (body) => begun.savepoint(body),
          (saved) => settle(part(guard(saved, isLost)), isLost),
        );
      return settle(work(Object.assign(guard(begun, isLost), { attempt })), isLost);
    },
  );
}

/** Answers what `work` answers inside of a transaction or savepoint, whose own answer postgres.js types as a list. */
async function inside<T, S>(
  run: (body: (statements: S) => Promise<void>) => Promise<unknown>,
  work: (statements: S) => Promise<T>,
): Promise<T> {
  const results: { value: T }[] = [];
  await run(async (statements) => {
    results.push({ value: await work(statements) });
  });
  const [result] = results;
  if (result === undefined) throw new Error("The transaction ended without a result.");
  return result.value;
}

function guard(statements: Statements, isLost: () => boolean): Statements {
  return (template, ...parameters) =>
    isLost() ? Promise.reject(new ApiError("DATABASE_UNREACHABLE")) : statements(template, ...parameters);
}

/** Settles as `part` does, but never when the connection was lost: then postgres.js itself rejects the `begin`. */
async function settle<T>(part: Promise<T>, isLost: () => boolean): Promise<T> {
  try {
    const result = await part;
    return isLost() ? await never : result;
  } catch (error) {
    if (isLost() || isConnectionLost(error)) return await never;
    throw error;
  }
}

const never = new Promise<never>(() => {});
