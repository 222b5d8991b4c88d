import postgres from "postgres";
import { afterAll, inject } from "vitest";
import { z } from "zod";

const report = z.object({
  status: z.string(),
  value: z.number().nullable(),
  reason: z.string().optional(),
  findings: z.array(
    z.object({
      code: z.string(),
      severity: z.string(),
      subject: z.string(),
      summary: z.string().max(300),
      method: z.string(),
      evidence: z.record(z.string(), z.unknown()),
      remediation: z.string().nullable(),
      params: z.record(z.string(), z.unknown()).nullable(),
    }),
  ),
});

/** What one check said. */
export type Report = z.infer<typeof report>;

/** A connection of its own over the server's private socket, which lets in every role; closed after the file's tests. */
export function connectAs(role: string): postgres.Sql {
  const sql = postgres({
    host: inject("socketDirectory"),
    port: inject("databasePort"),
    database: "postgres",
    user: role,
    max: 1,
    onnotice: () => undefined,
  });
  afterAll(() => sql.end({ timeout: 2 }));
  return sql;
}

/** Runs a check. */
export async function ask(sql: postgres.ISql, check: string): Promise<Report> {
  const [row] = await sql`select runbook.run_check(${check}) as answer`;
  return report.parse(row?.["answer"]);
}

/** The code and subject of each finding of a check whose JSON speaks of something. */
export async function found(sql: postgres.ISql, check: string, about: string): Promise<string[]> {
  const { findings } = await ask(sql, check);
  return findings
    .filter((finding) => JSON.stringify(finding).includes(about))
    .map(({ code, subject }) => `${code} ${subject}`)
    .sort();
}

/** Sets thresholds of a check for the tests of this file. */
export async function tune(
  sql: postgres.ISql,
  check: string,
  thresholds: Record<string, number>,
): Promise<void> {
  await sql`select runbook.tune_check(${check}, ${sql.json(thresholds)})`;
  afterAll(async () => {
    const last = connectAs("postgres");
    await last`select runbook.tune_check(${check}, null)`;
    await last.end({ timeout: 2 });
  });
}

/** Makes what this session has counted visible to others now, instead of within a second. */
export async function flush(sql: postgres.ISql): Promise<void> {
  await sql`select pg_stat_force_next_flush()`;
}
