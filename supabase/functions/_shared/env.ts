import process from "node:process";
import * as z from "zod";

/** What a function is told by the platform and by its secrets. */
export interface Environment {
  /** Base URL of the project's API, without a slash at the end. */
  supabaseUrl: string;
  /** `RUNBOOK_DB_URL` (the pooler, for when no direct connection is left), else `SUPABASE_DB_URL`. */
  databaseUrl: string;
  /** Publishable keys by name. */
  publishableKeys: Record<string, string>;
  /** Secret keys by name. */
  secretKeys: Record<string, string>;
  /** The public keys of Auth that sign user tokens; none means that no user token is accepted. */
  jwks: { keys: (Record<string, unknown> & { kty: string })[] };
  /** The platform's id of this worker, for the log. */
  executionId: string | undefined;
  /** The Management API, where the functions were given a token for it. */
  management?: Management | undefined;
}

/** How the platform's Management API is asked about this project. */
export interface Management {
  /** Its base URL without `/v1`, without a slash at the end. */
  url: string;
  token: string;
  projectRef: string;
}

/** A variable is missing or cannot be read. Names the variables, never their values. */
export class EnvironmentError extends Error {
  override name = "EnvironmentError";
}

const jsonText = z.string().transform((text, context): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    context.addIssue({ code: "custom", message: "is not JSON" });
    return z.NEVER;
  }
});
const namedKeys = jsonText.pipe(z.record(z.string(), z.string().min(1))).default({});
const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })) });
const projectRef = /^[a-z]{20}$/;
/** The token travels there: anywhere but on this machine it does so encrypted. */
const managementUrl = z
  .url({
    protocol: /^https?$/,
    error: "is not an http URL",
  })
  .refine((url) => /^https:|^http:\/\/(127\.0\.0\.1|localhost)(:|\/|$)/.test(url), "is not an https URL");
const databaseUrl = z.string().regex(/^postgres(ql)?:\/\//, "is not a postgres:// URL");

const variables = z
  .object({
    SUPABASE_URL: z.url({ protocol: /^https?$/, error: "is not an http URL" }),
    SUPABASE_DB_URL: databaseUrl.optional(),
    RUNBOOK_DB_URL: databaseUrl.optional(),
    SUPABASE_PUBLISHABLE_KEYS: namedKeys,
    SUPABASE_SECRET_KEYS: namedKeys,
    SUPABASE_JWKS: jsonText.pipe(keySet).default({ keys: [] }),
    SB_EXECUTION_ID: z.string().optional(),
    RUNBOOK_MANAGEMENT_TOKEN: z.string().optional(),
    RUNBOOK_MANAGEMENT_URL: managementUrl.default("https://api.supabase.com"),
    RUNBOOK_PROJECT_REF: z.string().regex(projectRef, "is not a project's ref").optional(),
  })
  .transform((given, context): Environment => {
    const url = given.RUNBOOK_DB_URL ?? given.SUPABASE_DB_URL;
    if (url === undefined) {
      context.addIssue({ code: "custom", path: ["SUPABASE_DB_URL"], message: "is missing" });
      return z.NEVER;
    }
    const ref = given.RUNBOOK_PROJECT_REF ?? refOf(given.SUPABASE_URL);
    const token = given.RUNBOOK_MANAGEMENT_TOKEN;
    if (token !== undefined && ref === undefined) {
      const message = "is missing: SUPABASE_URL does not tell it, and RUNBOOK_MANAGEMENT_TOKEN needs it";
      context.addIssue({ code: "custom", path: ["RUNBOOK_PROJECT_REF"], message });
      return z.NEVER;
    }
    return {
      supabaseUrl: given.SUPABASE_URL.replace(/\/+$/, ""),
      databaseUrl: url,
      publishableKeys: given.SUPABASE_PUBLISHABLE_KEYS,
      secretKeys: given.SUPABASE_SECRET_KEYS,
      jwks: given.SUPABASE_JWKS,
      executionId: given.SB_EXECUTION_ID,
      ...(token === undefined || ref === undefined
        ? {}
        : {
            management: {
              url: given.RUNBOOK_MANAGEMENT_URL.replace(/\/+$/, ""),
              token,
              projectRef: ref,
            },
          }),
    };
  });

/** A hosted project's ref, which is the first part of its host. */
function refOf(supabaseUrl: string): string | undefined {
  const [name = "", ...domain] = new URL(supabaseUrl).hostname.split(".");
  return projectRef.test(name) && domain.join(".") === "supabase.co" ? name : undefined;
}

/**
 * Reads and validates the environment of a function. An empty variable counts as missing.
 * @throws EnvironmentError that names each variable with a problem.
 */
export function readEnvironment(source: Record<string, string | undefined> = process.env): Environment {
  const given = Object.fromEntries(Object.entries(source).filter(([, value]) => value !== ""));
  const parsed = variables.safeParse(given);
  if (parsed.success) return parsed.data;
  // Messages of records name their keys, which are names of secrets, but no value.
  const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new EnvironmentError(`The environment cannot be used. ${problems.join("; ")}`);
}
