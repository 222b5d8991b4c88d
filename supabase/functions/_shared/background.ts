/**
 * Lets work go on after the answer. The platform ends a worker that has nothing to answer, so it is told of the work;
 * elsewhere the process lives on anyhow. `work` must not reject.
 */
export function inBackground(work: Promise<void>, scope: object = globalThis): void {
  const runtime: unknown = Reflect.get(scope, "EdgeRuntime");
  if (typeof runtime !== "object" || runtime === null) return;
  if ("waitUntil" in runtime && typeof runtime.waitUntil === "function") runtime.waitUntil(work);
}
