import { readBody } from "./body.ts";
import { identifyCaller } from "./caller.ts";
import { Catalog, type Entry, findProblems, refuseProblems } from "./catalog.ts";
import { carryProbes, diagnose, type Limits, readIssue, recordLook, type Statements } from "./database.ts";
import { toApiError } from "./database-errors.ts";
import { passDoor } from "./door.ts";
import { createEndpoint, type Endpoint, type EndpointParts, type Exchange } from "./endpoint.ts";
import { nameProblems, objectOf, problemsBelow, textOf } from "./entry-request.ts";
import type { Problem } from "./errors.ts";
import { lookOutside } from "./look-outside.ts";

const limits: Limits = { statement: "10s", lock: "2s", transaction: "20s" };

/** The answer is there and waits for nothing longer than this. */
const recordLimits: Limits = { statement: "2s", lock: "500ms" };

/** One diagnosis, as an endpoint reads it from a body. */
interface Question {
  issue: string;
  params: Record<string, unknown>;
  /** What is known of the issue from earlier requests. */
  catalog: Catalog;
  /** What is wrong before the catalog was asked. */
  problems: Problem[];
  /** Where the parameters stand in the body. */
  path: "" | "params";
}

/** The endpoint `diagnose-<issue>`, unless named otherwise: `POST` of the issue's parameters answers its diagnosis. */
export function serveDiagnosis(
  issue: string,
  { endpoint = `diagnose-${issue}`, ...parts }: Partial<EndpointParts> & { endpoint?: string } = {},
): Endpoint {
  return serve(endpoint, parts, (params, { worker: { catalog } }) => ({
    issue,
    params,
    catalog,
    problems: [],
    path: "",
  }));
}

/** The endpoint `diagnose`: `POST` of `{ issue, params }` answers the diagnosis of any issue of the catalog. */
export function serveDiagnose(parts: Partial<EndpointParts> = {}): Endpoint {
  return serve("diagnose", parts, (body) => ({
    issue: textOf(body["issue"]),
    params: objectOf(body["params"]),
    // A team may change its entries at any time, so what the catalog says is not kept.
    catalog: new Catalog(),
    problems: nameProblems("issue", body),
    path: "params",
  }));
}

function serve(
  name: string,
  parts: Partial<EndpointParts>,
  read: (body: Record<string, unknown>, exchange: Exchange) => Question,
): Endpoint {
  return createEndpoint(
    {
      name,
      methods: ["POST"],
      answer: async (exchange) => Response.json(await answer(exchange, read)),
    },
    parts,
  );
}

async function answer(
  exchange: Exchange,
  read: (body: Record<string, unknown>, exchange: Exchange) => Question,
): Promise<Record<string, unknown>> {
  const { request, requestId, worker } = exchange;
  const { connection } = worker;
  const caller = await identifyCaller(request, worker.environment);
  exchange.actor = caller.kind;
  const { issue, params, catalog, problems, path } = read(await readBody(request), exchange);

  const admit = async (transaction: Statements): Promise<Entry> => {
    await passDoor(transaction, caller, requestId, limits);
    refuseProblems(problems);
    const entry = catalog.get(issue) ?? catalog.learn(issue, await readIssue(transaction, issue));
    const found = findProblems(entry.parameters, params);
    refuseProblems(path === "" ? found : problemsBelow(path, found), entry.takes);
    return entry;
  };

  const seen = await lookOutside(exchange, catalog.get(issue), admit);
  const diagnosis = await connection.transaction("read only", async (transaction) => {
    if (exchange.unrecorded !== undefined) await carryProbes(transaction, seen);
    await admit(transaction);
    return await diagnose(transaction, issue, params);
  });
  // It read as a person, and a read-only transaction cannot put that on record.
  if (diagnosis["recorded"] !== false) return diagnosis;
  try {
    const look = await connection.transaction("as configured", async (transaction) => {
      await passDoor(transaction, caller, requestId, recordLimits);
      return await recordLook(transaction, issue, params, textOf(diagnosis["verdict"]));
    });
    return { ...diagnosis, not_recorded_because: undefined, ...look };
  } catch (error) {
    const { code } = toApiError(error);
    exchange.unrecorded = code;
    return { ...diagnosis, not_recorded_because: `Writing the record failed: ${code}.` };
  }
}
