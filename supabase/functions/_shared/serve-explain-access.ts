import { readBody } from "./body.ts";
import { identifyCaller } from "./caller.ts";
import { type Entry, findProblems, refuseProblems } from "./catalog.ts";
import {
  carryProbes,
  explainAccess,
  type Limits,
  readAccessParameters,
  type Statements,
} from "./database.ts";
import { isConnectionLost } from "./database-errors.ts";
import { passDoor } from "./door.ts";
import { createEndpoint, type Endpoint, type EndpointParts, type Exchange } from "./endpoint.ts";
import { ApiError } from "./errors.ts";
import { lookOutside } from "./look-outside.ts";

/**
 * SQL catches the end of a statement's time and tells which policy took it. A function of a policy may catch it too, and
 * go on: then the connection is ended.
 */
const limits: Limits = { statement: "5s", lock: "100ms", transaction: "12s" };
const endedAfterMs = 12_000;

const name = "explain-access";

/**
 * The endpoint `explain-access`: `POST` of a person or role, a table and a command answers whether it is allowed, gate
 * by gate and policy by policy, proved by trying it. Not read-only: it records who looked, and a write is tried.
 */
export function serveExplainAccess(parts: Partial<EndpointParts> = {}): Endpoint {
  return createEndpoint(
    { name, methods: ["POST"], answer: async (exchange) => Response.json(await answer(exchange)) },
    parts,
  );
}

async function answer(exchange: Exchange): Promise<Record<string, unknown>> {
  const { request, requestId, worker } = exchange;
  const { connection, catalog } = worker;
  const caller = await identifyCaller(request, worker.environment);
  exchange.actor = caller.kind;
  const params = await readBody(request);
  const admit = async (transaction: Statements): Promise<Entry> => {
    await passDoor(transaction, caller, requestId, limits);
    const entry = catalog.get(name) ?? catalog.learn(name, await readAccessParameters(transaction));
    refuseProblems(findProblems(entry.parameters, params), entry.takes);
    return entry;
  };
  const seen = await lookOutside(exchange, catalog.get(name), admit);
  const startedAt = performance.now();
  try {
    return await connection.transaction("as configured", async (transaction) => {
      if (exchange.unrecorded !== undefined) await carryProbes(transaction, seen);
      await admit(transaction);
      return await explainAccess(transaction, params);
    });
  } catch (error) {
    // To postgres.js the connection is closed, whatever the server said when it ended it.
    if (!isConnectionLost(error) || performance.now() - startedAt < endedAfterMs) throw error;
    throw new ApiError("TIMED_OUT", {
      hint: "A function of a policy or trigger goes on after it was stopped: look what it catches.",
      cause: error,
    });
  }
}
