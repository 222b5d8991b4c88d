import * as z from "zod";
import { type Probe, recordProbes, type Statements } from "./database.ts";
import { toApiError } from "./database-errors.ts";
import type { Environment, Management } from "./env.ts";
import type { ErrorCode } from "./errors.ts";
import { retryAfterOf } from "./retry-after.ts";
import { VERSION } from "./version.ts";

/** How long a worker relies on what it has recorded; SQL treats a probe older than 60 s as not looked at. */
const freshMs = 10_000;
/** How long somebody who asked is let wait for a service. */
const defaultPatienceMs = 2_000;

/** The outside facts that an edge function can look at, and when this worker recorded them last. */
export class Probes {
  readonly #looks: ReadonlyMap<string, (patienceMs: number) => Promise<Look>>;
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
    const withPatience =
      (look: (parts: Parts) => Promise<Look>) =>
      (patienceMs: number): Promise<Look> =>
        look({ ...parts, patienceMs });
    this.#looks = new Map([
      ["auth_health", withPatience((asked) => lookAtAuth("health", asked, readHealth))],
      ["auth_settings", withPatience((asked) => lookAtAuth("settings", asked, readAs(settings)))],
      ["realtime_health", withPatience(lookAtRealtime)],
      ["data_api", withPatience(lookAtDataApi)],
      ["disk", withPatience(lookAtDisk)],
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

  /**
   * Looks at all of `names` at once, for `patienceMs` each. Never rejects: what cannot be reached is what was seen.
   */
  look(names: readonly string[], patienceMs = defaultPatienceMs): Promise<Probe[]> {
    return Promise.all(
      names.flatMap((name) => {
        const look = this.#looks.get(name);
        return look === undefined ? [] : [look(patienceMs).then((seen) => ({ name, ...seen }))];
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

const connections = z.object({
  db_connected: z.boolean().optional(),
  replication_connected: z.boolean().optional(),
  connected_cluster: z.number().optional(),
});

/** What Realtime tells of itself. */
const tenantHealth = z
  .object({ data: connections.extend({ healthy: z.boolean() }) })
  .transform(({ data }): Record<string, unknown> => data);

/** What the Management API tells of Realtime, among the services that it was asked about. */
const projectHealth = z
  .array(z.object({ name: z.string(), status: z.string().max(40), info: connections.optional() }))
  .transform((services, context): Record<string, unknown> => {
    const realtime = services.find(({ name }) => name === "realtime");
    if (realtime === undefined) {
      context.addIssue({ code: "custom", message: "does not tell of realtime" });
      return z.NEVER;
    }
    const { status: state, info } = realtime;
    return { healthy: state === "ACTIVE_HEALTHY", state, ...info };
  });

/**
 * How the Data API refuses a schema that it does not serve: it names those that it does, PostgREST 14 in the hint and
 * before that in the message. A name with a comma in it cannot be told from two.
 */
const schemaRefusal = z
  .object({
    code: z.literal("PGRST106"),
    message: z.string().max(4000),
    hint: z.string().max(4000).nullish(),
  })
  .transform(({ message, hint }, context): Record<string, unknown> => {
    const list = /schemas are exposed: (.+)$|schema must be one of the following: (.+)$/;
    const [, inHint, inMessage] = list.exec(hint ?? "") ?? list.exec(message) ?? [];
    const told = inHint ?? inMessage;
    if (told === undefined) {
      context.addIssue({ code: "custom", message: "does not name the schemas that are served" });
      return z.NEVER;
    }
    return { schemas: told.split(",").map((schema) => schema.trim()) };
  });

/** A schema that nobody has, so that the Data API says which it serves. */
const absentSchema = "runbook_asks_which_schemas";

/** What the Management API tells of the disk; whether the sizes can be, SQL decides. */
const diskUtilization = z
  .object({
    timestamp: z.string().optional(),
    metrics: z.object({ fs_size_bytes: z.number(), fs_used_bytes: z.number(), fs_avail_bytes: z.number() }),
  })
  .transform(({ timestamp, metrics }): Record<string, unknown> => {
    const at = new Date(timestamp ?? Number.NaN);
    // Postgres reads years of four digits.
    const isReadable = at.getUTCFullYear() > 1000 && at.getUTCFullYear() < 9999;
    return { ...metrics, ...(isReadable ? { measured_at: at.toISOString() } : {}) };
  });

interface Parts {
  environment: Environment;
  fetch: typeof globalThis.fetch;
  now: () => number;
  patienceMs: number;
}

/** Asks Auth at a path; `read` makes more evidence of a good answer, or nothing of one that does not fit. */
function lookAtAuth(path: string, parts: Parts, read: Reader): Promise<Look> {
  return lookAt(`${parts.environment.supabaseUrl}/auth/v1/${path}`, publishableKey(parts), parts, read);
}

/**
 * Asks how Realtime is: the Management API where there is a token for it, else Realtime's own address, which on the
 * platform is not open to a project's keys.
 */
async function lookAtRealtime(parts: Parts): Promise<Look> {
  const { supabaseUrl, secretKeys, management } = parts.environment;
  const key = secretKeys["default"] ?? Object.values(secretKeys)[0];
  const [name = ""] = new URL(supabaseUrl).hostname.split(".");
  const tenant = /^[a-z]{20}$/.test(name) ? name : "realtime-dev";
  const seen =
    management === undefined
      ? await lookAt(
          `${supabaseUrl}/realtime/v1/api/tenants/${tenant}/health`,
          key === undefined ? {} : { apikey: key },
          parts,
          readAs(tenantHealth),
        )
      : await askManagement(management, "health?services=realtime", parts, readAs(projectHealth));
  const evidence = management === undefined ? { ...seen.evidence, by: "realtime" } : seen.evidence;
  return { ok: seen.evidence["healthy"] === true, evidence };
}

/** Asks how full the disk is, where there is a token for the Management API; else nobody is asked. */
async function lookAtDisk(parts: Parts): Promise<Look> {
  const { management } = parts.environment;
  if (management === undefined)
    return { ok: false, evidence: { status: null, error: "no_management_token" } };
  return await askManagement(management, "config/disk/util", parts, readAs(diskUtilization));
}

/** Asks the Management API about the project. */
async function askManagement(
  { url, projectRef, token }: Management,
  path: string,
  parts: Parts,
  read: Reader,
): Promise<Look> {
  const headers = { authorization: `Bearer ${token}` };
  const { ok, evidence } = await lookAt(`${url}/v1/projects/${projectRef}/${path}`, headers, parts, read);
  return { ok, evidence: { ...evidence, by: "management_api", project_ref: projectRef } };
}

/** Asks the Data API which schemas it serves. The database does not know that of the hosted one. */
function lookAtDataApi(parts: Parts): Promise<Look> {
  const { supabaseUrl } = parts.environment;
  const headers = { ...publishableKey(parts), "accept-profile": absentSchema };
  return lookAt(`${supabaseUrl}/rest/v1/runbook?limit=0`, headers, parts, readAs(schemaRefusal), 406);
}

function publishableKey({ environment: { publishableKeys } }: Parts): Record<string, string> {
  const key = publishableKeys["default"] ?? Object.values(publishableKeys)[0];
  return key === undefined ? {} : { apikey: key };
}

type Reader = (response: Response) => Promise<Record<string, unknown> | undefined>;

/** Asks at an address for an answer of 2xx, or of another status that was hoped for; never rejects. */
async function lookAt(
  url: string,
  headers: Record<string, string>,
  { fetch, now, patienceMs }: Parts,
  read: Reader,
  hoped?: number,
): Promise<Look> {
  const startedAt = now();
  const seen = (ok: boolean, evidence: Record<string, unknown>): Look => ({
    ok,
    evidence: { status: null, error: null, ...evidence, took_ms: Math.round(now() - startedAt) },
  });
  try {
    // Elsewhere the key has no business.
    const response = await fetch(url, {
      headers,
      redirect: "manual",
      signal: AbortSignal.timeout(patienceMs),
    });
    const { status } = response;
    const ok = hoped === undefined ? response.ok : status === hoped;
    const more = ok ? await read(response) : undefined;
    if (more === undefined) await response.body?.cancel().catch(() => {});
    const retryAfter = ok ? undefined : retryAfterOf(response);
    return seen(more !== undefined, {
      status,
      ...(ok && more === undefined ? { error: "unreadable" } : more),
      ...(retryAfter === undefined ? {} : { retry_after_s: retryAfter }),
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

/** Reads an answer as JSON of a shape. */
function readAs(shape: z.ZodType<Record<string, unknown>>): Reader {
  return async (response) => {
    const text = await response.text();
    try {
      return shape.safeParse(JSON.parse(text)).data;
    } catch {
      return undefined;
    }
  };
}
