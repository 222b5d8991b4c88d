import { Catalog } from "./catalog.ts";
import { Connection } from "./connection.ts";
import { type Environment, readEnvironment } from "./env.ts";
import { hastenImmediates } from "./immediate.ts";
import { Probes } from "./probes.ts";

/** What the requests of one worker share. */
export interface Worker {
  environment: Environment;
  connection: Connection;
  catalog: Catalog;
  probes: Probes;
}

/**
 * Opens what a worker needs, at its first request; the connection is closed when the worker goes.
 * @throws EnvironmentError
 */
export function openWorker(endpoint: string): Worker {
  const environment = readEnvironment();
  if ("Deno" in globalThis) hastenImmediates();
  const worker = createWorker(environment, endpoint);
  if (typeof globalThis.addEventListener === "function")
    globalThis.addEventListener("beforeunload", () => void worker.connection.end());
  return worker;
}

/** A worker for an environment; its connection is the caller's to end. */
export function createWorker(environment: Environment, endpoint: string): Worker {
  return {
    environment,
    connection: new Connection(environment.databaseUrl, `runbook ${endpoint}`),
    catalog: new Catalog(),
    probes: new Probes(environment),
  };
}
