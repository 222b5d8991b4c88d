import { discardBody } from "./body.ts";
import { addCorsHeaders, answerPreflight } from "./cors.ts";
import { toApiError } from "./database-errors.ts";
import { ApiError, type ErrorCode } from "./errors.ts";
import { type ActorKind, describeCause, type LogSink, logRequest } from "./log.ts";
import { requestIdOf } from "./request-id.ts";
import { openWorker, type Worker } from "./worker.ts";

/** What `export default` of a function's index.ts is. */
export interface Endpoint {
  fetch(request: Request): Promise<Response>;
}

/** One request on its way to an answer. */
export interface Exchange {
  request: Request;
  url: URL;
  requestId: string;
  worker: Worker;
  /** For the log, once the caller is known. */
  actor: ActorKind;
  /** For the log: why a probe or report could not be recorded. */
  unrecorded?: ErrorCode | undefined;
}

/** What tells one endpoint from another. */
export interface EndpointDefinition {
  name: string;
  methods: readonly string[];
  /** Answers, or throws what `toApiError` maps. */
  answer(exchange: Exchange): Promise<Response>;
  /** Writes a failure for this caller; JSON unless given. */
  refuse?(error: ApiError, requestId: string, request: Request): Response;
}

/** What a test puts in the place of the real thing. */
export interface EndpointParts {
  open: (endpoint: string) => Worker;
  log: LogSink;
}

/** An endpoint: its path and methods, CORS, request id, failures and the log's line; the rest is its `answer`. */
export function createEndpoint(
  definition: EndpointDefinition,
  { open = openWorker, log = console.log }: Partial<EndpointParts> = {},
): Endpoint {
  let worker: Worker | undefined;
  return {
    async fetch(request) {
      const startedAt = performance.now();
      const requestId = requestIdOf(request);
      const refuse = definition.refuse ?? answerJson;
      let exchange: Exchange | undefined;
      let error: ApiError | undefined;
      let response: Response;
      try {
        const url = new URL(request.url);
        refusePath(definition, url);
        if (request.method === "OPTIONS") response = answerPreflight(definition.methods);
        else {
          refuseMethod(definition, request);
          worker ??= open(definition.name);
          exchange = { request, url, requestId, worker, actor: "none" };
          response = await definition.answer(exchange);
        }
      } catch (thrown) {
        error = toApiError(thrown);
        await discardBody(request).catch(() => {});
        response = refuse(error, requestId, request);
        for (const [name, value] of Object.entries(error.headers)) response.headers.set(name, value);
      }
      addCorsHeaders(response.headers);
      response.headers.set("cache-control", "no-store");
      response.headers.set("x-request-id", requestId);
      logRequest(
        {
          endpoint: definition.name,
          method: request.method,
          status: response.status,
          code: error?.code,
          took_ms: Math.round((performance.now() - startedAt) * 10) / 10,
          request_id: requestId,
          actor: exchange?.actor ?? "none",
          ...(exchange?.unrecorded === undefined ? {} : { unrecorded: exchange.unrecorded }),
          reason: error?.reason,
          cause: error?.cause === undefined ? undefined : describeCause(error.cause),
          execution_id: worker?.environment.executionId,
        },
        log,
      );
      return response;
    },
  };
}

function answerJson(error: ApiError, requestId: string): Response {
  return Response.json(error.body(requestId), { status: error.status });
}

/** The path ends with the function's name: the gateway may or may not have removed what stands before it. */
function refusePath({ name }: EndpointDefinition, url: URL): void {
  if (!url.pathname.replace(/\/$/, "").endsWith(`/${name}`))
    throw new ApiError("NOT_FOUND", { message: "There is nothing at this path." });
}

function refuseMethod({ methods }: EndpointDefinition, request: Request): void {
  if (methods.includes(request.method)) return;
  throw new ApiError("METHOD_NOT_ALLOWED", { headers: { allow: [...methods, "OPTIONS"].join(", ") } });
}
