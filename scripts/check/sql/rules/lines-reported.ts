import { loadModule } from "libpg-query";
import type { SqlRule } from "../rule.ts";
import { readSource } from "../source.ts";

/** For tests of rules: the numbers of the lines of `sql` that the rule reports, in order. */
export async function linesReported(rule: SqlRule, sql: string): Promise<number[]> {
  await loadModule();
  return rule
    .check(readSource("example.sql", sql))
    .map((problem) => sql.slice(0, problem.position).split("\n").length)
    .sort((a, b) => a - b);
}
