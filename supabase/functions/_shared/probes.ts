import * as z from "zod";
import { type Probe, recordProbes, type Statements } from "./database.ts";
import { toApiError } from "./database-errors.ts";
import type { Environment } from "./env.ts";
import type { ErrorCode } from "./errors.ts";
import { VERSION } from "./version.ts";

/** How long a worker relies on what it has recorded; SQL treats a probe older than 60 s as not looked at. */
const freshMs = 10_000;
const timeoutMs = 2_000;

/** The outside facts that an edge function can look at, and when this worker recorded them last. */
export class Probes {
  readonly #looks: ReadonlyMap<string, () => Promise<Look>>;
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
    const parts = { environment, fetch, now };
    this.#looks = new Map([
      ["auth_health", () => lookAtAuth("health", parts, readHealth)],
      ["auth_settings", () => lookAtAuth("settings", parts, readSettings)],
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

  /**
   * Records what was seen. A database that cannot be written to is no reason to refuse: SQL goes by the probe's age.
   * @returns the code of what kept it from being recorded, for the log.
   */
  async record(sql: Statements, probes: readonly Probe[]): Promise<ErrorCode | undefined> {
    if (probes.length === 0) return undefined;
    try {
      if (!(await recordProbes(sql, probes))) return "READ_ONLY";
    } catch (error) {
      return toApiError(error).code;
    }
    for (const probe of probes) this.#recordedAt.set(probe.name, this.#now());
    return undefined;
  }
}

type Look = Omit<Probe, "name">;

/** What Auth tells of its settings that decides whether a password lets a person in. */
const settings = z.object({
  external: z.object({ email: z.boolean() }),
  disable_signup: z.boolean().optional(),
  mailer_autoconfirm: z.boolean().optional(),
  saml_enabled: z.boolean().optional(),
});

/** Asks Auth at a path; `read` makes more evidence of a good answer, or nothing of one that does not fit. */
async function lookAtAuth(
  path: string,
  {
    environment,
    fetch,
    now,
  }: { environment: Environment; fetch: typeof globalThis.fetch; now: () => number },
  read: (response: Response) => Promise<Record<string, unknown> | undefined>,
): Promise<Look> {
  const startedAt = now();
  const key = environment.publishableKeys["default"] ?? Object.values(environment.publishableKeys)[0];
  const seen = (ok: boolean, evidence: Record<string, unknown>): Look => ({
    ok,
    evidence: { status: null, error: null, ...evidence, took_ms: Math.round(now() - startedAt) },
  });
  try {
    const response = await fetch(`${environment.supabaseUrl}/auth/v1/${path}`, {
      headers: key === undefined ? {} : { apikey: key },
      signal: AbortSignal.timeout(timeoutMs),
    });
    const { ok, status } = response;
    const more = ok ? await read(response) : undefined;
    if (more === undefined) await response.body?.cancel().catch(() => {});
    return seen(more !== undefined, {
      status,
      ...(ok && more === undefined ? { error: "unreadable" } : more),
    });
  } catch (error) {
    const timedOut = error instanceof Error && error.name === "TimeoutError";
    return seen(false, { error: timedOut ? "timeout" : "unreachable" });
  }
}

async function readHealth(response: Response): Promise<Record<string, unknown>> {
  await response.body?.cancel();
  return {};
}

async function readSettings(response: Response): Promise<Record<string, unknown> | undefined> {
  const text = await response.text();
  try {
    return settings.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
