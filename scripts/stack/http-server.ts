import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { codeOf, StackError } from "./stack-error.ts";

/** An HTTP server of this process on the loopback address. */
export interface HttpServer {
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * Listens on 127.0.0.1. A handler that throws answers 500 and is reported; the server goes on.
 * @throws StackError when the port is taken.
 */
export async function listen(
  port: number,
  handler: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
  report: (line: string) => void,
): Promise<HttpServer> {
  const server = createServer((request, response) => {
    handler(request, response).catch((error: unknown) => {
      report(`${request.method ?? "?"} ${request.url ?? "?"} failed in the stack: ${String(error)}`);
      if (!response.headersSent)
        sendJson(response, 500, { code: "STACK_FAILED", message: "The local stack failed; see its output." });
      else response.destroy();
    });
  });
  server.keepAliveTimeout = 30_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      if (codeOf(error) !== "EADDRINUSE") return reject(error);
      reject(
        new StackError(`Port ${port} is taken by another program.`, "Stop that program, or set STACK_PORT."),
      );
    });
    server.listen(port, "127.0.0.1", resolve);
  });
  return { port: portOf(server), stop: () => stopServer(server) };
}

/** Answers with JSON. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

/** Hands an incoming request to a fetch-style handler and sends what it answers. */
export async function serveFetch(
  incoming: IncomingMessage,
  response: ServerResponse,
  target: URL,
  headers: Headers,
  handler: (request: Request) => Promise<Response>,
): Promise<void> {
  const method = incoming.method ?? "GET";
  const hasBody = method !== "GET" && method !== "HEAD";
  const init: RequestInit & { duplex?: "half" } = { method, headers };
  if (hasBody) {
    init.body = await readAll(incoming);
  }
  const answer = await handler(new Request(target, init));
  for (const [name, value] of answer.headers) response.setHeader(name, value);
  response.writeHead(answer.status);
  response.end(new Uint8Array(await answer.arrayBuffer()));
}

/** The whole body; at most 8 MiB, beyond which the stack has no use for it. */
export async function readAll(incoming: IncomingMessage): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    if (!Buffer.isBuffer(chunk)) continue;
    size += chunk.length;
    if (size <= 8 * 1024 * 1024) chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function stopServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
