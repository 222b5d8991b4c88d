import { setTimeout as sleep } from "node:timers/promises";
import type { Connect } from "./connect.ts";
import { netVersion, sendRequest } from "./net-request.ts";
import {
  beginBatch,
  commitBatch,
  deleteExpiredResponses,
  insertResponses,
  takeRequests,
} from "./net-store.ts";
import { createWaker } from "./waker.ts";
import { keepWorking, type WorkerSession } from "./worker-session.ts";

/** Options of {@link startNetWorker}. */
export interface NetWorkerOptions {
  connect: Connect;
  report: (line: string) => void;
  /** The database that holds schema net; `postgres` when absent. */
  database?: string;
}

const batchSize = 200;
/** How long a stop waits for the batch that is under way, in milliseconds. */
const patience = 1000;

/**
 * Sends what stands in net.http_request_queue, as pg_net's background worker does: one batch at a time, each in one
 * transaction that takes the requests, waits for the slowest of them and records the responses. When that transaction
 * does not commit, its requests are sent again.
 *
 * @returns When the first session is ready or has failed; `stop` waits a moment for the batch that is under way.
 */
export async function startNetWorker(options: NetWorkerOptions): Promise<{ stop(): Promise<void> }> {
  const { connect, report, database = "postgres" } = options;
  const waker = createWaker();
  let woken = true;
  let restart = false;
  let stopping = false;
  let batch: Promise<unknown> = Promise.resolve();

  const work = async (session: WorkerSession, ready: () => void): Promise<void> => {
    const { over } = session;
    // What was queued while nobody worked is sent now; pg_net starts awake, too.
    woken = true;
    restart = false;
    ready();
    const done = (): boolean => over.aborted || restart || stopping;
    while (!done()) {
      if (!woken) {
        await waker.wait(60_000, over);
        continue;
      }
      woken = false;
      for (let busy = true; busy && !done(); ) {
        const processed = processBatch(session);
        batch = processed.catch(() => {});
        busy = await processed;
        await waker.wait(busy ? 1000 : 0, over);
      }
    }
  };

  const worker = await keepWorking({
    connect,
    report,
    // As on hosted Supabase, where pg_net.username is set.
    user: "postgres",
    database,
    applicationName: `pg_net ${netVersion}`,
    lock: [0x70676e65, 1],
    channels: {
      pg_net_wake: () => {
        woken = true;
        waker.wake();
      },
      pg_net_restart: () => {
        restart = true;
        waker.wake();
      },
    },
    work,
  });
  return {
    stop: async () => {
      stopping = true;
      waker.wake();
      await Promise.race([batch, sleep(patience)]);
      await worker.stop();
    },
  };
}

/** Sends one batch; true when there was anything to do, so that there may be more. */
async function processBatch({ sql, pid, over }: WorkerSession): Promise<boolean> {
  const expired = await deleteExpiredResponses(sql, batchSize);
  await beginBatch(sql);
  const requests = await takeRequests(sql, pid, batchSize);
  if (requests.length > 0) {
    const responses = await Promise.all(requests.map((request) => sendRequest(request, over)));
    // The client may have logged in anew meanwhile, and then the transaction is gone.
    if ((await insertResponses(sql, pid, responses)) !== responses.length)
      throw new Error("its session was ended; the requests that were under way are sent again");
  }
  await commitBatch(sql);
  return expired + requests.length > 0;
}
