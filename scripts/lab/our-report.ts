import type { Sql } from "postgres";
import { z } from "zod";
import type { Mark } from "./lab.ts";

const findingSchema = z.object({
  code: z.string(),
  severity: z.string(),
  subject: z.string().nullable(),
  summary: z.string(),
  evidence: z.unknown(),
  method: z.string().nullable(),
});

const reportSchema = z.object({
  status: z.string(),
  took_ms: z.number(),
  checks: z.array(
    z.object({
      check: z.string(),
      status: z.string(),
      took_ms: z.number(),
      reason: z.string().optional(),
      findings: z.array(findingSchema),
    }),
  ),
});

/** The health check's report, as `runbook.health_check(true)` gives it. */
export type OurReport = z.infer<typeof reportSchema>;

/** One finding of a report and the check that made it. */
export type OurFinding = z.infer<typeof findingSchema> & { check: string };

/** Asks for the whole report, and measures how long that takes from here; ms. */
export async function askOurselves(sql: Sql): Promise<{ report: OurReport; tookMs: number }> {
  const begun = performance.now();
  const [row] = await sql`select runbook.health_check(true) as report`;
  const tookMs = performance.now() - begun;
  return { report: reportSchema.parse(row?.["report"]), tookMs };
}

/** The findings of a report, each with its check. */
export function findingsOf(report: OurReport): OurFinding[] {
  return report.checks.flatMap(({ check, findings }) => findings.map((found) => ({ ...found, check })));
}

/** The first finding that is what a mark describes. */
export function findMarked(findings: readonly OurFinding[], marks: readonly Mark[]): OurFinding | undefined {
  return findings.find((found) =>
    marks.some(
      (mark) =>
        mark.check === found.check &&
        mark.codes.includes(found.code) &&
        mark.names.test(`${found.subject ?? ""} ${found.summary} ${JSON.stringify(found.evidence)}`),
    ),
  );
}
