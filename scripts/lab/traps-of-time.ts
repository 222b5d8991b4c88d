import { z } from "zod";
import type { Lab, TrapResult } from "./lab.ts";
import { askOurselves, findingsOf } from "./our-report.ts";
import { makeForeignTable } from "./traps.ts";
import { tunings } from "./tunings.ts";

const planSchema = z.object({ state: z.string(), plan_hash: z.string().nullable() });

/** T3: right after all counters were reset every index looks unused. */
export async function askAgainAfterReset({ sql, platform }: Lab): Promise<TrapResult> {
  for (const { check } of tunings) await sql`select runbook.tune_check(${check}, null)`;
  await platform`select pg_stat_reset()`;
  const { report } = await askOurselves(sql);
  const said = findingsOf(report).filter(({ code }) => code === "unused_index");
  return {
    id: "T3",
    title: "all counters were just reset: nothing is known to be unused",
    trap: undefined,
    alarm: said[0]?.summary ?? "",
  };
}

/** T7: VACUUM of somebody else's table says that it succeeded and may have done nothing. */
export async function vacuumOfOthers(lab: Lab): Promise<TrapResult> {
  await makeForeignTable(lab);
  const trap = { id: "T7", title: "VACUUM of somebody else's table that does nothing", trap: undefined };
  const [before] = await lab.platform`select vacuum_count from pg_stat_user_tables where relname = 'others'`;
  const answer = await remediate(lab, true).catch(() => null);
  if (answer === null) return { ...trap, alarm: "" }; // refused
  const applied = await remediate(lab, false).catch(() => null);
  const [after] = await lab.platform`select vacuum_count from pg_stat_user_tables where relname = 'others'`;
  const vacuumed = Number(after?.["vacuum_count"] ?? 0) > Number(before?.["vacuum_count"] ?? 0);
  const claimed = applied?.state === "succeeded";
  return { ...trap, alarm: claimed && !vacuumed ? "It was called a success, and nothing was vacuumed." : "" };
}

async function remediate({ sql }: Lab, dryRun: boolean): Promise<z.infer<typeof planSchema>> {
  const [row] = await sql`
    select runbook.remediate(
      'vacuum-table', '{"table": "storage.others"}'::jsonb, ${dryRun}, 'fault lab', null, null
    ) as answer`;
  return planSchema.parse(row?.["answer"]);
}
