import { inject } from "vitest";
import type { EndpointParts } from "../../supabase/functions/_shared/endpoint.ts";
import type { Management } from "../../supabase/functions/_shared/env.ts";
import { createWorker } from "../../supabase/functions/_shared/worker.ts";

/** The parts of an endpoint in this process, on another database or another API than the stack's functions have. */
export function partsOn({
  databaseUrl = inject("databaseUrl"),
  supabaseUrl = inject("url"),
  management,
}: {
  databaseUrl?: string;
  supabaseUrl?: string;
  management?: Management;
}): EndpointParts & { end(): Promise<void>; lines: string[] } {
  const worker = createWorker(
    {
      supabaseUrl,
      databaseUrl,
      publishableKeys: { default: inject("publishableKey") },
      secretKeys: { default: inject("secretKey") },
      jwks: { keys: [] },
      executionId: undefined,
      management,
    },
    "test",
  );
  const lines: string[] = [];
  return {
    open: () => worker,
    log: (line) => lines.push(line),
    end: () => worker.connection.end(),
    lines,
  };
}

/** A `POST` with the secret key to an endpoint in this process. */
export function requestTo(name: string, json: unknown, headers: Record<string, string> = {}): Request {
  return new Request(`http://functions/${name}`, {
    method: "POST",
    body: JSON.stringify(json),
    headers: { apikey: inject("secretKey"), "content-type": "application/json", ...headers },
  });
}
