import { Agent, request } from "node:http";

/** An answer, its body read to the end. */
export interface HttpAnswer {
  status: number;
  body: string;
}

/** One kept-alive connection to one server. */
export interface HttpClient {
  /** Sends a JSON body and waits for the whole answer. Rejects when the connection fails. */
  post(path: string, headers: Record<string, string>, body: unknown): Promise<HttpAnswer>;
  close(): void;
}

/** Node's own client with a single connection: less of the measured time is the client's than with `fetch`. */
export function createHttpClient(base: string): HttpClient {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    close: () => agent.destroy(),
    post: (path, headers, body) =>
      new Promise((resolve, reject) => {
        const text = Buffer.from(JSON.stringify(body));
        const outgoing = request(
          new URL(path, base),
          {
            agent,
            method: "POST",
            headers: {
              ...headers,
              "content-type": "application/json",
              "content-length": String(text.byteLength),
            },
          },
          (incoming) => {
            const chunks: Buffer[] = [];
            incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
            incoming.once("error", reject);
            incoming.once("end", () =>
              resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
            );
          },
        );
        outgoing.once("error", reject);
        outgoing.end(text);
      }),
  };
}
