import { z } from "zod";
import { emptyFunction } from "./bench-stack.ts";
import type { HttpClient } from "./http-client.ts";

/** The same calls as an operator makes them, through the gateway. Each rejects unless the answer is 200. */
export interface HttpCalls {
  diagnoseLogin(email: string): Promise<Record<string, unknown>>;
  /** Applies when there is a reason, else plans. */
  unblockLogin(email: string, reason: string | null): Promise<Record<string, unknown>>;
  healthCheck(): Promise<Record<string, unknown>>;
  empty(): Promise<Record<string, unknown>>;
}

const answerBody = z.record(z.string(), z.unknown());

/** @param token of the operator. */
export function createHttpCalls(client: HttpClient, token: string): HttpCalls {
  const headers = { authorization: `Bearer ${token}` };
  const call = async (endpoint: string, body: unknown): Promise<Record<string, unknown>> => {
    const answer = await client.post(`/functions/v1/${endpoint}`, headers, body);
    if (answer.status !== 200)
      throw new Error(`${endpoint} answered ${answer.status}: ${answer.body.slice(0, 500)}`);
    return answerBody.parse(JSON.parse(answer.body));
  };
  return {
    diagnoseLogin: (email) => call("diagnose-login", { email }),
    unblockLogin: (email, reason) =>
      call("unblock-login", { email, ...(reason === null ? { dry_run: true } : { reason }) }),
    healthCheck: () => call("health-check", {}),
    empty: () => call(emptyFunction, {}),
  };
}
