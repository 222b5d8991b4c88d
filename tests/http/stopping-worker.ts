import { inject } from "vitest";
import { Connection } from "../../supabase/functions/_shared/connection.ts";
import type { Statements } from "../../supabase/functions/_shared/database.ts";
import type { EndpointParts } from "../../supabase/functions/_shared/endpoint.ts";
import { partsOn } from "./worker-on.ts";

/** Where a function can be stopped: between two things that it says to the database or to Auth. */
export type StopPoint =
  | "before the commit"
  | "before the effects"
  | "before a call is claimed"
  | "after a call is claimed"
  | "before a call is settled";

/** A function in this process that stops at a point. */
export interface StoppingWorker {
  parts: Partial<EndpointParts>;
  /** Settles when it stands at the point. */
  reached: Promise<void>;
  /** The server process of its connection. */
  pid(): Promise<number>;
  /** Lets it go on. */
  resume(): void;
  /** Ends it as the platform ends a worker: its connection breaks, and it says nothing more. */
  end(): Promise<void>;
}

/** A promise that somebody else settles. */
export interface Gate {
  opened: Promise<void>;
  open(): void;
}

/** Makes a gate, which is closed. */
export function newGate(): Gate {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** Makes a function that stops at a point, the first time that it comes there. */
export function stoppingAt(point: StopPoint): StoppingWorker {
  const { open } = partsOn({});
  const reached = newGate();
  const resumed = newGate();
  const stop = async (here: StopPoint): Promise<void> => {
    if (here !== point) return;
    reached.open();
    await resumed.opened;
  };
  const connection = new StoppingConnection(stop);
  return {
    parts: { open: (endpoint) => ({ ...open(endpoint), connection }), log: () => {} },
    reached: reached.opened,
    pid: () => connection.pid,
    resume: resumed.open,
    end: () => connection.end(),
  };
}

class StoppingConnection extends Connection {
  readonly #stop: (here: StopPoint) => Promise<void>;
  #pid: number | undefined;

  constructor(stop: (here: StopPoint) => Promise<void>) {
    super(inject("databaseUrl"), "runbook stopping");
    this.#stop = stop;
  }

  get pid(): Promise<number> {
    return this.#pid === undefined
      ? Promise.reject(new Error("No transaction has begun."))
      : Promise.resolve(this.#pid);
  }

  override get statements(): Statements {
    const send = super.statements;
    return async (template, ...parameters) => {
      const text = template.join("");
      if (text.includes("runbook.finish_effects")) await this.#stop("before the effects");
      if (text.includes("runbook.claim_calls")) await this.#stop("before a call is claimed");
      if (text.includes("runbook.settle_call")) await this.#stop("before a call is settled");
      const rows = await send(template, ...parameters);
      if (text.includes("runbook.claim_calls")) await this.#stop("after a call is claimed");
      return rows;
    };
  }

  override async transaction<T>(
    ...[mode, work]: Parameters<typeof Connection.prototype.transaction<T>>
  ): Promise<T> {
    return await super.transaction(mode, async (transaction) => {
      const [row] = await transaction`select pg_backend_pid() as pid`;
      this.#pid = Number(row?.["pid"]);
      const result = await work(transaction);
      await this.#stop("before the commit");
      return result;
    });
  }
}
