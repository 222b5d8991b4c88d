import { z } from "zod";

const policy = z.object({
  name: z.string(),
  kind: z.enum(["permissive", "restrictive"]),
  part: z.enum(["using", "check"]),
  verdict: z.enum(["true", "false", "null", "error", "unknown"]),
  /** What Postgres raises, behind its SQLSTATE. */
  message: z.string().nullish(),
  /** One part raises, another is not true, and Postgres chooses which it evaluates first. */
  depends_on_order: z.boolean().nullish(),
});

/** What of an answer of `runbook.explain_access` is compared. */
export const explanationShape = z.object({
  verdict: z.enum(["allowed", "denied", "partly", "unknown"]),
  summary: z.string(),
  gates: z.array(
    z.object({
      gate: z.string(),
      state: z.enum(["pass", "fail", "unknown", "not_reached"]),
      summary: z.string().nullish(),
    }),
  ),
  rows: z.array(
    z.object({
      visible: z.boolean().nullish(),
      allowed: z.boolean().nullish(),
      why: z.string().nullish(),
      /** The SQLSTATE with which the whole statement fails because of this row. */
      raises: z.string().nullish(),
      policies: z.array(policy),
    }),
  ),
  proof: z
    .object({ tried: z.boolean(), agrees: z.boolean().nullish(), compared: z.number().nullish() })
    .nullish(),
});

/** An answer of `runbook.explain_access`. */
export type Explanation = z.infer<typeof explanationShape>;

/** An explanation, with the keys of its rows as text, in the same order; null where a row has none. */
export interface KeyedExplanation {
  readonly explanation: Explanation;
  readonly keys: readonly (string | null)[];
  /** How long the call took; ms. */
  readonly tookMs: number;
}
