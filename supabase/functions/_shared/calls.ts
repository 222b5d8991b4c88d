import type { Connection } from "./connection.ts";
import { isConnectionLost } from "./database-errors.ts";
import type { Environment } from "./env.ts";
import { retryAfterOf } from "./retry-after.ts";
import { type Call, claimCall, type Outcome, settleCall } from "./run-statements.ts";

const timeoutMs = 8_000;

/** What sends calls: a worker, or a test with another `fetch`. */
export interface Sender {
  environment: Environment;
  connection: Connection;
  fetch?: typeof globalThis.fetch;
}

/**
 * Sends the calls that are due, of one run or of any, until none is left or the budget is spent; answers the runs that
 * they belong to, one entry a call. One is claimed at a time, so that no lease runs while another call is waited for.
 */
export async function drainCalls(
  sender: Sender,
  { runId, budgetMs }: { runId: string | null; budgetMs: number },
): Promise<string[]> {
  const startedAt = performance.now();
  const sent: string[] = [];
  while (performance.now() - startedAt < budgetMs) {
    const call = await claimCall(sender.connection.statements, runId);
    if (call === undefined) break;
    const outcome = await send(call, sender);
    await settle(sender.connection, call, outcome);
    sent.push(call.run_id);
  }
  return sent;
}

/**
 * What a service answered is not asked for again when the connection broke meanwhile: SQL is told again, over a new
 * one, which is there a moment later. SQL knows the lease by its token, so twice is once.
 */
async function settle(connection: Connection, call: Call, outcome: Outcome): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await settleCall(connection.statements, call, outcome);
    } catch (error) {
      if (attempt === 3 || !isConnectionLost(error)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100 * attempt));
    }
  }
}

/** Sends one call. Never rejects: that nothing came back is an outcome too. */
export async function send(
  call: Call,
  { environment, fetch = globalThis.fetch }: Pick<Sender, "environment" | "fetch">,
): Promise<Outcome> {
  const service = serviceOf(call.service, environment);
  if (typeof service === "string") return { error: service };
  const url = service === undefined ? undefined : addressOf(call, service.base);
  if (service === undefined || url === undefined) return { status: 400, error: "no_such_address" };
  try {
    const response = await fetch(url, {
      method: call.method,
      headers: {
        ...service.headers,
        "idempotency-key": call.idempotency_key,
        ...(call.body === null || call.body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(call.body === null || call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      // Elsewhere the key has no business.
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
    });
    return await outcomeOf(response);
  } catch (error) {
    return { error: error instanceof Error && error.name === "TimeoutError" ? "timeout" : "unreachable" };
  }
}

/** Where a service is and what it is shown; a word when it cannot be asked from here, nothing for an unknown one. */
function serviceOf(
  name: string,
  { supabaseUrl, secretKeys, management }: Environment,
): { base: string; headers: Record<string, string> } | string | undefined {
  if (name === "management") {
    if (management === undefined) return "no_management_token";
    return {
      base: `${management.url}/v1/`,
      headers: { accept: "application/json", authorization: `Bearer ${management.token}` },
    };
  }
  if (name !== "auth") return undefined;
  const key = secretKeys["default"] ?? Object.values(secretKeys)[0];
  if (key === undefined) return "no_secret_key";
  return {
    base: `${supabaseUrl}/auth/v1/`,
    // The gateway makes a token of the service role from it; a secret key is none itself.
    headers: { apikey: key, "x-supabase-api-version": "2024-01-01" },
  };
}

/** The address of a call, which stays below its service's base whatever the path holds. */
function addressOf({ path }: Call, base: string): string | undefined {
  if (!path.startsWith("/") || !URL.canParse(base + path.slice(1))) return undefined;
  const { href } = new URL(base + path.slice(1));
  return href.startsWith(new URL(base).href) ? href : undefined;
}

/** Of a failure's body only the error code is kept: its text may name the person. */
async function outcomeOf(response: Response): Promise<Outcome> {
  if (response.ok) {
    await response.body?.cancel();
    // Neither service speaks HTML: it is somebody's page in between, and nothing was done.
    if (response.headers.get("content-type")?.startsWith("text/html"))
      return { status: 502, error: "not_the_service" };
    return { status: response.status };
  }
  const error = codeOf(await response.text().catch(() => ""));
  const retryAfter = retryAfterOf(response);
  return {
    status: response.status,
    ...(error === undefined ? {} : { error }),
    ...(retryAfter === undefined ? {} : { retry_after_s: retryAfter }),
  };
}

function codeOf(text: string): string | undefined {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof body !== "object" || body === null) return undefined;
  return [Reflect.get(body, "code"), Reflect.get(body, "error_code")].find(
    (code): code is string => typeof code === "string" && /^[a-z0-9_]{1,64}$/.test(code),
  );
}
