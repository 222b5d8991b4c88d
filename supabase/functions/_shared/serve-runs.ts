import * as z from "zod";
import { inBackground } from "./background.ts";
import { readBody } from "./body.ts";
import { identifyCaller } from "./caller.ts";
import { findProblems, refuseProblems } from "./catalog.ts";
import type { Limits } from "./database.ts";
import { toApiError } from "./database-errors.ts";
import { passDoor } from "./door.ts";
import { createEndpoint, type Endpoint, type EndpointParts, type Exchange } from "./endpoint.ts";
import { invalidBody, type Problem } from "./errors.ts";
import { listRuns, readRun } from "./run-statements.ts";
import { takeUp } from "./statements.ts";

const limits: Limits = { statement: "10s", lock: "2s" };

/** Without personal data, so that it may stand in an address, which proxies and browsers keep. */
const impersonal = {
  remediation: z.string().optional(),
  state: z.string().optional(),
  since: z.string().optional(),
  until: z.string().optional(),
  cursor: z.string().optional(),
};
const querySchema = z.strictObject({
  ...impersonal,
  id: z.string().optional(),
  limit: z.string().optional(),
});
const bodySchema = z.strictObject({
  ...impersonal,
  id: z.int().min(1).optional(),
  limit: z.int().min(1).max(100).optional(),
  actor: z.string().optional(),
  subject: z.string().optional(),
});

/**
 * The endpoint `remediation-runs`: `GET` with a query or `POST` of the same as JSON answers the runs, newest first, or
 * with `id` the one run. Filters by `actor` and `subject` are taken from a body only. Where no schedule moves runs on,
 * whoever asks for one that is under way moves it on.
 */
export function serveRuns(parts: Partial<EndpointParts> = {}): Endpoint {
  return createEndpoint({ name: "remediation-runs", methods: ["GET", "POST"], answer }, parts);
}

async function answer(exchange: Exchange): Promise<Response> {
  const { request, requestId, worker } = exchange;
  const caller = await identifyCaller(request, worker.environment);
  exchange.actor = caller.kind;
  const { problems, filters } = await readQuestion(exchange);
  const found = await worker.connection.transaction("read only", async (transaction) => {
    await passDoor(transaction, caller, requestId, limits);
    refuseProblems(problems);
    const { id, ...others } = bodySchema.parse(filters);
    return id === undefined
      ? await listRuns(transaction, others).catch((error: unknown) => {
          throw request.method === "GET" ? inQuery(error) : error;
        })
      : await readRun(transaction, String(id));
  });
  const id = idOf(filters);
  if (id !== undefined && found["state"] === "applying") inBackground(takeUp(worker, id));
  return Response.json(found);
}

function idOf(filters: Record<string, unknown>): string | undefined {
  const { id } = bodySchema.parse(filters);
  return id === undefined ? undefined : String(id);
}

async function readQuestion({
  request,
  url,
}: Exchange): Promise<{ problems: Problem[]; filters: Record<string, unknown> }> {
  const query: Record<string, unknown> = Object.fromEntries(url.searchParams);
  if (request.method === "POST") {
    const body = await readBody(request, { optional: true });
    return {
      problems: [...Object.keys(query).map(notHere), ...findProblems(bodySchema, body)],
      filters: body,
    };
  }
  const filters = Object.fromEntries(
    Object.entries(query).map(([key, value]) => [
      key,
      key === "id" || key === "limit" ? numberOf(value) : value,
    ]),
  );
  const problems = findProblems(querySchema, query).map((problem) => ({
    ...problem,
    path: `?${problem.path}`,
  }));
  return {
    problems: [
      ...problems.map((problem) =>
        ["?actor", "?subject"].includes(problem.path)
          ? { ...problem, message: "is not taken from an address; send it in the body of a POST" }
          : problem,
      ),
      ...(problems.length > 0
        ? []
        : findProblems(bodySchema, filters).map((problem) => ({ ...problem, path: `?${problem.path}` }))),
    ],
    filters,
  };
}

/** What SQL refuses of the filters, with the paths that they have in an address. */
function inQuery(thrown: unknown): unknown {
  const error = toApiError(thrown);
  const { data } = z.array(z.object({ path: z.string(), message: z.string() })).safeParse(error.details);
  if (error.code !== "INVALID_BODY" || data === undefined) return thrown;
  return invalidBody(data.map((problem) => ({ ...problem, path: `?${problem.path}` })));
}

function notHere(key: string): Problem {
  return { path: `?${key}`, message: "stands in the body of a POST" };
}

/** A number as the query writes it; what is none stays text, which the schema refuses. */
function numberOf(value: unknown): unknown {
  return typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
}
