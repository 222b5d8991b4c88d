// The edge runtime's place in the stack: a Deno process that keeps one worker a function, started at its first request.
// `GET /<name>?entry=<file>` starts or finds the worker and answers { port }; `DELETE /<name>` ends it, so that its next
// request is a cold start. The first line on standard output is { "port": … }.

type Started = { port: number } | { error: string };
const workers = new Map<string, { worker: Worker; started: Promise<Started> }>();

function start(name: string, entry: string): Promise<Started> {
  const existing = workers.get(name);
  if (existing !== undefined) return existing.started;
  const worker = new Worker(new URL("function-worker.deno.ts", import.meta.url), { type: "module", name });
  const started = new Promise<Started>((resolve) => {
    worker.onmessage = (event: MessageEvent<Started>) => resolve(event.data);
    worker.onerror = (event) => {
      event.preventDefault();
      console.error(`${name}: ${event.message}`);
      workers.delete(name);
      resolve({ error: event.message });
    };
  });
  workers.set(name, { worker, started });
  started.then((result) => {
    if ("error" in result) {
      console.error(`${name}: ${result.error}`);
      end(name);
    }
  });
  worker.postMessage({ entry: new URL(entry, "file:///").href });
  return started;
}

function end(name: string): void {
  workers.get(name)?.worker.terminate();
  workers.delete(name);
}

Deno.serve(
  { port: 0, hostname: "127.0.0.1", onListen: ({ port }) => console.log(JSON.stringify({ port })) },
  async (request) => {
    const url = new URL(request.url);
    const name = url.pathname.slice(1);
    if (request.method === "DELETE") {
      end(name);
      return new Response(null, { status: 204 });
    }
    const result = await start(name, url.searchParams.get("entry") ?? "");
    return Response.json(result, { status: "port" in result ? 200 : 503 });
  },
);
