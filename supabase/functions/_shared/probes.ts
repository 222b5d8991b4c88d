import { type Probe, recordProbes, type Statements } from "./database.ts";
import { toApiError } from "./database-errors.ts";
import type { Environment } from "./env.ts";
import { VERSION } from "./version.ts";

/** How long a worker relies on what it has recorded; SQL treats a probe older than 60 s as not looked at. */
const freshMs = 10_000;
const timeoutMs = 2_000;

/** The outside facts that an edge function can look at, and when this worker recorded them last. */
export class Probes {
  readonly #looks: ReadonlyMap<string, () => Promise<Omit<Probe, "name">>>;
  readonly #recordedAt = new Map<string, number>();
  readonly #now: () => number;

  constructor(
    environment: Environment,
    {
      fetch = globalThis.fetch,
      now = () => performance.now(),
    }: { fetch?: typeof globalThis.fetch; now?: () => number } = {},
  ) {
    this.#now = now;
    this.#looks = new Map([
      ["auth_health", () => lookAtAuth(environment, fetch, now)],
      ["functions_version", () => Promise.resolve({ ok: true, evidence: { version: VERSION } })],
    ]);
  }

  /** Those of `names` that this worker did not record within the last ten seconds. An unknown name is left out: SQL says
   * that nobody looked. */
  due(names: readonly string[]): string[] {
    return names.filter((name) => {
      const recordedAt = this.#recordedAt.get(name);
      return this.#looks.has(name) && (recordedAt === undefined || this.#now() - recordedAt >= freshMs);
    });
  }

  /** Looks at all of `names` at once. Never rejects: what cannot be reached is what was seen. */
  look(names: readonly string[]): Promise<Probe[]> {
    return Promise.all(
      names.flatMap((name) => {
        const look = this.#looks.get(name);
        return look === undefined ? [] : [look().then((seen) => ({ name, ...seen }))];
      }),
    );
  }

  /** Records what was seen. A database that cannot be written to is no reason to refuse: SQL goes by the probe's age. */
  async record(sql: Statements, probes: readonly Probe[]): Promise<void> {
    if (probes.length === 0) return;
    try {
      await recordProbes(sql, probes);
    } catch (error) {
      if (!["READ_ONLY", "LOCKED"].includes(toApiError(error).code)) throw error;
      return;
    }
    for (const probe of probes) this.#recordedAt.set(probe.name, this.#now());
  }
}

async function lookAtAuth(
  environment: Environment,
  fetch: typeof globalThis.fetch,
  now: () => number,
): Promise<Omit<Probe, "name">> {
  const startedAt = now();
  const key = environment.publishableKeys["default"] ?? Object.values(environment.publishableKeys)[0];
  const evidence = (seen: { status: number | null; error: string | null }): Record<string, unknown> => ({
    ...seen,
    took_ms: Math.round(now() - startedAt),
  });
  try {
    const response = await fetch(`${environment.supabaseUrl}/auth/v1/health`, {
      headers: key === undefined ? {} : { apikey: key },
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.body?.cancel();
    return { ok: response.ok, evidence: evidence({ status: response.status, error: null }) };
  } catch (error) {
    const timedOut = error instanceof Error && error.name === "TimeoutError";
    return { ok: false, evidence: evidence({ status: null, error: timedOut ? "timeout" : "unreachable" }) };
  }
}
