/** What one pgTAP file said. */
export interface TapResult {
  planned: number | null;
  passed: number;
  /** Each failed assertion with its diagnostics, and every disagreement with the plan. */
  failures: string[];
}

/**
 * Reads the lines that a pgTAP script returned, in order.
 * A script without a plan, or that ran another number of assertions than planned, has failed.
 */
export function readTap(lines: readonly string[]): TapResult {
  const result: TapResult = { planned: null, passed: 0, failures: [] };
  let ran = 0;
  for (const line of lines) {
    const plan = /^1\.\.(\d+)/.exec(line);
    if (plan?.[1] !== undefined) result.planned = Number(plan[1]);
    else if (/^ok\b/.test(line)) {
      ran += 1;
      result.passed += 1;
    } else if (/^not ok\b/.test(line)) {
      ran += 1;
      // A "todo" may fail.
      if (/# TODO/i.test(line)) result.passed += 1;
      else result.failures.push(line);
    } else if (line.startsWith("#") && result.failures.length > 0) {
      result.failures.push(line);
    }
  }
  if (result.planned === null) result.failures.push("the script has no plan");
  else if (result.planned !== ran)
    result.failures.push(`planned ${result.planned} assertions but ran ${ran}`);
  return result;
}
