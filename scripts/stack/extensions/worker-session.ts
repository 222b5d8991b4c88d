import { setTimeout as sleep } from "node:timers/promises";
import type postgres from "postgres";
import { messageOf } from "../stack-error.ts";
import { type Connect, closeClient, openClient } from "./connect.ts";

/** What a background worker works with while it is the only one of its kind on the database. */
export interface WorkerSession {
  /** The session that holds the lock. Its backend is {@link WorkerSession.pid}; with another one the lock is gone. */
  readonly sql: postgres.Sql;
  readonly pid: number;
  /** Aborted when the session is gone or the worker is to stop. */
  readonly over: AbortSignal;
}

/** Options of {@link keepWorking}. */
export interface WorkerOptions {
  connect: Connect;
  report: (line: string) => void;
  user: string;
  database: string;
  /** How the session appears in pg_stat_activity. */
  applicationName: string;
  /** Advisory lock that lets one worker of a kind work on a database. */
  lock: readonly [number, number];
  /** Channels that the session listens on, and what to do when something arrives. */
  channels: Readonly<Record<string, () => void>>;
  /**
   * Calls `ready` when it is set up and works until `session.over` is aborted; when it returns or throws, a new session
   * follows after a second.
   */
  work: (session: WorkerSession, ready: () => void) => Promise<void>;
}

const pauseMilliseconds = 1000;

/**
 * Runs a background worker as the postmaster runs one: in a session of its own, and again in a new one a second after
 * the database restarted or the session was terminated. A second worker of the kind waits until the first is gone.
 *
 * @returns When the first session is ready or has failed; `stop` resolves when no connection is left.
 */
export async function keepWorking(options: WorkerOptions): Promise<{ stop(): Promise<void> }> {
  const stopping = new AbortController();
  let lastReported = "";
  let startedAt = Number.POSITIVE_INFINITY;
  /** Says a cause once while it lasts; a session that worked for a while makes the next one news. */
  const reportOnce = (line: string): void => {
    if (Date.now() - startedAt > 10 * pauseMilliseconds) lastReported = "";
    if (line !== lastReported && !stopping.signal.aborted) options.report(line);
    lastReported = line;
  };

  const run = async (settled: () => void): Promise<void> => {
    while (!stopping.signal.aborted) {
      startedAt = Number.POSITIVE_INFINITY;
      try {
        await oneSession(options, stopping.signal, reportOnce, () => {
          startedAt = Date.now();
          settled();
        });
      } catch (error) {
        reportOnce(`${options.applicationName}: ${messageOf(error)}`);
      }
      settled();
      await sleep(pauseMilliseconds, undefined, { signal: stopping.signal }).catch(() => {});
    }
  };

  let ended = Promise.resolve();
  await new Promise<void>((resolve) => {
    ended = run(resolve);
  });
  return {
    stop: async () => {
      stopping.abort();
      await ended;
    },
  };
}

async function oneSession(
  options: WorkerOptions,
  stopping: AbortSignal,
  reportOnce: (line: string) => void,
  ready: () => void,
): Promise<void> {
  const { connect, user, database, applicationName, channels } = options;
  const lost = new AbortController();
  const over = AbortSignal.any([stopping, lost.signal]);
  const sql = openClient(
    connect,
    { user, database, applicationName },
    {
      notified: (channel) => channels[channel]?.(),
      closed: () => lost.abort(new Error("its session was ended; it starts a new one")),
    },
  );
  // Ends what is under way as well, so that nothing waits for a statement that waits for a lock.
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= closeClient(sql);
    return closing;
  };
  over.addEventListener("abort", close);
  let established = false;
  try {
    const pid = await takeLock(sql, options.lock);
    if (pid === null) {
      reportOnce(`${applicationName}: another one works on this database; this one waits for its end.`);
      return;
    }
    established = true;
    for (const channel of Object.keys(channels)) await sql`listen ${sql(channel)}`;
    await options.work({ sql, pid, over }, ready);
    lost.signal.throwIfAborted();
  } catch (error) {
    // What failed because the session is gone is of no interest beside that.
    throw established && lost.signal.aborted ? lost.signal.reason : error;
  } finally {
    await close();
  }
}

/** The backend's pid, or null when another worker holds the lock. */
async function takeLock(sql: postgres.Sql, [space, key]: readonly [number, number]): Promise<number | null> {
  const [row] = await sql<{ pid: number; locked: boolean }[]>`
    select pg_catalog.pg_backend_pid() as pid, pg_catalog.pg_try_advisory_lock(${space}, ${key}) as locked
  `;
  return row?.locked === true ? row.pid : null;
}
