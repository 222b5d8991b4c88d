import { Agent, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import type { StackKeys } from "./api-keys.ts";
import { signToken } from "./auth/signing-key.ts";
import { BootError, type FunctionsServer } from "./functions/functions-server.ts";
import { type HttpServer, listen, readAll, sendJson, serveFetch } from "./http-server.ts";
import { codeOf } from "./stack-error.ts";

/** What the gateway stands before. */
export interface GatewayOptions {
  port: number;
  keys: Pick<StackKeys, "publishableKey" | "secretKey" | "signingKey">;
  /** Answers requests whose path begins after `/auth/v1`: the stand-in's handler, or a proxy to a real Auth server. */
  auth(request: Request): Promise<Response>;
  /** Whether keys are translated into tokens for Auth; a real server does that at its own gateway. */
  translateKeys: boolean;
  /** Plays the Management API below `/management`; null where a real project is at hand. */
  management: ((request: Request) => Promise<Response>) | null;
  functions: FunctionsServer;
  /** The schemas that the Data API would serve. */
  exposedSchemas: readonly string[];
  report(line: string): void;
}

const corsHeaders: Record<string, string> = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
  "access-control-allow-headers":
    "*, authorization, apikey, content-type, x-client-info, x-supabase-api-version",
  "access-control-expose-headers": "x-total-count, link, x-supabase-api-version",
};

/** Paths of Auth that need no API key, as at the platform's gateway. */
const openAuthPaths = ["/verify", "/callback", "/authorize", "/.well-known/"];

/** Listens on the API port and sends `/auth/v1` and `/functions/v1` where they belong. */
export async function startGateway(options: GatewayOptions): Promise<HttpServer> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const server = await listen(
    options.port,
    async (incoming, response) => {
      const url = new URL(incoming.url ?? "/", `http://127.0.0.1:${options.port}`);
      if (url.pathname.startsWith("/auth/v1/")) return authorize(options, incoming, response, url);
      if (url.pathname.startsWith("/functions/v1/"))
        return callFunction(options, agent, incoming, response, url);
      if (url.pathname.startsWith("/management/") && options.management !== null) {
        const target = new URL(url.pathname.slice("/management".length) + url.search, "http://management");
        return serveFetch(incoming, response, target, headersOf(incoming), options.management);
      }
      await readAll(incoming);
      if (/^\/realtime\/v1\/api\/tenants\/[^/]+\/health$/.test(url.pathname))
        return tellRealtimesHealth(options, incoming, response);
      if (url.pathname.startsWith("/rest/v1/") && refuseAsTheDataApi(options, incoming, response)) return;
      return sendJson(response, 404, {
        code: "NOT_IN_STACK",
        message: `The local stack serves /auth/v1 and /functions/v1; it has nothing at ${url.pathname}.`,
      });
    },
    options.report,
  );
  return {
    port: server.port,
    stop: async () => {
      await server.stop();
      agent.destroy();
    },
  };
}

async function authorize(
  options: GatewayOptions,
  incoming: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<void> {
  for (const [name, value] of Object.entries(corsHeaders)) response.setHeader(name, value);
  if (incoming.method === "OPTIONS") {
    response.writeHead(200);
    response.end();
    return;
  }
  const path = url.pathname.slice("/auth/v1".length);
  const headers = headersOf(incoming);
  const key = headers.get("apikey") ?? url.searchParams.get("apikey");
  const known = key === options.keys.publishableKey || key === options.keys.secretKey;
  if (!known && !openAuthPaths.some((open) => path.startsWith(open))) {
    await readAll(incoming);
    return sendJson(response, 401, {
      message: key === null ? "No API key found in request" : "Invalid API key",
    });
  }
  const authorization = headers.get("authorization");
  // supabase-js sends the key as the bearer token while nobody is signed in.
  if (options.translateKeys && known && (authorization === null || authorization === `Bearer ${key}`)) {
    const role = key === options.keys.secretKey ? "service_role" : "anon";
    headers.set(
      "authorization",
      `Bearer ${await signToken(options.keys.signingKey, { role, iss: "supabase-runbook stack" }, 60)}`,
    );
  }
  headers.delete("host");
  const target = new URL(path + url.search, "http://auth");
  await serveFetch(incoming, response, target, headers, options.auth);
}

/** As Realtime answers while nobody is connected; the stack has none, and nobody can connect. */
function tellRealtimesHealth(
  { keys }: GatewayOptions,
  incoming: IncomingMessage,
  response: ServerResponse,
): void {
  if (headersOf(incoming).get("apikey") === keys.secretKey)
    sendJson(response, 200, { data: { healthy: true, db_connected: false, connected_cluster: 0 } });
  else sendJson(response, 401, { message: "Unauthorized" });
}

/**
 * Refuses what the Data API refuses before it looks at a table, as PostgREST 14 words it: a caller without a key, and a
 * schema that is not exposed. The stack has no Data API for the rest.
 */
function refuseAsTheDataApi(
  { keys, exposedSchemas }: GatewayOptions,
  incoming: IncomingMessage,
  response: ServerResponse,
): boolean {
  const headers = headersOf(incoming);
  const key = headers.get("apikey");
  if (key !== keys.publishableKey && key !== keys.secretKey) {
    sendJson(response, 401, {
      message: key === null ? "No API key found in request" : "Invalid API key",
    });
    return true;
  }
  const isRead = incoming.method === "GET" || incoming.method === "HEAD";
  const schema = headers.get(isRead ? "accept-profile" : "content-profile");
  if (schema === null || exposedSchemas.includes(schema)) return false;
  sendJson(response, 406, {
    code: "PGRST106",
    details: null,
    hint: `Only the following schemas are exposed: ${exposedSchemas.join(", ")}`,
    message: `Invalid schema: ${schema}`,
  });
  return true;
}

async function callFunction(
  options: GatewayOptions,
  agent: Agent,
  incoming: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<void> {
  const path = url.pathname.slice("/functions/v1".length);
  const name = decodeURIComponent(path.split("/")[1] ?? "");
  if (!/^[a-zA-Z0-9_-]+$/.test(name) || !options.functions.has(name)) {
    await readAll(incoming);
    return sendJson(
      response,
      404,
      { code: "NOT_FOUND", message: "Requested function was not found" },
      { "sb-error-code": "NOT_FOUND" },
    );
  }
  let port: number;
  try {
    port = await options.functions.portOf(name);
  } catch (error) {
    if (!(error instanceof BootError)) throw error;
    await readAll(incoming);
    return sendJson(
      response,
      503,
      { code: "BOOT_ERROR", message: "Function failed to start (please check logs)" },
      { "sb-error-code": "BOOT_ERROR" },
    );
  }
  await proxy({
    agent,
    port,
    path: path + url.search,
    incoming,
    response,
    lost: () => options.functions.forget(name),
  });
}

interface Proxied {
  agent: Agent;
  port: number;
  path: string;
  incoming: IncomingMessage;
  response: ServerResponse;
  /** The function's worker could not be reached. */
  lost(): void;
}

/** Streams a request to a function and its answer back, with the platform's idle timeout of 150 s. */
function proxy({ agent, port, path, incoming, response, lost }: Proxied): Promise<void> {
  return new Promise((resolve) => {
    const upstream = httpRequest(
      {
        agent,
        host: "127.0.0.1",
        port,
        path,
        method: incoming.method,
        headers: incoming.headers,
        timeout: 150_000,
      },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
        answer.once("close", () => {
          // A function may answer before it has read the whole body; the rest is read and dropped.
          if (!upstream.writableFinished) {
            incoming.unpipe(upstream);
            incoming.resume();
            upstream.destroy();
          }
          resolve();
        });
      },
    );
    upstream.once("timeout", () => {
      sendJson(
        response,
        504,
        { code: "IDLE_TIMEOUT", message: "Function idle timeout reached" },
        { "sb-error-code": "IDLE_TIMEOUT" },
      );
      upstream.destroy();
      resolve();
    });
    upstream.once("error", (error) => {
      if (response.headersSent) return resolve();
      if (codeOf(error) === "ECONNREFUSED") lost();
      incoming.resume();
      sendJson(
        response,
        502,
        { code: "WORKER_ERROR", message: "Function exited due to an error (please check logs)" },
        { "sb-error-code": "WORKER_ERROR" },
      );
      resolve();
    });
    response.once("close", () => upstream.destroy());
    incoming.pipe(upstream);
  });
}

function headersOf(incoming: IncomingMessage): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (
      value === undefined ||
      name === "content-length" ||
      name === "transfer-encoding" ||
      name === "connection"
    )
      continue;
    headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  return headers;
}
