import type { Connection } from "./connection.ts";
import { isConnectionLost } from "./database-errors.ts";
import type { Environment } from "./env.ts";
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
  const url = addressOf(call, environment);
  if (url === undefined) return { status: 400, error: "no_such_address" };
  const key = environment.secretKeys["default"] ?? Object.values(environment.secretKeys)[0];
  if (key === undefined) return { error: "no_secret_key" };
  try {
    const response = await fetch(url, {
      method: call.method,
      headers: {
        // The gateway makes a token of the service role from it; a secret key is none itself.
        apikey: key,
        "idempotency-key": call.idempotency_key,
        "x-supabase-api-version": "2024-01-01",
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

/** The address of a call, which stays below its service's base whatever the path holds. */
function addressOf({ service, path }: Call, { supabaseUrl }: Environment): string | undefined {
  if (service !== "auth" || !path.startsWith("/")) return undefined;
  const base = `${supabaseUrl}/auth/v1/`;
  if (!URL.canParse(base + path.slice(1))) return undefined;
  const { href } = new URL(base + path.slice(1));
  return href.startsWith(new URL(base).href) ? href : undefined;
}

/** Of a failure's body only the error code is kept: its text may name the person. */
async function outcomeOf(response: Response): Promise<Outcome> {
  if (response.ok) {
    await response.body?.cancel();
    return { status: response.status };
  }
  const error = codeOf(await response.text().catch(() => ""));
  const retryAfter = Number(response.headers.get("retry-after"));
  return {
    status: response.status,
    ...(error === undefined ? {} : { error }),
    ...(Number.isFinite(retryAfter) && retryAfter > 0 ? { retry_after_s: Math.ceil(retryAfter) } : {}),
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
