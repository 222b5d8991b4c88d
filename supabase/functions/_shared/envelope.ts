import * as z from "zod";
import { findProblems } from "./catalog.ts";
import type { Asked } from "./database.ts";
import { toApiError } from "./database-errors.ts";
import { invalidBody, type Problem } from "./errors.ts";

const envelope = z.object({
  dry_run: z.boolean().default(false),
  reason: z.string().optional(),
  plan_hash: z.string().optional(),
});

const highRiskHint =
  "A change of high risk is planned first: send it with dry_run: true, then with the plan's plan_hash, a reason, and " +
  "a header Idempotency-Key with a name of your own for this change.";

/** What every change takes beside its own parameters, as it came. */
export interface Envelope {
  fields: { dry_run: unknown; reason: unknown; plan_hash: unknown };
  idempotencyKey: string | null;
}

/**
 * Takes `dry_run`, `reason` and `plan_hash` out of a body, and the key out of the headers.
 * @throws ApiError 400 for a key that is no plain text of at most 255 characters.
 */
export function splitEnvelope(
  body: Record<string, unknown>,
  headers: Headers,
): { envelope: Envelope; rest: Record<string, unknown> } {
  const { dry_run, reason, plan_hash, ...rest } = body;
  return {
    envelope: { fields: { dry_run, reason, plan_hash }, idempotencyKey: idempotencyKeyOf(headers) },
    rest,
  };
}

/** Problems of form; SQL knows the rest, such as that an apply needs a reason and a high risk a plan_hash. */
export function envelopeProblems({ fields }: Envelope): Problem[] {
  return findProblems(envelope, fields);
}

/** The envelope for SQL, once it has no problems. */
export function openEnvelope({ fields, idempotencyKey }: Envelope): Asked {
  const { dry_run, reason, plan_hash } = envelope.parse(fields);
  return {
    dryRun: dry_run,
    reason: reason ?? null,
    planHash: plan_hash ?? null,
    idempotencyKey: dry_run ? null : idempotencyKey,
  };
}

/** SQL calls the key `idempotency_key`: the caller is told the name of the header, and what a plan's hash is. */
export function inCallersWords(thrown: unknown): unknown {
  const error = toApiError(thrown);
  const { data } = z.array(z.object({ path: z.string(), message: z.string() })).safeParse(error.details);
  if (error.code !== "INVALID_BODY" || data === undefined) return thrown;
  const paths = data.map(({ path }) => path);
  return invalidBody(
    data.map((problem) =>
      problem.path === "idempotency_key" ? { ...problem, path: "Idempotency-Key" } : problem,
    ),
    paths.includes("idempotency_key") || paths.includes("plan_hash") ? highRiskHint : undefined,
  );
}

function idempotencyKeyOf(headers: Headers): string | null {
  const key = headers.get("idempotency-key");
  if (key === null) return null;
  if (/^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw invalidBody([{ path: "Idempotency-Key", message: "must be 1 to 255 visible ASCII characters" }]);
}
