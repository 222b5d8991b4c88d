import type postgres from "postgres";
import { z } from "zod";

const entry = z.object({
  status: z.string(),
  value: z.number().nullable(),
  reason: z.string().optional(),
  findings: z.array(
    z.object({
      code: z.string(),
      severity: z.string(),
      subject: z.string().nullable(),
      summary: z.string().max(300),
      method: z.string(),
      evidence: z.record(z.string(), z.unknown()),
      remediation: z.string().nullable(),
      params: z.record(z.string(), z.unknown()).nullable(),
    }),
  ),
});

/** What the report says about one check. */
export type CheckEntry = z.infer<typeof entry>;

/** Runs one check as the schedule does. */
export async function entryOf(sql: postgres.ISql, check: string): Promise<CheckEntry> {
  const [row] = await sql`select runbook.run_check(${check}) as entry`;
  return entry.parse(row?.["entry"]);
}

/** The findings of a check about the relations of one schema; of every schema where none is given. */
export async function findingsOf(
  sql: postgres.ISql,
  check: string,
  schema?: string,
): Promise<CheckEntry["findings"]> {
  const { findings } = await entryOf(sql, check);
  return findings.filter(({ subject }) => schema === undefined || subject?.startsWith(`${schema}.`));
}

/** Makes the counters that this session has gathered visible to the others now, instead of within a second. */
export async function flushCounters(sql: postgres.ISql): Promise<void> {
  await sql`select pg_stat_force_next_flush()`;
}
