import * as z from "zod";
import { readBody } from "./body.ts";
import { identifyCaller } from "./caller.ts";
import { findProblems, refuseProblems } from "./catalog.ts";
import { type Limits, readRemediation, remediate } from "./database.ts";
import { passDoor } from "./door.ts";
import { createEndpoint, type Endpoint, type EndpointParts, type Exchange } from "./endpoint.ts";
import { ApiError, invalidBody } from "./errors.ts";

const limits: Limits = { statement: "30s", lock: "2s" };

/** What every remediation takes beside its own parameters; SQL knows the rest, such as that an apply needs a reason. */
const envelope = z.object({
  dry_run: z.boolean().default(false),
  reason: z.string().optional(),
  plan_hash: z.string().optional(),
});
const remediation = z.looseObject({
  state: z.string(),
  run: z.looseObject({ id: z.unknown() }).nullable(),
});

/** The endpoint of a remediation: `POST` of its parameters plans it with `dry_run`, else applies it. */
export function serveRemediation(name: string, parts: Partial<EndpointParts> = {}): Endpoint {
  return createEndpoint({ name, methods: ["POST"], answer: (exchange) => answer(name, exchange) }, parts);
}

async function answer(name: string, exchange: Exchange): Promise<Response> {
  const { request, requestId, worker } = exchange;
  const { connection, catalog } = worker;
  const caller = await identifyCaller(request, worker.environment);
  exchange.actor = caller.kind;
  const { dry_run, reason, plan_hash, ...params } = await readBody(request);
  const asked = { dry_run, reason, plan_hash };
  const givenKey = idempotencyKeyOf(request);

  const { result, idempotencyKey } = await connection.transaction("as configured", async (transaction) => {
    await passDoor(transaction, caller, requestId, limits);
    const entry = catalog.get(name) ?? catalog.learn(name, await readRemediation(transaction, name));
    refuseProblems([...findProblems(envelope, asked), ...findProblems(entry.parameters, params)]);
    const change = envelope.parse(asked);
    const key = change.dry_run ? null : (givenKey ?? crypto.randomUUID());
    const answered = await remediate(transaction, {
      name,
      params,
      dryRun: change.dry_run,
      reason: change.reason ?? null,
      idempotencyKey: key,
      planHash: change.plan_hash ?? null,
    });
    return { result: answered, idempotencyKey: key };
  });

  const response = Response.json(result, { status: statusOf(result) });
  if (idempotencyKey !== null) response.headers.set("idempotency-key", idempotencyKey);
  return response;
}

/** @throws ApiError 400 for a key that is no plain text of at most 255 characters. */
function idempotencyKeyOf(request: Request): string | null {
  const key = request.headers.get("idempotency-key");
  if (key === null) return null;
  if (/^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw invalidBody([{ path: "Idempotency-Key", message: "must be 1 to 255 visible ASCII characters" }]);
}

function statusOf(result: Record<string, unknown>): number {
  const { state, run } = remediation.parse(result);
  if (state === "applying") return 202;
  // The engine returns a failed run, so that it stays recorded: what it did is rolled back, the run is not.
  if (state === "failed" || state === "abandoned") {
    throw new ApiError("INTERNAL", {
      message: "The remediation failed; its run says where.",
      details: { run_id: run?.id, state },
      reason: `run_${state}`,
    });
  }
  return 200;
}
