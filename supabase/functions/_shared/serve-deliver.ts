import { inBackground } from "./background.ts";
import { unauthenticated } from "./caller.ts";
import { drainCalls } from "./calls.ts";
import { createEndpoint, type Endpoint, type EndpointParts, type Exchange } from "./endpoint.ts";
import { runsToFollow } from "./run-statements.ts";
import { followRun } from "./statements.ts";
import { redeem, ticketHeader } from "./ticket.ts";

const name = "deliver";
/** pg_net hangs up after twenty seconds; what is left by then the next tick rings for. */
const budgetMs = 10_000;

/**
 * The endpoint `deliver`, rung by the schedule with a one-time ticket and open to nobody else: `POST` sends the calls
 * that are due, and performs statements and batches that nobody is at.
 */
export function serveDeliver(parts: Partial<EndpointParts> = {}): Endpoint {
  return createEndpoint({ name, methods: ["POST"], answer }, parts);
}

async function answer(exchange: Exchange): Promise<Response> {
  const { request, worker } = exchange;
  const ticket = request.headers.get(ticketHeader);
  if (ticket === null) throw unauthenticated("no_ticket");
  await redeem(worker.connection, ticket, name);
  exchange.actor = "ticket";
  const runs = await drainCalls(worker, { runId: null, budgetMs });
  const waiting = await runsToFollow(worker.connection.statements);
  for (const runId of new Set([...runs, ...waiting])) inBackground(followRun(worker, runId));
  return Response.json({ attempts: runs.length });
}
