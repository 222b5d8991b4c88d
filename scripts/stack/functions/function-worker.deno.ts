// One edge function in an isolate of its own, as on the platform: imports the function's module when the host asks
// for it and serves its `fetch` on a loopback port that only the gateway knows.
/// <reference lib="deno.worker" />

interface Start {
  entry: string;
}

self.onmessage = async (event: MessageEvent<Start>): Promise<void> => {
  try {
    const module: unknown = await import(event.data.entry);
    const handler = fetchOf(module);
    Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: ({ port }) => self.postMessage({ port }) },
      (request: Request) => handler(request),
    );
  } catch (error) {
    self.postMessage({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
};

function fetchOf(module: unknown): (request: Request) => Response | Promise<Response> {
  if (typeof module === "object" && module !== null && "default" in module) {
    const served: unknown = module.default;
    if (
      typeof served === "object" &&
      served !== null &&
      "fetch" in served &&
      typeof served.fetch === "function"
    ) {
      const handler = served.fetch;
      return (request) => handler.call(served, request);
    }
  }
  throw new Error("The module has no `export default { fetch }`.");
}
