import { readBody } from "./body.ts";
import { identifyCaller } from "./caller.ts";
import { type Entry, findProblems, refuseProblems } from "./catalog.ts";
import { diagnose, type Limits, readIssue, type Statements } from "./database.ts";
import { passDoor } from "./door.ts";
import { createEndpoint, type Endpoint, type EndpointParts, type Exchange } from "./endpoint.ts";

const limits: Limits = { statement: "10s", lock: "2s" };

/** The endpoint `diagnose-<issue>`: `POST` of the issue's parameters answers its diagnosis. */
export function serveDiagnosis(issue: string, parts: Partial<EndpointParts> = {}): Endpoint {
  return createEndpoint(
    {
      name: `diagnose-${issue}`,
      methods: ["POST"],
      answer: async (exchange) => Response.json(await answer(issue, exchange)),
    },
    parts,
  );
}

async function answer(issue: string, exchange: Exchange): Promise<Record<string, unknown>> {
  const { request, requestId, worker } = exchange;
  const { connection, catalog, probes } = worker;
  const caller = await identifyCaller(request, worker.environment);
  exchange.actor = caller.kind;
  const params = await readBody(request);

  const admit = async (transaction: Statements): Promise<Entry> => {
    await passDoor(transaction, caller, requestId, limits);
    const entry = catalog.get(issue) ?? catalog.learn(issue, await readIssue(transaction, issue));
    refuseProblems(findProblems(entry.parameters, params));
    return entry;
  };

  // Looking outside takes as long as it takes: the door is opened meanwhile, and again for the diagnosis.
  const known = catalog.get(issue);
  const due = known === undefined ? [] : probes.due(known.probes);
  if (known === undefined || due.length > 0) {
    const looking = probes.look(due);
    const entry = await connection.transaction("read only", admit);
    const seen = known === undefined ? await probes.look(probes.due(entry.probes)) : await looking;
    await probes.record(connection.statements, seen);
  }
  return await connection.transaction("read only", async (transaction) => {
    await admit(transaction);
    return await diagnose(transaction, issue, params);
  });
}
