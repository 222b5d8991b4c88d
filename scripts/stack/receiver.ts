import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type HttpServer, listen, readAll, sendJson } from "./http-server.ts";

/** One message that the receiver got, newest last in `GET /requests`. */
export interface ReceivedRequest {
  id: string;
  /** ISO 8601, UTC. */
  at: string;
  /** First part of the path: `slack`, `pagerduty`, `email`, `sentry`, or whatever else was called. */
  service: string;
  method: string;
  path: string;
  headers: Record<string, string>;
  /** Parsed where it is JSON, else the text. */
  body: unknown;
}

/** The receiver: plays the services that messages go to, and keeps what it got (the newest 1,000). */
export interface Receiver extends HttpServer {
  /** Keeps a mail that Auth "sent". */
  keepMail(mail: Record<string, unknown>): void;
}

const kept = 1000;

/** Starts the receiver. `GET /requests` lists, `DELETE /requests` forgets, anything else is received. */
export async function startReceiver(port: number, report: (line: string) => void): Promise<Receiver> {
  let requests: ReceivedRequest[] = [];
  const keep = (request: Omit<ReceivedRequest, "id" | "at">): void => {
    requests = [...requests, { id: randomUUID(), at: new Date().toISOString(), ...request }].slice(-kept);
  };
  const handler = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(incoming.url ?? "/", "http://receiver");
    const method = incoming.method ?? "GET";
    if (url.pathname === "/requests") {
      if (method === "DELETE") requests = [];
      const service = url.searchParams.get("service");
      return sendJson(
        response,
        200,
        service === null ? requests : requests.filter((one) => one.service === service),
      );
    }
    const service = url.pathname.split("/")[1] ?? "";
    const text = new TextDecoder().decode(await readAll(incoming));
    const headers = Object.fromEntries(
      Object.entries(incoming.headers).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.join(", ") : (value ?? ""),
      ]),
    );
    keep({ service, method, path: url.pathname + url.search, headers, body: parseIfJson(text) });
    answerAs(service, text, response);
  };
  const server = await listen(port, handler, report);
  return {
    ...server,
    keepMail: (mail) =>
      keep({ service: "email", method: "INTERNAL", path: "/auth", headers: {}, body: mail }),
  };
}

/** The answers by which each real service says that it took a message. */
function answerAs(service: string, body: string, response: ServerResponse): void {
  if (service === "slack") {
    response.writeHead(200, { "content-type": "text/html" });
    response.end("ok");
    return;
  }
  if (service === "pagerduty") {
    const event = parseIfJson(body);
    const key =
      typeof event === "object" && event !== null && "dedup_key" in event
        ? event.dedup_key
        : randomUUID().replaceAll("-", "");
    sendJson(response, 202, { status: "success", message: "Event processed", dedup_key: key });
    return;
  }
  sendJson(response, 200, { id: randomUUID() });
}

function parseIfJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
